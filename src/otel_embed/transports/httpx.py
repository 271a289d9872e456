"""httpx and httpx2: exchanges from ``send``, their stages from the documented ``trace`` extension."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from otel_embed.exchange import OpenExchange
from otel_embed.guard import Guard
from otel_embed.observe import open_call
from otel_embed.provider import Provider, Transport
from otel_embed.record import Stage
from otel_embed.transports.body import watch

_TRACING = Guard("follow an HTTP exchange")

_BEGINS: dict[str, Stage] = {
    "connection.connect_tcp.started": "connect",
    "connection.connect_tcp.complete": "acquire",
    "connection.connect_unix_socket.started": "connect",
    "connection.connect_unix_socket.complete": "acquire",
    "connection.start_tls.started": "tls",
    "connection.start_tls.complete": "acquire",
    "http11.send_request_headers.started": "send",
    "http2.send_request_headers.started": "send",
    "http11.send_request_body.complete": "wait",
    "http2.send_request_body.complete": "wait",
    "http11.receive_response_headers.complete": "receive",
    "http2.receive_response_headers.complete": "receive",
}
"""Which stage begins with each event of httpcore."""

_Trace = Callable[[str, Any], Any]


class _Send:
    """``Client.send`` or ``AsyncClient.send``."""

    def __init__(self, asynchronous: bool) -> None:
        self._traced = _traced_async if asynchronous else _traced

    def open(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Exchange | None:
        call = open_call()
        if call is None:
            return None
        request = args[0] if args else kwargs["request"]
        exchange = call.exchange(request.url, _size(request))
        extensions = request.extensions
        before = extensions.get("trace")
        extensions["trace"] = self._traced(exchange, before)
        return _Exchange(exchange, extensions, before)


class _Exchange:
    token = None
    __slots__ = ("_before", "_exchange", "_extensions")

    def __init__(self, exchange: OpenExchange, extensions: dict[str, Any], before: _Trace | None) -> None:
        self._exchange, self._extensions, self._before = exchange, extensions, before

    def close(self, response: Any, error: BaseException | None) -> None:
        if self._before is None:
            self._extensions.pop("trace", None)
        else:
            self._extensions["trace"] = self._before
        exchange = self._exchange
        if error is None:
            if len(exchange.marks) == 1:  # a transport without httpcore tells nothing of its stages
                exchange.marks[0] = (exchange.start, "wait")
            exchange.answered(response.status_code, response.headers.raw)
            if not response.is_closed:
                watch(response, exchange)
                return
        exchange.close(error)


def _size(request: Any) -> int | None:
    content = getattr(request, "_content", None)  # absent where the body is a stream
    return len(content) if isinstance(content, bytes) else None


def _traced(exchange: OpenExchange, before: _Trace | None) -> _Trace:
    def trace(event: str, info: Any) -> None:
        with _TRACING:
            _follow(exchange, event)
        if before is not None:
            before(event, info)

    return trace


def _traced_async(exchange: OpenExchange, before: _Trace | None) -> _Trace:
    async def trace(event: str, info: Any) -> None:
        with _TRACING:
            _follow(exchange, event)
        if before is not None:
            told = before(event, info)
            if inspect.isawaitable(told):
                await told

    return trace


def _follow(exchange: OpenExchange, event: str) -> None:
    stage = _BEGINS.get(event)
    if stage is not None:
        exchange.mark(stage)


def _provider(name: str, requires: str) -> Provider:
    return Provider(
        name=name,
        requires=requires,
        transports=(
            Transport(f"{name}:Client.send", _Send(asynchronous=False)),
            Transport(f"{name}:AsyncClient.send", _Send(asynchronous=True)),
        ),
    )


HTTPX = _provider("httpx", "httpx>=0.23,<1")
HTTPX2 = _provider("httpx2", "httpx2>=2.0,<3")
