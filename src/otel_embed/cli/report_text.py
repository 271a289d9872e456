"""The report for a terminal: 80 columns are enough, colours are welcome and not needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otel_embed.cli import wording
from otel_embed.cli.document import SlowCall, Summary
from otel_embed.cli.figures import Figures, figures
from otel_embed.cli.rows import ComponentTotals, ProviderTotals, in_order
from otel_embed.cli.targets import judge
from otel_embed.cli.text_bars import key, share_bar, span_bar
from otel_embed.cli.units import count, percent, plural, seconds, short_count

WIDEST = 100
SLOWEST = 5
BARS = 4
MARKS = {"good": ("✓", "green"), "fair": ("~", "yellow"), "bad": ("✗", "red"), "unjudged": ("·", "dim")}
ASCII = str.maketrans("✓✗·–─…µ", "+x---.u")


class Paper(NamedTuple):
    width: int
    coloured: bool


def write(summary: Summary, stream: TextIO) -> None:
    """Print the report to ``stream`` in what it can show: colours where it is a terminal, Unicode where it is UTF."""
    console = Console(file=stream, markup=False, highlight=False, emoji=False)
    paper = Paper(min(console.width, WIDEST) - 2, console.color_system is not None and not console.no_color)
    with console.capture() as capture:
        console.print(Padding(Group(*_sections(summary, paper)), (1, 1, 0, 1)), width=paper.width + 2)
    encoding = stream.encoding or "ascii"
    text = "\n".join(line.rstrip() for line in capture.get().split("\n"))
    if not encoding.lower().startswith("utf"):
        text = text.translate(ASCII).encode(encoding, "replace").decode(encoding)
    stream.write(text + "\n")
    stream.flush()


def _sections(summary: Summary, paper: Paper) -> Iterator[RenderableType]:
    total = figures(summary)
    yield _heading(summary, paper)
    yield _tiles(summary, total)
    yield from _targets(total, paper)
    yield from _section("Latency", _latency(summary, paper))
    yield from _section("Where the time of a call goes", _stages(summary, paper))
    yield from _section("Slowest calls", _slowest(summary.slowest[:SLOWEST], paper))
    yield from _section("Cost", _cost(summary, total, paper))
    yield from _section("Cache", _facts([wording.cache(total.cache)] if total.cache else [], paper))
    yield from _section("Errors and retries", _troubles(summary, total, paper))
    if dropped := wording.dropped(summary):
        yield Text(f"\n{dropped}", style="yellow")


def _section(title: str, content: Iterable[RenderableType]) -> Iterator[RenderableType]:
    rows = list(content)
    if rows:
        yield Text(f"\n{title}", style="bold")
        yield from rows


def _heading(summary: Summary, paper: Paper) -> RenderableType:
    right = seconds(summary.elapsed_seconds)
    if summary.exit_code is not None:
        right = f"exit {summary.exit_code} · {right}"
    left = _fit(wording.title(summary), paper.width - len(right) - 14)
    line = Text.assemble(("otel-embed", "bold"), "  ", left)
    line.append(right.rjust(paper.width - line.cell_len), style="dim")
    return Group(line, Text("─" * paper.width, style="dim"))


def _tiles(summary: Summary, total: Figures) -> RenderableType:
    spent = wording.cost(total.cost_usd, total.unpriced_calls)
    per_text = wording.per_text(total)
    tiles = [
        (count(total.calls), "calls", wording.failed(total)),
        (count(total.texts), "texts", f"{percent(total.cache.hit_rate)} cached" if total.cache else ""),
        (short_count(total.all_tokens), "tokens", wording.token_source(total.tokens)),
        (spent, "spent", per_text),
        (seconds(summary.elapsed_seconds), "wall", f"{seconds(total.busy_seconds)} embedding"),
    ]
    grid = Table.grid(expand=True, padding=(0, 1, 0, 0))
    for _ in tiles:
        grid.add_column(no_wrap=True)
    grid.add_row(*(Text(value, style="bold cyan") for value, _, _ in tiles))
    grid.add_row(*(Text(label) for _, label, _ in tiles))
    grid.add_row(*(Text(note, style="dim") for _, _, note in tiles))
    return grid


def _targets(total: Figures, paper: Paper) -> Iterator[RenderableType]:
    grid = Table.grid(padding=(0, 1))
    for name in ("mark", "title", "shown", "wanted") * 2:
        grid.add_column(no_wrap=True, justify="right" if name == "shown" else "left")
    cells: list[Text] = []
    for target in judge(total):
        mark, style = MARKS[target.verdict]
        wanted = Text(target.wanted.ljust(14), style="dim")
        cells += [Text(mark, style=style), Text(target.title), Text(target.shown, style=f"bold {style}"), wanted]
    for start in range(0, len(cells), 8):
        grid.add_row(*cells[start : start + 8])
    yield Text()
    yield grid
    yield from _facts([wording.throughput(total)], paper)


def _latency(summary: Summary, paper: Paper) -> Iterator[RenderableType]:
    rows: list[ProviderTotals | ComponentTotals] = [*summary.providers, *summary.components]
    table = _table(["calls", "avg", "p50", "p95", "p99", "min", "max"])
    for row in rows:
        latency = row.latency
        quantiles = [latency.quantile(q) for q in (0.5, 0.95, 0.99)]
        ends = [latency.min, latency.max] if latency.count else [None, None]
        values = [seconds(value) for value in (latency.avg, *quantiles, *ends)]
        table.add_row(_name(row, paper.width - 58), count(row.calls), *values)
    if rows:
        yield table


def _stages(summary: Summary, paper: Paper) -> Iterator[RenderableType]:
    rows: list[ProviderTotals | ComponentTotals] = [*summary.providers, *summary.components]
    for row in [row for row in rows if row.stages][:BARS]:
        stages = in_order(row.stages)
        mean = f"{seconds(sum(stages.values()) / max(1, row.calls))} on average"
        line = _name(row, paper.width - len(mean) - 1)
        line.append(mean.rjust(paper.width - line.cell_len), style="dim")
        yield line
        yield share_bar(stages, paper.width, paper.coloured)
        yield _legend(stages, max(1, row.calls), paper)


def _legend(stages: dict[str, float], calls: int, paper: Paper) -> Table:
    """Stage, mean seconds and share, three to a line, the longest first."""
    across = max(1, paper.width // 26)
    grid = Table.grid(padding=(0, 1))
    for name in ("key", "stage", "seconds", "share") * across:
        grid.add_column(no_wrap=True, justify="right" if name in ("seconds", "share") else "left")
    total = sum(stages.values())
    cells: list[Text] = []
    for stage in sorted(stages, key=lambda name: -stages[name]):
        share = f"{percent(stages[stage] / total)}  "
        texts = Text(stage), Text(seconds(stages[stage] / calls)), Text(share, style="dim")
        cells += [key(stage, paper.coloured), *texts]
    for start in range(0, len(cells), 4 * across):
        grid.add_row(*cells[start : start + 4 * across])
    return grid


def _slowest(calls: list[SlowCall], paper: Paper) -> Iterator[RenderableType]:
    longest = max((call.seconds for call in calls), default=0.0)
    for call in calls:
        bar = span_bar(call.stages, longest, paper.width - 9, paper.coloured)
        duration = seconds(call.seconds)
        bar.append(duration.rjust(9 if bar.cell_len == paper.width - 9 else len(duration) + 1), style="bold")
        yield bar
        yield Text(_fit(" · ".join(wording.slow_call(call)), paper.width), style="red" if call.error else "dim")


def _cost(summary: Summary, total: Figures, paper: Paper) -> Iterator[RenderableType]:
    table = _table(["texts", "tokens", "", "cost"])
    table.columns[3].justify = "left"
    for row in summary.providers:
        tokens = count(sum(row.tokens.values()))
        source = Text(wording.token_source(row.tokens), style="dim")
        table.add_row(_name(row, paper.width - 50), count(row.inputs), tokens, source, wording.row_cost(row))
    if summary.providers:
        yield table
    if total.unpriced_calls:
        calls, tokens = plural(total.unpriced_calls, "call"), plural(total.unpriced_tokens, "token")
        yield Text(f"+ {calls} with {tokens} whose price is unknown", style="yellow")


def _troubles(summary: Summary, total: Figures, paper: Paper) -> Iterator[RenderableType]:
    for row in summary.providers:
        parts = []
        if any(row.errors.values()):
            parts.append(f"{plural(sum(row.errors.values()), 'error')}: {wording.counted(row.errors)}")
        if any(row.retries.values()):
            parts.append(f"retried after {wording.counted(row.retries)}")
        if parts:
            name = _name(row, 28)
            name.append(" " * (30 - name.cell_len))
            name.append(_fit(" · ".join(parts), paper.width - 30))
            yield name


def _facts(lines: list[list[str]], paper: Paper) -> Iterator[RenderableType]:
    for parts in lines:
        if parts:
            yield Text(_fit(" · ".join(parts), paper.width))


def _table(headers: list[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for header in headers:
        table.add_column(header, no_wrap=True, justify="right")
    return table


def _name(row: ProviderTotals | ComponentTotals, width: int) -> Text:
    first, _, second = row.name.partition(" ")
    return Text.assemble((f"{first} ", "dim"), _fit(second, width - len(first) - 1))


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
