"""A stand-in for the collector's way from OTLP to Prometheus: metrics are taken over OTLP/HTTP, named as Prometheus'
OTLP receiver and the collector name them, and written to a real Prometheus by its remote-write protocol.

Debian's Prometheus has no OTLP receiver of its own; that came with 2.47.
"""

from __future__ import annotations

import struct
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_embed.backends.naming import label, series
from otel_embed.backends.signals import SIGNALS
from otel_embed.demo.loopback import LoopbackHandler, LoopbackServer

_SIGNALS = {signal.name: signal for signal in SIGNALS}
Series = tuple[dict[str, str], float, int]
"""Labels with the name among them, value, and milliseconds since 1970."""


class _Handler(LoopbackHandler):
    server: Pushed

    def do_POST(self) -> None:
        body = self.read_body()
        if self.path == "/v1/metrics":
            self.server.write(body)
        self.start(200, {"content-length": "0"})


class Pushed(LoopbackServer):
    """Takes OTLP over HTTP, and writes its metrics to a Prometheus."""

    handler: ClassVar[type[LoopbackHandler]] = _Handler

    def __init__(self, prometheus: str) -> None:
        self._target = f"{prometheus}/api/v1/write"
        super().__init__()

    def write(self, body: bytes) -> None:
        found = _series(ExportMetricsServiceRequest.FromString(body))
        content = b"".join(_field(1, _timeseries(each)) for each in found)
        request = urllib.request.Request(self._target, _snappy(content))
        for name, value in (("Content-Encoding", "snappy"), ("Content-Type", "application/x-protobuf"),
                            ("X-Prometheus-Remote-Write-Version", "0.1.0")):  # fmt: skip
            request.add_header(name, value)
        urllib.request.urlopen(request, timeout=5).close()


def _series(request: Any) -> Iterator[Series]:
    for resource in request.resource_metrics:
        about = _attributes(resource.resource.attributes)
        identity = {"job": about["service.name"], "instance": about.get("service.instance.id", "")}
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name in _SIGNALS:
                    yield from _points(metric, identity)


def _points(metric: Any, identity: Mapping[str, str]) -> Iterator[Series]:
    signal, data = _SIGNALS[metric.name], getattr(metric, metric.WhichOneof("data"))
    for point in data.data_points:
        labels = {**identity, **{label(key): value for key, value in _attributes(point.attributes).items()}}
        at = point.time_unix_nano // 1_000_000
        if signal.kind != "histogram":
            value = point.as_double if point.WhichOneof("value") == "as_double" else point.as_int
            yield {**labels, "__name__": series(signal, rule="pushed")}, value, at
            continue
        counted = 0
        for count, bound in zip(point.bucket_counts, [*point.explicit_bounds, float("inf")]):
            counted += count
            le = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield {**labels, "le": le, "__name__": series(signal, "bucket", "pushed")}, counted, at
        yield {**labels, "__name__": series(signal, "sum", "pushed")}, point.sum, at
        yield {**labels, "__name__": series(signal, "count", "pushed")}, point.count, at


def _attributes(attributes: Sequence[Any]) -> dict[str, str]:
    return {each.key: str(getattr(each.value, each.value.WhichOneof("value"))) for each in attributes}


def _timeseries(series: Series) -> bytes:
    labels, value, at = series
    named = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, text.encode())) for name, text in sorted(labels.items()) if text
    )
    return named + _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


def _snappy(content: bytes) -> bytes:
    """Snappy's block format, with nothing compressed."""
    parts = [content[start : start + 0x10000] for start in range(0, len(content), 0x10000)]
    literals = (b"\xf4" + struct.pack("<H", len(part) - 1) + part for part in parts)
    return _varint(len(content)) + b"".join(literals)
