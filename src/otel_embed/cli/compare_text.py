"""A comparison for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.text import Text

from otel_embed.cli.compare_wording import HEADERS, WORDS, calls, cells, headline, stage_cells
from otel_embed.cli.comparison import Comparison, Group, Verdict
from otel_embed.cli.terminal import console, printable, put
from otel_embed.cli.text_layout import name, table

_STYLES: dict[Verdict, str] = {"better": "green", "worse": "bold red", "unknown": "yellow"}
_BADGES: dict[Verdict, str] = {"better": "✅", "worse": "❌", "same": "✅", "unknown": "⚠️", "unjudged": "➖"}
_WORDS = WORDS | {"unknown": "too few"}
_WIDTHS = (18, 11, 11, 9, 20)
_WIDTH = 78


def write(comparison: Comparison, stream: TextIO) -> None:
    """Print to ``stream``, in colours where it is a terminal."""
    put(Text("\n").join(_lines(comparison)), stream, console(stream))


def _lines(comparison: Comparison) -> Iterator[Text]:
    yield Text()
    before, after = map(printable, comparison.names)
    yield Text.assemble(" ", ("otel-embed compare", "bold"), f"  {before} → {after}")
    yield Text.assemble(" ", (printable(headline(comparison)), _STYLES.get(comparison.verdict, "bold")))
    for group in comparison.groups:
        yield from _group(group)
    if any(comparison.having("unknown")):
        yield from (Text(), Text(" too few: not enough samples to rule out a change beyond the limit", style="dim"))
    if comparison.notes:
        yield Text()
        yield from (Text(f" {printable(note)}", style="yellow") for note in comparison.notes)


def _group(group: Group) -> Iterator[Text]:
    yield Text()
    title = name(f"{printable(group.name)}", _WIDTH - 24)
    yield Text(" ").append_text(title).append(f"  {calls(group)}", style="dim")
    yield Text(" " + _line(HEADERS[:5]), style="dim")
    for measure in group.measures:
        line = Text(f" {_line(cells(measure))}  ")
        yield line.append(_WORDS[measure.verdict], style=_STYLES.get(measure.verdict))
    if group.stages and group.in_both:
        stages = [stage_cells(stage) for stage in group.stages]
        head, *lines = table(("before", "after", "change"), [(row[0], row[1:]) for row in stages], sum(_WIDTHS[:4]))
        yield from (Text(" mean call by stage", style="dim"), Text(" ").append_text(head))
        yield from (Text(" ").append_text(line) for line in lines)


def _line(said: Sequence[str]) -> str:
    first, *others = zip(said, _WIDTHS)
    return first[0].ljust(first[1]) + "".join(cell.rjust(width) for cell, width in others)


def markdown(comparison: Comparison) -> str:
    """To be posted on a pull request: the verdict, then a table a group; of models and stages, folded."""
    whole, *others = comparison.groups
    before, after = (_code(each) for each in comparison.names)
    lines = [f"### {_BADGES[comparison.verdict]} {_plain(headline(comparison))}", "", f"{before} → {after}", ""]
    lines += [*_markdown(whole), ""]
    if comparison.notes:
        lines += [*(f"- {_plain(note)}" for note in comparison.notes), ""]
    for group in others:
        bad = any(each.verdict == "worse" for each in group.measures)
        lines += [f"<details{' open' if bad else ''}><summary>{_plain(group.name)}</summary>", ""]
        lines += [*_markdown(group), "", "</details>", ""]
    return "\n".join(lines)


def _markdown(group: Group) -> Iterator[str]:
    yield f"**{_plain(group.name)}**, {calls(group)}"
    yield ""
    yield from _rows(HEADERS, [cells(each) for each in group.measures])
    if group.stages and group.in_both:
        yield ""
        yield from _rows(("stage of a mean call", *HEADERS[1:4]), [stage_cells(stage) for stage in group.stages])


def _rows(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headers)} |"
    yield f"|---|{'---:|' * (len(headers) - 1)}"
    for row in rows:
        said = [f"**{cell}**" if cell == WORDS["worse"] else _plain(cell) for cell in row]
        yield f"| {' | '.join(said)} |"


def _plain(text: str) -> str:
    """A name may hold anything: it must be no markup, mention nobody, and stay in its cell."""
    escaped = "".join(f"\\{char}" if char in "\\`*_[]|~" else char for char in printable(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@&#8203;")


def _code(text: str) -> str:
    return f"`{printable(text).replace('`', '')}`"
