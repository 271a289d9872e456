"""urllib3, below requests and botocore: the stages of an exchange, its retries, and the end of a streamed body.

It makes no exchange of its own: what is sent through urllib3 directly belongs to no client that is known.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from otel_embed.exchange import OpenExchange
from otel_embed.provider import Provider, Transport
from otel_embed.transports.flight import BodyEnd, Flight, Step, in_flight


def watch(response: Any, exchange: OpenExchange) -> None:
    """Leave the exchange open until a streamed response's body is over; nothing of it is read."""
    if not response.closed:
        ended = BodyEnd(exchange)
        for name in ("release_conn", "close"):  # the one at the body's end or when it breaks off, the other before
            setattr(response, name, _ending(response, name, ended))


def _ending(response: Any, name: str, ended: BodyEnd) -> Callable[[], None]:
    method = getattr(type(response), name)
    held = weakref.ref(response)  # an unread response that is dropped goes at once, as it did

    def end() -> None:
        itself = held()
        try:
            method(itself)
        finally:
            ended()

    return end


def _answered(exchange: OpenExchange, connection: Any, response: Any) -> None:
    exchange.answered(response.status, response.headers.items())


class _Retry:
    """``Retry.sleep``, which is called after each attempt that is to be followed by another."""

    def open(self, retry: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Sleep | None:
        flight = in_flight()
        if flight is None:
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
