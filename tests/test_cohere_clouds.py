"""cohere's clients for AWS: the same calls, sent to another service, billed by it and told as its."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import cohere
import cohere.aws_client
import pytest

from conftest import Telemetry
from fakes.api_server import vector
from fakes.faults import Fault
from fakes.server import FakeServer, Received
from otel_embed.demo import wire
from otel_embed.demo.server import Answer
from spans import stages

MODEL = "cohere.embed-english-v3"
CREDENTIALS = {"aws_access_key": "AKID", "aws_secret_key": "secret", "aws_region": "us-east-1"}


class CloudServer(FakeServer):
    """Cohere's models as Bedrock and SageMaker serve them: the model in the path, the tokens in a header."""

    tokens: int | None = 7

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        texts, by_type = received.body["texts"], "embedding_types" in received.body
        vectors = [vector(text) for text in texts]
        body = {
            "id": "8a1f",
            "texts": texts,
            "embeddings": {"float": vectors} if by_type else vectors,
            "response_type": "embeddings_by_type" if by_type else "embeddings_floats",
        }
        headers = {"content-type": "application/json"}
        if self.tokens is not None:
            headers["x-amzn-bedrock-input-token-count"] = str(self.tokens)
        return Answer(fault.status, headers, wire.encode(body))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudServer]:
    with CloudServer() as server:
        monkeypatch.setattr(
            cohere.aws_client, "get_url", lambda *, model, **_: f"{server.origin}/model/{model}/invoke"
        )
        yield server


def embed(kind: str, model: str = MODEL) -> Any:
    client = getattr(cohere, kind)(**CREDENTIALS)
    forms = {"embedding_types": ["float"]} if kind.endswith("V2") else {}
    return client.embed(texts=["one two", "three"], model=model, input_type="search_document", **forms)


TELLS = tuple(int(part) for part in version("cohere").split(".")[:2]) >= (5, 6)
"""Whether this line of the client tells what the cloud's header says; older ones drop it."""
KINDS = [
    ("BedrockClient", "aws.bedrock"),
    ("BedrockClientV2", "aws.bedrock"),
    ("SagemakerClient", "aws.sagemaker"),
    ("SagemakerClientV2", "aws.sagemaker"),
]


@pytest.mark.parametrize(("kind", "provider"), [each for each in KINDS if hasattr(cohere, each[0])])
def test_a_call_is_told_as_the_clouds(telemetry: Telemetry, server: CloudServer, kind: str, provider: str) -> None:
    embed(kind)
    (span,) = telemetry.spans(f"embeddings {MODEL}")
    told = span.attributes
    tokens, source = (7, "reported") if TELLS else (4, "estimated")
    assert (told["gen_ai.provider.name"], told["otel_embed.input.count"]) == (provider, 2)
    assert (told["gen_ai.usage.input_tokens"], told["otel_embed.usage.source"]) == (tokens, source)
    assert told.get("otel_embed.cost.usd") == (tokens / 1e7 if provider == "aws.bedrock" else None)
    assert "wait" in stages(span)
    (duration,) = telemetry.metrics()["gen_ai.client.embeddings.duration"]
    assert duration.attributes["server.port"] == server.server_address[1], "where it went, not where it was to go"


def test_tokens_that_the_cloud_does_not_tell_are_estimated(telemetry: Telemetry, server: CloudServer) -> None:
    server.tokens = None
    embed("BedrockClient")
    (span,) = telemetry.spans()
    told = span.attributes
    assert (told["gen_ai.usage.input_tokens"], told["otel_embed.usage.source"]) == (4, "estimated")
