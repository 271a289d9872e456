"""The real google-genai client, of whichever line is installed, against a server that bills."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, models, types
from google.oauth2.credentials import Credentials

import otel_embed
from conftest import Telemetry
from fakes.faults import Fault
from fakes.google_server import GoogleServer
from spans import STATUSES, attributes, calls, outcome, port, usage

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")  # the client's own class
VERSION = tuple(map(int, genai.__version__.split(".")[:2]))
REPORTS = VERSION >= (3, 1)
"""Older clients drop what the Gemini API says of its usage."""
TWO = "gemini-embedding-2"


@pytest.fixture
def server() -> Iterator[GoogleServer]:
    with GoogleServer() as server:
        yield server


class Api:
    """Calls of one kind of client, asynchronous ones each in a loop of its own."""

    def __init__(self, asynchronous: bool) -> None:
        self.asynchronous = asynchronous

    def embed(self, server: GoogleServer, vertex: bool = False, **asked: Any) -> Any:
        options = asked.pop("options", {})
        asked = {"model": "gemini-embedding-001", "contents": ["one two", "three"], **asked}
        at: Any = {"base_url": server.url, **options}
        if vertex:
            cloud = {"project": "p", "location": "us-central1", "credentials": Credentials("token")}
            client = genai.Client(vertexai=True, http_options=at, **cloud)
        else:
            client = genai.Client(api_key="secret", http_options=at)
        if self.asynchronous:
            return asyncio.run(self._embed(client, asked))
        return client.models.embed_content(**asked)

    async def _embed(self, client: Any, asked: Any) -> Any:
        try:
            return await client.aio.models.embed_content(**asked)
        finally:
            if hasattr(client.aio, "aclose"):
                await client.aio.aclose()


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def api(request: pytest.FixtureRequest) -> Api:
    return Api(request.param)


def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, server: GoogleServer, api: Api) -> None:
    api.embed(server, config={"output_dimensionality": 4})
    (span,) = calls(telemetry)
    assert span.name == "embeddings gemini-embedding-001" and span.kind.name == "CLIENT"
    tokens, cost, source = (3, 4.5e-07, "reported") if REPORTS else (4, 6e-07, "estimated")
    assert attributes(span) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "gemini-embedding-001",
        "gen_ai.usage.input_tokens": tokens,
        "gen_ai.embeddings.dimension.count": 4,
        "server.address": "127.0.0.1",
        "server.port": port(server.url),
        "otel_embed.input.count": 2,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": source,
        "otel_embed.cost.usd": cost,
        "otel_embed.cost.source": "table",
    }
    assert {"otel_embed.stage.wait.duration", "otel_embed.stage.connect.duration"} <= set(span.attributes)
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == tokens
    assert telemetry.total("otel_embed.cost") == cost
    assert not REPORTS or tokens == server.billed.tokens


def test_vertex_ai_bills_older_models_by_the_character(telemetry: Telemetry, server: GoogleServer, api: Api) -> None:
    api.embed(server, vertex=True, model="text-embedding-005")
    (span,) = calls(telemetry)
    told = attributes(span)
    assert told["gen_ai.provider.name"] == "gcp.vertex_ai"
    assert usage(span) == (3, "reported")
    assert told["otel_embed.cost.usd"] == pytest.approx(11 * 0.025e-6), "spaces are free"


def test_vertex_ai_bills_newer_models_by_the_token(telemetry: Telemetry, server: GoogleServer, api: Api) -> None:
    api.embed(server, vertex=True, contents="one two")
    (span,) = calls(telemetry)
    told = attributes(span)
    assert (told["gen_ai.usage.input_tokens"], told["otel_embed.cost.usd"]) == (2, 3e-07)


@pytest.mark.skipif(VERSION < (1, 64), reason="older clients send one request for each text")
def test_texts_that_a_model_makes_one_vector_of_are_one_input(
    telemetry: Telemetry, server: GoogleServer, api: Api
) -> None:
    result = api.embed(server, model=TWO)
    (span,) = calls(telemetry)
    assert len(result.embeddings) == span.attributes["otel_embed.input.count"] == 1
    assert telemetry.total("otel_embed.inputs") == 1


@pytest.mark.skipif(VERSION < (1, 64), reason="older clients send no images")
def test_images_have_a_price_of_their_own(telemetry: Telemetry, server: GoogleServer, api: Api) -> None:
    image = types.Part.from_bytes(data=b"no image", mime_type="image/png")
    api.embed(server, vertex=True, model=TWO, contents=["one two", image])
    (span,) = calls(telemetry)
    told = attributes(span)
    assert told["otel_embed.input.kind"] == "mixed"
    splits = "tokens_details" in types.ContentEmbeddingStatistics.model_fields
    assert told["gen_ai.usage.input_tokens"] == (2 if splits else 260)
    assert told.get("otel_embed.cost.usd") == (pytest.approx(2 * 0.2e-6 + 258 * 0.45e-6) if splits else None)


@pytest.mark.parametrize(
    ("contents", "inputs", "kind"),
    [
        ("one", 1, "text"),
        (types.Part.from_text(text="one two"), 1, "text"),
        ({"parts": [{"text": "one"}, {"text": "two"}]}, 1, "text"),
        ([types.Content(parts=[types.Part.from_text(text="one")]), "two"], 2, "text"),
    ],
)
def test_contents_are_counted_however_they_are_written(
    telemetry: Telemetry, server: GoogleServer, contents: Any, inputs: int, kind: str
) -> None:
    Api(False).embed(server, contents=contents)
    (span,) = calls(telemetry)
    assert (span.attributes["otel_embed.input.count"], span.attributes["otel_embed.input.kind"]) == (inputs, kind)
    assert span.attributes["gen_ai.usage.input_tokens"] > 0


def test_usage_that_is_not_told_is_estimated(telemetry: Telemetry, server: GoogleServer, api: Api) -> None:
    server.script([Fault(usage="absent")])
    api.embed(server, contents="12345678")
    (span,) = calls(telemetry)
    assert usage(span) == (2, "estimated")


@pytest.mark.parametrize(("status", "cause"), STATUSES)
def test_a_failure_passes_through_and_its_cause_is_told(
    telemetry: Telemetry, server: GoogleServer, api: Api, status: int, cause: str
) -> None:
    server.script([Fault(status)])
    with pytest.raises(errors.APIError):
        api.embed(server)
    (span,) = calls(telemetry)
    assert (span.attributes["error.type"], span.attributes["otel_embed.error.cause"]) == (str(status), cause)
    assert span.status.description is None and "gen_ai.usage.input_tokens" not in span.attributes


def test_a_key_that_is_not_valid_is_told_from_invalid_input(
    telemetry: Telemetry, server: GoogleServer, api: Api
) -> None:
    server.script([Fault(400, code="API_KEY_INVALID")])
    with pytest.raises(errors.APIError):
        api.embed(server)
    (span,) = calls(telemetry)
    assert (span.attributes["error.type"], span.attributes["otel_embed.error.cause"]) == ("400", "authentication")


@pytest.mark.skipif(not hasattr(types, "HttpRetryOptions"), reason="older clients do not retry")
def test_a_retry_is_part_of_the_call(telemetry: Telemetry, server: GoogleServer, api: Api) -> None:
    server.script([Fault(429), Fault(503)])
    again = types.HttpRetryOptions(attempts=3, initial_delay=0.05, jitter=0, exp_base=1)
    api.embed(server, options={"retry_options": again})
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.retry.count"] == 2
    assert span.attributes["otel_embed.stage.backoff.duration"] > 0.09
    assert telemetry.total("otel_embed.retries", otel_embed__retry__status="429") == 1


@pytest.mark.skipif(VERSION < (3, 0), reason="older clients know httpx alone")
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_either_library_for_http_is_seen(
    telemetry: Telemetry, server: GoogleServer, api: Api, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_HTTP_CLIENT", library)
    transport = __import__(library).AsyncHTTPTransport() if api.asynchronous else None
    options = {"async_client_args": {"transport": transport}} if transport else {}  # else it takes aiohttp
    api.embed(server, options=options)
    (span,) = calls(telemetry)
    assert server.requests and {"otel_embed.stage.connect.duration", "otel_embed.stage.send.duration"} <= set(
        span.attributes
    )


FAULTS = [Fault(), Fault(500), Fault(malformed=True), Fault(empty=True), Fault(drop="in body"), Fault(usage="zeros")]


@pytest.mark.parametrize("fault", FAULTS)
def test_results_and_exceptions_are_what_they_are_without_us(
    telemetry: Telemetry, server: GoogleServer, api: Api, fault: Fault
) -> None:
    def vectors() -> Any:
        result = api.embed(server)
        return type(result), [each.values for each in result.embeddings or ()]

    # A client may try once more where no answer came, so as many faults as that.
    server.script([fault] * 2 if fault.drop else [fault])
    seen = outcome(vectors)
    assert len(calls(telemetry)) == 1
    otel_embed.uninstrument()
    server._script.clear()
    server.script([fault] * 2 if fault.drop else [fault])
    assert outcome(vectors) == seen


def test_uninstrument_puts_the_original_back(telemetry: Telemetry, server: GoogleServer, api: Api) -> None:
    wrapped = models.Models.embed_content
    otel_embed.uninstrument()
    assert models.Models.embed_content is wrapped.__wrapped__
    api.embed(server)
    assert not calls(telemetry)
