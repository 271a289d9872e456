"""The real cohere client, of whichever line is installed, against a server that bills."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, ClassVar

import cohere
import pytest
from cohere.core.http_client import HttpClient
from cohere.environment import ClientEnvironment
from opentelemetry.sdk.trace import ReadableSpan

import otel_embed
from conftest import Telemetry, run
from every_provider import IDENTITY, TEXTS, EveryProvider
from fakes.api_server import ApiServer
from fakes.cohere_server import IMAGE_TOKENS, CohereServer
from fakes.faults import Fault
from spans import stages, whole

VERSION = tuple(int(part) for part in version("cohere").split(".")[:2])
V3, V4 = "embed-english-v3.0", "embed-v4.0"
PICTURE = "data:image/png;base64,AAAA"
FIRST_TRY = inspect.signature(HttpClient.request, follow_wrapped=False).parameters["retries"].default
"""From where a line of the client counts retries: at 0, or at 2 in those before 7."""
PATH = "/v1" if ClientEnvironment.PRODUCTION.value.endswith("/v1") else ""


class CohereTests(EveryProvider):
    server_class = CohereServer
    kinds: tuple[str, str]
    """The client's classes."""

    def known(self, server: ApiServer) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "cohere",
            "gen_ai.request.model": self.model,
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.embeddings.dimension.count": 8,
            "server.address": "127.0.0.1",
            "server.port": server.server_address[1],
            "otel_embed.input.count": 2,
            "otel_embed.input.kind": "text",
            "otel_embed.usage.source": "reported",
            "otel_embed.cost.usd": 3 * self.picodollars / 1e12,
            "otel_embed.cost.source": "table",
            "otel_embed.rate_limit.remaining.requests": 1999,
            "otel_embed.server.duration": 0.012,
        }

    def client(self, url: str, asynchronous: bool = False) -> Any:
        return getattr(cohere, self.kinds[asynchronous])(api_key="x", base_url=url + PATH)

    def asked(self, texts: list[str], retries: int, timeout: float) -> dict[str, Any]:
        options: Any = {"max_retries": retries + FIRST_TRY, "timeout_in_seconds": timeout}
        return {"texts": texts, "model": self.model, "input_type": "search_document", "request_options": options}

    def embed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        return self.client(url).embed(**self.asked(texts, retries, timeout))

    async def aembed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        return await self.client(url, asynchronous=True).embed(**self.asked(texts, retries, timeout))


class TestV1(CohereTests):
    model, picodollars, kinds = V3, 100_000, ("Client", "AsyncClient")
    if (5, 2) <= VERSION < (7, 0):
        untold: ClassVar = ["zeros"]  # these fail where they miss what they add up
    wrapped = (
        ["cohere.client:Client.embed", "cohere.client:AsyncClient.embed"]
        if VERSION >= (5, 2)
        else ["cohere.base_client:BaseCohere.embed", "cohere.base_client:AsyncBaseCohere.embed"]
    )


@pytest.mark.skipif(VERSION < (5, 11), reason="new in cohere 5.10, and changed in 5.11")
class TestV2(CohereTests):
    model, picodollars, kinds = V4, 120_000, ("ClientV2", "AsyncClientV2")
    wrapped = (
        ["cohere.v2.raw_client:RawV2Client.embed", "cohere.v2.raw_client:AsyncRawV2Client.embed"]
        if VERSION >= (5, 16)
        else ["cohere.v2.client:V2Client.embed", "cohere.v2.client:AsyncV2Client.embed"]
    )

    def known(self, server: ApiServer) -> dict[str, Any]:
        return {**super().known(server), "gen_ai.request.encoding_formats": ("float",)}

    def asked(self, texts: list[str], retries: int, timeout: float) -> dict[str, Any]:
        return {**super().asked(texts, retries, timeout), "embedding_types": ["float"]}


@pytest.fixture
def server() -> Iterator[CohereServer]:
    with CohereServer() as server:
        yield server


V1_CALLS = [TestV1().embed, lambda *asked: run(TestV1().aembed(*asked))]
v1 = pytest.mark.parametrize("call", V1_CALLS, ids=["sync", "async"])
divides = pytest.mark.skipif(VERSION < (5, 2), reason="cohere 5.0 sends all texts in one request")
has_v2 = pytest.mark.skipif(VERSION < (5, 11), reason="new in cohere 5.10, and changed in 5.11")


def below(parent: ReadableSpan, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    return [span for span in spans if span.parent is not None and span.parent.span_id == parent.context.span_id]


@v1
def test_a_call_in_the_clients_own_threads_is_part_of_the_applications_trace(
    telemetry: Telemetry, server: CohereServer, call: Any
) -> None:
    with telemetry.tracers.get_tracer("ours").start_as_current_span("ingest"), otel_embed.track() as usage:
        call(server.origin, TEXTS)
    (ingest,), (span,) = telemetry.spans("ingest"), telemetry.spans(f"embeddings {V3}")
    assert below(ingest, [span]) and usage.tokens == 3


@divides
@v1
def test_a_large_call_is_a_span_over_those_of_its_requests(
    telemetry: Telemetry, server: CohereServer, call: Any
) -> None:
    with telemetry.tracers.get_tracer("ours").start_as_current_span("ingest"), otel_embed.track() as usage:
        call(server.origin, ["one two"] * 200)
    (ingest,), spans = telemetry.spans("ingest"), telemetry.spans(f"embeddings {V3}")
    (outer,) = below(ingest, spans)
    parts = below(outer, spans)
    assert sorted(part.attributes["gen_ai.usage.input_tokens"] for part in parts) == [16, 192, 192]
    told = {name: value for name, value in outer.attributes.items() if ".stage." not in name}
    place = {name: value for name, value in TestV1().known(server).items() if name in IDENTITY}
    assert told == {**place, "otel_embed.input.count": 200} and stages(outer)["wait"] > 0
    summary = otel_embed.summary()
    assert (usage.tokens, usage.inputs, usage.calls) == (summary.tokens, summary.inputs, summary.calls) == (400, 200, 3)
    assert server.billed.tokens == 400 and telemetry.total("otel_embed.inputs") == 200
    assert telemetry.total("otel_embed.cost") == 400 * TestV1.picodollars / 1e12
    seconds = sum(sum(stages(part).values()) for part in parts)
    assert telemetry.total("otel_embed.stage.time") == pytest.approx(seconds, abs=1e-6)
    (row,) = summary.document["providers"]
    assert row["calls"] == row["latency"]["count"] == 3
    assert sum(row["stages"].values()) == pytest.approx(seconds, abs=1e-6)


@divides
def test_what_a_large_call_paid_before_it_failed_is_counted(telemetry: Telemetry, server: CohereServer) -> None:
    server.script([None, Fault(status=400), None])
    with pytest.raises(cohere.BadRequestError):
        TestV1().embed(server.origin, ["one two"] * 200)
    deadline = time.monotonic() + 10
    while len(telemetry.spans(f"embeddings {V3}")) < 4:  # two threads outlive the call that they work for
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens > 0
    assert telemetry.total("otel_embed.errors", otel_embed__error__cause="invalid_input") == 1
    assert telemetry.total("otel_embed.inputs.pending") == 0


@divides
def test_the_inputs_of_a_large_call_are_pending_once(telemetry: Telemetry, server: CohereServer) -> None:
    server.script([Fault(header_delay=0.5)] * 3)
    thread = threading.Thread(target=TestV1().embed, args=(server.origin, ["one two"] * 200))
    thread.start()
    while len(server.requests) < 3:
        time.sleep(0.01)
    assert telemetry.total("otel_embed.inputs.pending") == 200
    thread.join()
    assert telemetry.total("otel_embed.inputs.pending") == 0


class OwnThreads:
    """An executor of the application's own."""

    def map(self, work: Any, batches: list[Any]) -> list[Any]:
        done: list[Any] = []
        for batch in batches:
            thread = threading.Thread(target=lambda batch=batch: done.append(work(batch)))
            thread.start()
            thread.join()
        return done


@pytest.mark.skipif(VERSION < (5, 8), reason="an executor can be chosen since cohere 5.8")
@pytest.mark.parametrize("texts", [2, 200])
def test_calls_in_threads_of_another_kind_are_counted_once(
    telemetry: Telemetry, server: CohereServer, texts: int
) -> None:
    client = cohere.Client(api_key="x", base_url=server.origin + PATH, thread_pool_executor=OwnThreads())
    client.embed(**TestV1().asked(["one two"] * texts, 0, 10))
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 2 * texts
    assert telemetry.total("otel_embed.inputs") == texts


@pytest.mark.skipif(VERSION < (5, 8), reason="an executor can be chosen since cohere 5.8")
def test_a_budget_stops_a_large_call_as_a_whole_or_not_at_all(telemetry: Telemetry, server: CohereServer) -> None:
    """The first of its requests spends the budget; the others are parts of a call that has begun."""
    telemetry.instrument(daily_budget_usd=1e-9, budget_action="block")
    with ThreadPoolExecutor(1) as one_at_a_time:
        client = cohere.Client(api_key="x", base_url=server.origin + PATH, thread_pool_executor=one_at_a_time)
        client.embed(**TestV1().asked(["one two"] * 200, 0, 10))
        assert len(server.requests) == 3
        with pytest.raises(otel_embed.BudgetExceeded):
            client.embed(**TestV1().asked(["one two"] * 200, 0, 10))
    assert len(server.requests) == 3


@pytest.mark.skipif(VERSION < (6, 1), reason="new in cohere 6")
def test_a_stream_of_embeddings_is_a_call_for_each_request(telemetry: Telemetry, server: CohereServer) -> None:
    stream = TestV1().client(server.origin).embed_stream(texts=["one two"] * 5, model=V3, batch_size=2)
    assert not server.requests
    assert next(stream).index == 0 and len(server.requests) == 1
    assert len(list(stream)) == 4
    assert [span.attributes["gen_ai.usage.input_tokens"] for span in telemetry.spans()] == [4, 4, 2]


@pytest.mark.skipif(VERSION < (5, 16), reason="new in cohere 5.16")
@pytest.mark.parametrize("tests", [TestV1(), TestV2()])
def test_a_raw_response_is_read_like_any_other(telemetry: Telemetry, server: CohereServer, tests: CohereTests) -> None:
    response = tests.client(server.origin).with_raw_response.embed(**tests.asked(TEXTS, 0, 10))
    assert response.headers["x-trial-endpoint-call-remaining"] == "1999" and response.data.texts == TEXTS
    (span,) = telemetry.spans()
    assert whole(span) == tests.known(server)


@has_v2
@pytest.mark.parametrize(
    ("forms", "dimensions"),
    [(["float"], 64), (["int8"], 64), (["uint8"], 64), (["binary"], 64), (["ubinary"], 64), (["ubinary", "int8"], 64)]
    + ([(["base64"], 64), (["binary", "base64"], 64)] if VERSION >= (5, 16) else []),
)
def test_dimensions_are_right_whatever_the_form(
    telemetry: Telemetry, server: CohereServer, forms: list[str], dimensions: int
) -> None:
    asked = {**TestV2().asked(TEXTS, 0, 10), "embedding_types": forms}
    extra: Any = {"additional_body_parameters": {"output_dimension": 64}}  # no argument of its own before 5.15
    TestV2().client(server.origin).embed(**{**asked, "request_options": extra})
    (span,) = telemetry.spans()
    assert span.attributes["gen_ai.request.encoding_formats"] == tuple(forms)
    assert span.attributes["gen_ai.embeddings.dimension.count"] == dimensions


TEXT, IMAGE = {"type": "text", "text": "one two"}, {"type": "image_url", "image_url": {"url": PICTURE}}
IMAGES = [
    pytest.param(V3, {"images": [PICTURE]}, 1, "image", None, None, id="v3 images"),
    pytest.param(V4, {"images": [PICTURE] * 2}, 2, "image", None, 2 * IMAGE_TOKENS * 0.47, id="v4 images"),
    pytest.param(V4, {"inputs": [{"content": [IMAGE]}]}, 1, "image", None, IMAGE_TOKENS * 0.47, id="inputs of images"),
    pytest.param(V4, {"inputs": [{"content": [TEXT]}] * 3}, 3, "text", 6, 6 * 0.12, id="inputs of texts"),
    pytest.param(V4, {"inputs": [{"content": [TEXT, IMAGE]}]}, 1, "mixed", 2, 0.24 + IMAGE_TOKENS * 0.47, id="both"),
]


@pytest.mark.skipif(VERSION < (5, 16), reason="images since cohere 5.11, and inputs since 5.15")
@pytest.mark.parametrize(("model", "asked", "inputs", "kind", "tokens", "microdollars"), IMAGES)
def test_images_are_billed_beside_texts(
    telemetry: Telemetry, server: CohereServer, model: str, asked: Any, inputs: int, kind: str, tokens: int | None,
    microdollars: float | None,
) -> None:  # fmt: skip
    TestV2().client(server.origin).embed(model=model, input_type="image", embedding_types=["float"], **asked)
    (span,) = telemetry.spans()
    told = span.attributes
    assert (told["otel_embed.input.count"], told["otel_embed.input.kind"]) == (inputs, kind)
    assert told.get("gen_ai.usage.input_tokens") == tokens
    cost = told.get("otel_embed.cost.usd")  # none where an image is billed by the piece, for which no price is known
    assert cost == (microdollars and pytest.approx(microdollars / 1e6, abs=1e-12))
    assert telemetry.total("otel_embed.unpriced") == (microdollars is None)


def test_an_answer_without_embeddings_is_a_call_without_dimensions(telemetry: Telemetry, server: CohereServer) -> None:
    server.script([Fault(empty=True)])
    TestV1().embed(server.origin, TEXTS)
    (span,) = telemetry.spans()
    assert "gen_ai.embeddings.dimension.count" not in span.attributes
