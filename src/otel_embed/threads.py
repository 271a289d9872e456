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
from otel_embed.observe import OPEN_CALL, OpenCall, open_call
from otel_embed.provider import Provider, Submit

_CARRYING = Guard("carry the context of a call into a thread")


class _Carried:
    """A function that runs in the context it was submitted in."""

    __slots__ = ("_context", "_function")

    def __init__(self, function: Callable[..., Any], around: Context) -> None:
        self._function, self._context = function, around

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token = None
        with _CARRYING:
            token = context.attach(self._context)
        try:
            return self._function(*args, **kwargs)
        finally:
            with _CARRYING:
                if token is not None:
                    context.detach(token)


class _InCall(_Carried):
    """A function that runs in an embedding call, and else in the context that it is called in."""

    __slots__ = ("_call",)

    def __init__(self, function: Callable[..., Any], call: OpenCall) -> None:
        self._function, self._call = function, call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _CARRYING:
            self._context = context.set_value(OPEN_CALL, self._call)
        return super().__call__(*args, **kwargs)


def carry(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The function with the context of the open call; None where none is open here."""
    return None if open_call() is None else _Carried(function, context.get_current())


def into_thread(target: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The function with the open call; None where none is open here."""
    call = None if target is None else open_call()
    return None if call is None or target is None else _InCall(target, call)


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
