"""What a comparison says, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Callable

from otel_embed.cli.comparison import Comparison, Group, Measure, StageMeans, Unit, Verdict
from otel_embed.cli.units import count, dollars, percent, plural, rate, seconds

WORDS: dict[Verdict, str] = {
    "better": "better",
    "worse": "worse",
    "same": "the same",
    "unknown": "not enough samples",
    "unjudged": "–",
}
HEADERS = ("", "before", "after", "change", "95 %", "limit", "")
_SHOWN: dict[Unit, Callable[[float], str]] = {
    "seconds": seconds,
    "per second": lambda value: f"{rate(value)}/s",
    "dollars": dollars,
    "fraction": percent,
}


def headline(comparison: Comparison) -> str:
    """``Worse: latency p95 of all embedding calls by 31 %, and 2 more.``"""
    if comparison.verdict == "unjudged":
        return "Nothing to compare: no measurement of both runs has a limit."
    if comparison.verdict == "unknown":
        calls = comparison.groups[0].calls
        return f"Not enough samples: {count(calls[0])} and {plural(calls[1], 'call')} do not rule out that p50 or p95 is worse."
    if comparison.verdict == "same":
        return "The same: nothing is worse by more than its limit."
    group, measure = (found := list(comparison.having(comparison.verdict)))[0]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    word = WORDS[comparison.verdict].capitalize()
    return f"{word}: {measure.name} of {group.name} by {amount(measure, abs(measure.change or 0.0))}{more}."


def cells(measure: Measure) -> list[str]:
    """Name, before, after, change, its interval, the limit and the verdict."""
    shown = _SHOWN[measure.unit]
    both = [shown(each.value) if each is not None else "–" for each in (measure.before, measure.after)]
    change = "–" if measure.change is None else amount(measure, measure.change, "+")
    if measure.interval is None or measure.interval.low == measure.interval.high:
        between = ""
    else:
        between = f"{amount(measure, measure.interval.low, '+')} to {amount(measure, measure.interval.high, '+')}"
    sign = "+" if measure.more_is_worse else "−"
    limit = "" if measure.limit is None else sign + amount(measure, measure.limit)
    return [measure.name, *both, change, between, limit, WORDS[measure.verdict]]


def amount(measure: Measure, change: float, sign: str = "") -> str:
    """``+31.2 %``; of rates the difference, in points: ``+1.3 pt``."""
    unit = "pt" if measure.unit == "fraction" else "%"
    value = change * 100
    if abs(value) >= 999.5:
        return f"{'>' if value > 0 else '<'} {'+' if value > 0 and sign else ''}{999 if value > 0 else -999} {unit}"
    said = f"{value:{sign}.1f}".replace("-", "−")
    return f"{'0' if said.strip('+−') == '0.0' else said.removesuffix('.0')} {unit}"


def stage_cells(stage: StageMeans) -> list[str]:
    """Name, before, after and the difference, which has no verdict."""
    if stage.before is None or stage.after is None:
        return [stage.stage, seconds(stage.before), seconds(stage.after), ""]
    change = stage.after - stage.before
    sign = "+" if change > 0 else "−" if change < 0 else ""
    return [stage.stage, seconds(stage.before), seconds(stage.after), sign + seconds(abs(change))]


def calls(group: Group) -> str:
    return f"{count(group.calls[0])} → {plural(group.calls[1], 'call')}"
