"""What calls took by whom they were for: rows of a summary document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from otel_embed.report.cache_worth import known_usd
from otel_embed.report.chat_totals import ChatSeries
from otel_embed.report.totals import Series

NOBODY = "_none"
"""The value of calls that had none, so that the values of an attribute add up to all."""


@dataclass
class Attributed:
    """What the calls with one value of an attribute took; ``tokens`` are those of embedding calls."""

    calls: int = 0
    failed: int = 0
    inputs: int = 0
    tokens: int = 0
    chat_calls: int = 0
    failed_chat_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    picodollars: int = 0
    """Of embedding and chat calls, 1e-12 USD."""
    unpriced_calls: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    saved_tokens: int = 0
    saved_picodollars: int = 0
    unpriced_savings: int = 0
    """Calls with hits whose price is not known."""

    @property
    def cost_usd(self) -> float | None:
        """Of the calls whose price is known; None where there is no such call."""
        return known_usd(self.picodollars, self.unpriced_calls)

    @property
    def saved_usd(self) -> float | None:
        """By the hits whose price is known; None where there are hits, and no price of any."""
        return known_usd(self.saved_picodollars, self.unpriced_savings)

    def add(self, each: Series) -> None:
        for cache in each.caches.values():
            self.cache_hits += cache.hits
            self.cache_misses += cache.misses
            self.saved_tokens += cache.saved_tokens
            self.saved_picodollars += cache.saved_picodollars
            self.unpriced_savings += cache.unpriced
        if each.leaves:
            self.calls += each.leaves
            self.failed += sum(each.leaf_errors.values())
            self.inputs += each.embedded
            self.tokens += sum(each.tokens.values())
            self.picodollars += each.picodollars
            self.unpriced_calls += each.unpriced_calls

    def add_chat(self, each: ChatSeries) -> None:
        for cache in each.caches.values():
            self.saved_tokens += cache.saved_input + cache.saved_output
            self.saved_picodollars += cache.saved_picodollars
            self.unpriced_savings += cache.unpriced
        self.chat_calls += each.answered
        self.failed_chat_calls += sum(each.errors.values())
        self.input_tokens += each.input_tokens
        self.output_tokens += each.output_tokens
        self.picodollars += each.picodollars
        self.unpriced_calls += each.unpriced_calls


def attributed(series: Iterable[Series], chats: Iterable[ChatSeries]) -> dict[str, dict[str, Attributed]]:
    """By attribute and value, the dearest first; empty where no call says for whom it was."""
    embedding = [(dict(each.key.attribution), each) for each in series]
    chat = [(dict(each.key.attribution), each) for each in chats]
    names = dict.fromkeys(name for who, _ in [*embedding, *chat] for name in who)
    return {name: _by_value(name, embedding, chat) for name in names}


def _by_value(
    name: str, embedding: list[tuple[dict[str, str], Series]], chat: list[tuple[dict[str, str], ChatSeries]]
) -> dict[str, Attributed]:
    found: dict[str, Attributed] = {}
    for who, each in embedding:
        found.setdefault(who.get(name, NOBODY), Attributed()).add(each)
    for who, answers in chat:
        found.setdefault(who.get(name, NOBODY), Attributed()).add_chat(answers)
    return dict(sorted(found.items(), key=lambda item: -item[1].picodollars))


def rows(found: dict[str, dict[str, Attributed]]) -> list[dict[str, Any]]:
    return [_row(name, value, each) for name, values in found.items() for value, each in values.items()]


def _row(name: str, value: str, each: Attributed) -> dict[str, Any]:
    counts = asdict(each)
    del counts["picodollars"], counts["saved_picodollars"], counts["unpriced_savings"]
    return {"attribute": name, "value": value, **counts, "cost_usd": each.cost_usd, "saved_usd": each.saved_usd}
