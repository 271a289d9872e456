"""One HTTP exchange of a call, as a transport reports it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from otel_embed.failure import qualified_name
from otel_embed.record import Attempt, Server, Stage
from otel_embed.timeline import Exchange


class OpenExchange(Exchange):
    """An exchange in flight: the transport marks when its stage changes, and says how it ended."""

    __slots__ = ("_on_close", "_raised", "_readers", "body_open", "error", "headers", "request_bytes", "status", "url")

    def __init__(self, url: object, request_bytes: int | None) -> None:
        super().__init__(time.perf_counter_ns())
        self.url = url
        """Where it goes: a string, or the library's own URL object with ``host``, ``port`` and ``scheme``."""
        self.request_bytes = request_bytes
        self.status: int | None = None
        self.headers: Iterable[tuple[Any, Any]] | None = None
        """The answer's headers as pairs, text or bytes; read when the call is counted."""
        self.body_open = False
        self.error: str | None = None
        self._on_close: Callable[[int, BaseException | None], None] | None = None
        self._readers = 0
        self._raised: BaseException | None = None

    def mark(self, stage: Stage) -> None:
        """From now on the exchange is in this stage."""
        self.marks.append((time.perf_counter_ns(), stage))

    def answered(self, status: int, headers: Iterable[tuple[Any, Any]]) -> None:
        self.status, self.headers, self.failed = status, headers, status >= 400

    def close(self, error: BaseException | None = None) -> None:
        """The exchange is over, its body read or given up."""
        if self.end is None:
            self.end = time.perf_counter_ns()
            if error is not None:
                self.failed, self.error, self._raised = True, qualified_name(error), error
        if not self._readers:
            self._tell()

    def when_closed(self, then: Callable[[int, BaseException | None], None]) -> None:
        """Call ``then(end, error)`` when the body has been read, as with a streamed response."""
        self._on_close = then

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

    def attempt(self, start: int, end: int) -> Attempt:
        return Attempt(self.start - start, (self.end or end) - start, self.status, self.error)

    @property
    def server(self) -> Server | None:
        url: Any = urlsplit(self.url) if isinstance(self.url, str) else self.url
        host = getattr(url, "hostname" if isinstance(self.url, str) else "host", None)
        return Server(str(host), url.port or (80 if url.scheme == "http" else 443)) if host else None


def retries(exchanges: Sequence[OpenExchange]) -> tuple[str, ...]:
    """What each retry answered to: an exchange is one where the exchange before it failed at the same URL."""
    if len(exchanges) < 2:
        return ()
    pairs = itertools.pairwise(exchanges)
    return tuple(
        [before.error or str(before.status) for before, after in pairs if before.failed and before.url == after.url]
    )
