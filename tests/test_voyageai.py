"""The real voyageai client, of whichever line is installed, against a server that bills."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, ClassVar

import aiohttp
import pytest
import voyageai
from PIL import Image

from conftest import Telemetry, run
from every_provider import TEXTS, EveryProvider
from fakes.api_server import ApiServer
from fakes.faults import Fault
from fakes.server import Received
from fakes.voyage_server import PIXELS, VoyageServer
from otel_embed.demo.ledger import Bill
from spans import stages

VERSION = tuple(int(part) for part in version("voyageai").split("."))
MODEL, CONTEXT, MULTIMODAL = "voyage-3.5", "voyage-context-3", "voyage-multimodal-3.5"
PER_TOKEN = 60_000
pytestmark = pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")  # which the client calls


def client(url: str, asynchronous: bool = False, retries: int = 0, timeout: float = 10) -> Any:
    kind, options = (voyageai.AsyncClient if asynchronous else voyageai.Client), {}
    if VERSION >= (0, 2):
        # The number of attempts, of which there is one at least.
        options = {"max_retries": retries + 1 if retries else 0, "timeout": timeout}
    if VERSION >= (0, 3, 7):
        options["base_url"] = f"{url}/v1"
    else:
        voyageai.api_base = f"{url}/v1"
    return kind(api_key="x", **options)


class TestVoyage(EveryProvider):
    server_class = VoyageServer
    model, picodollars = MODEL, PER_TOKEN
    wrapped: ClassVar = ["voyageai.client:Client.embed", "voyageai.client_async:AsyncClient.embed"]
    untold: ClassVar = ["zeros"]  # it fails where it misses the number of tokens
    if VERSION < (0, 2):  # which neither retries nor gives up
        retries = ()
        test_no_answer_and_nobody_to_answer_are_told_apart: ClassVar[Any] = None

    def embed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        return client(url, False, retries, timeout).embed(texts, MODEL)

    async def aembed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        return await client(url, True, retries, timeout).embed(texts, model=MODEL)

    def plain(self, result: Any) -> Any:
        return result.embeddings, result.total_tokens

    def known(self, server: ApiServer) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "voyage",
            "gen_ai.request.model": MODEL,
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.embeddings.dimension.count": 8,
            "server.address": "127.0.0.1",
            "server.port": server.server_address[1],
            "otel_embed.input.count": 2,
            "otel_embed.input.kind": "text",
            "otel_embed.usage.source": "reported",
            "otel_embed.cost.usd": 3 * PER_TOKEN / 1e12,
            "otel_embed.cost.source": "table",
            "otel_embed.server.duration": 0.012,
        }


@pytest.fixture
def server() -> Iterator[VoyageServer]:
    with VoyageServer() as server:
        yield server


contextualizes = pytest.mark.skipif(VERSION < (0, 3, 4), reason="new in voyageai 0.3.4")
multimodal = pytest.mark.skipif(VERSION < (0, 3), reason="new in voyageai 0.3")
either = pytest.mark.parametrize("asynchronous", [False, True])


def ask(server: VoyageServer, asynchronous: bool, method: str, *args: Any, **kwargs: Any) -> Any:
    result = getattr(client(server.origin, asynchronous), method)(*args, **kwargs)

    async def finish() -> Any:
        return await result

    return run(finish()) if asynchronous else result


@pytest.mark.skipif(VERSION < (0, 3, 7), reason="dtypes in all methods are new in voyageai 0.3.7")
@either
@pytest.mark.parametrize("form", ["float", "int8", "uint8", "binary", "ubinary"])
def test_dimensions_are_right_whatever_the_form(
    telemetry: Telemetry, server: VoyageServer, asynchronous: bool, form: str
) -> None:
    asked = {"output_dtype": form, "output_dimension": 64}
    ask(server, asynchronous, "embed", TEXTS, MODEL, **asked)
    ask(server, asynchronous, "embed", TEXTS, MODEL, None, True, form, 64)
    ask(server, asynchronous, "contextualized_embed", [TEXTS], CONTEXT, **asked)
    ask(server, asynchronous, "multimodal_embed", [["one two"]], MULTIMODAL, **asked)
    for span in telemetry.spans():
        assert span.attributes["gen_ai.embeddings.dimension.count"] == 64
        assert span.attributes["gen_ai.request.encoding_formats"] == (form,)
    assert len(telemetry.spans()) == 4


@contextualizes
@either
def test_the_chunks_of_documents_are_inputs(telemetry: Telemetry, server: VoyageServer, asynchronous: bool) -> None:
    ask(server, asynchronous, "contextualized_embed", [["one two", "three"], ["four"]], CONTEXT)
    ask(server, asynchronous, "contextualized_embed", [["one two. three."]], CONTEXT, chunk_fn=str.split)
    told = [span.attributes for span in telemetry.spans(f"embeddings {CONTEXT}")]
    assert [(each["otel_embed.input.count"], each["gen_ai.usage.input_tokens"]) for each in told] == [(3, 4), (3, 5)]
    assert {each["gen_ai.embeddings.dimension.count"] for each in told} == {8}
    assert server.billed.tokens == 9 == telemetry.total("gen_ai.client.embeddings.operation.input_tokens")
    assert telemetry.total("otel_embed.cost") == 9 * 0.18e-6


@multimodal
@either
def test_pixels_are_billed_beside_texts(telemetry: Telemetry, server: VoyageServer, asynchronous: bool) -> None:
    picture = Image.new("RGB", (2, 2))
    ask(server, asynchronous, "multimodal_embed", [["one two", picture], ["three"]], MULTIMODAL)
    ask(server, asynchronous, "multimodal_embed", [[picture]], MULTIMODAL)
    url = {"type": "image_url", "image_url": "https://example.com/picture.png"}
    ask(server, asynchronous, "multimodal_embed", inputs=[{"content": [url]}], model=MULTIMODAL)
    ask(server, asynchronous, "multimodal_embed", [["one two"], ["three"]], MULTIMODAL)
    told = [span.attributes for span in telemetry.spans(f"embeddings {MULTIMODAL}")]
    kinds = [(each["otel_embed.input.count"], each["otel_embed.input.kind"]) for each in told]
    assert kinds == [(2, "mixed"), (1, "image"), (1, "image"), (2, "text")]
    assert [each.get("gen_ai.usage.input_tokens") for each in told] == [3, None, None, 3]
    text, pixels = 3 * 0.12e-6, PIXELS * 0.0006e-6
    assert [each["otel_embed.cost.usd"] for each in told] == pytest.approx([text + pixels, pixels, pixels, text])


class WithoutPixels(VoyageServer):
    def embeddings(self, received: Received, fault: Fault) -> tuple[Any, Bill]:
        answer, billed = super().embeddings(received, fault)
        answer["usage"] |= {"image_pixels": 0, "video_pixels": 0}
        return answer, billed


@multimodal
@either
def test_where_nobody_tells_the_pixels_the_cost_is_unknown(telemetry: Telemetry, asynchronous: bool) -> None:
    with WithoutPixels() as server:
        ask(server, asynchronous, "multimodal_embed", [["one two", Image.new("RGB", (2, 2))]], MULTIMODAL)
        ask(server, asynchronous, "multimodal_embed", [["one two"]], MULTIMODAL)
    pictured, text = (span.attributes for span in telemetry.spans(f"embeddings {MULTIMODAL}"))
    assert pictured["gen_ai.usage.input_tokens"] == text["gen_ai.usage.input_tokens"] == 2
    assert "otel_embed.cost.usd" not in pictured and text["otel_embed.cost.usd"] == pytest.approx(2 * 0.12e-6)
    assert telemetry.total("otel_embed.unpriced") == 1


@pytest.mark.skipif(VERSION < (0, 5), reason="new in voyageai 0.5")
@either
def test_a_model_in_this_process_is_not_voyages_call(
    telemetry: Telemetry, server: VoyageServer, asynchronous: bool
) -> None:
    with pytest.raises(ImportError):  # sentence-transformers is not installed
        ask(server, asynchronous, "embed", TEXTS, "voyage-4-nano")
    assert not telemetry.spans() and not server.requests


@pytest.mark.filterwarnings("ignore:The `model` argument is not specified")
def test_the_model_that_a_call_does_not_name_is_the_clients_default(telemetry: Telemetry, server: VoyageServer) -> None:
    ask(server, False, "embed", TEXTS)
    (span,) = telemetry.spans()
    assert span.attributes["gen_ai.request.model"] == server.requests[0].body["model"] == "voyage-2"


def test_a_session_of_the_applications_own_keeps_its_connection(telemetry: Telemetry, server: VoyageServer) -> None:
    async def work() -> None:
        async with aiohttp.ClientSession() as session:
            voyageai.aiosession.set(session)
            for _ in range(2):
                await client(server.origin, asynchronous=True).embed(TEXTS, MODEL)

    run(work())
    assert ["connect" in stages(span) for span in telemetry.spans()] == [True, False]


@pytest.mark.skipif(not hasattr(voyageai.Client, "_require_api_key"), reason="older clients are not made without a key")
def test_without_a_key_it_is_authentication(telemetry: Telemetry, server: VoyageServer, monkeypatch: Any) -> None:
    monkeypatch.delenv("VOYAGE_API_KEY", raising=False)
    with pytest.raises(voyageai.error.AuthenticationError):
        voyageai.Client(base_url=server.origin).embed(TEXTS, MODEL)
    (span,) = telemetry.spans(f"embeddings {MODEL}")
    assert span.attributes["otel_embed.error.cause"] == "authentication" and not server.requests
