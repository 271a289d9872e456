"""A program in a terminal of its own: a real pseudo-terminal, and a screen that draws what it is told to."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyte

_SHELL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while os.WIFSTOPPED(status := os.waitpid(job, os.WUNTRACED)[1]):
    os.tcsetpgrp(0, os.getpgrp())
    os.write(1, b"[1]+ Stopped\\r\\n")
    os.read(0, 99)
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""As much of a shell as has a job in the foreground, and in the background after Ctrl-Z until a line is typed."""
PATIENCE = 30.0


class Terminal:
    def __init__(self, width: int, height: int) -> None:
        self.ours, self.theirs = pty.openpty()
        self.resize(width, height)
        self.screen = pyte.HistoryScreen(width, height, history=10_000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.process: subprocess.Popen[bytes] | None = None

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    @property
    def lines(self) -> list[str]:
        """What can be seen."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def all_lines(self) -> list[str]:
        """What has scrolled away, and what can be seen."""
        gone = ["".join(row[column].data for column in range(self.screen.columns)) for row in self.screen.history.top]
        return [line.rstrip() for line in gone] + self.lines

    def read(self, seconds: float) -> bool:
        """Take in what comes; false once the terminal is closed."""
        if not select.select([self.ours], [], [], seconds)[0]:
            return True
        try:
            chunk = os.read(self.ours, 65536)
        except OSError:
            return False
        self.raw += chunk
        self._stream.feed(chunk)
        return bool(chunk)

    def until(self, seen: Callable[[Terminal], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not seen(self):
            assert time.monotonic() < deadline, "\n".join(self.all_lines)
            assert self.read(0.05) or seen(self), "\n".join(self.all_lines)

    def end(self) -> int:
        """The exit code, once all is read."""
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE
        while self.read(0.1):
            assert time.monotonic() < deadline, "\n".join(self.all_lines)
        return self.process.wait(timeout=PATIENCE)


@contextmanager
def terminal(
    command: list[str], folder: Path, env: Mapping[str, str], width: int = 100, height: int = 24
) -> Iterator[Terminal]:
    """``command`` as the foreground job of a terminal that is its own."""
    shown = Terminal(width, height)
    with subprocess.Popen(
        [sys.executable, "-c", _SHELL, *command],
        stdin=shown.theirs, stdout=shown.theirs, stderr=shown.theirs, env=dict(env), cwd=folder, start_new_session=True,
    ) as process:  # fmt: skip
        shown.process = process
        os.close(shown.theirs)
        try:
            yield shown
        finally:
            if process.poll() is None:
                process.kill()
            os.close(shown.ours)
