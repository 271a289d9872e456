"""The real mistralai client, of whichever line is installed, against a server that bills."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from typing import Any, ClassVar

import pytest
from opentelemetry import trace

import otel_embed
from conftest import Telemetry, run
from every_provider import TEXTS, EveryProvider
from fakes.api_server import ApiServer
from fakes.faults import Fault
from fakes.openai_like_server import MistralServer
from spans import whole

VERSION = tuple(int(part) for part in version("mistralai").split("."))
LIBRARY = "mistralai" if VERSION < (2, 0) else "mistralai.client"
Mistral, utils = import_module(LIBRARY).Mistral, import_module(f"{LIBRARY}.utils")
MODEL = "mistral-embed"
MAKES_SPANS = (1, 10) <= VERSION < (2, 4, 8)
"""Whether this version makes spans without being asked to."""


def client(url: str, retries: int = 0, timeout: float = 10) -> Any:
    backoff = utils.BackoffStrategy(50, 100, 1.5, 5000)
    retry = {"retry_config": utils.RetryConfig("backoff", backoff, False)} if retries else {}
    return Mistral(api_key="x", server_url=url, timeout_ms=int(1000 * timeout), **retry)


class TestMistral(EveryProvider):
    server_class = MistralServer
    model, picodollars = MODEL, 100_000
    wrapped: ClassVar = [f"{LIBRARY}.embeddings:Embeddings.{name}" for name in ("create", "create_async")]
    untold: ClassVar = ["zeros"]  # other answers without usage it does not take
    if VERSION < (1, 1):  # which fails itself when it tries again
        retries = ()

    def embed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        it = client(url, retries, timeout)  # held: it closes its connections when it goes
        return it.embeddings.create(model=MODEL, inputs=texts)

    async def aembed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        it = client(url, retries, timeout)
        return await it.embeddings.create_async(model=MODEL, inputs=texts)

    def known(self, server: ApiServer) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "mistral_ai",
            "gen_ai.request.model": MODEL,
            "gen_ai.response.model": MODEL,
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.embeddings.dimension.count": 8,
            "server.address": "127.0.0.1",
            "server.port": server.server_address[1],
            "otel_embed.input.count": 2,
            "otel_embed.input.kind": "text",
            "otel_embed.usage.source": "reported",
            "otel_embed.cost.usd": 3e-07,
            "otel_embed.cost.source": "table",
            "otel_embed.rate_limit.remaining.requests": 359,
            "otel_embed.rate_limit.remaining.tokens": 499997,
            "otel_embed.server.duration": 0.012,
        }


@pytest.fixture
def server() -> Iterator[MistralServer]:
    with MistralServer() as server:
        yield server


@pytest.mark.skipif(VERSION < (1, 8), reason="new in mistralai 1.8")
@pytest.mark.parametrize("form", ["float", "int8", "binary", "ubinary"])
def test_dimensions_are_right_whatever_the_form(telemetry: Telemetry, server: MistralServer, form: str) -> None:
    it = client(server.origin)
    it.embeddings.create(model="codestral-embed", inputs="one two", output_dtype=form, output_dimension=64)
    (span,) = telemetry.spans()
    assert span.attributes["gen_ai.embeddings.dimension.count"] == 64
    assert span.attributes["gen_ai.request.encoding_formats"] == (form,)
    assert span.attributes["otel_embed.cost.usd"] == 2 * 0.15e-6


def test_a_client_without_a_url_of_its_own_calls_the_librarys(telemetry: Telemetry) -> None:
    it = Mistral(api_key="x", timeout_ms=200)
    with pytest.raises(Exception):  # noqa: B017 - there is no network
        it.embeddings.create(model=MODEL, inputs=TEXTS)
    (span,) = telemetry.spans(f"embeddings {MODEL}")
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("api.mistral.ai", 443)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_call_is_one_span_where_the_library_makes_its_own(
    telemetry: Telemetry, server: MistralServer, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: telemetry.tracers)
    tests = TestMistral()

    def embed() -> Any:
        return run(tests.aembed(server.origin, TEXTS)) if asynchronous else tests.embed(server.origin, TEXTS)

    observed = embed()
    assert [span.name for span in telemetry.spans()] == [f"embeddings {MODEL}"]
    assert whole(telemetry.spans()[0]) == tests.known(server)
    otel_embed.uninstrument()
    telemetry.exporter.clear()
    assert embed() == observed
    assert len(telemetry.spans()) == MAKES_SPANS, "by itself, it tells what it always did"


@pytest.mark.skipif(not MAKES_SPANS, reason="only some versions make spans without being asked to")
def test_what_the_library_tells_of_other_requests_is_left_alone(
    telemetry: Telemetry, server: MistralServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: telemetry.tracers)
    server.script([Fault(status=400)])
    it = client(server.origin)
    with pytest.raises(Exception):  # noqa: B017
        it.chat.complete(model="mistral-small", messages=[{"role": "user", "content": "Hello"}])
    assert len(telemetry.spans()) == 1 and "traceparent" in server.requests[0].headers
