"""Bars made of characters: a stage is a stretch of its colour or, without colours, a line that begins with its letter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text

from otel_embed.cli.document import Span
from otel_embed.cli.palette import look


def shares(values: Sequence[float], width: int) -> list[int]:
    """``width`` columns divided in proportion to ``values``, rounded so that they add up to ``width``."""
    total = sum(values)
    if total <= 0:
        return [0 for _ in values]
    exact = [value / total * width for value in values]
    columns = [int(value) for value in exact]
    by_remainder = sorted(range(len(values)), key=lambda index: columns[index] - exact[index])
    for index in by_remainder[: width - sum(columns)]:
        columns[index] += 1
    return columns


def share_bar(stages: dict[str, float], width: int, coloured: bool) -> Text:
    """The stages side by side, ``width`` columns in all."""
    return _drawn(zip(stages, shares(list(stages.values()), width)), coloured)


def span_bar(spans: Iterable[Span], longest: float, width: int, coloured: bool) -> Text:
    """The spans of one call where they happened, on a scale on which ``longest`` seconds are ``width`` columns."""
    stretches: list[tuple[str, int]] = []
    done = 0
    for span in spans:
        end = round(max(0.0, min(1.0, span.end / longest)) * width) if longest > 0 else 0
        stretches.append((span.stage, max(0, end - done)))
        done = max(done, end)
    return _drawn(stretches, coloured)


def key(stage: str, coloured: bool) -> Text:
    """What the stage looks like in a bar, for a legend."""
    return _drawn([(stage, 2 if coloured else 1)], coloured)


def _drawn(stretches: Iterable[tuple[str, int]], coloured: bool) -> Text:
    bar = Text()
    for stage, columns in stretches:
        shown = look(stage)
        if coloured:
            bar.append(shown.letter.ljust(columns)[:columns], style=f"#10151c on {shown.colour}")
        else:
            bar.append(shown.letter.ljust(columns, "━")[:columns])
    return bar
