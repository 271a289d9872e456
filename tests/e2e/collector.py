"""A receiver of OTLP, by HTTP or gRPC, that can be told how to behave, and what it took."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from receiver import free_ports

from fakes.otlp import SIGNALS
from otel_embed.demo.loopback import LoopbackHandler, LoopbackServer

Behaviour = Literal["well", "down", "silent", "busy", "broken"]
"""``down`` refuses connections, ``silent`` never answers, ``busy`` is 429 with a second of patience, ``broken`` 500."""
RETRY_AFTER = 1


class Taken:
    """What was answered with success. Of cumulative metrics the newest counts."""

    def __init__(self) -> None:
        self.spans: dict[bytes, str] = {}
        """The names of spans, by their ids: one that came twice is one."""
        self.metrics = ExportMetricsServiceRequest()
        self.exports = 0
        self.longest_queue = 0.0

    def take(self, signal: str, body: bytes) -> None:
        if signal == "traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.spans.update((span.span_id, span.name) for span in scope.spans)
            return
        self.metrics = ExportMetricsServiceRequest.FromString(body)
        self.exports += 1
        self.longest_queue = max(self.longest_queue, self.total("otel.sdk.processor.span.queue.size"))

    def by(self, name: str, attribute: str) -> Counter[str]:
        """The sums of a metric by one of its attributes; empty for points that have none."""
        sums: Counter[str] = Counter()
        for resource in self.metrics.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == name:
                        for point in getattr(metric, metric.WhichOneof("data")).data_points:
                            about = {each.key: each.value.string_value for each in point.attributes}
                            kind = point.WhichOneof("value") if hasattr(point, "as_int") else "sum"
                            sums[about.get(attribute, "")] += getattr(point, kind)
        return sums

    def total(self, name: str) -> float:
        return sum(self.by(name, "").values())


class Collector:
    """On one port, up or down; ``taken`` is what it took over all of its life."""

    def __init__(self, protocol: str) -> None:
        (self.port,) = free_ports(1)
        self.taken = Taken()
        self.asked = 0
        self._behaviour: Behaviour = "down"
        self._start = _http if protocol == "http/protobuf" else _grpc
        self._stop: Callable[[], None] | None = None
        self._changed = threading.Event()

    def behave(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._changed.set()
        self._changed = threading.Event()
        if behaviour == "down" and self._stop is not None:
            self._stop()
            self._stop = None
        elif behaviour != "down" and self._stop is None:
            self._stop = self._start(self)

    def decide(self, signal: str, body: bytes) -> Behaviour:
        """What to answer; takes in what was sent where the answer is success."""
        self.asked += 1
        behaviour, changed = self._behaviour, self._changed
        if behaviour == "silent":
            changed.wait(60)
        if behaviour == "well":
            self.taken.take(signal, body)
        return behaviour


@contextmanager
def collector(protocol: str) -> Iterator[Collector]:
    found = Collector(protocol)
    try:
        found.behave("well")
        yield found
    finally:
        found.behave("down")


class _Handler(LoopbackHandler):
    server: _Http

    def do_POST(self) -> None:
        behaviour = self.server.collector.decide(self.path.rpartition("/")[2], self.read_body())
        if behaviour in ("silent", "down"):  # a request may still come by a connection that is about to be shut
            self.close_connection = True
            return
        status = {"busy": 429, "broken": 500}.get(behaviour, 200)
        patience = {"retry-after": str(RETRY_AFTER)} if behaviour == "busy" else {}
        self.start(status, {"content-length": "0", **patience})


class _Http(LoopbackServer):
    handler: ClassVar[type[LoopbackHandler]] = _Handler
    collector: Collector


def _http(collector: Collector) -> Callable[[], None]:
    server = _Http(port=collector.port)
    server.collector = collector
    server.__enter__()
    return lambda: server.__exit__(None, None, None)


def _grpc(collector: Collector) -> Callable[[], None]:
    def export(signal: str) -> Any:
        def behave(request: bytes, context: grpc.ServicerContext) -> bytes:
            behaviour = collector.decide(signal, request)
            if behaviour == "busy":
                patience = RetryInfo()
                patience.retry_delay.seconds = RETRY_AFTER
                context.set_trailing_metadata((("google.rpc.retryinfo-bin", patience.SerializeToString()),))
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")
            if behaviour != "well":
                context.abort(grpc.StatusCode.INTERNAL, "the collector is broken")
            return b""

        return grpc.unary_unary_rpc_method_handler(behave)

    server = grpc.server(ThreadPoolExecutor(8))
    for signal, name in SIGNALS.items():
        service = f"opentelemetry.proto.collector.{name}.v1.{name.capitalize()}Service"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": export(signal)}),))
    server.add_insecure_port(f"127.0.0.1:{collector.port}")
    server.start()
    return lambda: server.stop(None).wait() and None
