"""Never break the application: the one place where our own errors are contained.

``Guard`` and the wrappers in ``patching`` are the trusted base. Whatever else of ours runs during an
application's call runs inside a guard.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback
from types import TracebackType

_logger = logging.getLogger("otel_embed")
_lock = threading.Lock()

reraise = False
"""Tests set this, so that a bug of ours fails a test instead of hiding in a log."""

dropped: dict[str, int] = {}
"""How often each of our own steps failed in this process."""


class Guard:
    """Contain an ``Exception`` of ours; let ``KeyboardInterrupt`` and cancellation through.

    A guard holds no state, so one instance serves any number of threads and nestings.
    """

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        if reraise or not isinstance(error, Exception):
            return False
        _count(self._doing, error)
        return True


def _count(doing: str, error: Exception) -> None:
    with _lock:
        seen = dropped.get(doing, 0)
        dropped[doing] = seen + 1
    if seen == 0:
        # The message of an exception can hold the application's text, so only its type is logged.
        where = "".join(traceback.format_tb(error.__traceback__))
        try:
            _logger.warning(
                "otel_embed failed to %s: %s. The application is unaffected; this is logged once.\n%s",
                doing, type(error).__qualname__, where,
            )  # fmt: skip
        except Exception:  # the application's own log handler may be broken
            return


def _forked() -> None:
    global _lock
    _lock = threading.Lock()
    dropped.clear()


os.register_at_fork(after_in_child=_forked)
