"""An exchange in flight, and the functions of a library that it passes through.

The function whose every run is one exchange is a ``Sender``; what it calls to connect, send and wait are
``Step``s. A step finds its exchange in a context variable, which is set only while an exchange of an open
embedding call is in flight, so that other traffic pays for one look at it. A sender inside another, as
aiohttp below httpx, is part of that one's exchange.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from otel_embed.exchange import OpenExchange
from otel_embed.guard import Guard
from otel_embed.observe import OpenCall, open_call
from otel_embed.provider import Arguments
from otel_embed.record import Stage

if TYPE_CHECKING:

    class InFlight(Protocol):
        """An exchange in flight, as what it passes through knows it."""

        connecting: Any
        """What a library is connecting to, where it sends requests of its own to do so: they mark nothing."""

        @property
        def exchange(self) -> OpenExchange: ...

        @property
        def landed(self) -> bool:
            """True once the exchange left: tasks that it started may still see it."""


_ENDING = Guard("see the end of a response body")
TAIL_BYTES = 512
"""How much of a body's end is remembered: there an answer says what it cost."""
IN_FLIGHT: ContextVar[InFlight | None] = ContextVar("otel_embed_in_flight", default=None)


class Asked(NamedTuple):
    """What an exchange sends."""

    url: object
    body_bytes: int | None


class Flight:
    """One exchange in flight; where the library itself tries again, one after another."""

    __slots__ = ("_before", "_call", "connecting", "exchange", "landed")

    def __init__(self, exchange: OpenExchange) -> None:
        self._call = exchange.call
        self.exchange = exchange
        self.connecting: Any = None
        self.landed = False
        self._before = in_flight()
        IN_FLIGHT.set(self)

    def go_around(self) -> None:
        """What failed is tried again."""
        failed = self.exchange
        if self._call is not None:
            self.exchange = self._call.exchange(failed.url, failed.request_bytes)

    def land(self) -> OpenExchange:
        """Nothing marks the exchange any more; its body may still be to come."""
        # Not ``reset``, which raises where a coroutine is closed in another context than it was begun in.
        if IN_FLIGHT.get() is self:
            IN_FLIGHT.set(self._before)
        self.landed = True
        return self.exchange


def in_flight() -> InFlight | None:
    """The exchange that is in flight in this context."""
    flight = IN_FLIGHT.get()
    return None if flight is None or flight.landed else flight


def is_part(call: OpenCall) -> bool:
    """Whether what is sent now belongs to an exchange of this call in flight, as the request for its token does."""
    flight = in_flight()
    return flight is not None and flight.exchange.call is call


class Sender:
    """A function whose every run is one exchange: redirects, and what a library sends on its own, included."""

    def __init__(
        self, asked: Callable[[Arguments], Asked], answered: Callable[[Arguments, Any, OpenExchange], None]
    ) -> None:
        """``answered(arguments, response, exchange)`` says how the exchange went, and watches an unread body."""
        self._asked, self._answered = asked, answered

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Sending | None:
        call = open_call()
        if call is None or is_part(call):
            return None
        arguments = Arguments(instance, args, kwargs)
        return _Sending(Flight(call.exchange(*self._asked(arguments))), arguments, self._answered)


class _Sending:
    token = None
    __slots__ = ("_answered", "_arguments", "_flight")

    def __init__(
        self, flight: Flight, arguments: Arguments, answered: Callable[[Arguments, Any, OpenExchange], None]
    ) -> None:
        self._flight, self._arguments, self._answered = flight, arguments, answered

    def close(self, response: Any, error: BaseException | None) -> None:
        exchange = self._flight.land()
        if error is None:
            if len(exchange.marks) == 1:  # a transport that tells nothing of its stages
                exchange.marks[0] = (exchange.start, "wait")
            self._answered(self._arguments, response, exchange)
            if exchange.body_open:
                return
        end(exchange, error)


def end(exchange: OpenExchange, error: BaseException | None) -> None:
    """The exchange is over. An answer that is an error says why it failed better than what a library made of it."""
    exchange.over(None if exchange.failed else error)


def content_length(headers: Any) -> int | None:
    """The size of a body by its headers, a mapping in any case; None where they do not say."""
    value = headers.get("Content-Length")
    return int(value) if isinstance(value, (str, bytes)) and value.isdigit() else None


class BodyEnd:
    """To be called when a response's body has been read, has broken off or is given up."""

    __slots__ = ("_exchange", "_handled")

    def __init__(self, exchange: OpenExchange) -> None:
        exchange.body_open = True
        if exchange.call is not None:
            exchange.call.streamed = exchange
        self._exchange = exchange
        self._handled = sys.exc_info()[1]
        """What the application is handling while it makes this request: no failure of the request's own."""

    def __call__(self) -> None:
        with _ENDING:  # it runs in the application's own reading
            self._end()

    def _end(self) -> None:
        error = sys.exc_info()[1]
        self.break_off(self._unraised() if error is None or error is self._handled else error)

    def break_off(self, error: BaseException | None) -> None:
        """The body is over, for this reason where it is not complete."""
        end(self._exchange, error)
        self._handled = None

    def _unraised(self) -> Exception | None:
        """Why the body is over where no exception says so."""
        return None


class Step:
    """A function that an exchange passes through: in one stage from its beginning, in another from its end.

    ``read(exchange, instance, result)`` takes from a run what it tells of the exchange.
    """

    def __init__(
        self,
        begins: Stage | None,
        ends: Stage | None,
        read: Callable[[OpenExchange, Any, Any], None] | None = None,
    ) -> None:
        self._begins, self._ends, self._read = begins, ends, read

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Passing | None:
        flight = in_flight()
        if flight is None or flight.connecting is not None:
            return None
        if self._begins is not None:
            flight.exchange.mark(self._begins)
        if self._ends is None:
            return None
        return Passing(flight, self._ends, self._read, instance)


class Passing:
    """A step that an exchange is passing through."""

    token = None
    __slots__ = ("_ends", "_instance", "_read", "flight")

    def __init__(
        self,
        flight: InFlight,
        ends: Stage,
        read: Callable[[OpenExchange, Any, Any], None] | None = None,
        instance: Any = None,
    ) -> None:
        self.flight, self._ends, self._read, self._instance = flight, ends, read, instance

    def close(self, result: Any, error: BaseException | None) -> None:
        if error is None:
            exchange = self.flight.exchange
            exchange.mark(self._ends)
            if self._read is not None:
                self._read(exchange, self._instance, result)
