"""Never break the application: the one place where our own errors are contained.

``Guard`` and the wrappers in ``wrapping`` are the trusted base. Whatever else of ours runs during an
application's call runs inside a guard.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

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
        if not isinstance(error, Exception):
            return False
        self.contain(error)
        return True

    def contain(self, error: Exception) -> None:
        """Log and count a failure of ours; under test, raise it."""
        if reraise:
            raise error
        _count(self._doing, error)


def guarded(function: Callable[..., Any], doing: str, otherwise: Any = None) -> Callable[..., Any]:
    """The function in a guard of its own, for the hot path: where it fails, it returns ``otherwise``."""

    guard = Guard(doing)

    def contained(*args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            guard.contain(error)
            return otherwise

    return contained


def _count(doing: str, error: Exception) -> None:
    with _lock:
        seen = dropped.get(doing, 0)
        dropped[doing] = seen + 1
    if seen == 0:
        # The message of an exception can hold the application's text, so only its type is logged.
        where = "".join(traceback.format_tb(error.__traceback__))
        try:
            logging.getLogger("otel_embed").warning(
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
