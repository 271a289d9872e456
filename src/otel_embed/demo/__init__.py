"""A stand-in for an embeddings endpoint, for trying things without a key or a network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bundled_server(*options: str) -> Iterator[str]:
    """Run ``otel_embed.demo.server`` in a process of its own for as long as the block lasts; gives its base URL.

    ``options`` are that module's command line options. A process, because a thread would compete with
    the application for the interpreter and show up in its timings.
    """
    # -E drops PYTHONPATH, by which opentelemetry-instrument would instrument this process too.
    command = [sys.executable, "-E", "-m", "otel_embed.demo.server", "--stop-with-stdin", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("the bundled embeddings server did not start: see its message above")
        yield url
