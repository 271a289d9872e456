"""The two lines of the live view: what goes on, and where its time goes."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text

from otel_embed.cli.live_figures import Now
from otel_embed.cli.rows import in_order, ratio
from otel_embed.cli.terminal import printable
from otel_embed.cli.text_bars import share_bar
from otel_embed.cli.text_layout import beside, fit
from otel_embed.cli.units import count, dollars, percent, plural, rate, seconds, short_count

ROWS = 2
_STAGES_NAMED = 2


def lines(now: Now, elapsed: float, width: int, coloured: bool) -> list[Text]:
    """``ROWS`` of them, each as wide as ``width`` at most. What there is no room for is left out, the last first."""
    parts = list(_parts(now))
    first = Text(" otel-embed", style="bold")
    took = seconds(elapsed) if elapsed >= 60 else f"{elapsed:.0f} s"
    for index, (said, style) in enumerate(parts):
        gap = "  " if index == 0 else " · "
        if first.cell_len + len(gap) + len(said) + len(took) + 2 > width:
            break
        first.append(gap, style="not bold dim").append(said, style=f"not bold {style}".strip())
    return [beside(first, took, width - 1), _stages(now, width, coloured)]


def _parts(now: Now) -> Iterator[tuple[str, str]]:
    """The most telling first."""
    sums = now.totals.sums
    if not (sums["calls"] or sums["texts"] or sums["chats"]):
        yield "no embedding call yet", "dim"
        return
    embeds = sums["calls"] or sums["texts"]
    failed = sums["failed"] + sums["failed_chats"]
    if embeds:
        yield f"{rate(now.texts_per_second)} texts/s", "cyan"
    if failed:
        yield plural(failed, "error"), "red"
    if embeds:
        yield f"{short_count(now.tokens_per_second)} tokens/s", "cyan"
        yield f"p95 {seconds(now.p95)}", ""
    yield dollars(sums["picodollars"] / 1e12) + (" + ?" if sums["unpriced"] else ""), ""
    left = now.totals.budget_left
    if left is not None:
        yield f"{dollars(max(0.0, left))} left", "red" if left <= 0 else ""
    hit_rate = ratio(sums["hits"], sums["hits"] + sums["misses"])
    if hit_rate is not None:
        yield f"{percent(hit_rate)} cached", ""
    if embeds:
        yield f"{count(sums['texts'])} texts", "dim"
        yield f"{short_count(sums['tokens'])} tokens", "dim"
    if sums["chats"]:
        yield plural(sums["chats"], "chat"), "dim"


def _stages(now: Now, width: int, coloured: bool) -> Text:
    stages = in_order(dict(now.stages))
    total = sum(stages.values())
    if not total:
        return Text(" ")
    longest = sorted(stages, key=lambda stage: -stages[stage])[:_STAGES_NAMED]
    legend = " · ".join(f"{stage} {percent(stages[stage] / total)}" for stage in longest)
    legend = printable(legend)
    room = width - cell_len(legend) - 4
    if room < 10:
        return Text(f" {fit(legend, width - 2)}")
    return Text(" ").append_text(share_bar(stages, room, coloured)).append(f"  {legend}", style="dim")
