"""Runs a program as a child that inherits the terminal, and stays out of its way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SITE = Path(__file__).parent / "site"
"""Holds the sitecustomize.py that switches instrumentation on in every Python process of the program."""

_FROM_TERMINAL = ("SIGINT", "SIGQUIT")
_FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_SIGNALS = ("TRACES", "METRICS", "LOGS")


def environment(current: Mapping[str, str], report_directory: str) -> dict[str, str]:
    """The program's environment: ``current``, with instrumentation on and summaries written to ``report_directory``.

    A signal (traces, metrics, logs) for which ``current`` names neither an exporter nor an endpoint is exported nowhere:
    the default is a collector on localhost, and without one each program would wait for it at exit.
    """
    env = dict(current)
    env["OTEL_EMBED_REPORT_DIR"] = report_directory
    paths = env.get("PYTHONPATH")
    env["PYTHONPATH"] = f"{SITE}{os.pathsep}{paths}" if paths else str(SITE)
    for name in _SIGNALS:
        if not (env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or env.get(f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT")):
            env.setdefault(f"OTEL_{name}_EXPORTER", "none")
    return env


def run(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run ``command`` to its end and return its exit code, 128 + n where signal n ended it, as a shell does.

    Raises OSError where it cannot be started.
    """
    started: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def deliver(number: int, _: FrameType | None) -> None:
        if not started:
            early.append(number)
        elif not (signal.Signals(number).name in _FROM_TERMINAL and _in_foreground()):
            started[0].send_signal(number)

    with _handled(deliver):
        process = subprocess.Popen(command, env=env, close_fds=False)  # a shell passes files on: cat <(...)
        started.append(process)
        for number in early:
            process.send_signal(number)
        code = process.wait()
    return 128 - code if code < 0 else code


def _in_foreground() -> bool:
    """True where Ctrl-C reaches the child without us: the terminal sends it to the whole foreground process group."""
    if sys.platform == "win32":
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handlers, and not SIG_IGN: a child inherits that a signal is ignored, but no handler."""
    numbers = [getattr(signal, name) for name in _FROM_TERMINAL + _FORWARDED if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: previous for number, previous in before.items() if previous not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
