"""``opentelemetry-instrument`` and ``otel-embed run`` on a program that knows of neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

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
