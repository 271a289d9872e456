"""One HTTP exchange of a call, as a transport reports it."""

from __future__ import annotations

import atexit
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from otel_embed.failure import qualified_name
from otel_embed.guard import Guard
from otel_embed.record import Server, Stage
from otel_embed.timeline import Exchange

if TYPE_CHECKING:
    from otel_embed.observe import OpenCall


class OpenExchange(Exchange):
    """An exchange in flight: the transport marks when its stage changes, and says how it ended."""

    status: int | None = None
    request_bytes: int | None = None
    error: str | None = None
    body_open = False
    heard = b""
    """The last bytes of the body, as far as they came by."""
    listen: Callable[[OpenExchange], None] | None = None
    """What a transport is to be asked with that it remembers them; None where it does so of itself, or cannot."""
    _on_close: Callable[[int, BaseException | None], None] | None = None
    _readers = 0
    _raised: BaseException | None = None

    def __init__(self, call: OpenCall, url: object, request_bytes: int | None) -> None:
        self.start = start = time.perf_counter_ns()
        self.marks = [(start, "acquire")]
        self.call: OpenCall | None = call
        """The call it belongs to, while it is in flight."""
        self.url = url
        """Where it goes: a string, or the library's own URL object with ``host``, ``port`` and ``scheme``."""
        self.request_bytes = request_bytes

    def mark(self, stage: Stage) -> None:
        """From now on the exchange is in this stage."""
        self.marks.append((time.perf_counter_ns(), stage))

    def answered(self, status: int, headers: Any) -> None:
        """The answer's head is here; ``headers`` as ``otel_embed.headers.read`` takes them."""
        self.status, self.failed = status, status >= 400
        if self.call is not None:
            self.call.headers = headers

    def over(self, error: BaseException | None = None, at: int | None = None) -> None:
        """The exchange is over, its body read or given up, now or some time ago."""
        self.call = None
        if self.end is None:
            self.end = time.perf_counter_ns() if at is None else at
            if error is not None:
                self.failed, self.error = True, qualified_name(error)
                if self.body_open:
                    self._raised = error
        if self.body_open and not self._readers:
            self._tell()

    def when_over(self, then: Callable[[int, BaseException | None], None]) -> None:
        """Call ``then(end, error)`` when the body has been read, as with a streamed response."""
        self._on_close = then
        _LEFT_OPEN.add(self)
        if not _AT_EXIT:  # no sooner: what was set up before, to report a process at its end, does so after this
            _AT_EXIT.append(atexit.register(_end_left_open))

    def drop(self, error: BaseException | None = None) -> None:
        """Nobody holds the response any more.

        That can be the garbage collector's finding, at any point of any function, while a lock of ours is held or the
        interpreter is being taken down: so what follows from it happens later, in ``end_dropped``.
        """
        if self.end is None and not sys.is_finalizing():
            _DROPPED.append((self, error, time.perf_counter_ns()))

    def hold(self) -> None:
        """The body is being read as a whole: its end comes first, its decoded content with ``release``."""
        self._readers += 1

    def release(self) -> None:
        self._readers -= 1
        if self.end is not None:
            self._tell()

    def _tell(self) -> None:
        self.body_open = False
        then, self._on_close = self._on_close, None
        raised, self._raised = self._raised, None
        if then is not None and self.end is not None:
            then(self.end, raised)

    @property
    def server(self) -> Server | None:
        return server_at(self.url)


def server_at(address: object) -> Server | None:
    """What a URL, as an exchange has it, leads to."""
    url: Any = urlsplit(address) if isinstance(address, str) else address
    host = getattr(url, "hostname" if isinstance(address, str) else "host", None)
    return Server(str(host), url.port or (80 if url.scheme == "http" else 443)) if host else None


_DROPPED: deque[tuple[OpenExchange, BaseException | None, int]] = deque()
_LEFT_OPEN: weakref.WeakSet[OpenExchange] = weakref.WeakSet()
_AT_EXIT: list[object] = []
_ENDING = Guard("end a response that nobody read")


def end_dropped() -> None:
    """End the exchanges whose responses were dropped."""
    while _DROPPED:
        with _ENDING:
            exchange, error, at = _DROPPED.popleft()
            exchange.over(error, at)


def _end_left_open() -> None:
    """What is open at the end of the process was answered, and billed."""
    end_dropped()
    for exchange in list(_LEFT_OPEN):
        with _ENDING:
            exchange.over()


def forget_open() -> None:
    """In a forked child: what the parent left open is the parent's to end."""
    _DROPPED.clear()
    _LEFT_OPEN.clear()


def retries(exchanges: Sequence[OpenExchange]) -> tuple[str, ...]:
    """What each retry answered to: an exchange is one where one before it failed at the same URL."""
    *others, latest = exchanges
    last: dict[object, int] = {latest.url: latest.start}
    for exchange in reversed(others):
        # What is not sent there again was given up, and no backoff follows it.
        exchange.failed = exchange.failed and last.get(exchange.url, -1) >= (exchange.end or 0)
        last.setdefault(exchange.url, exchange.start)
    return tuple([exchange.error or str(exchange.status) for exchange in others if exchange.failed])
