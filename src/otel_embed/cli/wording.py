"""The sentences that the terminal and the page share."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from otel_embed.cli.document import SlowCall, Summary
from otel_embed.cli.figures import CacheFigures, Figures
from otel_embed.cli.rows import ProviderTotals
from otel_embed.cli.units import count, dollars, percent, plural, rate


def title(summary: Summary) -> str:
    """The command as it would be typed; or how many processes were added up."""
    if summary.command:
        return shlex.join(summary.command)
    return plural(len(summary.processes), "process", "processes")


def cost(usd: float | None, unpriced: int) -> str:
    """``price unknown`` where no price is; ``$0.02 +`` where some calls' price is missing in the sum."""
    if usd is None:
        return "price unknown"
    return f"{dollars(usd)} +" if unpriced else dollars(usd)


def per_text(total: Figures) -> str:
    """Mean dollars a text, cached ones included; empty where that is not known of every call."""
    if not total.cost_per_text or total.unpriced_calls:
        return ""
    return f"{dollars(total.cost_per_text)}/text"


def failed(total: Figures) -> str:
    number = sum(total.errors.values())
    return f"{number:,} failed" if number else ""


def row_cost(row: ProviderTotals) -> str:
    if row.local and row.cost_usd is None:
        return "local"
    return cost(row.cost_usd, row.unpriced_calls)


def token_source(tokens: Mapping[str, int]) -> str:
    """``reported`` by the provider; else with a tilde ``~ counted``, ``~ estimated`` or what part is so."""
    total = sum(tokens.values())
    guessed = {source: number for source, number in tokens.items() if number and source != "reported"}
    if not total:
        return ""
    if not guessed:
        return "reported"
    if len(guessed) == 1 and sum(guessed.values()) == total:
        return f"~ {next(iter(guessed))}"
    return "~ " + ", ".join(f"{percent(number / total)} {source}" for source, number in guessed.items())


def throughput(total: Figures) -> list[str]:
    """Per second and per minute, over the time in which embedding was going on."""
    if total.texts_per_second is None:
        return []
    parts = [
        f"{rate(total.texts_per_second)} texts/s",
        f"{rate(total.texts_per_second * 60)} texts/min",
        f"{rate(total.tokens_per_second)} tokens/s",
    ]
    return [*parts, f"{rate(total.concurrency)} calls in flight"] if total.calls else parts


def cache(total: CacheFigures) -> list[str]:
    """Hit rate, counts, and what the hits saved."""
    saved = f"saved {count(total.saved_tokens)} tokens"
    if total.saved_ratio is not None:
        saved += f" ({percent(total.saved_ratio)})"
    money = "saved dollars unknown" if total.saved_usd is None else f"saved {dollars(total.saved_usd)}"
    hits = plural(total.hits, "hit")
    misses = plural(total.misses, "miss", "misses")
    return [f"{percent(total.hit_rate)} hit rate", hits, misses, saved, money]


def counted(numbers: Mapping[str, int]) -> str:
    """``rate_limited 12, timeout 4``: the most frequent first."""
    ordered = sorted(numbers.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count(number)}" for name, number in ordered if number)


def slow_call(call: SlowCall) -> list[str]:
    """What there is to say of a slow call, the most telling first."""
    parts = [f"{call.provider} {call.model}"]
    if call.error:
        parts.append(f"failed: {call.error[1]}")
    if call.retries:
        parts.append(f"retried: {', '.join(call.retries)}")
    if call.inputs is not None:
        parts.append(plural(call.inputs, "text"))
    if call.component:
        parts.append(call.component)
    return parts


def dropped(summary: Summary) -> str:
    """otel_embed's own failures, never hidden; empty where there are none."""
    number = sum(summary.dropped.values())
    return f"otel-embed itself failed {plural(number, 'time')}: {counted(summary.dropped)}" if number else ""
