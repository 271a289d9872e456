"""Thread pools that an embedding call uses take its context along.

``ThreadPoolExecutor`` and ``ThreadPool`` run work without the context of whoever submitted it, so that the requests of
a client that fans out would belong to no call, and be billed twice. Work that is submitted while an
embedding call is open runs in that call's context; all other work is submitted as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed.guard import Guard
from otel_embed.observe import open_call
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


def carry(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The function with the context of the open call; None where none is open here."""
    return None if open_call() is None else _Carried(function, context.get_current())


POOLS = Provider(
    name="threads",
    requires="",
    submits=(
        Submit("concurrent.futures.thread:ThreadPoolExecutor.submit", carry),
        # joblib hands the next batches out in the callback of the one before.
        Submit("multiprocessing.pool:ThreadPool.apply_async", carry, also=("callback", "error_callback")),
    ),
)
