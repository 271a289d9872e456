"""The real google-genai client, of whichever line is installed, against a server that bills."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

from conftest import Telemetry, run
from every_provider import EveryProvider
from fakes.api_server import ApiServer
from fakes.faults import Fault
from fakes.google_server import FILE_TOKENS, GoogleServer
from spans import calls, stages, usage, whole

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")  # the client's own class
VERSION = tuple(map(int, genai.__version__.split(".")[:2]))
ONE, TWO, OLDER = "gemini-embedding-001", "gemini-embedding-2", "text-embedding-005"
merges = pytest.mark.skipif(VERSION < (1, 64), reason="older clients send texts alone, each by itself")


def client(url: str, vertex: bool = False, **options: Any) -> genai.Client:
    """To be kept as long as it is used: it closes when it is dropped."""
    at: Any = {"base_url": url, **options}
    if not vertex:
        return genai.Client(api_key="secret", http_options=at)
    cloud = {"project": "p", "location": "us-central1", "credentials": Credentials("token")}
    return genai.Client(vertexai=True, http_options=at, **cloud)


class GoogleTests(EveryProvider):
    server_class = GoogleServer
    model, picodollars = ONE, 150_000
    wrapped: ClassVar = [f"google.genai.models:{kind}.embed_content" for kind in ("Models", "AsyncModels")]
    provider: str

    def known(self, server: ApiServer) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": self.provider,
            "gen_ai.request.model": ONE,
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.embeddings.dimension.count": 8,
            "server.address": "127.0.0.1",
            "server.port": server.server_address[1],
            "otel_embed.input.count": 2,
            "otel_embed.input.kind": "text",
            "otel_embed.usage.source": "reported",
            "otel_embed.cost.usd": 4.5e-07,
            "otel_embed.cost.source": "table",
        }

    def client(self, url: str, retries: int, timeout: float) -> genai.Client:
        options: dict[str, Any] = {"timeout": int(timeout * 1000)}
        if hasattr(types, "HttpRetryOptions"):
            again = {"attempts": retries + 1, "initial_delay": 0.05, "jitter": 0, "exp_base": 1}
            options["retry_options"] = types.HttpRetryOptions(**again)
        return client(url, self.provider == "gcp.vertex_ai", **options)

    def embed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        google = self.client(url, retries, timeout)
        return google.models.embed_content(model=ONE, contents=texts)

    async def aembed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        google = self.client(url, retries, timeout)
        try:
            return await google.aio.models.embed_content(model=ONE, contents=texts)
        finally:
            if hasattr(google.aio, "aclose"):
                await google.aio.aclose()

    def plain(self, result: Any) -> Any:
        return [each.values for each in result.embeddings or ()]

    if not hasattr(types, "HttpRetryOptions"):
        test_a_retry_is_part_of_the_call_and_its_sleep_is_backoff: ClassVar = None


@pytest.mark.skipif(VERSION < (3, 1), reason="older clients drop what the Gemini API says of its usage")
class TestGemini(GoogleTests):
    provider = "gcp.gemini"


class TestVertex(GoogleTests):
    provider = "gcp.vertex_ai"


@pytest.fixture
def server() -> Iterator[GoogleServer]:
    with GoogleServer() as server:
        yield server


def embed(google: genai.Client, contents: Any, model: str = ONE) -> Any:
    return google.models.embed_content(model=model, contents=contents)


@pytest.mark.skipif(VERSION >= (3, 1), reason="newer clients pass it on")
def test_usage_that_an_older_client_drops_is_estimated(telemetry: Telemetry, server: GoogleServer) -> None:
    embed(client(server.origin), ["12345678", "1234"])
    (span,) = calls(telemetry)
    assert usage(span) == (3, "estimated") and span.attributes["otel_embed.cost.usd"] == 4.5e-07


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_vertex_ai_bills_older_models_by_the_character(
    telemetry: Telemetry, server: GoogleServer, asynchronous: bool
) -> None:
    asked: Any = {"model": OLDER, "contents": ["one two", "three"], "config": {"output_dimensionality": 4}}
    google = client(server.origin, vertex=True)
    if asynchronous:
        run(google.aio.models.embed_content(**asked))
    else:
        google.models.embed_content(**asked)
    (span,) = calls(telemetry)
    told = whole(span)
    assert usage(span) == (3, "reported") and told["gen_ai.embeddings.dimension.count"] == 4
    assert told["otel_embed.cost.usd"] == pytest.approx(11 * 0.025e-6), "spaces are free"


@merges
def test_texts_that_a_model_makes_one_vector_of_are_one_input(telemetry: Telemetry, server: GoogleServer) -> None:
    result = embed(client(server.origin), ["one two", "three"], TWO)
    (span,) = calls(telemetry)
    assert len(result.embeddings) == span.attributes["otel_embed.input.count"] == 1
    assert telemetry.total("otel_embed.inputs") == 1


@merges
def test_a_partners_model_on_vertex_ai_makes_one_vector_too(telemetry: Telemetry, server: GoogleServer) -> None:
    result = embed(client(server.origin, vertex=True), ["one two", "three"], "multilingual-e5-large-instruct-maas")
    (span,) = calls(telemetry)
    assert len(result.embeddings) == span.attributes["otel_embed.input.count"] == 1


@merges
@pytest.mark.parametrize(("text", "kind"), [("one two", "mixed"), (None, "image")])
def test_images_have_a_price_of_their_own(
    telemetry: Telemetry, server: GoogleServer, text: str | None, kind: str
) -> None:
    image = types.Part.from_bytes(data=b"no image", mime_type="image/png")
    contents = [text, image] if text else [image]
    embed(client(server.origin, vertex=True), contents, TWO)
    (span,) = calls(telemetry)
    told = whole(span)
    assert told["otel_embed.input.kind"] == kind
    tokens = 2 if text else 1  # of a text that is empty, the fake server says 1
    splits = "tokens_details" in types.ContentEmbeddingStatistics.model_fields
    assert told["gen_ai.usage.input_tokens"] == (tokens if splits else tokens + FILE_TOKENS)
    price = pytest.approx(tokens * 0.2e-6 + FILE_TOKENS * 0.45e-6)
    assert told.get("otel_embed.cost.usd") == (price if splits else None)


@merges
def test_what_has_no_price_leaves_the_call_without_a_cost(telemetry: Telemetry, server: GoogleServer) -> None:
    """Though its text has one."""
    audio = types.Part.from_bytes(data=b"no sound", mime_type="audio/mp3")
    embed(client(server.origin, vertex=True), ["one two", audio], TWO)
    (span,) = calls(telemetry)
    assert span.attributes["gen_ai.usage.input_tokens"] >= 2 and "otel_embed.cost.usd" not in span.attributes
    assert telemetry.total("otel_embed.unpriced") == 1


def test_a_price_of_ones_own_by_the_token_is_in_the_place_of_that_by_the_character(
    telemetry: Telemetry, server: GoogleServer, tmp_path: Path
) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(f'[[price]]\nprovider = "vertex_ai"\nmodel = "{OLDER}"\nusd_per_million_tokens = 1\n')
    telemetry.instrument(prices=str(file))
    embed(client(server.origin, vertex=True), ["one two", "three"], OLDER)
    (span,) = calls(telemetry)
    assert (span.attributes["otel_embed.cost.usd"], span.attributes["otel_embed.cost.source"]) == (3e-06, "user")


@pytest.mark.parametrize(
    ("contents", "inputs"),
    [
        ("one", 1),
        (types.Part.from_text(text="one two"), 1),
        ({"parts": [{"text": "one"}, {"text": "two"}]}, 1),
        ([types.Content(parts=[types.Part.from_text(text="one")]), "two"], 2),
    ],
)
def test_contents_are_counted_however_they_are_written(
    telemetry: Telemetry, server: GoogleServer, contents: Any, inputs: int
) -> None:
    server.script([Fault(usage="absent")])
    embed(client(server.origin), contents)
    (span,) = calls(telemetry)
    assert (span.attributes["otel_embed.input.count"], span.attributes["otel_embed.input.kind"]) == (inputs, "text")
    assert usage(span)[0] > 0


@pytest.mark.parametrize("kind", [iter, dict.fromkeys])
def test_what_can_be_walked_only_once_is_left_to_the_client(
    telemetry: Telemetry, server: GoogleServer, kind: Callable[[list[str]], Any]
) -> None:
    contents = kind(["one two", "three"])
    embed(client(server.origin), contents.keys() if isinstance(contents, dict) else contents)
    (span,) = calls(telemetry)
    assert [each["content"]["parts"][0]["text"] for each in server.requests[0].body["requests"]] == ["one two", "three"]
    assert span.attributes["otel_embed.input.count"] == 2 and "otel_embed.input.kind" not in span.attributes


def test_a_key_that_is_not_valid_is_told_from_invalid_input(telemetry: Telemetry, server: GoogleServer) -> None:
    server.script([Fault(400, code="API_KEY_INVALID")])
    with pytest.raises(errors.APIError):
        embed(client(server.origin), "one")
    (span,) = calls(telemetry)
    assert (span.attributes["error.type"], span.attributes["otel_embed.error.cause"]) == ("400", "authentication")


@pytest.mark.skipif(VERSION < (3, 0), reason="older clients know httpx alone")
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_either_library_for_http_is_seen(
    telemetry: Telemetry, server: GoogleServer, library: str, asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_HTTP_CLIENT", library)
    asked: Any = {"model": ONE, "contents": "one"}
    if asynchronous:  # with a transport of one's own it does not take aiohttp
        google = client(server.origin, async_client_args={"transport": __import__(library).AsyncHTTPTransport()})
        run(google.aio.models.embed_content(**asked))
    else:
        embed(client(server.origin), "one")
    (span,) = calls(telemetry)
    assert {"serialize", "connect", "send", "wait", "deserialize"} <= stages(span).keys()
