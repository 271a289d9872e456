"""Celery's forked workers on a real Redis: what they call is seen and billed once, and flushed when they end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from redis_server import redis_server

from fakes.openai_server import OpenAIServer
from fakes.otlp import HttpReceiver
from programs import BIN, COMMON, check, environment, launch

TASKS = """
from celery import Celery
from celery.signals import worker_process_shutdown
app = Celery(broker=os.environ["TEST_REDIS"], backend=os.environ["TEST_REDIS"])
app.conf.broker_connection_retry_on_startup = True
with client() as it:
    embed(it, 9)  # by whoever imports this, before it forks
@app.task
def work(words):
    with client() as it:
        embed(it, words)
    return os.getpid(), otel_embed.summary().calls
@worker_process_shutdown.connect
def end(**_):
    flush()
"""
ASK = """
from celery import group
import tasks
answers = group(tasks.work.s(words) for words in range(1, 21))().get(timeout=40)
calls = {}
for process, seen in answers:
    calls[process] = max(seen, calls.get(process, 0))
say(sum(calls.values()), len(calls), os.getpid() in calls)
"""


def test_prefork(server: OpenAIServer, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(COMMON + TASKS)
    (tmp_path / "ask.py").write_text(COMMON + ASK)
    instrument = str(BIN / "opentelemetry-instrument")
    worker = [instrument, str(BIN / "celery"), "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "2",
              "--loglevel", "warning", "--without-mingle", "--without-gossip"]  # fmt: skip
    with redis_server(tmp_path) as url, HttpReceiver() as collector:
        environ = {**environment(server, collector, tmp_path), "TEST_REDIS": url}
        with subprocess.Popen(worker, env=environ, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            try:
                out, _ = launch(environ, tmp_path, instrument, sys.executable, "ask.py")
            finally:
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert out == "20 2 False\n", "no worker counts what was called before the fork"
        check(collector, server, 22)
