"""The real nomic client, of whichever line is installed, against a server that bills."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, ClassVar

import nomic.embed
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from PIL import Image

import otel_embed
from conftest import Telemetry
from every_provider import IDENTITY, NOBODY, EveryProvider
from fakes.api_server import ApiServer
from fakes.faults import Fault
from fakes.nomic_server import IMAGE_TOKENS, NomicServer
from spans import stages

VERSION = tuple(int(part) for part in version("nomic").split("."))
MODEL, VISION = "nomic-embed-text-v1.5", "nomic-embed-vision-v1.5"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tries five times again, waiting up to 16 seconds."""
    set_retries(monkeypatch, 0)
    monkeypatch.setattr(nomic.embed, "atlas_class", None)


def set_retries(monkeypatch: pytest.MonkeyPatch, retries: int) -> None:
    defaults = (0.05, 2.0, retries, nomic.embed.is_backoff_status_code)
    monkeypatch.setattr(nomic.embed.request_backoff, "__defaults__", defaults)


def at(url: str) -> None:
    """Log in, which sends a request of its own elsewhere."""
    nomic.embed.atlas_class = SimpleNamespace(atlas_api_path=url, header={"Authorization": "Bearer x"})


class TestNomic(EveryProvider):
    server_class = NomicServer
    model, texts = MODEL, ["one two three"]  # of several it makes several calls
    wrapped: ClassVar = ["nomic.embed:text", "nomic.embed:text_api_request", "nomic.embed:image"]
    asynchronous = False
    untold: ClassVar = ["zeros"]  # other answers without usage it does not take
    picodollars = 0
    test_no_answer_and_nobody_to_answer_are_told_apart: ClassVar[Any] = None  # it waits for an answer for ever

    def embed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        at(url)
        wait, ratio, _, which = nomic.embed.request_backoff.__defaults__
        nomic.embed.request_backoff.__defaults__ = (wait, ratio, retries, which)
        return nomic.embed.text(texts, model=MODEL)

    def known(self, server: ApiServer) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "nomic",
            "gen_ai.request.model": MODEL,
            "gen_ai.response.model": MODEL,
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.embeddings.dimension.count": 8,
            "server.address": "127.0.0.1",
            "server.port": server.server_address[1],
            "otel_embed.input.count": 1,
            "otel_embed.input.kind": "text",
            "otel_embed.usage.source": "reported",
        }


@pytest.fixture
def server() -> Iterator[NomicServer]:
    with NomicServer() as server:
        at(server.origin)
        yield server


def below(parent: ReadableSpan, spans: list[ReadableSpan]) -> list[ReadableSpan]:
    return [span for span in spans if span.parent is not None and span.parent.span_id == parent.context.span_id]


@pytest.mark.parametrize(("texts", "requests"), [(3, [1, 1, 1]), (25, [1] + [2] * 12), (100, [10] * 10)])
def test_a_call_with_several_texts_is_a_span_over_those_of_its_requests(
    telemetry: Telemetry, server: NomicServer, texts: int, requests: list[int]
) -> None:
    with telemetry.tracers.get_tracer("ours").start_as_current_span("ingest"), otel_embed.track() as usage:
        result = nomic.embed.text(["one two"] * texts, model=MODEL, dimensionality=64)
    assert result["usage"]["total_tokens"] == 2 * texts and len(result["embeddings"]) == texts
    (ingest,), spans = telemetry.spans("ingest"), telemetry.spans(f"embeddings {MODEL}")
    (outer,) = below(ingest, spans)
    parts = below(outer, spans)
    assert sorted(part.attributes["otel_embed.input.count"] for part in parts) == requests
    assert {part.attributes["gen_ai.embeddings.dimension.count"] for part in parts} == {64}
    told = {name: value for name, value in outer.attributes.items() if ".stage." not in name}
    place = {name: value for name, value in TestNomic().known(server).items() if name in IDENTITY}
    del place["gen_ai.response.model"]
    assert told == {**place, "otel_embed.input.count": texts} and stages(outer)["wait"] > 0
    assert (usage.tokens, usage.inputs, usage.calls) == (2 * texts, texts, len(requests))
    assert server.billed.tokens == 2 * texts == telemetry.total("gen_ai.client.embeddings.operation.input_tokens")
    assert telemetry.total("otel_embed.inputs") == texts and telemetry.total("otel_embed.inputs.pending") == 0


def test_what_a_call_paid_before_it_failed_is_counted(telemetry: Telemetry, server: NomicServer) -> None:
    server.script([None, Fault(status=400), None])
    with pytest.raises(Exception, match="400"):
        nomic.embed.text(["one two"] * 3, model=MODEL)
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 4
    assert telemetry.total("otel_embed.errors", otel_embed__error__cause="invalid_input") == 1
    failed = [span.attributes for span in telemetry.spans(f"embeddings {MODEL}") if "error.type" in span.attributes]
    why = [(each["error.type"], each["otel_embed.error.cause"]) for each in failed]
    assert why == [("400", "invalid_input")] * 2, "the whole call fails for the reason of its part"


def test_nobody_to_answer_is_a_network_failure(telemetry: Telemetry) -> None:
    at(NOBODY)
    with pytest.raises(Exception):  # noqa: B017
        nomic.embed.text(["one"], model=MODEL)
    (span,) = telemetry.spans(f"embeddings {MODEL}")
    assert span.attributes["otel_embed.error.cause"] == "network"


@pytest.mark.parametrize("count", [1, 3])
def test_images_are_inputs(telemetry: Telemetry, server: NomicServer, count: int) -> None:
    nomic.embed.image([Image.new("RGB", (2, 2))] * count, model=VISION)
    told = [span.attributes for span in telemetry.spans(f"embeddings {VISION}")]
    kinds = {(each["otel_embed.input.count"], each.get("otel_embed.input.kind")) for each in told}
    assert kinds == ({(1, "image")} if count == 1 else {(1, "image"), (3, None)})
    assert telemetry.total("otel_embed.inputs") == count
    tokens = telemetry.total("gen_ai.client.embeddings.operation.input_tokens")
    assert tokens == server.billed.tokens == IMAGE_TOKENS * count


@pytest.mark.skipif(VERSION < (3, 0, 38), reason="new in nomic 3.0.38")
def test_images_can_be_urls(telemetry: Telemetry, server: NomicServer) -> None:
    nomic.embed.image(["https://example.com/picture.png"], model=VISION)
    (span,) = telemetry.spans(f"embeddings {VISION}")
    assert (span.attributes["otel_embed.input.count"], span.attributes["otel_embed.input.kind"]) == (1, "image")


def test_a_call_that_names_no_model_is_told_with_the_default(telemetry: Telemetry, server: NomicServer) -> None:
    nomic.embed.text(["one two"])
    (span,) = telemetry.spans()
    assert span.attributes["gen_ai.request.model"] == server.requests[0].body["model"]


def test_a_model_in_this_process_is_not_nomics_call(telemetry: Telemetry, server: NomicServer) -> None:
    with pytest.raises(RuntimeError, match="gpt4all"):
        nomic.embed.text(["one two"], model=MODEL, inference_mode="local")
    assert not telemetry.spans()
