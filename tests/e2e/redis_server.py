"""A real Redis that a test starts on a port of its own: ``apt-get install --no-install-recommends redis-server``."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Its URL; it keeps nothing."""
    program = shutil.which("redis-server")
    assert program, "the redis-server program is missing: apt-get install --no-install-recommends redis-server"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
               "--dir", str(folder), "--loglevel", "warning"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait(port)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait(port: int) -> None:
    with redis.Redis(port=port) as client:
        for _ in range(200):
            try:
                client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.05)
    raise AssertionError("redis-server does not answer after ten seconds")
