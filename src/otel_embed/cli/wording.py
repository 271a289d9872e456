"""The sentences that the terminal and the page share."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePath

from otel_embed.cli.chat_figures import ChatFigures
from otel_embed.cli.chat_rows import AnswerCacheTotals, ChatTotals, RunTotals
from otel_embed.cli.document import SlowCall, Summary
from otel_embed.cli.figures import CacheFigures, Figures
from otel_embed.cli.rows import QUANTILES, CacheTotals, ProviderTotals, Timed
from otel_embed.cli.units import (
    count,
    dollars,
    milliseconds,
    percent,
    plural,
    rate,
    seconds,
    short_count,
    whole_percent,
)


def title(summary: Summary) -> str:
    """The command as it would be typed, less the program's folder; or how many processes were added up."""
    if summary.command:
        program, *arguments = summary.command
        return shlex.join([PurePath(program).name or program, *arguments])
    return plural(len(summary.processes), "process", "processes")


CHAT_TIMES = "times in ms; TTFT: to the first token"


def tiles(total: Figures) -> list[tuple[str, str, str]]:
    """The headline: value, what it is, and a remark."""
    source = token_source(total.tokens)
    tokens = short_count(total.all_tokens) if source in ("reported", "") else f"~{short_count(total.all_tokens)}"
    failures = sum(total.errors.values())
    return [
        (count(total.calls), "calls", f"{count(failures)} failed" if failures else ""),
        (count(total.texts), "texts", f"{percent(total.cache.hit_rate)} cached" if total.cache else ""),
        (tokens, "tokens", source),
        (cost(total.cost_usd, total.unpriced_calls), "spent", per_text(total)),
        (seconds(total.wall_seconds), "wall", f"{seconds(total.busy_seconds)} embedding"),
    ]


def chat_tiles(total: ChatFigures) -> list[tuple[str, str, str]]:
    """The headline of chat models: value, what it is, and a remark."""
    cached = f"{percent(total.hit_rate)} cached" if total.hit_rate is not None else ""
    saved = f"{dollars(total.saved_usd)} saved" if total.saved_usd else ""
    return [
        (count(total.calls), "chats", f"{count(total.failed)} failed" if total.failed else ""),
        (short_count(total.input_tokens), "tokens in", cached),
        (short_count(total.output_tokens), "tokens out", ""),
        (cost(total.cost_usd, total.unpriced_calls), "spent on chat", saved),
        (seconds(total.first_token.quantile(0.5)), "to first token", ""),
    ]


def chat(row: ChatTotals) -> list[str]:
    """Calls, tokens in and out, cost, p50 of the time to the first token and of the tokens a second, p95 of the call."""
    first, speed = row.first_token.quantile(0.5), row.output_rate.quantile(0.5)
    said = [count(row.calls), count(row.input_tokens), count(row.output_tokens), cost(row.cost_usd, row.unpriced_calls)]
    return [*said, milliseconds(first), rate(speed), milliseconds(row.latency.quantile(0.95))]


def answer_cache(row: AnswerCacheTotals) -> list[str]:
    said = [count(row.hits), count(row.misses), percent(row.hit_rate), count(row.saved_tokens)]
    return [*said, "price unknown" if row.saved_usd is None else dollars(row.saved_usd)]


def component(row: RunTotals) -> list[str]:
    """Runs, the time of their own, all their time, mean and p95."""
    times = (row.own_seconds, row.latency.sum, row.latency.avg, row.latency.quantile(0.95))
    return [count(row.calls), *map(seconds, times)]


def latency(row: Timed) -> list[str]:
    """Calls, then avg, p50, p95, p99, min and max in milliseconds."""
    quantiles = [row.latency.quantile(q) for q in QUANTILES.values()]
    ends = [row.latency.min, row.latency.max] if row.latency.count else [None, None]
    return [count(row.calls), *map(milliseconds, (row.latency.avg, *quantiles, *ends))]


def cost(usd: float | None, unpriced: int) -> str:
    """``price unknown`` where no price is; ``$0.02 + ?`` where some calls' price is missing in the sum."""
    if usd is None:
        return "price unknown"
    return f"{dollars(usd)} + ?" if unpriced else dollars(usd)


def per_text(total: Figures) -> str:
    """Mean dollars for a million texts, cached ones included; where prices are missing, of how many calls."""
    if total.unpriced_calls:
        return f"{count(total.unpriced_calls)} unpriced"
    return f"{dollars(total.cost_per_text * 1e6)}/M texts" if total.cost_per_text else ""


def row_cost(row: ProviderTotals) -> str:
    if row.local and not row.cost_usd:
        return "local"
    return cost(row.cost_usd, row.unpriced_calls)


def tokens(counts: Mapping[str, int]) -> str:
    """``1,204``, with a tilde where the provider did not report all of it."""
    total = sum(counts.values())
    return f"~{count(total)}" if counts.get("reported", 0) < total else count(total)


def token_source(counts: Mapping[str, int]) -> str:
    """``reported``, ``counted``, ``estimated``, or ``7 % estimated`` where most of it was reported."""
    total = sum(counts.values())
    shown = []
    for source, number in counts.items():
        if number == total and total:
            return source
        if number and source != "reported":
            shown.append(f"{whole_percent(number / total)} {source}")
    return ", ".join(shown)


def throughput(total: Figures) -> list[str]:
    """Per second and per minute, over the time in which embedding was going on."""
    if total.texts_per_second is None or not (total.texts or total.calls):
        return []
    parts = [
        f"{rate(total.texts_per_second)} texts/s",
        f"{rate(total.texts_per_second * 60)} texts/min",
        f"{rate(total.tokens_per_second)} tokens/s",
    ]
    return [*parts, f"{rate(total.concurrency)} calls in flight"] if total.calls else parts


def unpriced(total: Figures) -> str:
    """What the sum of costs leaves out; empty where it is complete."""
    if not total.unpriced_calls:
        return ""
    calls, tokens = plural(total.unpriced_calls, "call"), plural(total.unpriced_tokens, "token")
    return f"+ {calls} with {tokens} whose price is unknown: add it to the file that OTEL_EMBED_PRICES names"


def saved_cost(row: CacheTotals) -> str:
    return "price unknown" if row.saved_usd is None else dollars(row.saved_usd)


def saved(total: CacheFigures) -> str:
    return f"{percent(total.saved_ratio)} of the tokens saved" if total.saved_ratio is not None else ""


def counted(numbers: Mapping[str, int]) -> str:
    """``12 rate_limited, 4 timeout``: the most frequent first."""
    ordered = sorted(numbers.items(), key=lambda item: -item[1])
    return ", ".join(f"{count(number)} {name}" for name, number in ordered if number)


def errors(row: ProviderTotals | ChatTotals) -> str:
    number = sum(row.errors.values())
    return f"{count(number)} of {count(row.calls)} failed: {counted(row.errors)}" if number else ""


def retries(row: ProviderTotals) -> str:
    """``retried 21 × 429, 2 × 503``: what each retry answered to."""
    ordered = sorted(row.retries.items(), key=lambda item: -item[1])
    answered = ", ".join(f"{count(number)} × {status}" for status, number in ordered if number)
    return f"retried {answered}" if answered else ""


def slow_call(call: SlowCall) -> list[str]:
    """What there is to say of a slow call, the most telling first; of its component the class."""
    parts = [f"{call.provider} {call.model}"]
    if call.error:
        parts.append(f"failed: {call.error[1]}")
    if call.retries:
        parts.append(f"retried after {', '.join(call.retries)}")
    if call.inputs is not None:
        parts.append(plural(call.inputs, "text"))
    if call.component:
        parts.append(call.component.rpartition(" ")[2])
    return parts


def dropped(summary: Summary) -> str:
    """otel_embed's own failures, never hidden; empty where there are none."""
    number = sum(summary.dropped.values())
    return f"otel-embed itself failed {plural(number, 'time')}: {counted(summary.dropped)}" if number else ""


_LOST = {
    "queue_full": "dropped by a full queue",
    "export_failed": "not taken by the backend",
    "already_shutdown": "ended after OpenTelemetry was shut down",
}


def lost_spans(summary: Summary) -> list[str]:
    """One sentence on spans that reached no backend, where there are any."""
    lost = summary.lost_spans
    if not lost:
        return []
    causes = ", ".join(f"{count:,} {_LOST.get(cause, cause)}" for cause, count in lost.items())
    number = plural(sum(lost.values()), "span")
    return [f"{number} reached no backend: {causes}. otel-embed doctor says why; the figures here are complete."]
