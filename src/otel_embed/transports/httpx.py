"""httpx and httpx2: exchanges from ``send``, their stages from the documented ``trace`` extension."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from otel_embed.exchange import OpenExchange
from otel_embed.observe import OpenCall, open_call, suppressed_call
from otel_embed.provider import Provider, Transport
from otel_embed.record import Stage
from otel_embed.transports.body import watch
from otel_embed.transports.flight import IN_FLIGHT, in_flight

if TYPE_CHECKING:
    from otel_embed.transports.flight import InFlight

_BEGINS: dict[str, Stage] = {
    "connection.connect_tcp.started": "connect",
    "connection.connect_tcp.complete": "acquire",
    "connection.connect_unix_socket.started": "connect",
    "connection.connect_unix_socket.complete": "acquire",
    "connection.retry.started": "backoff",
    "connection.retry.complete": "acquire",
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
        self._exchange = _AsyncExchange if asynchronous else _SyncExchange

    def open(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Exchange | None:
        request = args[0] if args else kwargs["request"]
        call = open_call() or suppressed_call(request.url)
        if call is None:
            return None
        before = None if IN_FLIGHT.get() is None else in_flight()
        if before is not None and before.exchange.call is call:
            return None
        exchange = self._exchange(call, request)
        if before is not None:
            exchange.before = before
        IN_FLIGHT.set(exchange)
        return exchange


class _Exchange(OpenExchange):
    """In flight by itself, as a transport below knows it."""

    token = None
    connecting: Any = None
    before: InFlight | None = None

    @property
    def exchange(self) -> OpenExchange:
        return self

    @property
    def landed(self) -> bool:
        return self.call is None

    def __init__(self, call: OpenCall, request: Any) -> None:
        self.start = start = perf_counter_ns()
        self.marks = [(start, "acquire")]
        self.call = call
        self.url = request.url
        self._request: Any = request
        extensions = request.extensions
        self._before: _Trace | None = extensions.get("trace")
        extensions["trace"] = self.trace
        call.lanes.append(self)

    def trace(self, event: str, info: Any) -> Any:
        """What httpcore calls with each of its events. Nothing in it may fail: it runs in the application's request."""
        raise NotImplementedError

    def close(self, response: Any, error: BaseException | None) -> None:
        if IN_FLIGHT.get() is self:
            IN_FLIGHT.set(self.before)
        request, self._request = self._request, None
        if self._before is None:
            request.extensions.pop("trace", None)
        else:
            request.extensions["trace"] = self._before
        self.url = request.url  # a hook may have sent it elsewhere, with another body, as cohere's clients for AWS do
        content = getattr(request, "_content", None)  # absent where the body is a stream
        self.request_bytes = None if content is None else len(content)
        call, self.call = self.call, None
        if error is not None or call is None:
            self.over(error)
            return
        if len(self.marks) == 1:  # a transport without httpcore tells nothing of its stages
            self.marks[0] = (self.start, "wait")
        self.status = status = response.status_code
        if status >= 400:
            self.failed = True
        call.headers = response.headers
        if response.is_closed or hasattr(response, "_content"):  # read, though a hook may have reopened it
            self.end = perf_counter_ns()
        else:
            call.streamed = self
            watch(response, self)


class _SyncExchange(_Exchange):
    connecting = True
    """Nothing below marks it."""

    def trace(self, event: str, info: Any) -> None:
        stage = _BEGINS.get(event)
        if stage is not None:
            self.marks.append((perf_counter_ns(), stage))
        if self._before is not None:
            self._before(event, info)


class _AsyncExchange(_Exchange):
    async def trace(self, event: str, info: Any) -> None:
        stage = _BEGINS.get(event)
        if stage is not None:
            self.marks.append((perf_counter_ns(), stage))
        if self._before is not None:
            told = self._before(event, info)
            if inspect.isawaitable(told):
                await told


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
