"""Bedrock's embedding models through the real boto3 and aiobotocore: what is asked, of which model."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedrock_clients import COHERE, NOVA, TEXT, TITAN, call, connect, each_client, invoke
from conftest import Telemetry
from fakes.bedrock_server import TOKENS, BedrockServer
from fakes.faults import Fault
from otel_embed.providers import bedrock_bodies

IMAGE = "amazon.titan-embed-image-v1"
ARN = "arn:aws:bedrock:us-east-1"
PROFILE = f"{ARN}:111122223333:application-inference-profile/a1b2c3d4e5f6"
PICTURE = base64.b64encode(bytes(range(256))).decode()


@pytest.fixture
def server() -> Iterator[BedrockServer]:
    with BedrockServer() as server:
        yield server


@each_client
def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, server: BedrockServer, client: str) -> None:
    raw = invoke(server, body={**TEXT, "dimensions": 256, "embeddingTypes": ["float"]}, client=client)
    attributes = call(telemetry)
    stages = {name.split(".")[2]: attributes.pop(name) for name in list(attributes) if ".stage." in name}
    (span,) = telemetry.spans()
    assert (span.name, span.kind.name, span.status.status_code.name) == (f"embeddings {TITAN}", "CLIENT", "UNSET")
    assert attributes == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": TITAN,
        "gen_ai.request.encoding_formats": ("float",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.embeddings.dimension.count": 256,
        "server.address": "127.0.0.1",
        "server.port": server.server_address[1],
        "http.request.body.size": int(server.requests[0].headers["content-length"]),
        "http.response.body.size": len(raw),
        "otel_embed.input.count": 1,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "reported",
        "otel_embed.cost.usd": 6e-08,
        "otel_embed.cost.source": "table",
        "otel_embed.server.duration": 0.012,
    }
    assert stages.keys() >= {"serialize", "acquire", "connect", "send", "wait", "receive"}
    assert sum(stages.values()) == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1e-6)
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 3
    assert telemetry.total("otel_embed.cost") == 6e-08


# ---- what is asked


def content(*parts: str) -> dict[str, Any]:
    """One input of Cohere's v4, of texts and of images."""
    forms = {"image": {"type": "image_url", "image_url": f"data:image/png;base64,{PICTURE}"}}
    return {"content": [forms.get(part) or {"type": "text", "text": part} for part in parts]}


def cohere(**fields: Any) -> dict[str, Any]:
    return {"input_type": "search_document", **fields}


def nova(**fields: Any) -> dict[str, Any]:
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX", **fields}}


SOURCE = {"format": "png", "source": {"bytes": PICTURE}}
V4 = "us.cohere.embed-v4:0"
BODIES = [
    ("amazon.titan-embed-text-v1", TEXT, 1, "text", 1536, 3e-07),
    (TITAN, TEXT, 1, "text", 1024, 6e-08),
    (TITAN, json.dumps(TEXT).encode(), 1, "text", 1024, 6e-08),
    (TITAN, bytearray(json.dumps(TEXT).encode()), 1, "text", 1024, 6e-08),
    (IMAGE, TEXT, 1, "text", 1024, 2.4e-06),
    (IMAGE, {"inputImage": PICTURE}, 1, "image", 1024, 6e-05),
    (IMAGE, {**TEXT, "inputImage": PICTURE}, 1, "mixed", 1024, 6.24e-05),
    (IMAGE, {"inputImage": PICTURE, "embeddingConfig": {"outputEmbeddingLength": 384}}, 1, "image", 384, 6e-05),
    (COHERE, cohere(texts=["one two", "three"]), 2, "text", 1024, 3e-07),
    (COHERE, cohere(images=[f"data:image/png;base64,{PICTURE}"]), 1, "image", 1024, None),
    (V4, cohere(texts=["one", "two"], output_dimension=512), 2, "text", 512, 2.4e-07),
    (V4, cohere(inputs=[content("one"), content("two", "three")]), 2, "text", 1536, 3.6e-07),
    (V4, cohere(inputs=[content("one", "image"), content("two")]), 2, "mixed", 1536, None),
    (V4, cohere(inputs=[content("image")]), 1, "image", 1536, None),
    (NOVA, nova(text={"truncationMode": "END", "value": "one two"}), 1, "text", 3072, 2.7e-07),
    (NOVA, nova(image={"detailLevel": "STANDARD_IMAGE", **SOURCE}, embeddingDimension=384), 1, "image", 384, 6e-05),
    (NOVA, nova(image={"detailLevel": "DOCUMENT_IMAGE", **SOURCE}), 1, "image", 3072, None),
    (NOVA, nova(audio={"format": "mp3", "source": {"bytes": PICTURE}}), 1, None, 3072, None),
]


@pytest.mark.parametrize(("model", "body", "inputs", "kind", "dimensions", "cost"), BODIES)
def test_each_familys_body_is_read(
    telemetry: Telemetry,
    server: BedrockServer,
    model: str,
    body: Any,
    inputs: int,
    kind: str | None,
    dimensions: int,
    cost: float | None,
) -> None:
    invoke(server, model, body)
    found = call(telemetry)
    assert (found["otel_embed.input.count"], found.get("otel_embed.input.kind")) == (inputs, kind)
    assert found["gen_ai.embeddings.dimension.count"] == dimensions
    assert found.get("otel_embed.cost.usd") == (None if cost is None else pytest.approx(cost))
    assert telemetry.total("otel_embed.unpriced") == (cost is None)
    assert found.get("gen_ai.usage.input_tokens", 0) == server.billed.tokens


def test_tokens_that_are_counted_of_an_image_are_not_billed_beside_it(telemetry: Telemetry, server: BedrockServer) -> None:
    server.script([Fault(headers={TOKENS: "258"})])
    invoke(server, IMAGE, {"inputImage": PICTURE})
    found = call(telemetry)
    assert (found["gen_ai.usage.input_tokens"], found["otel_embed.cost.usd"]) == (258, 6e-05)


LARGE = PICTURE * (bedrock_bodies.PARSED // len(PICTURE) + 1)
MANY = ["word " * 50] * (bedrock_bodies.PARSED // 250)


@pytest.mark.parametrize(("model", "body", "inputs", "kind", "cost"), [
    (IMAGE, {"inputImage": LARGE, "embeddingConfig": {}}, 1, "image", 6e-05),
    (IMAGE, {**TEXT, "inputImage": LARGE}, 1, "mixed", 6.24e-05),
    (NOVA, nova(image={"format": "png", "source": {"bytes": LARGE}}), 1, "image", 6e-05),
    (NOVA, nova(image={"detailLevel": "DOCUMENT_IMAGE", "source": {"bytes": LARGE}}), 1, "image", None),
    (NOVA, nova(video={"format": "mp4", "source": {"bytes": LARGE}}), 1, None, None),
    (COHERE, cohere(texts=MANY), None, "text", 50 * len(MANY) * 1e-7),
    (V4, cohere(images=[LARGE]), None, "image", None),
    (V4, cohere(inputs=[content(LARGE)]), None, None, None),
])  # fmt: skip
def test_of_a_huge_body_only_the_ends_are_looked_at(
    telemetry: Telemetry,
    server: BedrockServer,
    model: str,
    body: Any,
    inputs: int | None,
    kind: str | None,
    cost: float | None,
) -> None:
    invoke(server, model, body)
    found = call(telemetry)
    assert (found.get("otel_embed.input.count"), found.get("otel_embed.input.kind")) == (inputs, kind)
    assert found.get("otel_embed.cost.usd") == (None if cost is None else pytest.approx(cost))


def test_a_body_in_a_file_is_left_alone(telemetry: Telemetry, server: BedrockServer) -> None:
    body = io.BytesIO(json.dumps(TEXT).encode())
    invoke(server, TITAN, body)
    found = call(telemetry)
    assert server.requests[0].body == TEXT
    assert found["gen_ai.usage.input_tokens"] == 3 and "otel_embed.input.count" not in found
    assert "otel_embed.cost.usd" not in found, "an image may have been in it"


FIELDS = ["inputText", "inputImage", "embeddingConfig", "outputEmbeddingLength", "texts", "images", "inputs", "content",
          "type", "text", "image", "input_type", "embedding_types", "embeddingTypes", "output_dimension", "dimensions",
          "singleEmbeddingParams", "value", "detailLevel", "audio", "embeddingDimension", "image_url"]  # fmt: skip
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(FIELDS)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(FIELDS), inner, min_size=1, max_size=5)
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(ANYTHING, st.sampled_from(["whole", "cut", "bytes", "bom"]))
def test_a_body_may_be_anything(body: Any, form: str) -> None:
    raw: Any = json.dumps(body)
    raw = {"whole": raw, "cut": raw[: len(raw) // 2], "bytes": raw.encode(), "bom": b"\xff\xfe" + raw.encode()}[form]
    bedrock_bodies.asks_for_vectors(raw)
    found = bedrock_bodies.read(raw)
    assert found.inputs is None or found.inputs > 0
    assert found.dimensions is None or found.dimensions > 0
    assert found.media is None or all(amount > 0 for _, amount in found.media)


def test_a_body_nested_too_deeply_to_be_parsed_is_not_known() -> None:
    assert bedrock_bodies.read("[" * 100_000) == bedrock_bodies.Asked()


# ---- which model


@pytest.mark.parametrize("model", [
    TITAN, f"{ARN}::foundation-model/{TITAN}", "us.cohere.embed-v4:0", "global.cohere.embed-v4:0",
    f"{ARN}:111122223333:inference-profile/eu.cohere.embed-v4:0", "amazon.titan-embed-g1-text-02",
])  # fmt: skip
def test_a_model_has_its_price_by_each_of_its_names(telemetry: Telemetry, server: BedrockServer, model: str) -> None:
    invoke(server, model, cohere(texts=["one"]) if "cohere" in model else TEXT)
    found = call(telemetry)
    assert found["gen_ai.request.model"] == model and found["otel_embed.cost.usd"] > 0


@pytest.mark.parametrize("model", [
    PROFILE, f"{ARN}:111122223333:provisioned-model/a1b2c3", f"{ARN}:111122223333:custom-model-deployment/a1b2",
])  # fmt: skip
@pytest.mark.parametrize("body", [
    TEXT, {"dimensions": 256, **TEXT}, cohere(texts=["one two three"]), nova(text={"value": "one two three"})
])  # fmt: skip
def test_a_name_that_tells_no_model_is_known_by_what_is_asked(
    telemetry: Telemetry, server: BedrockServer, model: str, body: Any
) -> None:
    invoke(server, model, body)
    found = call(telemetry)
    assert (found["gen_ai.request.model"], found["gen_ai.usage.input_tokens"]) == (model, 3)
    assert "otel_embed.cost.usd" not in found and telemetry.total("otel_embed.unpriced") == 1


MESSAGES = {"anthropic_version": "bedrock-2023-05-31", "messages": [{"role": "user", "content": "inputText"}]}
RERANK = {"query": "q", "documents": ["one"], "api_version": 2}


@pytest.mark.parametrize(("model", "body"), [
    ("anthropic.claude-sonnet-4-5-20250929-v1:0", MESSAGES), ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", MESSAGES),
    ("amazon.titan-text-express-v1", {**TEXT, "textGenerationConfig": {}}), ("amazon.nova-lite-v1:0", MESSAGES),
    ("cohere.rerank-v3-5:0", RERANK), (f"{ARN}::foundation-model/cohere.rerank-v3-5:0", RERANK),
    (f"{ARN}:111122223333:inference-profile/us.amazon.nova-lite-v1:0", TEXT),
    (PROFILE, MESSAGES), (PROFILE, RERANK), (PROFILE, {**TEXT, "textGenerationConfig": {}}), (PROFILE, "[1]"),
    (PROFILE, {"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a cat"}}), (PROFILE, "{"),
    (PROFILE, {"texts": ["one"], "mode": "classify"}),
])  # fmt: skip
def test_other_models_are_left_alone(telemetry: Telemetry, server: BedrockServer, model: str, body: Any) -> None:
    invoke(server, model, body)
    assert not telemetry.spans() and not telemetry.metrics().get("gen_ai.client.embeddings.duration")


def test_other_calls_of_aws_are_left_alone(telemetry: Telemetry, server: BedrockServer) -> None:
    connect(server, "dynamodb").list_tables()
    connect(server).invoke_model_with_response_stream(modelId=TITAN, body=json.dumps(TEXT))["body"].close()
    assert not telemetry.spans()
