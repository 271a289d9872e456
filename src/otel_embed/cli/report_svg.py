"""The terminal's report as a picture: one SVG that needs no font, no style sheet and no program beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO

from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

from otel_embed.cli import wording
from otel_embed.cli.document import Summary
from otel_embed.cli.markup import Html, el, join
from otel_embed.cli.report_text import report
from otel_embed.cli.terminal import printable

COLUMNS = 82
WIDTH, HEIGHT, ASCENT = 8.4, 18, 13
"""Of a character's cell, in pixels, and from its top to the line that letters stand on."""
MARGIN = 10
PAGE, TEXT, DIM = "#10151c", "#d7dce4", "#8790a0"
NAMED = {"cyan": "#5fc9d8", "green": "#56c285", "yellow": "#e0b050", "red": "#f07a70"}
FONT = f'font: {HEIGHT - 4}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
_WORDS = re.compile(r"\S+(?: \S+)*")


def picture(summary: Summary) -> str:
    """The report as SVG, in colours, 82 columns wide, whatever this terminal is like."""
    console = Console(
        file=StringIO(), width=COLUMNS, height=1, force_terminal=True, color_system="truecolor", no_color=False,
        markup=False, highlight=False, emoji=False,
    )  # fmt: skip
    lines = console.render_lines(report(summary, console), console.options.update(no_wrap=True), pad=False)
    width, height = round(COLUMNS * WIDTH) + 2 * MARGIN, len(lines) * HEIGHT + 2 * MARGIN
    title = el("title", printable(f"otel-embed: {wording.title(summary)}"))
    style = el("style", Html(f"text {{ {FONT} }} .b {{ font-weight: 700 }}"))
    page = el("rect", width=width, height=height, rx=8, fill=PAGE)
    shapes = join(*(shape for number, line in enumerate(lines) for shape in _line(line, MARGIN + number * HEIGHT)))
    body = join(title, style, page, shapes)
    box = f"0 0 {width} {height}"
    return (
        el("svg", body, xmlns="http://www.w3.org/2000/svg", viewBox=box, width=width, height=height, role="img") + "\n"
    )


def _line(segments: list[Segment], top: float) -> Iterator[Html]:
    column = 0
    for text, style, _ in segments:
        style = style or Style.null()
        cells = cell_len(text)
        if style.bgcolor is not None:
            left, width = _x(column), round(cells * WIDTH, 1)
            yield el("rect", x=left, y=top, width=width, height=HEIGHT, fill=_colour(style.bgcolor))
        for words in _WORDS.finditer(text):
            yield _text(words[0], column + cell_len(text[: words.start()]), top, style)
        column += cells


def _text(words: str, column: int, top: float, style: Style) -> Html:
    """Told how wide it is: the reader's font may have other letters than ours, and all must line up."""
    cells = cell_len(words)
    fill = DIM if style.dim else TEXT if style.color is None else _colour(style.color)
    length = round(cells * WIDTH, 1) if cells > 1 else None
    weight = "b" if style.bold else None
    return el("text", words, x=_x(column), y=top + ASCENT, fill=fill, textLength=length, class_=weight)


def _x(column: int) -> float:
    return round(MARGIN + column * WIDTH, 1)


def _colour(colour: Color) -> str:
    return NAMED.get(colour.name) or colour.get_truecolor().hex
