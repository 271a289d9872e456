"""Leaving a context that was attached, where a coroutine or a generator is thrown away."""

from __future__ import annotations

from contextvars import Token

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed.guard import guarded


def _leave(entered: Context | None, token: Token[Context]) -> None:
    """Go back to what was current before ``entered``, where that is current.

    Who throws it away may be in another context, or in a copy of this one: there its token is of no use, and
    ``context.detach`` logs an error.
    """
    if context.get_current() is entered:
        before = token.old_value
        context.attach(Context() if before is Token.MISSING else before)


leave = guarded(_leave, "leave a context")
