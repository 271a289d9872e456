"""The report for a terminal: 80 columns are enough, colours are welcome and not needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from textwrap import wrap
from typing import NamedTuple, TextIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from otel_embed.cli import troubles, wording
from otel_embed.cli.chat_figures import chat_figures, judge_chat
from otel_embed.cli.chat_rows import ranked
from otel_embed.cli.document import SlowCall, Summary
from otel_embed.cli.figures import Figures, figures
from otel_embed.cli.money_tables import money_tables
from otel_embed.cli.rows import Timed, in_order
from otel_embed.cli.targets import Target, judge
from otel_embed.cli.terminal import console, printable, put
from otel_embed.cli.text_bars import key, share_bar, span_bar
from otel_embed.cli.text_layout import beside, fit, fit_parts, flow, name, table
from otel_embed.cli.units import count, percent, seconds, whole_percent
from otel_embed.cli.work_tables import work_tables

WIDEST, NARROWEST = 100, 40
SLOWEST = 5
TILES = (11, 15, 18, 17, 17)
PROVIDER_BARS, COMPONENT_BARS = 2, 1
COMPONENTS, TARGET, MONEY, NAME = 12, 19, 20, 30
MARKS = {"good": ("✓", "green"), "fair": ("~", "yellow"), "bad": ("✗", "red"), "unjudged": ("·", "dim")}


class Paper(NamedTuple):
    width: int
    coloured: bool


def write(summary: Summary, stream: TextIO) -> None:
    """Print the report to ``stream`` in what it can show: colours where it is a terminal, Unicode where it is UTF."""
    printer = console(stream)
    put(report(summary, printer), stream, printer)


def report(summary: Summary, printer: Console) -> Padding:
    """The report as wide as ``printer`` is, within limits, and in colours where it has them."""
    coloured = printer.color_system is not None and not printer.no_color
    paper = Paper(max(NARROWEST, min(printer.width, WIDEST)) - 2, coloured)
    return Padding(Text("\n").join(map(_printable, _sections(summary, paper))), (1, 1, 1, 1))


def _sections(summary: Summary, paper: Paper) -> Iterator[Text]:
    total = figures(summary)
    yield from _heading(summary, total, paper)
    chat = chat_figures(summary)
    if summary.timed or chat is None:
        yield from _tiles(wording.tiles(total), paper)
    if chat is not None:
        yield from _tiles(wording.chat_tiles(chat), paper)
    yield from _targets(total, [*judge(total), *judge_chat(chat)], paper)
    yield from _section("Chat models", wording.CHAT_TIMES, _chats(summary, paper), paper)
    yield from _section("Answers from a cache", "", _answer_caches(summary, paper), paper)
    yield from _section("Components", "slowest on their own first", _components(summary, paper), paper)
    yield from _section("Latency", "milliseconds", _latency(summary, paper), paper)
    yield from _section("Where the time goes", "mean call", _stages(summary, paper), paper)
    yield from _section("Slowest calls", "", _slowest(summary.slowest[:SLOWEST], paper), paper)
    yield from _section("Cost", "", _cost(summary, total, paper), paper)
    if total.cache:
        yield from _section("Cache", wording.saved(total.cache), _caches(summary, paper), paper)
    for each in (*money_tables(summary, MONEY), *work_tables(summary)):
        yield from _section(each.title, each.note, table(each.headers, each.rows, paper.width), paper)
    yield from _section("Errors and retries", "", _troubles(summary, paper), paper)
    if dropped := wording.dropped(summary):
        yield from (Text(), Text(fit(dropped, paper.width), style="yellow"))
    for why in filter(None, (troubles.cut_short(summary.exit_code), *wording.lost_spans(summary), *summary.switched_off)):
        yield Text()
        yield from (Text(line, style="yellow") for line in wrap(printable(why), paper.width))


def _section(title: str, note: str, content: Iterable[Text], paper: Paper) -> Iterator[Text]:
    lines = list(content)
    if lines:
        yield Text()
        yield beside(Text.assemble((title, "bold")), note, paper.width)
        yield from lines


def _heading(summary: Summary, total: Figures, paper: Paper) -> Iterator[Text]:
    right = seconds(total.wall_seconds)
    if summary.exit_code is not None:
        right = f"{troubles.ended(summary.exit_code)} · {right}"
    left = fit(wording.title(summary), paper.width - len(right) - 14)
    yield beside(Text.assemble(("otel-embed", "bold"), "  ", left), right, paper.width)
    yield Text("─" * paper.width, style="dim")


def _tiles(said: Sequence[tuple[str, str, str]], paper: Paper) -> Iterator[Text]:
    """As many beside each other as there is room for."""
    tiles = list(zip(TILES, said))
    while tiles:
        fits = sum(end <= paper.width for end in accumulate(width for width, _ in tiles)) or 1
        for row, style in enumerate(("bold cyan", "", "dim")):
            yield Text("".join(fit(said[row], width - 1).ljust(width) for width, said in tiles[:fits]), style=style)
        tiles = tiles[fits:]


def _targets(total: Figures, targets: Sequence[Target], paper: Paper) -> Iterator[Text]:
    a_line = paper.width // TARGET
    for first in range(0, len(targets), a_line):
        upper, lower = Text(), Text(style="dim")
        for target in targets[first : first + a_line]:
            mark, style = MARKS[target.verdict]
            upper.append(f"{mark} ", style=style).append(target.shown.ljust(TARGET - 2), style=f"bold {style}")
            lower.append(f"  {target.wanted}".ljust(TARGET))
        yield from (Text(), upper, lower)
    if targets and (throughput := wording.throughput(total)):
        yield from (Text(), *map(Text, wrap(" · ".join(throughput), paper.width)))


def _chats(summary: Summary, paper: Paper) -> list[Text]:
    rows = [(row.name, wording.chat(row)) for row in summary.chats]
    return table(["calls", "in", "out", "cost", "TTFT", "tok/s", "p95"], rows, paper.width) if rows else []


def _answer_caches(summary: Summary, paper: Paper) -> list[Text]:
    rows = [(row.name, wording.answer_cache(row)) for row in summary.answer_caches]
    return table(["hits", "misses", "hit rate", "tokens saved", "saved"], rows, paper.width) if rows else []


def _components(summary: Summary, paper: Paper) -> list[Text]:
    if not summary.runs:
        return []
    rows = [(row.name, wording.component(row)) for row in ranked(summary.runs, summary.chats)[:COMPONENTS]]
    return table(["runs", "own", "total", "mean", "p95"], rows, paper.width)


def _latency(summary: Summary, paper: Paper) -> list[Text]:
    rows = [(row.name, wording.latency(row)) for row in summary.timed]
    if not rows:
        return []
    return table(["calls", "avg", "p50", "p95", "p99", "min", "max"], rows, paper.width)


def _stages(summary: Summary, paper: Paper) -> Iterator[Text]:
    rows: list[Timed] = [*summary.providers[:PROVIDER_BARS], *summary.components[:COMPONENT_BARS]]
    for index, row in enumerate(row for row in rows if row.calls and in_order(row.stages)):
        if index:
            yield Text()
        stages = in_order(row.stages)
        mean = seconds(sum(stages.values()) / row.calls)
        yield beside(name(row.name, paper.width - len(mean) - 1), mean, paper.width)
        yield share_bar(stages, paper.width, paper.coloured)
        yield from _legend(stages, row.calls, paper)


def _legend(stages: dict[str, float], calls: int, paper: Paper) -> list[Text]:
    """Stage, mean seconds and share, the longest first; those below 1 % together."""
    total = sum(stages.values())
    parts, rest = [], 0.0
    for stage in sorted(stages, key=lambda name: -stages[name]):
        if stages[stage] < total / 100:
            rest += stages[stage]
            continue
        part = key(stage, paper.coloured).append(f" {stage} {seconds(stages[stage] / calls)} ")
        parts.append(part.append(whole_percent(stages[stage] / total), style="dim"))
    if rest:
        parts.append(Text(f"rest {seconds(rest / calls)}", style="dim"))
    return flow(parts, paper.width)


def _slowest(calls: list[SlowCall], paper: Paper) -> Iterator[Text]:
    longest = max((call.seconds for call in calls), default=0.0)
    for call in calls:
        line = Text.assemble((seconds(call.seconds).rjust(7), "bold"), "  ")
        yield line.append_text(span_bar(call.stages, longest, paper.width - 9, paper.coloured))
        said = fit_parts(wording.slow_call(call), paper.width - 9)
        yield Text(" " * 9 + said, style="red" if call.error else "dim")


def _cost(summary: Summary, total: Figures, paper: Paper) -> Iterator[Text]:
    rows = []
    for row in summary.providers:
        cells = [count(row.inputs), wording.tokens(row.tokens), wording.token_source(row.tokens), wording.row_cost(row)]
        rows.append((row.name, cells))
    if rows:
        yield from table(["texts", "tokens", "", "cost"], rows, paper.width)
    if unpriced := wording.unpriced(total):
        yield from (Text(line, style="yellow") for line in wrap(unpriced, paper.width))


def _caches(summary: Summary, paper: Paper) -> list[Text]:
    rows = []
    for row in summary.caches:
        counts = [count(row.hits), count(row.misses), percent(row.hit_rate), count(row.saved_tokens)]
        rows.append((row.name, [*counts, wording.saved_cost(row)]))
    return table(["hits", "misses", "hit rate", "tokens saved", "saved"], rows, paper.width)


def _troubles(summary: Summary, paper: Paper) -> Iterator[Text]:
    told = [(row.name, [wording.errors(row), wording.retries(row)]) for row in summary.providers]
    told += [(row.name, [wording.errors(row)]) for row in summary.chats]
    left = NAME if paper.width >= 2 * NAME else 0
    for who, texts in told:
        said = [line for text in texts for line in wrap(text, paper.width - left - 2)]
        if said and not left:
            yield name(who, paper.width)
        for index, line in enumerate(said):
            yield name("" if index else who, left).append(f"  {line}")
    for cause, meaning in troubles.causes(summary):
        yield from (Text(line, style="dim") for line in wrap(f"{cause}: {meaning}", paper.width))


def _printable(line: Text) -> Text:
    line.plain = printable(line.plain)
    return line
