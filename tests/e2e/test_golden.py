"""Whole traces as a real receiver got them, by gRPC and by HTTP alike, against golden files.

The receiver compares them itself: resource, scope, tree, names, kinds, status and attributes, without what is of a
moment, of the machine, or of a library's minor version. To write the files anew, look at what changed, and commit it:

    GOLDEN=write .venv/bin/nox -s e2e -- -k golden
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from receiver import GOLDEN, Agent, running_agent

from otel_embed.demo.server import EmbeddingServer, RateLimit
from otel_embed.record import Stage
from programs import OTHERS

BIN = Path(sys.executable).parent
FILES = Path(__file__).with_name("golden")
WRITE = os.environ.get("GOLDEN") == "write"
PROGRAMS = {
    "openai_call": """
import openai

with openai.OpenAI(base_url=URL, api_key="x") as client:
    client.embeddings.create(model="text-embedding-3-small", input=["one two", "three"], encoding_format="float")
""",
    "cached_ingestion": """
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings

embedder = OpenAIEmbeddings(
    model="text-embedding-3-small", base_url=URL, api_key="x", check_embedding_ctx_length=False, max_retries=0
)
cached = CacheBackedEmbeddings.from_bytes_store(embedder, InMemoryByteStore(), key_encoder="sha256")
cached.embed_documents(["one two", "three"])
cached.embed_documents(["one two", "three four five"])
cached.embed_documents(["three"])
""",
    "chat_chain": """
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

chat = ChatOpenAI(model="gpt-4o-mini", base_url=URL, api_key="x", max_retries=0)
(ChatPromptTemplate.from_template("Is it {what}? It is {what}.") | chat | StrOutputParser()).invoke({"what": "so"})
""",
    "failed_after_retries": """
import openai

with openai.OpenAI(base_url=URL, api_key="x", max_retries=2) as client:
    try:
        client.embeddings.create(model="text-embedding-3-small", input="one", encoding_format="float")
    except openai.RateLimitError:
        pass
    else:
        raise AssertionError
""",
}
VOLATILE = [
    "version",  # of the scope
    "flags",
    "startTimeUnixNano",
    "endTimeUnixNano",
    *(
        f"meta.{name}"
        for name in (
            "service.instance.id",
            "telemetry.auto.version",
            "telemetry.sdk.version",
            "server.port",
            "http.request.body.size",
            "http.response.body.size",
            "otel_embed.server.duration",
            "otel_embed.output.rate",
            "otel_embed.rate_limit.remaining.requests",
            "otel_embed.rate_limit.remaining.tokens",
            "gen_ai.response.id",
            *(f"otel_embed.stage.{stage}.duration" for stage in get_args(Stage)),
        )
    ),
]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    if WRITE:
        for file in FILES.glob(f"*{GOLDEN}"):
            file.unlink()
    with running_agent(tmp_path_factory.mktemp("agent"), WRITE) as agent:
        yield agent


@cache
def send(agent: Agent, name: str, protocol: str) -> str:
    """Run a program under ``opentelemetry-instrument``; the session with what it sent."""
    session = f"{name}-{protocol.partition('/')[0]}"
    agent.begin(session)
    env = {each: value for each, value in os.environ.items() if not each.startswith("OTEL_")} | {
        "OTEL_SERVICE_NAME": "golden",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": agent.endpoint(protocol),
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-datadog-test-session-token={session}",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_EMBED_STAGE_SPANS": "never",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(OTHERS),
    }
    limit = RateLimit(1, retry_after=0.01) if name == "failed_after_retries" else None
    with EmbeddingServer(rate_limit=limit) as server:
        source = PROGRAMS[name].replace("URL", repr(server.url))
        command = [BIN / "opentelemetry-instrument", sys.executable, "-c", source]
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    return session


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_traces_are_as_in_the_golden_file(agent: Agent, name: str, protocol: str) -> None:
    assert agent.compare(send(agent, name, protocol), FILES / f"{name}{GOLDEN}", VOLATILE) == ""


def test_a_difference_is_found(agent: Agent, tmp_path: Path) -> None:
    session = send(agent, "openai_call", "grpc")
    golden = json.loads((FILES / f"openai_call{GOLDEN}").read_text())
    (span,) = golden["resourceSpans"][0]["scopeSpans"][0]["spans"]
    span["attributes"] = [each for each in span["attributes"] if each["key"] != "otel_embed.cost.usd"]
    other = tmp_path / f"other{GOLDEN}"
    other.write_text(json.dumps(golden))
    assert '"key": "otel_embed.cost.usd"' in agent.compare(session, other, VOLATILE)
