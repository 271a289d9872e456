"""Nothing takes the telemetry: with what collector-config/README.md recommends, a program ends when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from documents import ROOT
from fakes.otlp import closed_port
from otel_embed.demo.server import EmbeddingServer

BIN = Path(sys.executable).parent
SETTING = "OTEL_EXPORTER_OTLP_TIMEOUT=1"
PROGRAM = """
import sys, time
import openai

with openai.OpenAI(base_url=sys.argv[1], api_key="x") as client:
    client.embeddings.create(model="text-embedding-3-small", input=["one two"], encoding_format="float")
print(time.time())
"""


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_program_ends_within_seconds_and_says_why_in_a_line_or_two_for_each_signal(protocol: str) -> None:
    assert SETTING in (ROOT / "collector-config" / "README.md").read_text()
    name, _, value = SETTING.partition("=")
    kept = {each: what for each, what in os.environ.items() if not each.startswith("OTEL_")}
    variables = kept | {
        name: value,
        "OTEL_SERVICE_NAME": "ingest",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{closed_port()}",
    }
    with EmbeddingServer() as server:
        command = [BIN / "opentelemetry-instrument", sys.executable, "-c", PROGRAM, server.url]
        ran = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
        ended = time.time()
    assert ran.returncode == 0
    assert ended - float(ran.stdout) < 3.0, "it took ten with the default of ten seconds"
    said = ran.stderr.splitlines()
    assert 1 <= len(said) <= 4
    assert all(line.startswith(("Failed to export ", "Transient error ")) for line in said), said
