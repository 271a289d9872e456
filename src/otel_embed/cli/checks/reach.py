"""Whether the endpoint of an export answers, asked as its exporter would: a connection, then an empty OTLP request."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillWorking
from importlib import import_module
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from otel_embed.cli.checks import answers
from otel_embed.cli.checks.answers import Place
from otel_embed.cli.checks.exporters import GRPC, Export
from otel_embed.cli.checks.findings import Finding

TIMEOUT = 2.0
"""Seconds for a connection, and again for an answer."""
_PATIENCE = 3 * TIMEOUT
"""Seconds for either with the resolution of the name, which has no limit of its own."""
_METHODS = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
T = TypeVar("T")


def check(exports: Sequence[Export]) -> list[Finding]:
    """One finding for each place that does not answer, else one for each export."""
    found = [finding for export in exports if (finding := _check(export)) is not None]
    return list({finding.said: finding for finding in found}.values())


def _check(export: Export) -> Finding | None:
    place = _place(export)
    if place is None:
        return None  # an endpoint that is no URL: that is said where mistakes are named
    late: str | None = "no answer in time"
    refused = _within(_PATIENCE, lambda: _refusal(place), late)
    if refused is not None:
        return answers.unreachable(place, refused)
    ask = _by_grpc if export.protocol == GRPC else _by_http
    return _within(_PATIENCE, lambda: ask(export), answers.silent(export))


def _place(export: Export) -> Place | None:
    """Where the first connection of an export goes: to the endpoint, or to the proxy before it."""
    place = _host_and_port(export.endpoint, export.protocol)
    proxy = place and getproxies().get(urlsplit(export.endpoint).scheme)
    if place is None or not proxy or proxy_bypass(place.host):
        return place
    before = _host_and_port(proxy if "://" in proxy else f"http://{proxy}", export.protocol)
    return before and before._replace(proxy_for=place.host)


def _host_and_port(endpoint: str, protocol: str) -> Place | None:
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or port == 0 or (protocol != GRPC and parts.scheme not in ("http", "https")) or parts.scheme.startswith("unix"):
        return None
    return Place(host, port or (80 if parts.scheme == "http" and protocol != GRPC else 443))


def _refusal(place: Place) -> str | None:
    try:
        socket.create_connection((place.host, place.port), TIMEOUT).close()
    except socket.gaierror:
        return "the name cannot be resolved"
    except ConnectionRefusedError:
        return "connection refused, nothing listens there"
    except TimeoutError:
        return f"no answer in {TIMEOUT:g} s, a firewall may be between"
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _headers(export: Export) -> dict[str, str]:
    from opentelemetry.util.re import parse_env_headers

    return dict(parse_env_headers(export.headers, liberal=True))


def _by_http(export: Export) -> Finding:
    requests: Any = import_module("requests")  # what the exporter uses, with its proxies and certificates
    pair = (export.client_certificate, export.client_key)
    try:
        with requests.post(
            export.endpoint,
            data=b"",
            headers={"content-type": "application/x-protobuf", **_headers(export)},
            timeout=TIMEOUT,
            verify=export.certificate or True,
            cert=pair if all(pair) else export.client_certificate,
            stream=True,
        ) as response:
            return answers.by_status(export, int(response.status_code))
    except requests.exceptions.SSLError:
        return answers.no_tls(export)
    except requests.exceptions.Timeout:
        return answers.silent(export)
    except (requests.exceptions.RequestException, OSError) as error:
        return answers.not_http(export, type(error).__name__)


def _by_grpc(export: Export) -> Finding:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it would print failed handshakes itself
    grpc: Any = import_module("grpc")
    with _channel(grpc, export) as channel:
        send = channel.unary_unary(_METHODS[export.signal])
        try:
            send(b"", timeout=TIMEOUT, metadata=tuple(_headers(export).items()))
        except grpc.RpcError as error:
            return answers.by_code(export, error.code().name, is_secure(export))
    return answers.accepted(export)


def _channel(grpc: Any, export: Export) -> Any:
    target = urlsplit(export.endpoint).netloc or export.endpoint
    if not is_secure(export):
        return grpc.insecure_channel(target)
    files = (_content(path) for path in (export.certificate, export.client_key, export.client_certificate))
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(*files))


def is_secure(export: Export) -> bool:
    """Whether a gRPC exporter uses TLS: by the URL's scheme, else by the variable, else yes."""
    scheme = urlsplit(export.endpoint).scheme
    if scheme == "https":
        return True
    return scheme != "http" if export.insecure is None else not export.insecure


def _content(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


def _within(seconds: float, work: Callable[[], T], late: T) -> T:
    """What ``work`` returns, or ``late`` after that time; the thread that is at it keeps no process alive."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        return future.result(seconds)
    except StillWorking:
        return late
