"""Expressions in Prometheus' language that hold for services and for jobs that run once, scraped or pushed.

``increase`` and ``rate`` see nothing of a program that ends before it is measured twice: its only sample is already the
total. ``gained`` counts that sample too. Where a counter restarts under the same labels, as that of a scraped process
does, all of it is new if it is less than before the window, and ``increase`` tells where it restarted in the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from otel_embed.backends.naming import Part, label, series
from otel_embed.backends.signals import Signal

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


class Window(NamedTuple):
    text: str
    seconds: str
    """As an expression."""
    before: str
    """How far before the window a series is looked for, to tell a new one from one that paused."""


def window(seconds: float) -> Window:
    return Window(duration(seconds), f"{seconds:g}", duration(max(3600, seconds)))


def duration(seconds: float) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds / size:.0f}{unit}"


class Series(NamedTuple):
    """Some of the series of a metric."""

    selector: str

    def gained(self, over: Window) -> str:
        """What each counter grew by."""
        now, before = f"last_over_time({self.selector}[{over.text}])", f"{self.selector}[{over.before}]"
        first = f"last_over_time({before} offset {over.text}) or 0 * {now}"
        restarted, grown = f"resets({self.selector}[{over.text}]) > 0", f"increase({self.selector}[{over.text}])"
        return f"  ({now} - ({first}) >= 0 or {now})\n  unless {restarted}\n  or {grown}"


class Language:
    """Expressions with the same matchers in every selector."""

    def __init__(self, *everywhere: str) -> None:
        self._everywhere = everywhere

    def series(self, signal: Signal, *matchers: str, part: Part = "") -> Series:
        names = tuple(dict.fromkeys(series(signal, part, rule) for rule in ("scraped", "pushed")))
        every = [*self._everywhere, *matchers]
        if len(names) > 1:
            either = f"__name__=~{quote('|'.join(names))}"
            return Series(f"{{{','.join((either, *every))}}}")
        return Series(f"{names[0]}{{{','.join(every)}}}" if every else names[0])

    def gained(self, signal: Signal, over: Window, by: Sequence[str], *matchers: str, part: Part = "") -> str:
        """What counters grew by in the window, added up."""
        return f"sum by ({labels(by)}) (\n{self.series(signal, *matchers, part=part).gained(over)}\n)"

    def share(self, some: str, all: str) -> str:
        """``some / all``; 0 where there is none of it, and nothing where there is nothing at all."""
        return f"({some} or 0 * {all})\n/ ({all} > 0)"

    def quantile(self, q: float, signal: Signal, over: Window, by: Sequence[str], *matchers: str) -> str:
        return f"histogram_quantile({q:g}, {self.gained(signal, over, ['le', *by], *matchers, part='bucket')})"

    def mean(self, signal: Signal, over: Window, by: Sequence[str], *matchers: str) -> str:
        """Of what a histogram recorded in the window."""
        total = self.gained(signal, over, by, *matchers, part="sum")
        return f"{total}\n/ ({self.gained(signal, over, by, *matchers, part='count')} > 0)"

    def now(self, how: str, signal: Signal, by: Sequence[str], *matchers: str) -> str:
        """A gauge's value; ``how`` it is put together where several series have it: sum, max, min."""
        return f"{how} by ({labels(by)}) ({self.series(signal, *matchers).selector})"


def labels(attributes: Sequence[str]) -> str:
    return ", ".join(map(label, attributes))


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def matcher(attribute: str, operator: str, value: str) -> str:
    return f"{label(attribute)}{operator}{quote(value)}"
