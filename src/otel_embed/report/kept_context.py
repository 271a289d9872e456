"""What a context holds, kept where another's runtime context forgets it.

``ddtrace-run`` with ``DD_TRACE_OTEL_ENABLED`` has a runtime context of its own, of which a span and baggage come back
and nothing else. In it no call would be known inside another, each would be counted, and ``track()`` would see none.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any

from opentelemetry import context
from opentelemetry.baggage import set_baggage
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from otel_embed.report.spans import SPAN

(_BAGGAGE,) = set_baggage("", "", Context())
_THEIRS = frozenset((SPAN, _BAGGAGE))
_NOTHING = Context()
_PLACE = "_RUNTIME_CONTEXT"


def keep_values() -> None:
    """Keep what contexts hold from now on, where the runtime context of this process does not."""
    theirs = getattr(context, _PLACE, None)
    if theirs is None or isinstance(theirs, KeptContext):
        return
    key = context.create_key("otel-embed-kept")
    token = context.attach(context.set_value(key, True))
    forgets = context.get_value(key) is None
    context.detach(token)
    if forgets:
        setattr(context, _PLACE, KeptContext(theirs))


def leave_values() -> None:
    """Put the other's runtime context back."""
    ours = getattr(context, _PLACE, None)
    if isinstance(ours, KeptContext):
        setattr(context, _PLACE, ours.theirs)


class KeptContext:
    """Another's runtime context, which has the last word on the span and the baggage."""

    def __init__(self, theirs: Any) -> None:
        self.theirs = theirs
        self._kept: ContextVar[Context] = ContextVar("otel-embed-kept", default=_NOTHING)

    def attach(self, context: Context) -> Token[Context]:
        self.theirs.attach(context)
        return self._kept.set(context)

    def get_current(self) -> Context:
        kept, theirs = self._kept.get(), self.theirs.get_current()
        if _span_of(kept) == _span_of(theirs) and (kept.get(_BAGGAGE) or {}) == (theirs.get(_BAGGAGE) or {}):
            return kept
        return Context({**{key: value for key, value in kept.items() if key not in _THEIRS}, **theirs})

    def detach(self, token: Token[Context]) -> None:
        """Where values are forgotten, a span is current until it ends: the other has nothing to detach."""
        self._kept.reset(token)


def _span_of(holder: Context) -> tuple[int, int]:
    place = get_current_span(holder).get_span_context()
    return place.trace_id, place.span_id
