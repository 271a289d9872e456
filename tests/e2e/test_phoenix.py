"""An independent reader of our spans: Arize Phoenix, which takes OTLP and knows OpenTelemetry's convention.

Its dependencies want an environment of their own: ``PHOENIX`` is the path of the program in it. ``make e2e`` sets that
up; by hand it is ``pip install arize-phoenix`` in a new environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from monitoring import eventually, phoenix

from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import EmbeddingServer

BIN = Path(sys.executable).parent
MODEL = "text-embedding-3-small"
PROGRAM = f"""
import sys
import openai
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings

embedder = OpenAIEmbeddings(model={MODEL!r}, base_url=sys.argv[1], api_key="x", check_embedding_ctx_length=False)
cached = CacheBackedEmbeddings.from_bytes_store(embedder, InMemoryByteStore(), key_encoder="sha256")
cached.embed_documents(["one two", "three"])
cached.embed_documents(["one two", "three four five"])
with openai.OpenAI(base_url=sys.argv[1], api_key="x", max_retries=0) as client:
    try:
        client.embeddings.create(model={MODEL!r}, input="")
    except openai.BadRequestError:
        pass
"""


class Read(NamedTuple):
    spans: list[dict[str, Any]]
    billed: Mapping[str, Bill]

    def named(self, name: str) -> list[dict[str, Any]]:
        return sorted((span for span in self.spans if span["name"] == name), key=lambda span: str(span["start_time"]))


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """What Phoenix says of a program's spans."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHON"))}
    with phoenix(tmp_path_factory.mktemp("phoenix")) as origin, EmbeddingServer() as server:
        variables = kept | {
            "OTEL_SERVICE_NAME": "ingest", "OTEL_METRICS_EXPORTER": "none", "OTEL_EMBED_STAGE_SPANS": "always",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT": origin,
        }  # fmt: skip
        command = [BIN / "opentelemetry-instrument", sys.executable, "-c", PROGRAM, server.url]
        ran = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
        spans: list[dict[str, Any]] = []

        def arrived() -> bool:
            with urllib.request.urlopen(f"{origin}/v1/projects/default/spans?limit=1000", timeout=5) as answer:
                spans[:] = json.load(answer)["data"]
            return sum(span["span_kind"] == "EMBEDDING" for span in spans) == 3

        eventually(arrived, lambda: [span["name"] for span in spans])
        yield Read(list(spans), server.billed.by_model)


def test_it_takes_calls_for_embeddings_and_nothing_else(read: Read) -> None:
    assert {span["name"] for span in read.spans if span["span_kind"] == "EMBEDDING"} == {f"embeddings {MODEL}"}


def test_it_reads_the_model_the_provider_and_the_tokens(read: Read) -> None:
    first, second, failed = read.named(f"embeddings {MODEL}")
    for span in (first, second):
        assert span["attributes"]["embedding.model_name"] == MODEL
        assert span["attributes"]["llm.provider"] == "openai"
        assert span["status_code"] == "UNSET"
    assert [span["attributes"]["llm.token_count.prompt"] for span in (first, second)] == [3, 3]
    assert read.billed[MODEL].tokens == 6
    assert (failed["status_code"], failed["attributes"]["error.type"]) == ("ERROR", "400")
    assert "llm.token_count.prompt" not in failed["attributes"]


def test_it_reads_the_tree(read: Read) -> None:
    names = {span["context"]["span_id"]: span["name"] for span in read.spans}
    tree = {(names.get(span["parent_id"]), span["name"]) for span in read.spans}
    cached, embedder = (f"embed_documents {name}" for name in ("CacheBackedEmbeddings", "OpenAIEmbeddings"))
    call = f"embeddings {MODEL}"
    assert {(None, cached), (cached, embedder), (embedder, call), (None, call)} <= tree
    assert {(call, f"embeddings.{stage}") for stage in ("serialize", "wait", "deserialize")} <= tree
    assert {(cached, "embeddings.cache_lookup"), (cached, "embeddings.cache_write")} <= tree


def test_cost_and_cache_are_there_to_be_seen(read: Read) -> None:
    first, second, _ = read.named(f"embeddings {MODEL}")
    cost = sum(span["attributes"]["otel_embed.cost.usd"] for span in (first, second))
    assert cost == pytest.approx(6 * 0.02e-6, rel=1e-9)
    caches = [span["attributes"] for span in read.named("embed_documents CacheBackedEmbeddings")]
    assert [(each["otel_embed.cache.hits"], each["otel_embed.cache.misses"]) for each in caches] == [(0, 2), (1, 1)]
