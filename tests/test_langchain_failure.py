"""Why an embedder failed that speaks HTTP itself, as some of LangChain's do, or that has no client at all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import openai
import pytest
from langchain_core.embeddings import Embeddings
from langchain_openai import OpenAIEmbeddings

import otel_embed
from conftest import Telemetry, run
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.failure import qualified_name

SMALL = "text-embedding-3-small"


class Working(Embeddings):
    """An embedder of the application's own, whose work is a function."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        vector: list[float] = self.work()
        return vector

    async def aembed_query(self, text: str) -> list[float]:
        vector: list[float] = await self.work()
        return vector


def post(server: OpenAIServer) -> Callable[[], Any]:
    def work() -> None:
        body = {"model": SMALL, "input": "one"}
        httpx.post(f"{server.url}/embeddings", json=body, timeout=0.2).raise_for_status()

    return work


def shake_hands(server: OpenAIServer) -> Callable[[], Any]:
    def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            httpx.get(f"https://127.0.0.1:{mute.getsockname()[1]}", timeout=0.2)

    return work


def queue_up(server: OpenAIServer) -> Callable[[], Any]:
    def work() -> None:
        limits, body = httpx.Limits(max_connections=1), {"model": SMALL, "input": "one"}
        http = httpx.Client(timeout=0.2, limits=limits)
        with http, http.stream("POST", f"{server.url}/embeddings", json=body):
            http.get(server.url)

    return work


def refuse(server: OpenAIServer) -> Callable[[], Any]:
    return lambda: httpx.get("http://127.0.0.1:9")


@pytest.mark.parametrize(("make", "fault", "error", "told", "cause"), [
    (post, Fault(header_delay=2.0), httpx.ReadTimeout, "httpx.ReadTimeout", "timeout"),
    (shake_hands, None, httpx.ConnectTimeout, "httpx.ConnectTimeout", "timeout"),
    (queue_up, None, httpx.PoolTimeout, "httpx.PoolTimeout", "timeout"),
    (refuse, None, httpx.ConnectError, "httpx.ConnectError", "network"),
    (post, Fault(drop="at once"), httpx.RemoteProtocolError, "httpx.RemoteProtocolError", "network"),
    (post, Fault(status=429), httpx.HTTPStatusError, "429", "rate_limited"),
    (post, Fault(status=429, code="insufficient_quota"), httpx.HTTPStatusError, "429", "quota_exhausted"),
    (post, Fault(status=503), httpx.HTTPStatusError, "503", "server_error"),
])  # fmt: skip
def test_what_the_http_library_raises_is_classified_and_passes_through(
    telemetry: Telemetry, server: OpenAIServer, make: Callable[[OpenAIServer], Callable[[], Any]],
    fault: Fault | None, error: type[Exception], told: str, cause: str,
) -> None:  # fmt: skip
    server.script([fault])
    with pytest.raises(error):
        Working(make(server)).embed_documents(["one"])
    (span,) = telemetry.spans("embed_documents Working")
    assert (span.attributes["error.type"], span.attributes["otel_embed.error.cause"]) == (told, cause)


async def in_time() -> None:
    await asyncio.wait_for(asyncio.sleep(2), 0.05)


async def by_hand() -> None:
    raise TimeoutError("no answer")


@pytest.mark.parametrize("work", [in_time, by_hand])
def test_running_out_of_time_is_a_timeout(telemetry: Telemetry, work: Callable[[], Any]) -> None:
    with pytest.raises((asyncio.TimeoutError, TimeoutError)) as raised:  # two classes on Python 3.10
        run(Working(work).aembed_query("one"))
    (span,) = telemetry.spans("aembed_query Working")
    found = span.attributes["error.type"], span.attributes["otel_embed.error.cause"]
    assert found == (qualified_name(raised.value), "timeout")


def test_a_cancelled_task_ends_as_without_us_and_is_cancelled_at_every_level(
    telemetry: Telemetry, server: OpenAIServer
) -> None:
    server.script([Fault(header_delay=2.0)])
    it = OpenAIEmbeddings(model=SMALL, base_url=server.url, api_key="x", check_embedding_ctx_length=False)

    async def cancelled() -> None:
        task = asyncio.ensure_future(it.aembed_documents(["one"]))
        while not server.requests:
            await asyncio.sleep(0.01)
        task.cancel("no longer needed")
        with pytest.raises(asyncio.CancelledError) as error:
            await task
        assert task.cancelled() and error.value.args == ("no longer needed",)

    run(cancelled())
    for name in (f"embeddings {SMALL}", "aembed_documents OpenAIEmbeddings"):
        (span,) = telemetry.spans(name)
        assert span.attributes["otel_embed.error.cause"] == "cancelled"
    assert telemetry.total("otel_embed.inputs.pending") == 0


class Careful(Embeddings):
    """It refuses what it would not send."""

    model = SMALL

    def __init__(self, client: openai.OpenAI) -> None:
        self.client = client

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if not all(texts):
            raise ValueError("nothing to embed")
        return [each.embedding for each in self.client.embeddings.create(model=SMALL, input=texts).data]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_a_failure_is_counted_where_it_came_from_and_once(telemetry: Telemetry, server: OpenAIServer) -> None:
    embedder = Careful(openai.OpenAI(base_url=server.url, api_key="x", max_retries=0))
    server.script([Fault(429)] * 5)
    with otel_embed.track() as usage, otel_embed.attribute(tenant="acme"):
        for text in ("", *["one"] * 5, "two"):
            with suppress(ValueError, openai.RateLimitError):
                embedder.embed_documents([text])
    summary = otel_embed.summary()
    assert (summary.calls, summary.failed_calls) == (usage.calls, usage.failed_calls) == (7, 6)
    acme = summary.attributed["tenant"]["acme"]
    assert (acme.calls, acme.failed) == (7, 6)
    assert telemetry.total("otel_embed.errors") == 6
    providers = {row["provider"]: (row["calls"], row["errors"]) for row in summary.document["providers"]}
    assert providers == {"langchain": (1, {"invalid_input": 1}), "openai": (6, {"rate_limited": 5})}
    (component,) = summary.document["components"]
    assert (component["calls"], component["errors"]) == (7, {"invalid_input": 1, "rate_limited": 5})
