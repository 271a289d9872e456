"""Lines of text that line up: what a name or a sentence cannot have of the width is cut, and says so."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

GAP = 2
_SHORTEST_NAME = 12


def fit(text: str, width: int) -> str:
    """``text``, cut at the end to at most ``width`` columns."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def fit_parts(parts: Sequence[str], width: int) -> str:
    """``first · second``: as many whole parts as there is room for, and the first in any case."""
    line = fit(parts[0], width) if parts else ""
    for part in parts[1:]:
        if cell_len(line) + cell_len(part) + 3 > width:
            break
        line = f"{line} · {part}"
    return line


def fit_name(text: str, width: int) -> str:
    """``text``, cut in the middle: two models' names often differ at the end."""
    if cell_len(text) <= width:
        return text
    tail = max(0, width - 1) * 3 // 5
    return fit(text, width - tail) + (text[-tail:] if tail else "")


def beside(left: Text, right: str, width: int) -> Text:
    """``left``, and ``right`` dim at the right edge."""
    return left.append(" " * max(1, width - left.cell_len - cell_len(right))).append(right, style="dim")


def name(text: str, width: int) -> Text:
    """``openai text-embedding-3-small``, the first word dim, padded to ``width``."""
    shown = fit_name(text, width)
    line = Text(shown + " " * (width - cell_len(shown)))
    line.stylize("dim", 0, shown.find(" ") if " " in shown else 0)
    return line


def table(headers: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], width: int) -> list[Text]:
    """A name and right-aligned cells a row; the names take what width the cells leave, or a line of their own."""
    columns = [max(cell_len(cell) for cell in column) for column in zip(headers, *(cells for _, cells in rows))]
    left = width - sum(columns) - GAP * len(columns)
    if left < _SHORTEST_NAME:
        lines = [Text(_cells(headers, columns, 1), style="dim")]
        return lines + [line for title, cells in rows for line in (name(title, width), Text(_cells(cells, columns, 1)))]
    head = Text(" " * left + _cells(headers, columns), style="dim")
    return [head, *(name(title, left).append(_cells(cells, columns)) for title, cells in rows)]


def _cells(cells: Sequence[str], columns: Sequence[int], gap: int = GAP) -> str:
    return "".join(" " * (gap + width - cell_len(cell)) + cell for cell, width in zip(cells, columns))


def flow(parts: Sequence[Text], width: int, gap: int = 3) -> list[Text]:
    """The parts one after another, in as many lines as they need."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + gap + part.cell_len <= width:
            lines[-1].append(" " * gap).append_text(part)
        else:
            lines.append(part.copy())
    return lines
