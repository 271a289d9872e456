"""``opentelemetry-instrument`` and ``otel-embed run`` on a program that knows of neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakes.openai_server import OpenAIServer

BIN = Path(sys.executable).parent
PROGRAM = """
import sys
from openai import OpenAI
with OpenAI(base_url=sys.argv[1], api_key="x") as client:
    for _ in range(3):
        client.embeddings.create(model="text-embedding-3-small", input=["one two", "three"])
print("the program's own output")
"""


def test_opentelemetry_instrument_sees_every_call(server: OpenAIServer, tmp_path: Path) -> None:
    env = {
        **os.environ,
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    command = [
        BIN / "opentelemetry-instrument",
        "--embed_stage_spans",
        "never",
        sys.executable,
        "-c",
        PROGRAM,
        server.url,
    ]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout.count('"name": "embeddings text-embedding-3-small"') == 3


def test_otel_embed_run_reports_and_passes_everything_through(server: OpenAIServer, tmp_path: Path) -> None:
    began = time.monotonic()
    command = [
        BIN / "otel-embed",
        "run",
        "--json",
        "r.json",
        "--html",
        "r.html",
        "--",
        sys.executable,
        "-c",
        PROGRAM,
        server.url,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout == "the program's own output\n"
    assert "text-embedding-3-small" in ran.stderr
    (provider,) = json.loads((tmp_path / "r.json").read_text())["providers"]
    assert (provider["calls"], provider["inputs"], provider["tokens"]["reported"]) == (3, 6, 9)
    assert "<svg" in (tmp_path / "r.html").read_text()
    assert time.monotonic() - began < 60
    code = subprocess.run(
        [BIN / "otel-embed", "run", "--", sys.executable, "-c", "raise SystemExit(7)"], capture_output=True
    )
    assert code.returncode == 7


EXPORTERS = """
import atexit, sys, time
print(any(name == "grpc" or name.startswith("opentelemetry.exporter.") for name in sys.modules))
atexit.register(lambda: print(time.time()))  # before the SDK's own
"""
"""Says whether anything is loaded that could export, and when the program's own part is over."""


@pytest.mark.parametrize("endpoint", [None, ""])
def test_otel_embed_run_tries_no_collector_that_nobody_named(
    endpoint: str | None, server: OpenAIServer, tmp_path: Path
) -> None:
    """As the SDK's default does, under ``opentelemetry-instrument``: localhost:4317, and 13 s at exit without one."""
    env = _without_settings() | ({} if endpoint is None else {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
    command = [BIN / "otel-embed", "run", "--", sys.executable, "-c", PROGRAM + EXPORTERS, server.url]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=tmp_path)
    output, loaded, ended = ran.stdout.splitlines()
    assert (output, loaded) == ("the program's own output", "False")
    assert time.time() - float(ended) < 5
    assert "text-embedding-3-small" in ran.stderr


def test_otel_embed_run_loads_an_exporter_where_a_collector_is_named(tmp_path: Path) -> None:
    env = _without_settings() | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    command = [BIN / "otel-embed", "run", "--", sys.executable, "-c", EXPORTERS]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout.splitlines()[0] == "True"


def _without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
