"""For whom a call was made: from OpenTelemetry's baggage, or from a block of the application's own.

An attribute is called as the baggage's key is, without a prefix: so does OpenTelemetry's own processor of baggage, and
one query then finds the spans of every instrumentation and the cost beside them.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from contextvars import Token
from types import TracebackType

from opentelemetry import baggage, context
from opentelemetry.context import Context

from otel_embed.config import MAX_ATTRIBUTES, RESERVED, is_reserved
from otel_embed.guard import guarded
from otel_embed.leaving import leave
from otel_embed.observe import OpenCall
from otel_embed.reading import encodable
from otel_embed.record import Attribution
from otel_embed.report.totals import OVERFLOW

MAX_VALUES, MAX_CHARACTERS, _MAX_KNOWN = 100, 128, 10_000
_OWN = context.create_key("otel-embed-attribution")
_recorders: weakref.WeakSet[Attributions] = weakref.WeakSet()
_used = False
"""Whether the application has used ``attribute``: while it has not, nobody looks for it."""


class Attributions:
    """Reads attributes from a context. A key has at most ``MAX_VALUES`` values, and then ``_overflow``."""

    def __init__(self, switched_on: Callable[[], None]) -> None:
        self._keys: tuple[str, ...] = ()
        self._seen: dict[str, set[str]] = {}
        self._switched_on = weakref.WeakMethod(switched_on)
        self.on = _used
        """False while there is nothing to read."""
        self.start_anew()
        _recorders.add(self)

    def start_anew(self) -> None:
        """Also in a forked child, where another thread may have held the lock."""
        self._lock = threading.Lock()
        self._known: dict[Attribution, Attribution] = {}

    def read(self, keys: Iterable[str]) -> None:
        """Read these keys of the baggage from now on."""
        self._keys = tuple(keys)
        self.on = bool(self._keys) or _used

    def reserve(self, key: str, value: str) -> None:
        """Tell this value from others however many there are: somebody gave it a budget of its own."""
        with self._lock:
            self._seen.setdefault(key, set()).add(value)
            self._known = {}  # where it may be one of the others

    def of(self, around: Context) -> Attribution:
        """The attributes of a call that begins in this context."""
        asked: Attribution = ()
        if self._keys:
            items = baggage.get_all(around)
            asked = tuple((key, str(items[key])) for key in self._keys if key in items)
        own: dict[str, str] | None = around.get(_OWN)  # type: ignore[assignment]
        if own:
            asked = tuple({**dict(asked), **own}.items())
        if not asked:
            return ()
        return self._known.get(asked) or self._new(asked)

    def _new(self, asked: Attribution) -> Attribution:
        found = []
        with self._lock:
            for key, value in asked:
                text = encodable(value[:MAX_CHARACTERS])
                if text and (key in self._seen or len(self._seen) < MAX_ATTRIBUTES):
                    found.append((key, self._bounded(key, text)))
            attribution = tuple(found)
            if len(self._known) < _MAX_KNOWN:
                self._known[asked] = attribution
        return attribution

    def _bounded(self, key: str, value: str) -> str:
        values = self._seen.setdefault(key, set())
        if value in values:
            return value
        if len(values) >= MAX_VALUES:
            return OVERFLOW
        values.add(value)
        return value

    def switch_on(self) -> None:
        self.on = True
        switched_on = self._switched_on()
        if switched_on is not None:
            switched_on()


class Attributing:
    """Begins a call with what is known of for whom it is."""

    def __init__(self, begin: Callable[[OpenCall, Context], Context], attributions: Attributions) -> None:
        self._begin, self._of = begin, guarded(attributions.of, "read for whom a call is", ())

    def __call__(self, call: OpenCall, around: Context) -> Context:
        call.attribution = self._of(around)
        return self._begin(call, around)


class attribute:
    """Say for whom the calls of a block are: ``with otel_embed.attribute(tenant="acme"): ...``.

    Spans and metrics of the block's calls have these attributes, whatever ``OTEL_EMBED_BAGGAGE_ATTRIBUTES`` names.
    They stay in this process: unlike baggage, they are never sent along with a request. Blocks nest; the inner value
    wins, and wins over baggage. A name with a prefix that is OpenTelemetry's or ours raises ``ValueError``.
    """

    def __init__(self, **values: object) -> None:
        for name in values:
            if is_reserved(name):
                raise ValueError(f"an attribute of your own cannot begin with {', '.join(RESERVED)}; got {name!r}")
        self._values = {name: str(value) for name, value in values.items() if value is not None}
        self._token: Token[Context] | None = None

    def __enter__(self) -> None:
        _use()
        around = context.get_current()
        outer: dict[str, str] = around.get(_OWN, {})  # type: ignore[assignment]
        self._context = context.set_value(_OWN, {**outer, **self._values}, around)
        self._token = context.attach(self._context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            if kind is GeneratorExit:
                leave(self._context, self._token)
            else:
                context.detach(self._token)


def _use() -> None:
    global _used
    if not _used:
        _used = True
        for attributions in list(_recorders):
            attributions.switch_on()
