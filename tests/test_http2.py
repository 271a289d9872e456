"""Stages of HTTP/2, where calls share one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import openai
import pytest

from clients import LIBRARIES, SMALL, Client, http_client
from conftest import Telemetry, run
from fakes.faults import Fault
from fakes.http2_server import Http2Server
from spans import is_late, stages

DELAY = 0.4


@pytest.fixture
def server() -> Iterator[Http2Server]:
    with Http2Server() as server:
        yield server


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(request.param)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_stages_are_those_of_http_1(
    telemetry: Telemetry, server: Http2Server, library: ModuleType, asynchronous: bool
) -> None:
    server.script([None, Fault(header_delay=DELAY), Fault(body_delay=DELAY)])
    with Client(server, http_client(server, library, asynchronous, http2=True), asynchronous) as client:
        answer = client.embed(raw=True)
        client.embed(), client.embed()
    assert answer.http_response.http_version == "HTTP/2" and server.connections == 1
    new, late, slow = [stages(span) for span in telemetry.spans()]
    assert set(new) == {"serialize", "acquire", "connect", "tls", "send", "wait", "receive", "deserialize"}
    assert set(late) == set(slow) == set(new) - {"connect", "tls"}
    assert is_late(late, "wait", DELAY) and is_late(slow, "receive", DELAY)
    for span in telemetry.spans():
        assert span.attributes["gen_ai.usage.input_tokens"] == 2
        assert span.attributes["http.response.body.size"] == answer.http_response.num_bytes_downloaded


def test_calls_that_share_a_connection_have_their_own_stages(
    telemetry: Telemetry, server: Http2Server, library: ModuleType
) -> None:
    async def work() -> None:
        http = http_client(server, library, True, http2=True)
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", http_client=http) as it:
            await it.embeddings.create(model=SMALL, input="first")
            await asyncio.gather(*[it.embeddings.create(model=SMALL, input=["a"] * n) for n in range(1, 6)])

    run(work())
    assert server.connections == 1
    first, *others = telemetry.spans()
    assert "tls" in stages(first)
    assert all({"send", "wait", "receive"} <= set(stages(span)) for span in others)
    assert sorted(span.attributes["otel_embed.input.count"] for span in others) == [1, 2, 3, 4, 5]
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 16
