"""``otel-embed run --live``: two lines at the bottom of the terminal, which the program keeps for itself otherwise.

The terminal is told to scroll above them only (DECSTBM, as apt does for its progress bar). The program writes to the
terminal directly, as without us: nothing of its output passes through here, and it can tell no difference but two
lines less. Each of our writes is one, puts the cursor back where it was, and comes about once a second.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from rich.console import COLOR_SYSTEMS, Console
from rich.text import Text

from otel_embed.cli.live_figures import Watched
from otel_embed.cli.live_lines import ROWS, lines
from otel_embed.cli.terminal import console, encodable
from otel_embed.report.live import MARK
from otel_embed.report.pace import LEAST, Pace

NARROWEST, LOWEST = 40, 8
_SAVE, _RESTORE, _WHOLE, _DOWN = "\x1b7", "\x1b8", "\x1b[r", "\x1bD"


@contextmanager
def view(directory: Path, stream: TextIO, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Show what goes on in ``directory`` while the block runs. Nothing at all where ``stream`` is no terminal that can."""
    if not _is_able(stream, environment):
        yield
        return
    (directory / MARK).touch()
    status = _Status(directory, stream)
    status.begin()
    try:
        with _stopping(status):
            yield
    finally:
        status.end()


def _is_able(stream: TextIO, environment: Mapping[str, str]) -> bool:
    if sys.platform == "win32" or not stream.isatty() or environment.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return False
    try:
        width, height = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return False
    return width >= NARROWEST and height >= LOWEST


class _Status:
    def __init__(self, directory: Path, stream: TextIO) -> None:
        self._watched = Watched(directory)
        self._terminal = stream.fileno()
        self._encoding = stream.encoding
        self._printer: Console = console(stream)
        self._coloured = self._printer.color_system is not None and not self._printer.no_color
        self._lock = threading.RLock()  # a signal's handler may come in the middle of a line
        self._over = threading.Event()
        self._began = time.monotonic()
        self._size: tuple[int, int] | None = None
        self._job_seconds = 0.0
        self._thread = threading.Thread(target=self._keep_drawing, name="otel-embed-live", daemon=True)

    def begin(self) -> None:
        self.draw()
        self._thread.start()

    def end(self) -> None:
        """Draw what came out of it, and give the terminal back."""
        try:
            self._over.set()
            self._thread.join(LEAST)
            self.draw()
        finally:
            self.release()

    def pause(self, until: Callable[[], object]) -> None:
        """Give the terminal back while ``until`` runs."""
        with self._lock:
            self.release()
            until()
            self.draw()

    def _keep_drawing(self) -> None:
        wait, pace = LEAST, Pace(self._began)
        while not self._over.wait(wait):
            self.draw()
            wait = pace.wait(time.thread_time(), self._job_seconds, time.monotonic())

    def draw(self) -> None:
        with self._lock, suppress(OSError, ValueError):  # the terminal may be gone
            if not _is_ours(self._terminal):
                return
            size = os.get_terminal_size(self._terminal)
            width, height = size
            now = self._watched.look(time.monotonic())
            self._job_seconds = now.totals.cpu_seconds
            shown = lines(now, time.monotonic() - self._began, width, self._coloured)
            rows = enumerate(map(self._rendered, shown), height - ROWS + 1)
            self._write(
                self._reserved(size) + _SAVE + "".join(f"\x1b[{row};1H\x1b[K{line}" for row, line in rows) + _RESTORE
            )

    def _reserved(self, size: tuple[int, int]) -> str:
        """Where the terminal's size is a new one: scroll the lines below the program's free, and scroll above them."""
        if size == self._size:
            return ""
        leave = "" if self._size is None else _SAVE + _WHOLE + _RESTORE
        self._size = size
        return f"{leave}{_DOWN * ROWS}\x1b[{ROWS}A{_SAVE}\x1b[1;{size[1] - ROWS}r{_RESTORE}"

    def release(self) -> None:
        """The whole terminal scrolls again, and our lines are gone."""
        with self._lock, suppress(OSError, ValueError):
            if self._size is not None:
                _, height = self._size
                self._size = None
                self._write(f"{_SAVE}{_WHOLE}\x1b[{height - ROWS + 1};1H\x1b[J{_RESTORE}")

    def _rendered(self, line: Text) -> str:
        """As the console would print it, at a fifth of the time."""
        colours = COLOR_SYSTEMS[self._printer.color_system or ""] if self._coloured else None
        segments = (
            segment.style.render(segment.text, color_system=colours) if segment.style else segment.text
            for segment in line.render(self._printer)
        )
        return encodable("".join(segments), self._encoding)

    def _write(self, text: str) -> None:
        """One write, so that the program's own come before it or after it."""
        os.write(self._terminal, text.encode(self._encoding, "replace"))


def _is_ours(terminal: int) -> bool:
    """False while another program has the terminal: this one was put into the background."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # a terminal without jobs to control
        return True


@contextmanager
def _stopping(status: _Status) -> Iterator[None]:
    """Ctrl-Z gives the terminal back before this process stops; once it goes on, the lines are there again."""

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        status.pause(lambda: os.kill(os.getpid(), number))
        signal.signal(number, stop)

    before = signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)
