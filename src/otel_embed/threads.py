"""Threads that an embedding call uses take its context along.

``ThreadPoolExecutor`` and ``ThreadPool`` run work without the context of whoever submitted it, so that the requests of
a client that fans out would belong to no call, and be billed twice. Work that is submitted while an
embedding call is open runs in that call's context; all other work is submitted as it is. A thread that is made in a
call may outlive it by far, as a library's own in the background do: it takes the call along and not its span.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed.guard import Guard
from otel_embed.observe import OPEN_CALL, open_call
from otel_embed.provider import Provider, Submit

_CARRYING = Guard("carry the context of a call into a thread")
_POOLS = ("concurrent.futures.thread", "multiprocessing.pool")
"""Whose threads wait for work, which brings its context along."""


class _Carried:
    """A function that runs in a context of an embedding call's."""

    __slots__ = ("_around", "_function")

    def __init__(self, function: Callable[..., Any], around: Callable[[], Context]) -> None:
        self._function, self._around = function, around

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token = None
        with _CARRYING:
            token = context.attach(self._around())
        try:
            return self._function(*args, **kwargs)
        finally:
            with _CARRYING:
                if token is not None:
                    context.detach(token)


def carry(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The function with the context of the open call; None where none is open here."""
    if open_call() is None:
        return None
    around = context.get_current()
    return _Carried(function, lambda: around)


def into_thread(target: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The function with the open call and nothing else of its context; None where none is open here."""
    call = None if target is None or getattr(target, "__module__", None) in _POOLS else open_call()
    return None if call is None or target is None else _Carried(target, lambda: context.set_value(OPEN_CALL, call))


POOLS = Provider(
    name="threads",
    requires="",
    submits=(
        Submit("concurrent.futures.thread:ThreadPoolExecutor.submit", carry),
        # joblib hands the next batches out in the callback of the one before.
        Submit("multiprocessing.pool:ThreadPool.apply_async", carry, also=("callback", "error_callback")),
        Submit("multiprocessing.pool:ThreadPool._map_async", carry),
        Submit("multiprocessing.pool:ThreadPool.imap", carry),
        Submit("multiprocessing.pool:ThreadPool.imap_unordered", carry),
        Submit("threading:Thread.__init__", into_thread, also=("target",), place=1),
    ),
)
