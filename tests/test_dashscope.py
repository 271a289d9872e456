"""The real dashscope client, of whichever line is installed, against a server that bills."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import dashscope
import pytest
from dashscope.embeddings import multimodal_embedding

import otel_embed
from conftest import Telemetry, run
from every_provider import CAUSES, EveryProvider
from fakes.api_server import ApiServer
from fakes.dashscope_server import DashScopeServer
from fakes.faults import Fault
from spans import calls, usage, whole

MODEL, VISION, BESIDE = "text-embedding-v4", "tongyi-embedding-vision-plus", "qwen3-vl-embedding"
PHOTO = {"image": "https://example.com/photo.jpg"}
ASYNCHRONOUS = getattr(multimodal_embedding, "AioMultiModalEmbedding", None)
CLIENT, ASYNC_CLIENT = getattr(dashscope, "Client", None), getattr(dashscope, "AsyncClient", None)
PRICES = f"""
[[price]]
provider = "dashscope"
model = "{MODEL}"
usd_per_million_tokens = 0.07

[[price]]
provider = "dashscope"
model = "{BESIDE}"
usd_per_million_tokens = 0.1
usd_per_million_image_tokens = 0.2
"""
needs_client = pytest.mark.skipif(CLIENT is None, reason="a client came with 2.0")


@pytest.fixture(autouse=True)
def priced(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Our table has no prices of Model Studio."""
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    telemetry.instrument(prices=str(prices))
    monkeypatch.setattr(dashscope, "api_key", "sk-secret")
    monkeypatch.setattr(dashscope, "base_http_api_url", "https://nowhere.invalid/api/v1")


class EveryCall(EveryProvider):
    server_class = DashScopeServer
    model, picodollars = MODEL, 70_000

    def known(self, server: ApiServer) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "dashscope",
            "gen_ai.request.model": MODEL,
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.embeddings.dimension.count": 8,
            "server.address": "127.0.0.1",
            "server.port": server.server_address[1],
            "otel_embed.input.count": 2,
            "otel_embed.input.kind": "text",
            "otel_embed.usage.source": "reported",
            "otel_embed.cost.usd": 2.1e-07,
            "otel_embed.cost.source": "user",
        }


class TestText(EveryCall):
    asynchronous = False
    test_a_retry_is_part_of_the_call_and_its_sleep_is_backoff: ClassVar = None
    """The client does not try again."""
    test_a_failure_passes_through_and_its_cause_is_told: ClassVar = None
    """It returns failures: see below."""

    def embed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        dashscope.base_http_api_url = url + "/api/v1"
        return dashscope.TextEmbedding.call(model=MODEL, input=texts, request_timeout=timeout)

    def plain(self, result: Any) -> Any:
        return {name: value for name, value in result.items() if name not in ("headers", "request_id")}

    def test_wrapped_methods_stay_ordinary(self, telemetry: Telemetry) -> None:
        call = vars(dashscope.TextEmbedding)["call"]
        assert isinstance(call, classmethod) and inspect.isfunction(call.__func__)
        assert inspect.signature(call.__func__) == inspect.signature(call.__func__.__wrapped__)

    def test_uninstrument_puts_the_originals_back(self, telemetry: Telemetry, server: ApiServer) -> None:
        observed = dashscope.TextEmbedding.call.__func__
        otel_embed.uninstrument()
        assert dashscope.TextEmbedding.call.__func__ is observed.__wrapped__
        self.embed(server.origin, ["one"])
        assert not telemetry.spans()


@needs_client
class TestClient(EveryCall):
    wrapped: ClassVar = [f"dashscope.v2.resources.{name}.create" for name in (
        "embeddings:Embeddings", "embeddings:AsyncEmbeddings",
        "multimodal.embeddings:MultimodalEmbeddings", "multimodal.embeddings:AsyncMultimodalEmbeddings",
    )]  # fmt: skip

    def embed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        with client(url, max_retries=retries, timeout=timeout) as opened:
            return opened.embeddings.create(model=MODEL, input=texts)

    async def aembed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        async with client(url, ASYNC_CLIENT, max_retries=retries, timeout=timeout) as opened:
            return await opened.embeddings.create(model=MODEL, input=texts)

    def plain(self, result: Any) -> Any:
        return result.model_dump()


def client(url: str, kind: Any = CLIENT, **options: Any) -> Any:
    return kind(api_key="sk-secret", base_url=url + "/api/v1", **options)


def ask(server: DashScopeServer, model: str, elements: Any, way: str, **asked: Any) -> Any:
    """Vectors of texts and images, by one of the ways to them."""
    asked = {"model": model, "input": elements, **asked}
    if way == "function":
        return dashscope.MultiModalEmbedding.call(**asked)
    if way == "client":
        with client(server.origin) as opened:
            return opened.multimodal.embeddings.create(**asked)
    return run(aask(server, asked, way))


async def aask(server: DashScopeServer, asked: Any, way: str) -> Any:
    if way == "async client":
        async with client(server.origin, ASYNC_CLIENT) as opened:
            return await opened.multimodal.embeddings.create(**asked)
    assert ASYNCHRONOUS is not None
    answer = await ASYNCHRONOUS.call(**asked)
    from dashscope.api_entities.aio_session import close_shared_aio_session

    await close_shared_aio_session()
    return answer


WAYS = ["function", *["async function"] * (ASYNCHRONOUS is not None), *["client", "async client"] * (CLIENT is not None)]
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DashScopeServer]:
    with DashScopeServer() as server:
        monkeypatch.setattr(dashscope, "base_http_api_url", server.origin + "/api/v1")
        yield server


@pytest.mark.parametrize("status", CAUSES)
def test_a_failure_that_is_returned_is_a_failure(telemetry: Telemetry, server: DashScopeServer, status: int) -> None:
    server.script([Fault(status)] * 2)
    answer = dashscope.TextEmbedding.call(MODEL, "one")
    assert (answer.status_code, answer.message) == (status, "refused")
    (span,) = calls(telemetry)
    told = (span.attributes["error.type"], span.attributes["otel_embed.error.cause"])
    assert told == (str(status), CAUSES[status])
    assert span.status.status_code.name == "ERROR" and span.status.description is None
    assert telemetry.total("otel_embed.errors", otel_embed__error__cause=CAUSES[status]) == 1
    assert "gen_ai.client.embeddings.operation.input_tokens" not in telemetry.metrics()
    otel_embed.uninstrument()
    plain = dashscope.TextEmbedding.call(MODEL, "one")
    assert (plain.status_code, plain.code, plain.message) == (answer.status_code, answer.code, answer.message)


def test_an_account_that_is_overdrawn_is_told_from_invalid_input(telemetry: Telemetry, server: DashScopeServer) -> None:
    server.script([Fault(400, code="Arrearage")])
    dashscope.TextEmbedding.call(MODEL, "one")
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.error.cause"] == "quota_exhausted"


@pytest.mark.parametrize(("content", "inputs"), [("one two", 1), (["one"], 1), (["one"] * 10, 10)])
def test_inputs_are_counted(telemetry: Telemetry, server: DashScopeServer, content: Any, inputs: int) -> None:
    dashscope.TextEmbedding.call(MODEL, content, dimension=4)
    (span,) = calls(telemetry)
    told = span.attributes["otel_embed.input.count"], span.attributes["gen_ai.embeddings.dimension.count"]
    assert told == (inputs, 4)


@pytest.mark.skipif(ASYNCHRONOUS is None, reason="older clients have one address for all calls")
def test_a_call_may_have_an_address_of_its_own(telemetry: Telemetry, server: DashScopeServer) -> None:
    dashscope.base_http_api_url = "https://nowhere.invalid/api/v1"
    dashscope.TextEmbedding.call(MODEL, "one", base_address=server.origin + "/api/v1")
    (span,) = calls(telemetry)
    assert (span.attributes["server.address"], span.attributes["server.port"]) == server.server_address


def test_without_a_price_the_cost_is_unknown(telemetry: Telemetry, server: DashScopeServer) -> None:
    dashscope.TextEmbedding.call("text-embedding-v3", "one")
    (span,) = calls(telemetry)
    assert "otel_embed.cost.usd" not in span.attributes and telemetry.total("otel_embed.unpriced") == 1


@every_way
@pytest.mark.parametrize("model", [VISION, BESIDE])
@pytest.mark.parametrize(
    ("elements", "kind", "tokens"),
    [([{"text": "one two"}], "text", 2), ([PHOTO], "image", None), ([{"text": "one"}, PHOTO], "mixed", 1)],
)
def test_images_are_seen_beside_texts(
    telemetry: Telemetry, server: DashScopeServer, elements: Any, kind: str, tokens: int, model: str, way: str
) -> None:
    ask(server, model, elements, way)
    (span,) = calls(telemetry)
    told = whole(span)
    assert (told["otel_embed.input.kind"], told["otel_embed.input.count"]) == (kind, len(elements))
    assert told.get("gen_ai.usage.input_tokens") == tokens
    assert (told["server.address"], told["server.port"]) == server.server_address
    if model == BESIDE:
        assert told["otel_embed.cost.usd"] == ((tokens or 0) * 100_000 + (PHOTO in elements) * 896 * 200_000) / 1e12


@every_way
def test_contents_that_are_fused_are_one_input(telemetry: Telemetry, server: DashScopeServer, way: str) -> None:
    ask(server, VISION, [{"text": "one"}, PHOTO], way, enable_fusion=True)
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.input.count"] == 1
    assert usage(span) == (1, "reported")


@every_way
def test_a_model_that_fuses_all_contents_has_one_input_and_one_vector(
    telemetry: Telemetry, server: DashScopeServer, way: str
) -> None:
    ask(server, "multimodal-embedding-one-peace-v1", [{"text": "one"}, PHOTO], way)
    (span,) = calls(telemetry)
    told = span.attributes["otel_embed.input.count"], span.attributes["gen_ai.embeddings.dimension.count"]
    assert told == (1, 8) and usage(span) == (None, None)
    assert "otel_embed.cost.usd" not in span.attributes and telemetry.total("otel_embed.unpriced") == 1


@needs_client
def test_a_client_takes_one_element_alone(telemetry: Telemetry, server: DashScopeServer) -> None:
    from dashscope.v2.resources.multimodal.embeddings import EmbeddingItem

    for element in (PHOTO, EmbeddingItem(text="one")):
        ask(server, VISION, element, "client")
    spans = calls(telemetry)
    assert [span.attributes["otel_embed.input.count"] for span in spans] == [1, 1]
    assert [span.attributes["otel_embed.input.kind"] for span in spans] == ["image", "text"]


@needs_client
def test_what_stands_in_the_parameters_of_a_client_is_what_was_asked_for(
    telemetry: Telemetry, server: DashScopeServer
) -> None:
    server.script([Fault(usage="absent", empty=True)])
    ask(server, VISION, [{"text": "one"}, PHOTO], "client", dimension=6, parameters={"dimension": 4, "enable_fusion": True})
    (span,) = calls(telemetry)
    told = span.attributes["otel_embed.input.count"], span.attributes["gen_ai.embeddings.dimension.count"]
    assert told == (1, 4)


@needs_client
@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize(
    ("fault", "error", "cause"),
    [(Fault(status), str(status), cause) for status, cause in CAUSES.items()]
    + [(Fault(400, code="Arrearage"), "400", "quota_exhausted")],
)
def test_a_client_may_return_its_failures(
    telemetry: Telemetry, server: DashScopeServer, fault: Fault, error: str, cause: str, raises: bool
) -> None:
    server.script([fault])
    with client(server.origin, raise_on_error=raises, max_retries=0) as opened:
        try:
            answer = opened.embeddings.create(model=MODEL, input="one")
        except dashscope.v2.errors.DashScopeError:
            assert raises
        else:
            assert not raises and answer.is_error
    (span,) = calls(telemetry)
    assert (span.attributes["error.type"], span.attributes["otel_embed.error.cause"]) == (error, cause)
    assert span.status.status_code.name == "ERROR" and "gen_ai.usage.input_tokens" not in span.attributes


@needs_client
def test_a_failure_in_a_good_answer_is_told_by_its_code(telemetry: Telemetry, server: DashScopeServer) -> None:
    codes = {"Throttling.RateQuota": "rate_limited", "Arrearage": "quota_exhausted", "InvalidParameter": "other"}
    server.script([Fault(code=code) for code in codes])
    with client(server.origin, raise_on_error=False) as opened:
        for _ in codes:
            opened.embeddings.create(model=MODEL, input="one")
    spans = calls(telemetry)
    assert {span.attributes["error.type"]: span.attributes["otel_embed.error.cause"] for span in spans} == codes
    assert "gen_ai.client.embeddings.operation.input_tokens" not in telemetry.metrics()
