"""aiohttp: an exchange is one ``ClientSession._request``, redirects included.

Not a ``TraceConfig``: that has to be there when a session is made, stays in sight on it, and makes each of its
requests, an embedding call's or not, go through a dozen signals.
"""

from __future__ import annotations

from collections import deque
from typing import Any
from weakref import WeakValueDictionary, ref

from otel_embed.exchange import OpenExchange
from otel_embed.provider import Arguments, Provider, Transport
from otel_embed.transports.flight import TAIL_BYTES, Asked, BodyEnd, Passing, Sender, Step, content_length, in_flight


def _asked(call: Arguments) -> Asked:
    data = call.kwargs.get("data")
    return Asked(_url(call), len(data) if isinstance(data, bytes) else None)


def _url(call: Arguments) -> Any:
    """The whole address, where the session has a base URL; None for what is none, which aiohttp is about to refuse."""
    try:
        return call.instance._build_url(call.get("str_or_url", 1))
    except (TypeError, ValueError):
        return None


def _answered(call: Arguments, response: Any, exchange: OpenExchange) -> None:
    exchange.answered(response.status, response.raw_headers)
    watch(response, exchange)


def watch(response: Any, exchange: OpenExchange) -> None:
    """Leave the exchange open until the connection is given back: at the body's end, or when it is given up."""
    connection = response.connection  # None where the whole body has come already
    if connection is None:
        exchange.heard = _unread(response)
    elif response.status != 101:
        connection.add_callback(_ResponseEnd(exchange, response))


class _ResponseEnd(BodyEnd):
    """The end of a response's body, which the response's connection holds; ``AWAITED`` has it as long as that does."""

    __slots__ = ("__weakref__", "_content", "_response")

    def __init__(self, exchange: OpenExchange, response: Any) -> None:
        super().__init__(exchange)
        self._response, self._content = ref(response), id(response.content)
        AWAITED[self._content] = self

    def _end(self) -> None:
        AWAITED.pop(self._content, None)
        response = self._response()
        if response is None:  # the garbage collector found it
            self._exchange.drop()
        else:
            self._exchange.heard = _unread(response)
            super()._end()


AWAITED: WeakValueDictionary[int, _ResponseEnd] = WeakValueDictionary()
"""By the ``id`` of the stream that it is read from."""


class _Break:
    """``StreamReader.set_exception``: a body breaks off, and the connection may be given back much later."""

    occasion = AWAITED

    def open(self, content: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        error = args[0] if args else kwargs["exc"]
        if type(error).__name__ == "ClientConnectionError":  # the response is closed by who has read enough of it
            return
        awaited = AWAITED.pop(id(content), None)
        if awaited is not None:
            awaited.break_off(error)


def _unread(response: Any) -> bytes:
    """The last bytes of what has come of a body and is not read yet; the end of one comes before they are."""
    pieces = getattr(getattr(response, "content", None), "_buffer", None)
    if not isinstance(pieces, deque):  # no stream of aiohttp's, as in an application's tests
        return b""
    return b"".join([piece[-TAIL_BYTES:] for piece in tuple(pieces)[-3:]])[-TAIL_BYTES:]


def _sent(exchange: OpenExchange, request: Any, response: Any) -> None:
    if exchange.request_bytes is None:
        exchange.request_bytes = content_length(request.headers)


def _started(exchange: OpenExchange, response: Any, _: Any) -> None:
    exchange.answered(response.status, response.raw_headers)


class _Connect(Step):
    """A connection is made; through a proxy, with a request to it, which is part of that."""

    def open(self, connector: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Passing | None:
        passing = Step.open(self, connector, args, kwargs)
        if passing is None:
            return None
        passing.flight.connecting = args[0] if args else kwargs["req"]
        return _Connecting(passing.flight, "send")


class _Connecting(Passing):
    __slots__ = ()

    def close(self, result: Any, error: BaseException | None) -> None:
        self.flight.connecting = None
        Passing.close(self, result, error)


class _Dial(Step):
    """The TCP part of a connection; a handshake follows at once, except where a proxy is asked first."""

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Passing | None:
        flight = in_flight()
        asked: Any = None if flight is None else flight.connecting
        if flight is None or not hasattr(asked, "is_ssl"):
            return None
        direct = asked.is_ssl() and asked.proxy is None
        return Passing(flight, "tls") if direct else None


_CONNECT = _Connect("connect", "send")

AIOHTTP = Provider(
    name="aiohttp",
    requires="aiohttp>=3.8,<4",
    transports=(
        Transport("aiohttp.client:ClientSession._request", Sender(_asked, _answered)),
        Transport("aiohttp.connector:TCPConnector._create_connection", _CONNECT),
        Transport("aiohttp.connector:UnixConnector._create_connection", _CONNECT),
        Transport("aiohappyeyeballs:start_connection", _Dial(None, "tls")),
        Transport("aiohttp.client_reqrep:ClientRequest.send", Step("send", "wait", _sent)),
        Transport("aiohttp.client_reqrep:ClientResponse.start", Step(None, "receive", _started)),
        Transport("aiohttp.streams:StreamReader.set_exception", _Break()),
    ),
)
