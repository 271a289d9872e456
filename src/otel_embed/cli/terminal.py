"""Printing to whatever a stream is: a terminal, a file, UTF-8 or not."""

from __future__ import annotations

import sys
from typing import TextIO

import click
from rich.console import Console, RenderableType
from rich.table import Table

ASCII = str.maketrans("✓✗·–−─━…→µ×", "+x-----.>ux")
_ENDLESS = 10_000


def console(stream: TextIO) -> Console:
    """rich's, which finds out about the width and the colours and reads no meaning into a text."""
    return Console(file=stream, markup=False, highlight=False, emoji=False)


def put(renderable: RenderableType, stream: TextIO, printer: Console | None = None) -> None:
    """Write to ``stream``; what its encoding lacks is replaced, and no line ends in blanks.

    A table for no terminal is as wide as it is: who filters lines wants whole ones. A line that is longer than the
    terminal is wide goes on below: nothing of it is cut off.
    """
    printer = printer or console(stream)
    if not (isinstance(renderable, Table) and printer.is_terminal):
        printer.width = _ENDLESS
    with printer.capture() as capture:
        printer.print(renderable, no_wrap=True)
    text = "\n".join(line.rstrip() for line in capture.get().split("\n"))
    stream.write(encodable(text, stream.encoding))
    stream.flush()


def say(text: str) -> None:
    """A line on stdout, in what that can show."""
    click.echo(encodable(text, sys.stdout.encoding))


def encodable(text: str, encoding: str | None) -> str:
    """``text`` with what an encoding lacks replaced by what comes close."""
    encoding = encoding or "ascii"
    if encoding.lower().startswith("utf"):
        return text.encode("utf-8", "replace").decode("utf-8")
    return text.translate(ASCII).encode(encoding, "replace").decode(encoding)


def printable(text: str) -> str:
    """A name may hold anything; it must not move the cursor or break the line."""
    return "".join(char if char.isprintable() else " " if char.isspace() else "�" for char in text)
