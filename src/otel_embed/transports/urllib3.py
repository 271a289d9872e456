"""urllib3, below requests and botocore: the stages of an exchange, its retries, and the end of a streamed body.

It makes no exchange of its own: what is sent through urllib3 directly belongs to no client that is known.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from otel_embed.exchange import OpenExchange
from otel_embed.guard import Guard
from otel_embed.provider import Provider, Transport
from otel_embed.transports.flight import TAIL_BYTES, BodyEnd, Flight, Step, in_flight

_HEARING = Guard("see the end of a response body")


def watch(response: Any, exchange: OpenExchange) -> None:
    """Leave the exchange open until a streamed response's body is over; nothing of it is read.

    Once a body has been read, has broken off, is closed or is dropped, the file that it is read from is dropped.
    What hangs on that file goes with it.
    """
    source = getattr(response, "_original_response", None)  # the standard library's own response
    file = getattr(source, "fp", None)  # None when the body is over
    if file is not None:
        file.otel_embed = _FileEnd(exchange, source)
        exchange.listen = partial(_listen, weakref.ref(source))


def _listen(source: Callable[[], Any], exchange: OpenExchange) -> None:
    """Remember the last bytes that urllib3 reads of a body."""
    it = source()
    if it is not None:
        it.read = _Heard(source, type(it).read, exchange)


class _Heard:
    """``read`` of one of the standard library's responses. It does not hold that: its caller does, who may drop it."""

    def __init__(self, source: Callable[[], Any], read: Callable[..., bytes], exchange: OpenExchange) -> None:
        self._source, self._read, self._exchange = source, read, exchange

    def __call__(self, *args: Any, **kwargs: Any) -> bytes:
        exchange = self._exchange
        with _HEARING:
            exchange.hold()  # the end of a body comes before the bytes that are read last
        try:
            data = self._read(self._source(), *args, **kwargs)
            with _HEARING:
                exchange.heard = (exchange.heard + data[-TAIL_BYTES:])[-TAIL_BYTES:]
            return data
        finally:
            with _HEARING:
                exchange.release()


class _FileEnd(BodyEnd):
    __slots__ = ("_source",)

    def __init__(self, exchange: OpenExchange, source: Any) -> None:
        super().__init__(exchange)
        self._source = weakref.ref(source)

    def __del__(self) -> None:
        with _HEARING:
            if self._source() is None:  # dropped with the response, and not closed by it
                self._exchange.drop()
            else:
                self()

    def break_off(self, error: BaseException | None) -> None:
        # What cannot be read as the size of the next piece is the end of the connection.
        super().break_off(_ended_early() if isinstance(error, ValueError) else error)

    def _unraised(self) -> Exception | None:
        source = self._source()
        if source is None or source.closed or not source.length:
            return None
        return _ended_early()


def _ended_early() -> Exception:
    from urllib3.exceptions import ProtocolError

    return ProtocolError("Response ended prematurely")  # as urllib3 finds out next, if it cares


def _answered(exchange: OpenExchange, connection: Any, response: Any) -> None:
    exchange.answered(response.status, response.headers.items())


class _Retry:
    """``Retry.sleep``, which is called after each attempt that is to be followed by another."""

    def open(self, retry: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Sleep | None:
        flight = in_flight()
        if not isinstance(flight, Flight):
            return None
        flight.exchange.failed = True
        flight.exchange.over(retry.history[-1].error)
        return _Sleep(flight)


class _Sleep:
    token = None
    __slots__ = ("_flight",)

    def __init__(self, flight: Flight) -> None:
        self._flight = flight

    def close(self, result: Any, error: BaseException | None) -> None:
        if error is None:
            self._flight.go_around()


_CONNECT = Step("connect", "send")
_SEND = Step("send", "wait")

URLLIB3 = Provider(
    name="urllib3",
    requires="urllib3>=1.26,<3",
    transports=(
        Transport("urllib3.connection:HTTPConnection.connect", _CONNECT),
        Transport("urllib3.connection:HTTPSConnection.connect", _CONNECT),
        Transport("urllib3.connection:ssl_wrap_socket", Step("tls", None)),
        Transport("urllib3.connection:HTTPConnection.request", _SEND),
        Transport("urllib3.connection:HTTPConnection.request_chunked", _SEND),
        Transport("urllib3.connection:HTTPConnection.getresponse", Step(None, "receive", _answered)),
        Transport("urllib3.util.retry:Retry.sleep", _Retry()),
    ),
)
