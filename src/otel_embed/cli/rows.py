"""The rows of a summary document. What a row is called by is text; all else in it adds up. Times are in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, get_type_hints

from otel_embed.cli.fields import DocumentError, Fields
from otel_embed.cli.intervals import quantile
from otel_embed.record import STAGES
from otel_embed.report.cache_worth import Money, Time
from otel_embed.report.sketch import Sketch

R = TypeVar("R", bound="Row")
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass
class Row:
    """Adds and writes the fields that a subclass declares, each by its type."""

    @property
    def key(self) -> tuple[Any, ...]:
        values = (getattr(self, each.name) for each in fields(self))
        return tuple(value for value in values if isinstance(value, (str, bool)))

    def add(self, other: Row) -> None:
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            added = add_saved([mine, theirs]) if each.name == "saved_usd" else _sum(mine, theirs)
            setattr(self, each.name, added)

    def to_dict(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: latency_to_dict(value) if isinstance(value, Sketch) else value for name, value in values.items()}


@dataclass
class ProviderTotals(Row):
    """All calls of one model at one provider."""

    provider: str
    model: str
    local: bool
    calls: int
    errors: dict[str, int]
    inputs: int
    tokens: dict[str, int]
    """By source: reported, counted, estimated."""
    cost_usd: float | None
    """Of the calls whose price is known; None where there is no such call."""
    unpriced_tokens: int
    unpriced_calls: int
    retries: dict[str, int]
    stages: dict[str, float]
    latency: Sketch
    devices: dict[str, int] = field(default_factory=dict)
    """Calls of a local model by device; an empty name where that is not known."""
    padding_tokens: int | None = None
    """Tokens that only made the inputs of a batch equally long; None where nobody says."""
    truncated_inputs: int | None = None

    @property
    def name(self) -> str:
        return f"{self.provider} {self.model}"

    @property
    def padding(self) -> float | None:
        """Of all tokens that the model worked on."""
        wasted = self.padding_tokens
        return None if wasted is None else ratio(wasted, wasted + sum(self.tokens.values()))

    @property
    def error_rate(self) -> float | None:
        return ratio(sum(self.errors.values()), self.calls)


@dataclass
class ComponentTotals(Row):
    """All calls of one framework class. The provider calls inside them are counted at the provider as well."""

    framework: str
    component: str
    calls: int
    errors: dict[str, int]
    inputs: int
    stages: dict[str, float]
    latency: Sketch
    outcomes: dict[str, int]

    @property
    def name(self) -> str:
        return f"{self.framework} {self.component}"

    @property
    def error_rate(self) -> float | None:
        return ratio(sum(self.errors.values()), self.calls)


Timed = ProviderTotals | ComponentTotals


@dataclass
class CacheTotals(Row):
    """What one cache knew, counted in inputs."""

    component: str
    store: str
    model: str
    hits: int
    misses: int
    saved_tokens: int
    saved_usd: float | None
    """None where the model's price is not known."""
    paid_tokens: int
    paid_usd: float | None
    """For what the cache did not know, as far as it was seen behind it."""
    lookup_seconds: float
    write_seconds: float
    embed_seconds: float
    embedded: int

    @property
    def name(self) -> str:
        return f"{self.component} {self.store}"

    @property
    def money(self) -> Money:
        return Money(self.paid_usd, self.saved_usd)

    @property
    def time(self) -> Time:
        return Time(
            self.hits, self.misses, self.lookup_seconds, self.write_seconds, self.embed_seconds, self.embedded
        )

    @property
    def hit_rate(self) -> float | None:
        return ratio(self.hits, self.hits + self.misses)


def reader(kind: type[R]) -> Callable[[Fields], R]:
    """Reads a row of that kind, each field by its type."""
    hints = get_type_hints(kind)

    def read(data: Fields) -> R:
        return kind(**{each.name: _READERS[hints[each.name]](data, each.name) for each in fields(kind)})

    return read


def read_sketch(data: Fields, key: str) -> Sketch:
    inner = data.within(key)
    if inner is None:
        return Sketch()
    try:
        return Sketch.from_dict(inner.data)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DocumentError(f"{data.where}{key} is not a latency sketch ({error})") from error


def latency_to_dict(latency: Sketch) -> dict[str, Any]:
    """What ``read_sketch`` reads, with ``avg`` and the quantiles computed; they are None without a call.

    ``intervals`` says between what each quantile lies with 95 % confidence; None where the calls are too few.
    """
    quantiles = {name: latency.quantile(q) for name, q in QUANTILES.items()}
    found = {name: quantile(latency, q) for name, q in QUANTILES.items()}
    intervals = {name: list(each.interval) if each and each.interval else None for name, each in found.items()}
    return {**latency.to_dict(), "avg": latency.avg, **quantiles, "intervals": intervals}


def in_order(stages: dict[str, float]) -> dict[str, float]:
    """Those that took time, in the order in which they can happen; unheard-of ones come last."""
    names = [*STAGES, *sorted(set(stages) - set(STAGES))]
    return {name: stages[name] for name in names if stages.get(name, 0.0) > 0.0}


def ratio(part: float, whole: float) -> float | None:
    """``part / whole``; None where there is no whole."""
    return part / whole if whole > 0 else None


def add_known(first: float | None, second: float | None) -> float | None:
    """The sum of what is known; None where nothing is."""
    if first is None or second is None:
        return second if first is None else first
    return first + second


def add_saved(dollars: Iterable[float | None]) -> float | None:
    """Of what has a price; None where nothing has: a cache without hits, which saved 0, makes no price known."""
    each = list(dollars)
    known = sum(filter(None, each))
    return None if None in each and not known else known


def _sum(mine: Any, theirs: Any) -> Any:
    if isinstance(mine, (str, bool)):
        return mine
    if isinstance(mine, Sketch):
        mine.merge(theirs)
        return mine
    if isinstance(mine, dict):
        return {key: mine.get(key, 0) + theirs.get(key, 0) for key in dict.fromkeys([*mine, *theirs])}
    return add_known(mine, theirs)


_READERS: dict[Any, Callable[[Fields, str], Any]] = {
    str: lambda data, key: data.text(key) or f"unknown {key}",
    str | None: Fields.text,
    bool: Fields.flag,
    int: Fields.count,
    int | None: Fields.whole,
    float: lambda data, key: data.number(key) or 0.0,
    float | None: Fields.number,
    dict[str, int]: Fields.counts,
    dict[str, float]: Fields.numbers,
    Sketch: read_sketch,
}
