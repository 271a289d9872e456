"""A stand-in for an embeddings endpoint, for trying things without a key or a network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def bundled_server(*options: str) -> Iterator[str]:
    """Run ``otel_embed.demo.server`` in a process of its own for as long as the block lasts; gives its base URL.

    ``options`` are that module's command line options. A process, because a thread would compete with
    the application for the interpreter and show up in its timings.
    """
    command = [sys.executable, "-m", "otel_embed.demo.server", "--stop-with-stdin", *options]
    # In place of the PYTHONPATH by which opentelemetry-instrument would instrument this process too.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("the bundled embeddings server did not start: see its message above")
        yield url
