"""The plots of the page: latency histograms and waterfalls, in SVG whose widths are percentages."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor, log10

from otel_embed.cli.document import SlowCall
from otel_embed.cli.markup import Html, el
from otel_embed.cli.palette import look
from otel_embed.cli.units import plural, seconds
from otel_embed.report.sketch import Sketch

BINS = 72
HEIGHT = 56.0


class LogScale:
    """Where a duration stands between ``low`` and ``high`` seconds, in percent of the width."""

    def __init__(self, low: float, high: float) -> None:
        self.low = log10(max(low, 1e-6)) - 0.05
        self.high = max(log10(max(high, 1e-6)) + 0.05, self.low + 0.5)

    def at(self, value: float) -> float:
        return (log10(max(value, 1e-9)) - self.low) / (self.high - self.low) * 100

    def ticks(self) -> Iterator[float]:
        """1, 2 and 5 of each power of ten; the powers alone where there are many."""
        steps = (1, 2, 5) if self.high - self.low < 3 else (1,)
        for power in range(floor(self.low), ceil(self.high) + 1):
            for step in steps:
                if 2 < self.at(step * 10.0**power) < 98:
                    yield step * 10.0**power


def histogram(latency: Sketch, scale: LogScale) -> Html:
    """How many calls took how long, with lines at the median, the 95th and the 99th percentile."""
    bins = [0] * BINS
    for value, count in latency.buckets():
        bins[min(BINS - 1, max(0, int(scale.at(value) / 100 * BINS)))] += count
    highest = max(bins)
    bars = [_bin(index, count, highest) for index, count in enumerate(bins) if count]
    lines = [_quantile(latency, q, name, scale) for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))]
    label = f"{plural(latency.count, 'call')} from {seconds(latency.min)} to {seconds(latency.max)}"
    plot = (*_grid(scale, HEIGHT), *bars, *lines)
    return el("svg", *plot, class_="plot", height=HEIGHT, role="img", aria_label=label)


def axis(scale: LogScale) -> Html:
    labels = [el("text", seconds(tick), x=f"{scale.at(tick):.2f}%", y=12) for tick in scale.ticks()]
    return el("svg", *labels, class_="plot axis", height=16, aria_hidden="true")


def _bin(index: int, count: int, highest: int) -> Html:
    height = max(1.5, count / highest * (HEIGHT - 6))
    return el(
        "rect",
        el("title", plural(count, "call")),
        x=f"{index / BINS * 100:.3f}%",
        y=round(HEIGHT - height, 1),
        width=f"{100 / BINS - 0.2:.3f}%",
        height=round(height, 1),
        class_="bin",
    )


def _quantile(latency: Sketch, q: float, name: str, scale: LogScale) -> Html:
    value = latency.quantile(q) or 0.0
    x = f"{scale.at(value):.2f}%"
    return el("line", el("title", f"{name} {seconds(value)}"), x1=x, x2=x, y1=0, y2=HEIGHT, class_=f"quantile {name}")


def _grid(scale: LogScale, height: float) -> list[Html]:
    places = [f"{scale.at(tick):.2f}%" for tick in scale.ticks()]
    return [el("line", x1=x, x2=x, y1=0, y2=height, class_="grid") for x in places]


def waterfall_bar(call: SlowCall, longest: float) -> Html:
    """The stages of one call where they happened; the width is ``longest`` seconds."""
    rects, labels = [], []
    for span in call.stages:
        start, end = max(0.0, span.start), min(span.end, longest)
        if end > start and longest > 0:
            label = f"{span.stage} {seconds(end - start)}, from {seconds(start)} to {seconds(end)}"
            labels.append(f"{span.stage} {seconds(end - start)}")
            rects.append(
                el(
                    "rect",
                    el("title", label),
                    x=f"{start / longest * 100:.3f}%",
                    y=0,
                    width=f"{(end - start) / longest * 100:.3f}%",
                    height=18,
                    fill=look(span.stage).colour,
                )
            )
    return el("svg", *rects, class_="plot", height=18, role="img", aria_label=", ".join(labels) or "no stage")


def linear_axis(longest: float) -> Html:
    """Five labels from 0 to ``longest`` seconds."""
    labels = []
    for quarter in range(5):
        anchor = ("start", "middle", "middle", "middle", "end")[quarter]
        labels.append(el("text", seconds(longest * quarter / 4), x=f"{quarter * 25}%", y=12, text_anchor=anchor))
    return el("svg", *labels, class_="plot axis", height=16, aria_hidden="true")
