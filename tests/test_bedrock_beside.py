"""Bedrock below LangChain, beside other instrumentations, and with bugs of our own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiobotocore.client
import botocore.client
import pytest
from langchain_aws import BedrockEmbeddings, ChatBedrockConverse
from opentelemetry.instrumentation.botocore import AiobotocoreInstrumentor, BotocoreInstrumentor
from opentelemetry.instrumentation.genai.bedrock import BedrockInstrumentor

import otel_embed
from bedrock_clients import COHERE, TEXT, TITAN, call, connect, each_client, invoke
from breaking import Place, functions
from conftest import Telemetry
from fakes.bedrock_server import BedrockServer
from fakes.faults import Fault
from fakes.server import Received
from otel_embed import exchange, failure, guard, observe
from otel_embed.demo.server import Answer
from otel_embed.pricing import bill
from otel_embed.providers import bedrock, bedrock_bodies
from otel_embed.transports import aiohttp, urllib3

PROFILE = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2c3d4e5f6"
IMAGE = ("amazon.titan-embed-image-v1", {"inputImage": "aGk="})
INTERLEAVED = {"input_type": "search_document", "inputs": [{"content": [{"type": "text", "text": "one"}]}]}
PAGE = {"singleEmbeddingParams": {"image": {"detailLevel": "DOCUMENT_IMAGE"}}}


@pytest.fixture
def server() -> Iterator[BedrockServer]:
    with BedrockServer() as server:
        yield server


# ---- LangChain


def test_below_langchain_each_call_is_counted_once(telemetry: Telemetry, server: BedrockServer) -> None:
    texts = ["one two"] * 100
    embedders = [BedrockEmbeddings(client=connect(server), model_id=model) for model in (TITAN, COHERE)]
    for embedder in embedders:
        embedder.embed_documents(texts)
        embedder.embed_query("three")
        asyncio.run(embedder.aembed_documents(["four five six"]))
    above = {span.context.span_id: span for span in telemetry.spans() if "BedrockEmbeddings" in span.name}
    calls = [span for span in telemetry.spans() if span.name.startswith("embeddings amazon")]
    assert len(above) == 6 and len(calls) == 102
    assert all(span.parent.span_id in above for span in calls)
    assert not any("gen_ai.usage.input_tokens" in span.attributes for span in above.values())
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 408
    assert telemetry.total("otel_embed.cost") == pytest.approx(204 * 0.02e-6 + 204 * 0.1e-6)


class Conversation(BedrockServer):
    """A chat model that put 1,000 of its 1,010 tokens of input into its cache, which it tells as ``details`` say."""

    details: Any = None

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        usage = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 1015, "cacheWriteInputTokens": 1000}
        if self.details is not None:
            usage["cacheDetails"] = self.details
        said = {"message": {"role": "assistant", "content": [{"text": "hi"}]}}
        body = {"output": said, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}
        return Answer(200, {"content-type": "application/json"}, json.dumps(body).encode())


CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDES_PRICE = f"""
[[chat]]
provider = "aws.bedrock"
model = "{CLAUDE}"
input = 3
cache_write = 3.75
output = 15
"""


IN_PART_FOR_AN_HOUR = [{"ttl": "5m", "inputTokens": 400}, {"ttl": "1h", "inputTokens": 600}]


@pytest.mark.parametrize(
    ("details", "hour", "cost"),
    [
        (None, "", (10 * 3 + 1000 * 3.75 + 5 * 15) / 1e6),
        ([{"ttl": "5m", "inputTokens": 1000}], "", (10 * 3 + 1000 * 3.75 + 5 * 15) / 1e6),
        (IN_PART_FOR_AN_HOUR, "", None),
        (IN_PART_FOR_AN_HOUR, "cache_write_1h = 6", (10 * 3 + 400 * 3.75 + 600 * 6 + 5 * 15) / 1e6),
        ([{"ttl": "1h", "inputTokens": 1000}], "cache_write_1h = 6", (10 * 3 + 1000 * 6 + 5 * 15) / 1e6),
    ],
)
def test_what_a_chat_model_puts_into_its_own_cache_has_that_price(
    telemetry: Telemetry, tmp_path: Path, details: Any, hour: str, cost: float | None
) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(CLAUDES_PRICE + hour)
    telemetry.instrument(prices=str(prices))
    with Conversation() as server:
        server.details = details
        model: Any = ChatBedrockConverse
        model(model=CLAUDE, client=connect(server), region_name="us-east-1").invoke("x")
    (span,) = telemetry.spans(f"chat {CLAUDE}")
    assert span.attributes["gen_ai.usage.input_tokens"] == 1010
    assert span.attributes["gen_ai.usage.cache_creation.input_tokens"] == 1000
    assert span.attributes.get("otel_embed.cost.usd") == (cost and pytest.approx(cost))


# ---- other instrumentations


@pytest.fixture
def originals() -> Iterator[None]:
    """They unwrap the outermost wrapper, whosever that is; what they leave behind is put back here."""
    otel_embed.uninstrument()
    classes = [botocore.client.BaseClient, aiobotocore.client.AioBaseClient]
    before = [vars(each)["_make_api_call"] for each in classes]
    yield
    otel_embed.uninstrument()
    for each, original in zip(classes, before):
        each._make_api_call = original


def beside(telemetry: Telemetry, theirs: Any, first: str, server: BedrockServer, client: str) -> None:
    if first == "ours":
        telemetry.instrument()
    theirs.instrument(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters, skip_dep_check=True)
    try:
        if first == "theirs":
            telemetry.instrument()
        invoke(server, TITAN, TEXT, client)
        invoke(server, COHERE, {"texts": ["one", "two"], "input_type": "search_document"}, client)
    finally:
        theirs.uninstrument()


@each_client
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_beside_the_instrumentation_of_botocore_a_call_has_its_span_too_and_is_counted_once(
    telemetry: Telemetry, originals: None, server: BedrockServer, first: str, client: str
) -> None:
    theirs = BotocoreInstrumentor() if client == "boto3" else AiobotocoreInstrumentor()
    beside(telemetry, theirs, first, server, client)
    scopes = [span.instrumentation_scope.name for span in telemetry.spans()]
    assert scopes.count("otel_embed") == 2 and len(scopes) == 4
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 5
    assert not {"gen_ai.client.token.usage", "gen_ai.client.operation.duration"} & telemetry.metrics().keys()


@each_client
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_beside_the_instrumentation_of_bedrock_a_call_is_one_span_and_counted_once(
    telemetry: Telemetry, originals: None, server: BedrockServer, first: str, client: str
) -> None:
    beside(telemetry, BedrockInstrumentor(), first, server, client)
    assert [span.name for span in telemetry.spans()] == [f"embeddings {TITAN}", f"embeddings {COHERE}"]
    assert telemetry.total("otel_embed.cost") == 3 * 0.02e-6 + 2 * 0.1e-6
    names = ("gen_ai.client.embeddings.operation.input_tokens", "gen_ai.client.token.usage")
    assert sum(telemetry.total(name) for name in names) == server.billed.tokens == 5


# ---- faults of our own

MODULES = [bedrock, bedrock_bodies, exchange, failure, observe, bill, urllib3, aiohttp]
SHARED = {
    "OpenCall._leave", "OpenCall._ending", "OpenCall._has_media", "Pricing._as_sent", "_coded_cause", "_of_aws",
    "_statuses", "_listen", "_Heard.__init__", "_FileEnd.break_off", "_ended_early", "_unread", "_Break.open",
}  # fmt: skip
PLACES = {
    f"{module.__name__.rpartition('.')[2]}.{name}": function
    for module in MODULES
    for name, function in functions(module)
    if (module in (bedrock, bedrock_bodies) and name != "call") or name in SHARED
}


def application(server: BedrockServer) -> list[object]:
    """What an application sees of calls that come to every one of these places."""
    cut = Fault(usage="absent", drop="in body", body_delay=0.02)
    faults = [None, Fault(usage="absent"), Fault(usage="absent", body_delay=0.02, chunked=True), Fault(429), cut,
              Fault(drop="in body", body_delay=0.02, chunked=True)]  # fmt: skip
    bodies: list[tuple[str, Any]] = [
        (PROFILE, TEXT), IMAGE, (COHERE, INTERLEAVED), (TITAN, PAGE), (TITAN, {"inputImage": "x" * (1 << 20)}),
    ]  # fmt: skip
    seen: list[object] = []
    for client in ("boto3", "aiobotocore"):
        asks = [(fault, TITAN, {**TEXT, "embeddingTypes": ["float"]}) for fault in faults]
        for fault, model, body in [*asks, *((None, *body) for body in bodies)]:
            server.script([fault])
            try:
                seen.append(invoke(server, model, body, client))
            except Exception as error:
                seen.append((type(error).__qualname__, str(error)[:40]))
    return seen


@pytest.fixture(scope="module")
def expected() -> Iterator[list[object]]:
    otel_embed.uninstrument()
    with BedrockServer() as server:
        yield application(server)


@pytest.mark.parametrize("place", PLACES)
def test_the_application_never_notices_a_bug_of_ours(
    telemetry: Telemetry, server: BedrockServer, expected: list[object], place: str
) -> None:
    def fail(_: Callable[[], Any]) -> None:
        raise RuntimeError("a bug in otel_embed")

    guard.reraise = False
    bedrock._dimensions.cache_clear()
    bedrock._is_opaque.cache_clear()
    broken = Place(place, PLACES[place].__code__, [PLACES[place]])
    with broken.behaving(fail):
        assert application(server) == expected
        telemetry.metrics()
    assert broken.met and sum(guard.dropped.values()) >= 1, "it was reached, contained and counted"


def test_after_all_of_them_a_call_is_seen_as_before(telemetry: Telemetry, server: BedrockServer) -> None:
    invoke(server)
    assert call(telemetry)["gen_ai.usage.input_tokens"] == 3
