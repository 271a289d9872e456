"""What a cache is worth: in money, from the tokens of what it knew, and in time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from otel_embed.report.chat_totals import AnswerCacheTotals, ChatSeries
from otel_embed.report.totals import PICODOLLARS, CacheTotals, Series


class Money(NamedTuple):
    """Dollars; what was paid beside what would have been paid without a cache."""

    paid_usd: float | None
    """None where it is not known."""
    saved_usd: float | None
    """By the hits whose price is known; None where there are hits, and no price of any."""

    @property
    def without_usd(self) -> float | None:
        return None if self.paid_usd is None or self.saved_usd is None else self.paid_usd + self.saved_usd

    @property
    def saved_ratio(self) -> float | None:
        """Of what would have been paid without a cache."""
        without = self.without_usd
        return self.saved_usd / without if without and self.saved_usd is not None else None


class Time(NamedTuple):
    """Seconds that a cache took, and those that embedding what it did not know took."""

    hits: int
    misses: int
    lookup_seconds: float
    write_seconds: float
    embed_seconds: float
    embedded: int
    """The inputs that were embedded in ``embed_seconds``."""

    @property
    def embed_seconds_per_input(self) -> float | None:
        return self.embed_seconds / self.embedded if self.embedded else None

    @property
    def saved_seconds(self) -> float | None:
        """What the hits would have taken, less what lookups and writes took; negative where the cache costs time."""
        each = self.embed_seconds_per_input
        return None if each is None else self.hits * each - self.lookup_seconds - self.write_seconds

    @property
    def break_even(self) -> float | None:
        """The hit rate from which on the cache saves time; above 1 where it never does.

        An input takes a lookup, and where that misses the embedding and a write. At hit rate h that is
        ``lookup + (1 - h) * (embed + write)``, and without a cache it is ``embed``.
        """
        each, inputs = self.embed_seconds_per_input, self.hits + self.misses
        if each is None or not inputs or not self.misses:
            return None
        lookup, write = self.lookup_seconds / inputs, self.write_seconds / self.misses
        return (lookup + write) / (each + write) if each + write > 0 else None


class CacheWorth(NamedTuple):
    """One store."""

    money: Money
    time: Time
    paid_tokens: int
    saved_tokens: int


def by_store(series: Iterable[Series]) -> dict[str, CacheWorth]:
    found: defaultdict[str, list[CacheTotals]] = defaultdict(list)
    for each in series:
        for store, cache in each.caches.items():
            found[store].append(cache)
    return {store: _worth(caches) for store, caches in found.items()}


def _worth(caches: list[CacheTotals]) -> CacheWorth:
    paid, unpaid = sum(each.paid_picodollars for each in caches), sum(each.unpaid for each in caches)
    return CacheWorth(
        money=Money(known_usd(paid, unpaid), saved_usd(caches)),
        time=Time(
            sum(each.hits for each in caches),
            sum(each.misses for each in caches),
            sum(each.lookup_ns for each in caches) / 1e9,
            sum(each.write_ns for each in caches) / 1e9,
            sum(each.embed_ns for each in caches) / 1e9,
            sum(each.embedded for each in caches),
        ),
        paid_tokens=sum(each.paid_tokens for each in caches),
        saved_tokens=sum(each.saved_tokens for each in caches),
    )


def by_model(series: Iterable[Series], chats: Iterable[ChatSeries]) -> dict[str, Money]:
    """Of the models that a cache answered for: all that was spent on each, also past its cache."""
    paid: defaultdict[str, int] = defaultdict(int)
    unknown: defaultdict[str, int] = defaultdict(int)
    caches: defaultdict[str, list[CacheTotals | AnswerCacheTotals]] = defaultdict(list)
    rows: list[Series | ChatSeries] = [*series, *chats]
    for each in rows:
        model = each.key.model or "unknown model"
        paid[model] += each.picodollars
        unknown[model] += each.unpriced_calls
        if each.caches:
            caches[model] += each.caches.values()
    return {
        model: Money(known_usd(paid[model], unknown[model]), saved_usd(asked)) for model, asked in caches.items()
    }


def saved_usd(caches: Iterable[CacheTotals | AnswerCacheTotals]) -> float | None:
    """By their hits whose price is known; None where there are hits, and no price of any."""
    caches = list(caches)
    return known_usd(sum(each.saved_picodollars for each in caches), sum(each.unpriced for each in caches))


def known_usd(picodollars: int, unpriced: int) -> float | None:
    """Dollars over what has a price; None where nothing has, though there is something."""
    return picodollars / PICODOLLARS if picodollars or not unpriced else None
