"""Stages and sizes as httpx and httpx2 tell them, under the real openai client: TLS, reuse, gzip, chunks, delays."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Iterator
from contextvars import Context, copy_context
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import openai
import pytest
from opentelemetry.trace import INVALID_SPAN, get_current_span

from clients import LIBRARIES, SMALL, Client, http_client, streams
from conftest import Telemetry
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.exchange import OpenExchange
from spans import calls, is_late, stages

DELAY = 0.4
"""Seconds. What is not delayed takes a few milliseconds; a busy machine may make that a hundred."""


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> ModuleType:
    """The libraries that the installed openai takes a client of."""
    return import_module(request.param)


@pytest.fixture(params=["sync", "async"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "async")


@pytest.fixture
def secure() -> Iterator[OpenAIServer]:
    with OpenAIServer(tls=True) as server:
        yield server


def test_a_new_connection_is_connected_and_a_kept_one_is_not(
    telemetry: Telemetry, server: OpenAIServer, library: ModuleType, asynchronous: bool
) -> None:
    with Client(server, http_client(server, library, asynchronous), asynchronous) as client:
        client.embed(), client.embed()
    new, kept = [stages(span) for span in telemetry.spans()]
    assert set(new) == {"serialize", "acquire", "connect", "send", "wait", "receive", "deserialize"}
    assert set(kept) == set(new) - {"connect"}


def test_a_new_connection_shakes_hands_and_a_kept_one_does_not(
    telemetry: Telemetry, secure: OpenAIServer, library: ModuleType, asynchronous: bool
) -> None:
    with Client(secure, http_client(secure, library, asynchronous), asynchronous) as client:
        client.embed(), client.embed()
    new, kept = [stages(span) for span in telemetry.spans()]
    assert set(new) == {"serialize", "acquire", "connect", "tls", "send", "wait", "receive", "deserialize"}
    assert set(kept) == set(new) - {"connect", "tls"}


@pytest.mark.parametrize(("fault", "slow"), [
    (Fault(header_delay=DELAY), "wait"),
    (Fault(body_delay=DELAY), "receive"),
    (Fault(body_delay=DELAY, chunked=True, gzip=True), "receive"),
])  # fmt: skip
def test_a_delay_is_in_the_stage_where_it_happened(
    telemetry: Telemetry, server: OpenAIServer, library: ModuleType, asynchronous: bool, fault: Fault, slow: str
) -> None:
    server.script([None, fault])
    with Client(server, http_client(server, library, asynchronous), asynchronous) as client:
        client.embed(), client.embed()  # the first pays for what is imported when first used
    found = stages(telemetry.spans()[-1])
    assert is_late(found, slow, DELAY)


@streams
def test_a_delay_of_a_streamed_body_is_in_receive(
    telemetry: Telemetry, server: OpenAIServer, library: ModuleType, asynchronous: bool
) -> None:
    server.script([Fault(body_delay=DELAY)])
    with Client(server, http_client(server, library, asynchronous), asynchronous) as client:
        client.stream("iter_bytes")
    assert is_late(stages(telemetry.spans()[-1]), "receive", DELAY)


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_counts_whatever_its_framing_and_has_a_size_where_it_is_said(
    telemetry: Telemetry, server: OpenAIServer, library: ModuleType, asynchronous: bool, gzip: bool, chunked: bool
) -> None:
    server.script([Fault(gzip=gzip, chunked=chunked)])
    with Client(server, http_client(server, library, asynchronous), asynchronous) as client:
        answer = client.embed(raw=True).http_response
    assert ("content-encoding" in answer.headers, "transfer-encoding" in answer.headers) == (gzip, chunked)
    (span,) = calls(telemetry)
    assert (span.attributes["gen_ai.usage.input_tokens"], span.attributes["otel_embed.usage.source"]) == (2, "reported")
    assert span.attributes["http.request.body.size"] == len(answer.request.content)
    size = None if chunked else answer.num_bytes_downloaded
    assert span.attributes.get("http.response.body.size") == size, "bytes on the wire, compressed"
    assert stages(span)["receive"] > 0


@streams
@pytest.mark.parametrize(("fault", "read", "source"), [
    (Fault(), "iter_bytes", "reported"),
    (Fault(chunked=True), "iter_bytes", "reported"),
    (Fault(gzip=True), "read", "reported"),
    (Fault(gzip=True, chunked=True), "read", "reported"),
    (Fault(gzip=True), "iter_bytes", "estimated"),  # only the application sees the bytes decoded
    (Fault(gzip=True, chunked=True), "iter_bytes", "estimated"),
])  # fmt: skip
def test_a_streamed_answer_says_what_it_cost_or_that_this_is_an_estimate(
    telemetry: Telemetry, server: OpenAIServer, library: ModuleType, asynchronous: bool,
    fault: Fault, read: str, source: str,
) -> None:  # fmt: skip
    server.script([fault])
    with Client(server, http_client(server, library, asynchronous), asynchronous) as client:
        assert b'"total_tokens":2' in client.stream(read)
    (span,) = calls(telemetry)
    assert (span.attributes["gen_ai.usage.input_tokens"], span.attributes["otel_embed.usage.source"]) == (2, source)
    assert ("http.response.body.size" in span.attributes) != fault.chunked
    assert "receive" in stages(span)


def test_a_connection_that_a_transport_tries_again_waits_in_backoff(
    telemetry: Telemetry, library: ModuleType, asynchronous: bool
) -> None:
    if library.__version__.startswith("0.23"):
        pytest.skip("its httpcore does not tell")
    kind = library.AsyncHTTPTransport if asynchronous else library.HTTPTransport
    http = (library.AsyncClient if asynchronous else library.Client)(transport=kind(retries=2))
    nobody: Any = SimpleNamespace(url="http://127.0.0.1:9/v1")  # who tries again waits not at all, then half a second
    with pytest.raises(openai.APIConnectionError), Client(nobody, http, asynchronous) as client:
        client.embed()
    (span,) = calls(telemetry)
    assert stages(span)["backoff"] > 0.4
    assert span.attributes["otel_embed.error.cause"] == "network"


def by_way_of(server: OpenAIServer, library: ModuleType, fetch: str) -> Any:
    """A client that asks for a token before each request, with another client."""

    other: Any = pytest.importorskip("requests") if fetch == "requests" else library

    def token() -> None:
        assert other.post(f"{server.url}/chat/completions", json={}).status_code == 404

    class Transport(library.HTTPTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            token()
            return super().handle_request(request)

    if fetch == "transport":
        return library.Client(transport=Transport())
    return library.Client(event_hooks={"request": [lambda _: token()]})


@pytest.mark.parametrize("fetch", ["hook", "transport", "requests"])
def test_a_token_fetched_on_a_requests_way_is_a_part_of_that_request(
    telemetry: Telemetry, server: OpenAIServer, library: ModuleType, fetch: str
) -> None:
    server.by_model = {"": Fault(status=404)}  # what asks for a token names no model
    server.script([Fault(status=503, retry_after=0.05)])
    client = openai.OpenAI(
        base_url=server.url, api_key="x", max_retries=1, http_client=by_way_of(server, library, fetch)
    )
    client.embeddings.create(model=SMALL, input="one two")
    (span,) = calls(telemetry)
    size = int(server.requests[-1].headers["content-length"])
    assert [received.status for received in server.requests] == [404, 503, 404, 200]
    assert (span.attributes["otel_embed.retry.count"], span.attributes["http.request.body.size"]) == (1, size)
    assert stages(span)["backoff"] > 0.04
    assert telemetry.total("otel_embed.retries", otel_embed__retry__status="503") == 1


def test_a_key_fetched_between_two_attempts_leaves_the_second_a_retry(
    telemetry: Telemetry, server: OpenAIServer, library: ModuleType, secure: OpenAIServer
) -> None:
    server.script([Fault(status=503, retry_after=0.05)])
    tokens = library.Client(verify=ssl.create_default_context(cafile=secure.ca_file))

    class Client(openai.OpenAI):
        def _prepare_options(self, options: Any) -> Any:  # as clients for clouds do
            tokens.post(f"{secure.url}/embeddings", json={"model": SMALL, "input": "token"})
            return super()._prepare_options(options)

    Client(base_url=server.url, api_key="x", max_retries=1).embeddings.create(model=SMALL, input="one two")
    (span,) = calls(telemetry)
    assert len(secure.requests) == len(server.requests) == 2
    assert span.attributes["otel_embed.retry.count"] == 1 and stages(span)["backoff"] > 0.04


def test_a_call_made_in_the_transport_of_another_has_its_own_requests(
    telemetry: Telemetry, server: OpenAIServer, library: ModuleType
) -> None:
    inner = openai.OpenAI(base_url=server.url, api_key="x", max_retries=1, http_client=library.Client())

    def answer(request: Any) -> Any:
        return library.Response(200, json=inner.embeddings.create(model=SMALL, input="one two").model_dump())

    server.script([Fault(status=503, retry_after=0.05)])
    outer = openai.OpenAI(
        base_url=server.url, api_key="x", http_client=library.Client(transport=library.MockTransport(answer))
    )
    outer.embeddings.create(model=SMALL, input="one two")
    below, above = calls(telemetry)
    assert below.attributes["otel_embed.retry.count"] == 1 and "wait" in stages(below)
    assert "otel_embed.retry.count" not in above.attributes
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens


def test_requests_that_are_given_up_in_another_context_are_let_go(telemetry: Telemetry, library: ModuleType) -> None:
    async def answer(request: Any) -> Any:
        if waiting:
            await asyncio.get_running_loop().create_future()
        return library.Response(400, json={})

    def exchanges() -> list[OpenExchange]:
        gc.collect()
        return [each for each in gc.get_objects() if issubclass(type(each), OpenExchange)]  # asks no proxy for its class

    waiting: list[bool] = []

    async def work() -> None:
        http = library.AsyncClient(transport=library.MockTransport(answer))
        client = openai.AsyncOpenAI(base_url="http://openai.invalid/v1", api_key="x", max_retries=0, http_client=http)
        with pytest.raises(openai.BadRequestError):  # with all that a client looks up once
            await client.embeddings.create(model=SMALL, input="one two")
        waiting.append(True)
        others = {id(each) for each in exchanges()}  # of tests before this one
        for _ in range(5):
            asking: Any = client.embeddings.create(model=SMALL, input="one two")
            asking.send(None)
            Context().run(asking.close)
        del asking
        telemetry.metrics()
        held = [each for each in exchanges() if id(each) not in others]
        assert len(held) <= 1, "each holds the one before"

    asyncio.run(work())
    assert len(calls(telemetry)) == 6


@pytest.mark.parametrize("where", ["here", "in a copy of its context", "elsewhere"])
def test_a_call_that_is_thrown_away_leaves_the_context_as_it_was(
    telemetry: Telemetry, library: ModuleType, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    copies: list[Context] = []

    async def answer(request: Any) -> Any:
        copies.append(copy_context())
        if len(copies) > 1:
            await asyncio.get_running_loop().create_future()
        return library.Response(400, json={})

    async def work() -> None:
        http = library.AsyncClient(transport=library.MockTransport(answer))
        client = openai.AsyncOpenAI(base_url="http://openai.invalid/v1", api_key="x", http_client=http)
        with pytest.raises(openai.BadRequestError):  # with all that a client looks up once
            await client.embeddings.create(model=SMALL, input="one two")
        with tracer.start_as_current_span("around") as around:
            asking: Any = client.embeddings.create(model=SMALL, input="one two")
            asking.send(None)
            _, within = copies
            assert within.run(get_current_span) is not around
            if where == "here":
                asking.close()
                assert get_current_span() is around
            else:
                context = within if where == "in a copy of its context" else Context()
                expected = around if context is within else INVALID_SPAN
                context.run(asking.close)
                assert context.run(get_current_span) is expected

    tracer = telemetry.tracers.get_tracer("application")
    asyncio.run(work())
    _, call = calls(telemetry)
    assert call.attributes["otel_embed.error.cause"] == "cancelled"
    assert caplog.records == []
