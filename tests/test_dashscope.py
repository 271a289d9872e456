"""The real dashscope client, of whichever line is installed, against a server that bills."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import dashscope
import pytest
from dashscope.embeddings import multimodal_embedding

import otel_embed
from conftest import Telemetry
from fakes.dashscope_server import DashScopeServer
from fakes.faults import Fault
from spans import STATUSES, attributes, calls, outcome, port, usage

MODEL = "text-embedding-v4"
PHOTO = "https://example.com/photo.jpg"
ASYNCHRONOUS = getattr(multimodal_embedding, "AioMultiModalEmbedding", None)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DashScopeServer]:
    with DashScopeServer() as server:
        monkeypatch.setattr(dashscope, "base_http_api_url", server.url + "/api/v1")
        monkeypatch.setattr(dashscope, "api_key", "sk-secret")
        yield server


def embed(server: DashScopeServer, **asked: Any) -> Any:
    return dashscope.TextEmbedding.call(**{"model": MODEL, "input": ["one two", "three"], **asked})


def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, server: DashScopeServer) -> None:
    answer = embed(server, dimension=4)
    assert answer.status_code == 200 and len(answer.output["embeddings"]) == 2
    (span,) = calls(telemetry)
    assert span.name == f"embeddings {MODEL}" and span.kind.name == "CLIENT"
    assert attributes(span) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "dashscope",
        "gen_ai.request.model": MODEL,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.embeddings.dimension.count": 4,
        "server.address": "127.0.0.1",
        "server.port": port(server.url),
        "otel_embed.input.count": 2,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "reported",
    }
    assert {"otel_embed.stage.wait.duration", "otel_embed.stage.receive.duration"} <= set(span.attributes)
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 3


def test_a_price_of_the_users_own_is_charged(telemetry: Telemetry, server: DashScopeServer, tmp_path: Any) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(f'[[price]]\nprovider = "dashscope"\nmodel = "{MODEL}"\nusd_per_million_tokens = 0.07\n')
    embed(server)
    telemetry.instrument(prices=str(prices))
    embed(server)
    found = [span.attributes.get("otel_embed.cost.usd") for span in calls(telemetry)]
    assert found == [None, 2.1e-07] and telemetry.total("otel_embed.unpriced") == 1


@pytest.mark.parametrize(("content", "inputs"), [("one two", 1), (["one"], 1), (["one"] * 10, 10)])
def test_inputs_are_counted(telemetry: Telemetry, server: DashScopeServer, content: Any, inputs: int) -> None:
    dashscope.TextEmbedding.call(MODEL, content)
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.input.count"] == inputs
    assert telemetry.total("otel_embed.inputs") == inputs


def test_usage_that_is_not_told_is_estimated(telemetry: Telemetry, server: DashScopeServer) -> None:
    server.script([Fault(usage="absent"), Fault(usage="zeros")])
    for _ in range(2):
        embed(server, input="12345678")
    assert [usage(span) for span in calls(telemetry)] == [(2, "estimated")] * 2


@pytest.mark.parametrize(("status", "cause"), STATUSES)
def test_an_error_that_is_returned_is_a_failure(
    telemetry: Telemetry, server: DashScopeServer, status: int, cause: str
) -> None:
    server.script([Fault(status)])
    answer = embed(server)
    assert answer.status_code == status and answer.message == "refused"
    (span,) = calls(telemetry)
    assert (span.attributes["error.type"], span.attributes["otel_embed.error.cause"]) == (str(status), cause)
    assert span.status.status_code.name == "ERROR" and span.status.description is None
    assert telemetry.total("otel_embed.errors", otel_embed__error__cause=cause) == 1
    assert "gen_ai.client.embeddings.operation.input_tokens" not in telemetry.metrics()


def test_an_account_that_is_overdrawn_is_told_from_invalid_input(telemetry: Telemetry, server: DashScopeServer) -> None:
    server.script([Fault(400, code="Arrearage")])
    embed(server)
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.error.cause"] == "quota_exhausted"


def test_an_error_that_is_raised_is_a_failure_too(telemetry: Telemetry, server: DashScopeServer) -> None:
    server.script([Fault(drop="at once"), Fault(drop="at once")])  # newer clients try once more
    with pytest.raises(OSError):
        embed(server)
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.error.cause"] == "network"


@pytest.mark.parametrize(
    ("elements", "kind", "tokens"),
    [
        ([{"text": "one two"}], "text", 2),
        ([{"image": PHOTO}], "image", None),
        ([{"text": "one"}, {"image": PHOTO}], "mixed", 1),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_images_are_seen_beside_texts(
    telemetry: Telemetry, server: DashScopeServer, elements: Any, kind: str, tokens: int, asynchronous: bool
) -> None:
    if asynchronous and ASYNCHRONOUS is None:
        pytest.skip("older clients have no asynchronous embeddings")
    model = "tongyi-embedding-vision-plus"
    if asynchronous:
        asyncio.run(call_and_close(model, elements))
    else:
        dashscope.MultiModalEmbedding.call(model, elements)
    (span,) = calls(telemetry)
    told = attributes(span)
    assert (told["otel_embed.input.kind"], told["otel_embed.input.count"]) == (kind, len(elements))
    assert told.get("gen_ai.usage.input_tokens") == tokens


async def call_and_close(model: str, elements: Any) -> None:
    assert ASYNCHRONOUS is not None
    await ASYNCHRONOUS.call(model, elements)
    from dashscope.api_entities import aio_session

    await getattr(aio_session, "close_shared_aio_session", asyncio.sleep)(*())


def test_contents_that_are_fused_are_one_input(telemetry: Telemetry, server: DashScopeServer) -> None:
    dashscope.MultiModalEmbedding.call("qwen3-vl-embedding", [{"text": "one"}, {"image": PHOTO}], enable_fusion=True)
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.input.count"] == 1


@pytest.mark.parametrize("fault", [Fault(), Fault(401), Fault(malformed=True), Fault(empty=True), Fault(usage="null")])
def test_results_and_exceptions_are_what_they_are_without_us(
    telemetry: Telemetry, server: DashScopeServer, fault: Fault
) -> None:
    def said() -> Any:
        answer = embed(server)
        return type(answer), {name: value for name, value in answer.items() if name not in ("headers", "request_id")}

    server.script([fault])
    seen = outcome(said)
    assert len(calls(telemetry)) == 1
    otel_embed.uninstrument()
    server.script([fault])
    assert outcome(said) == seen


def test_uninstrument_puts_the_original_back(telemetry: Telemetry, server: DashScopeServer) -> None:
    assert isinstance(vars(dashscope.TextEmbedding)["call"], classmethod)
    wrapped = dashscope.TextEmbedding.call.__func__
    otel_embed.uninstrument()
    assert dashscope.TextEmbedding.call.__func__ is wrapped.__wrapped__
    embed(server)
    assert not calls(telemetry)
