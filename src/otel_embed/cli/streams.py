"""What is said of ourselves on stderr, and streams that fail: a full disk, a pipe that nobody reads, a closed terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

CANNOT_PRINT = 2
"""The exit code of a command whose output got lost."""


def complain(text: str) -> None:
    """A line of ours."""
    click.echo(f"otel-embed: {text}", err=True)


@contextmanager
def never_failing() -> Iterator[None]:
    """While the block runs, nothing that is written to stdout or stderr raises.

    What stdout did not take is said at the end, with ``CANNOT_PRINT`` as exit code. Whoever stops reading, as ``head``
    does, or closed it before, wanted it so: the exit code is the command's own.
    """
    before = sys.stdout, sys.stderr
    printed, said = _Whole(sys.stdout), _Whole(sys.stderr)
    sys.stdout, sys.stderr = printed.text, said.text
    try:
        yield
    finally:
        printed.text.flush()
        wrong = printed.error
        if wrong is not None and not isinstance(wrong, BrokenPipeError):
            complain(f"cannot print: {wrong.strerror}")
        said.text.flush()
        sys.stdout, sys.stderr = before
        if wrong is not None and not isinstance(wrong, BrokenPipeError):
            sys.exit(CANNOT_PRINT)


class _Whole(io.RawIOBase):
    """A stream's file, which takes everything; what the file did not take is dropped, and ``error`` says why."""

    def __init__(self, stream: TextIO | None) -> None:
        self.error: OSError | None = None
        self._file = _file(stream)
        self.text: Any = stream
        if stream is None or self._file is not None:
            self.text = io.TextIOWrapper(
                io.BufferedWriter(self),
                getattr(stream, "encoding", "utf-8"),
                getattr(stream, "errors", "replace"),
                line_buffering=getattr(stream, "line_buffering", False),
            )

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int | None:
        if self._file is not None and self.error is None:
            try:
                taken: int | None = self._file.write(data)
                return taken
            except OSError as error:
                self.error = error
        return len(data)

    def fileno(self) -> int:
        return super().fileno() if self._file is None else self._file.fileno()

    def isatty(self) -> bool:
        return self._file is not None and bool(self._file.isatty())


def _file(stream: Any) -> Any:
    """What is below a text stream; None where it was closed by whoever started us, or where it is no file."""
    try:
        stream.fileno()
        return getattr(stream.buffer, "raw", stream.buffer)
    except (AttributeError, OSError, ValueError):
        return None
