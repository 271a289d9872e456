"""Receivers of OTLP that answer as told, by HTTP and by gRPC, and one that listens and says nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import grpc

from otel_embed.demo.loopback import LoopbackHandler, LoopbackServer

SIGNALS = {"traces": "trace", "metrics": "metrics"}


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class _Handler(LoopbackHandler):
    server: HttpReceiver

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Request(self.path, headers, self.read_body()))
        self.start(self.server.status.get(self.path, 404), {"content-length": "0"})


class HttpReceiver(LoopbackServer):
    """Takes traces and metrics; ``status`` says what it answers to a path, 404 where it says nothing."""

    handler: ClassVar[type[LoopbackHandler]] = _Handler

    def __init__(self, **status: int) -> None:
        self.status = {"/v1/traces": 200, "/v1/metrics": 200, **{f"/v1/{name}": code for name, code in status.items()}}
        self.received: list[Request] = []
        super().__init__()


class GrpcReceiver(NamedTuple):
    port: int
    received: list[tuple[str, dict[str, str], bytes]]
    """Of each request the signal, its metadata and its bytes."""


@contextmanager
def grpc_receiver(
    *signals: str, refuse: bool = False, tls: tuple[bytes, bytes] | None = None
) -> Iterator[GrpcReceiver]:
    """Takes these signals; with ``refuse`` it wants other credentials. ``tls`` is a key and a certificate."""
    received: list[tuple[str, dict[str, str], bytes]] = []

    def export(signal: str) -> Any:
        def behave(request: bytes, context: grpc.ServicerContext) -> bytes:
            received.append((signal, dict(context.invocation_metadata()), request))
            if refuse:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "the key is wrong")
            return b""

        return grpc.unary_unary_rpc_method_handler(behave)

    server = grpc.server(ThreadPoolExecutor(2))
    for signal in signals:
        service = f"opentelemetry.proto.collector.{SIGNALS[signal]}.v1.{SIGNALS[signal].capitalize()}Service"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": export(signal)}),))
    place = "127.0.0.1:0"
    port = (
        server.add_insecure_port(place)
        if tls is None
        else server.add_secure_port(place, grpc.ssl_server_credentials([tls]))
    )
    server.start()
    try:
        yield GrpcReceiver(port, received)
    finally:
        server.stop(None).wait()


@contextmanager
def silent_listener() -> Iterator[int]:
    """Accepts connections, as the kernel does, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
