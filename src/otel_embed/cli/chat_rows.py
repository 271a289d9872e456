"""The rows of a summary document that chat models, caches of their answers and components have. Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from otel_embed.cli.rows import Row, ratio
from otel_embed.report.sketch import Sketch


@dataclass
class ChatTotals(Row):
    """All calls of one chat or completion model at one provider."""

    provider: str
    model: str
    calls: int
    """Those that a cache answered are none."""
    errors: dict[str, int]
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: float | None
    unpriced_calls: int
    latency: Sketch
    first_token: Sketch
    output_rate: Sketch
    """In tokens a second."""

    @property
    def name(self) -> str:
        return f"{self.provider} {self.model}"

    @property
    def error_rate(self) -> float | None:
        return ratio(sum(self.errors.values()), self.calls)


@dataclass
class AnswerCacheTotals(Row):
    """What one cache of a model's answers knew."""

    store: str
    model: str
    hits: int
    misses: int
    saved_tokens: int
    saved_usd: float | None

    @property
    def name(self) -> str:
        return f"{self.store} {self.model}"

    @property
    def hit_rate(self) -> float | None:
        return ratio(self.hits, self.hits + self.misses)


@dataclass
class RunTotals(Row):
    """All runs of one chain, retriever or tool."""

    framework: str
    kind: str
    component: str
    calls: int
    errors: dict[str, int]
    own_seconds: float
    """The time in which no run inside them went on."""
    latency: Sketch

    @property
    def name(self) -> str:
        return f"{self.kind} {self.component}"


def ranked(runs: list[RunTotals], chats: list[ChatTotals]) -> list[RunTotals]:
    """Components, chat models among them, by the time of their own, the slowest first."""
    models = [
        RunTotals("", "chat", row.model, row.calls, row.errors, row.latency.sum, row.latency) for row in chats if row.calls
    ]
    return sorted([*runs, *models], key=lambda row: -row.own_seconds)
