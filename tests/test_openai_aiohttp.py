"""The openai client over aiohttp: ``openai.DefaultAioHttpClient``."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from clients import SMALL, Client
from conftest import Telemetry, run
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from spans import is_late, stages

DELAY = 0.4
pytestmark = pytest.mark.skipif(
    not hasattr(openai, "DefaultAioHttpClient"), reason="openai 1.3 knows nothing of aiohttp"
)


@pytest.fixture
def http() -> Any:
    return openai.DefaultAioHttpClient()


def test_time_before_the_answer_is_wait(telemetry: Telemetry, server: OpenAIServer, http: Any) -> None:
    server.script([None, Fault(header_delay=DELAY)])
    with Client(server, http, asynchronous=True) as client:
        client.embed(), client.embed()
    for span in telemetry.spans():
        assert span.attributes["gen_ai.usage.input_tokens"] == 2
        assert {"serialize", "wait", "deserialize"} <= set(stages(span))
    found = stages(telemetry.spans()[-1])
    assert is_late(found, "wait", DELAY)


@pytest.mark.parametrize("fault", [Fault(body_delay=DELAY), Fault(body_delay=DELAY, gzip=True, chunked=True)])
def test_the_download_is_receive(telemetry: Telemetry, server: OpenAIServer, http: Any, fault: Fault) -> None:
    server.script([None, fault])
    with Client(server, http, asynchronous=True) as client:
        client.embed(), client.embed()
    found = stages(telemetry.spans()[-1])
    assert is_late(found, "receive", DELAY)


def test_an_answer_that_does_not_come_was_waited_for(telemetry: Telemetry, server: OpenAIServer, http: Any) -> None:
    server.script([Fault(header_delay=2.0)])

    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0, http_client=http) as it:
            await it.embeddings.create(model=SMALL, input="one", timeout=DELAY)

    with pytest.raises(openai.APITimeoutError):
        run(work())
    (span,) = telemetry.spans(f"embeddings {SMALL}")
    assert span.attributes["otel_embed.error.cause"] == "timeout"
    assert stages(span)["wait"] > 0.9 * DELAY


def test_retries_are_attempts_and_backoff(telemetry: Telemetry, server: OpenAIServer, http: Any) -> None:
    server.script([Fault(status=429, retry_after=DELAY)])

    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", http_client=http) as it:
            await it.embeddings.create(model=SMALL, input="one two")

    run(work())
    (span,) = telemetry.spans(f"embeddings {SMALL}")
    assert span.attributes["otel_embed.retry.count"] == 1
    assert stages(span)["backoff"] > 0.95 * DELAY


def test_a_streamed_body_is_counted_when_read(telemetry: Telemetry, server: OpenAIServer, http: Any) -> None:
    with Client(server, http, asynchronous=True) as client:
        assert b'"total_tokens":2' in client.stream("iter_bytes")
    (span,) = telemetry.spans()
    assert (span.attributes["gen_ai.usage.input_tokens"], span.attributes["otel_embed.usage.source"]) == (2, "reported")
    assert "receive" in stages(span)


def test_calls_at_once_keep_their_own_stages(telemetry: Telemetry, server: OpenAIServer, http: Any) -> None:
    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", http_client=http) as it:
            await asyncio.gather(*[it.embeddings.create(model=SMALL, input=["a"] * n) for n in range(1, 11)])

    run(work())
    assert sorted(span.attributes["otel_embed.input.count"] for span in telemetry.spans()) == list(range(1, 11))
    assert all("wait" in stages(span) for span in telemetry.spans())
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 55
