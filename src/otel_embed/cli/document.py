"""Summary documents: what instrumented processes write, read back and added up. Times are in seconds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from otel_embed import __version__
from otel_embed.cli.chat_rows import AnswerCacheTotals, ChatTotals, RunTotals
from otel_embed.cli.fields import DocumentError, Fields
from otel_embed.cli.money_rows import AttributedTotals, BudgetTotals, by_attribute
from otel_embed.cli.rows import CacheTotals, ComponentTotals, ProviderTotals, Row, Timed, reader
from otel_embed.cli.work_rows import CacheSize, LoadTotals, OperationTotals, QualityTotals

SCHEMA = 1
MOST_SLOWEST = 10

R = TypeVar("R", bound=Row)


class Process(NamedTuple):
    """One process: when its first embedding call began and its last one ended, as Unix times."""

    pid: int
    started: float | None
    ended: float | None
    elapsed_seconds: float

    @classmethod
    def read(cls, data: Fields) -> Process:
        elapsed = data.number("elapsed_seconds") or 0.0
        return cls(data.count("pid"), data.number("started"), data.number("ended"), elapsed)


class Span(NamedTuple):
    """One stretch of a call, in seconds since its start."""

    stage: str
    start: float
    end: float


class SlowCall(NamedTuple):
    provider: str
    model: str
    component: str | None
    started: float | None
    seconds: float
    inputs: int | None
    tokens: int | None
    cost_usd: float | None
    error: tuple[str, str] | None
    """Type and cause."""
    retries: tuple[str, ...]
    stages: tuple[Span, ...]

    @classmethod
    def read(cls, data: Fields) -> SlowCall:
        error = data.within("error")
        return cls(
            provider=data.text("provider") or "unknown provider",
            model=data.text("model") or "unknown model",
            component=data.text("component"),
            started=data.number("started"),
            seconds=data.number("seconds") or 0.0,
            inputs=data.whole("inputs"),
            tokens=data.whole("tokens"),
            cost_usd=data.number("cost_usd"),
            error=(error.text("type") or "", error.text("cause") or "other") if error else None,
            retries=tuple(data.texts("retries")),
            stages=tuple(Span(*triple) for triple in data.triples("stages")),
        )

    def to_dict(self) -> dict[str, Any]:
        error = {"type": self.error[0], "cause": self.error[1]} if self.error else None
        return {
            **self._asdict(),
            "error": error,
            "retries": list(self.retries),
            "stages": [list(s) for s in self.stages],
        }


@dataclass
class Summary:
    """One or more processes' embedding and chat calls. ``command`` and ``exit_code`` are None where they are not known."""

    processes: list[Process] = field(default_factory=list)
    providers: list[ProviderTotals] = field(default_factory=list)
    components: list[ComponentTotals] = field(default_factory=list)
    caches: list[CacheTotals] = field(default_factory=list)
    chats: list[ChatTotals] = field(default_factory=list)
    answer_caches: list[AnswerCacheTotals] = field(default_factory=list)
    runs: list[RunTotals] = field(default_factory=list)
    operations: list[OperationTotals] = field(default_factory=list)
    loads: list[LoadTotals] = field(default_factory=list)
    cache_sizes: list[CacheSize] = field(default_factory=list)
    quality: list[QualityTotals] = field(default_factory=list)
    attribution: list[AttributedTotals] = field(default_factory=list)
    budgets: list[BudgetTotals] = field(default_factory=list)
    slowest: list[SlowCall] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    lost_spans: dict[str, int] = field(default_factory=dict)
    switched_off: list[str] = field(default_factory=list)
    command: list[str] | None = None
    exit_code: int | None = None
    elapsed_seconds: float = 0.0
    version: str = __version__

    @property
    def timed(self) -> list[Timed]:
        return [*self.providers, *self.components]

    @property
    def is_empty(self) -> bool:
        return not (self.providers or self.components or self.chats or self.runs or self.operations or self.loads)


def load(path: Path) -> Summary:
    """Read one document. Raises DocumentError, one line with the file's name, where that cannot be done."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{path}: not JSON ({error})") from error
    try:
        return _summary(Fields(data, ""))
    except DocumentError as error:
        raise DocumentError(f"{path}: not a summary of otel-embed: {error}") from error


def _summary(data: Fields) -> Summary:
    schema = data.data.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise DocumentError("it has no schema number")
    if schema > SCHEMA:
        raise DocumentError(f"its schema is {schema} and this version reads up to {SCHEMA}; upgrade otel-embed")
    return Summary(
        processes=data.rows("processes", Process.read) if "processes" in data.data else [Process.read(data)],
        providers=data.rows("providers", reader(ProviderTotals)),
        components=data.rows("components", reader(ComponentTotals)),
        caches=data.rows("caches", reader(CacheTotals)),
        chats=data.rows("chat", reader(ChatTotals)),
        answer_caches=data.rows("answer_caches", reader(AnswerCacheTotals)),
        runs=data.rows("runs", reader(RunTotals)),
        operations=data.rows("store_operations", reader(OperationTotals)),
        loads=data.rows("loads", reader(LoadTotals)),
        cache_sizes=data.rows("cache_sizes", reader(CacheSize)),
        quality=data.rows("quality", reader(QualityTotals)),
        attribution=data.rows("attribution", reader(AttributedTotals)),
        budgets=data.rows("budgets", reader(BudgetTotals)),
        slowest=data.rows("slowest", SlowCall.read),
        dropped=data.counts("dropped"),
        lost_spans=data.counts("lost_spans"),
        switched_off=data.texts("switched_off"),
        command=data.texts("command") or None,
        exit_code=data.whole("exit_code"),
        elapsed_seconds=data.number("elapsed_seconds") or 0.0,
        version=data.text("version") or __version__,
    )


def merge(summaries: Sequence[Summary]) -> Summary:
    """Add up. A command or an exit code is kept where all agree on it; rows with most calls come first."""
    merged = Summary(
        processes=[process for summary in summaries for process in summary.processes],
        providers=_added(row for summary in summaries for row in summary.providers),
        components=_added(row for summary in summaries for row in summary.components),
        caches=_added(row for summary in summaries for row in summary.caches),
        chats=_added(row for summary in summaries for row in summary.chats),
        answer_caches=_added(row for summary in summaries for row in summary.answer_caches),
        runs=_added(row for summary in summaries for row in summary.runs),
        operations=_added(row for summary in summaries for row in summary.operations),
        loads=_added(row for summary in summaries for row in summary.loads),
        cache_sizes=_added(row for summary in summaries for row in summary.cache_sizes),
        quality=_added(row for summary in summaries for row in summary.quality),
        budgets=_added(row for summary in summaries for row in summary.budgets),
        attribution=by_attribute(_added(row for summary in summaries for row in summary.attribution)),
        slowest=[call for summary in summaries for call in summary.slowest],
    )
    merged.slowest = sorted(merged.slowest, key=lambda call: -call.seconds)[:MOST_SLOWEST]
    for summary in summaries:
        merged.switched_off += summary.switched_off
        for counts, added in ((merged.dropped, summary.dropped), (merged.lost_spans, summary.lost_spans)):
            for what, count in added.items():
                counts[what] = counts.get(what, 0) + count
    if summaries:
        first = summaries[0]
        merged.command = first.command if all(other.command == first.command for other in summaries) else None
        merged.exit_code = first.exit_code if all(other.exit_code == first.exit_code for other in summaries) else None
        merged.version = first.version
        merged.elapsed_seconds = max(summary.elapsed_seconds for summary in summaries)
    return merged


def _added(rows: Iterable[R]) -> list[R]:
    totals: dict[tuple[Any, ...], R] = {}
    for row in rows:
        if row.key in totals:
            totals[row.key].add(row)
        else:
            totals[row.key] = row
    return sorted(totals.values(), key=lambda row: -getattr(row, "calls", 0))
