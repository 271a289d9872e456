"""What is said of ourselves on stderr, and streams that fail: a full disk, a pipe that nobody reads, a closed terminal."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TextIO

import click


def complain(text: str) -> None:
    """A line of ours; where nobody can be told, nothing happens."""
    with suppress(OSError):
        click.echo(f"otel-embed: {text}", err=True)


def let_go(stream: TextIO | None) -> None:
    """Drop what a stream cannot write any more: the interpreter would exit with 120 for it."""
    if stream is None:  # closed by whoever started us
        return
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
