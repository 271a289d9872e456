"""Haystack's embedders, of whichever line is installed, alone and in a pipeline, over the real openai client."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import openai
import pytest
from haystack import Document, Pipeline
from haystack.components.embedders import (
    AzureOpenAITextEmbedder,
    OpenAIDocumentEmbedder,
    OpenAITextEmbedder,
)
from haystack.utils import Secret

import otel_embed
from conftest import Telemetry, run
from fakes.distributions import distribution
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from spans import told

SMALL = "text-embedding-3-small"
asynchronous = pytest.mark.skipif(
    not hasattr(OpenAITextEmbedder, "run_async"), reason="this line's embedders have no run_async"
)
"""Both ways of running a component."""
WAYS = [False, pytest.param(True, marks=asynchronous)]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")


def embedder(kind: Any, server: OpenAIServer, **options: Any) -> Any:
    return kind(model=SMALL, api_base_url=server.url, **options)


def call(it: Any, asynchronously: bool, **content: Any) -> Any:
    return run(it.run_async(**content)) if asynchronously else it.run(**content)


def tree(telemetry: Telemetry) -> set[tuple[str, str]]:
    """Each span's name, and that of the span around it."""
    names = {span.context.span_id: span.name for span in telemetry.spans()}
    return {(names[span.parent.span_id] if span.parent else "", span.name) for span in telemetry.spans()}


@pytest.mark.parametrize("asynchronously", WAYS)
def test_a_text_is_a_call_over_the_clients(telemetry: Telemetry, server: OpenAIServer, asynchronously: bool) -> None:
    result = call(embedder(OpenAITextEmbedder, server), asynchronously, text="one two")
    otel_embed.uninstrument()
    assert call(embedder(OpenAITextEmbedder, server), asynchronously, text="one two") == result
    name = f"run{'_async' * asynchronously} OpenAITextEmbedder"
    assert tree(telemetry) == {("", name), (name, f"embeddings {SMALL}")}
    (whole,) = telemetry.spans(name)
    assert whole.kind.name == "INTERNAL" and whole.status.status_code.name == "UNSET"
    assert told(whole) == {"otel_embed.framework": "haystack", "otel_embed.input.count": 1}
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == 2 == server.billed.tokens / 2


@pytest.mark.parametrize("asynchronously", WAYS)
def test_documents_are_one_call_and_a_client_call_a_batch(
    telemetry: Telemetry, server: OpenAIServer, asynchronously: bool
) -> None:
    it = embedder(OpenAIDocumentEmbedder, server, batch_size=2, progress_bar=False)
    found = call(it, asynchronously, documents=[Document(content=text) for text in ("one two", "three", "four")])
    assert [len(document.embedding) for document in found["documents"]] == [1536] * 3
    assert found["meta"]["usage"]["prompt_tokens"] == 4
    (whole,) = [span for span in telemetry.spans() if span.parent is None]
    assert told(whole) == {"otel_embed.framework": "haystack", "otel_embed.input.count": 3}
    assert len(telemetry.spans(f"embeddings {SMALL}")) == server.billed.requests == 2
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 4
    assert telemetry.total("otel_embed.cost") == 4 * 20_000 / 1e12
    (point,) = telemetry.metrics()["otel_embed.framework.duration"]
    assert dict(point.attributes) == {
        "otel_embed.framework": "haystack",
        "otel_embed.framework.class": "OpenAIDocumentEmbedder",
        "otel_embed.cache.outcome": "none",
    }


def test_without_documents_no_provider_is_asked(telemetry: Telemetry, server: OpenAIServer) -> None:
    embedder(OpenAIDocumentEmbedder, server).run(documents=[])
    assert server.requests == []
    assert otel_embed.summary().calls == 0 and len(telemetry.spans()) == 1


def test_azures_embedder_is_seen_by_its_own_name(telemetry: Telemetry, server: OpenAIServer) -> None:
    it = AzureOpenAITextEmbedder(
        azure_endpoint=server.url.removesuffix("/v1"), azure_deployment=SMALL, api_key=Secret.from_token("x")
    )
    it.run(text="one two")
    leaf, whole = telemetry.spans()
    assert whole.name == "run AzureOpenAITextEmbedder"
    assert leaf.attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 2


def test_a_pipeline_runs_as_before(telemetry: Telemetry, server: OpenAIServer) -> None:
    it = Pipeline()
    it.add_component("embedder", embedder(OpenAITextEmbedder, server))
    for each in (it, Pipeline.from_dict(it.to_dict())):
        assert len(each.run({"embedder": {"text": "one"}})["embedder"]["embedding"]) == 1536
    assert len(telemetry.spans("run OpenAITextEmbedder")) == 2


def test_failures_pass_through(telemetry: Telemetry, server: OpenAIServer) -> None:
    server.script([Fault(status=401)])
    with pytest.raises(openai.AuthenticationError):
        embedder(OpenAITextEmbedder, server).run(text="secret")
    with pytest.raises(TypeError):
        embedder(OpenAITextEmbedder, server).run(text=["no", "text"])
    refused, wrong = telemetry.spans("run OpenAITextEmbedder")
    assert (refused.attributes["error.type"], refused.attributes["otel_embed.error.cause"]) == ("401", "authentication")
    assert wrong.attributes["error.type"] == "TypeError"


ACME = """
from haystack import component

@component
class AcmeTextEmbedder:
    model = "acme-1"

    @component.output_types(embedding=list, meta=dict)
    def run(self, text: str):
        return {"embedding": [0.5] * 4, "meta": {"model": "acme-1.1", "usage": {"prompt_tokens": 7}}}
"""
DECLARED = """
from otel_embed.frameworks import haystack
from otel_embed.provider import Provider

PROVIDER = Provider(
    "acme_haystack", "acme-haystack>=1,<2", calls=haystack.embedders("acme_haystack:AcmeTextEmbedder")
)
"""


def test_an_embedder_of_another_package_can_be_declared(
    telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"acme_haystack.py": ACME, "acme_declared.py": DECLARED}
    distribution(tmp_path, "acme-haystack", "1.0", files, "[otel_embed_provider]\nacme = acme_declared:PROVIDER\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    telemetry.instrument()
    embedder: Any = import_module("acme_haystack").AcmeTextEmbedder()
    assert embedder.run(text="one two")["embedding"] == [0.5] * 4
    (span,) = telemetry.spans("run AcmeTextEmbedder")
    assert told(span) == {
        "otel_embed.framework": "haystack",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "acme_haystack",
        "gen_ai.request.model": "acme-1",
        "gen_ai.response.model": "acme-1.1",
        "gen_ai.embeddings.dimension.count": 4,
        "gen_ai.usage.input_tokens": 7,
        "otel_embed.input.count": 1,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "reported",
    }
