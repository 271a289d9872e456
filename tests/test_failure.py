"""Why a call failed, for what the real openai client and the HTTP library under it raise."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import openai
import pytest

from clients import HTTPX, SMALL, streams
from conftest import Telemetry, run
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.failure import failure
from spans import calls, stages


@pytest.fixture
def mute() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}/v1"


def failed(telemetry: Telemetry) -> tuple[object, object]:
    """What the one call that failed says of it: error type and cause."""
    (span,) = telemetry.spans(f"embeddings {SMALL}")
    assert span.status.status_code.name == "ERROR" and "gen_ai.usage.input_tokens" not in span.attributes
    seconds = sum(value for name, value in span.attributes.items() if ".stage." in name)
    assert seconds == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1e-6)
    assert telemetry.total("otel_embed.errors") == 1
    assert telemetry.total("otel_embed.inputs.pending") == 0
    return span.attributes["error.type"], span.attributes["otel_embed.error.cause"]


def raised(module: Any, name: str) -> str:
    """The qualified name of an exception, wherever its library keeps it."""
    kind = getattr(module, name)
    return f"{kind.__module__}.{kind.__qualname__}"


def test_an_answer_that_cannot_be_read_is_the_servers_fault(telemetry: Telemetry, server: OpenAIServer) -> None:
    server.script([Fault(malformed=True)])
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as it, pytest.raises(ValueError):
        it.embeddings.create(model=SMALL, input="one")
    assert failed(telemetry) == ("json.decoder.JSONDecodeError", "server_error")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_answer_in_time_is_a_timeout(telemetry: Telemetry, mute: str, scheme: str) -> None:
    timeout = HTTPX.Timeout(0.2)  # of the answer, or of the handshake before it
    it = openai.OpenAI(base_url=f"{scheme}://{mute}", api_key="x", max_retries=0, timeout=timeout)
    with it, pytest.raises(openai.APITimeoutError) as error:
        it.embeddings.create(model=SMALL, input="one")
    assert type(error.value.__cause__).__name__ == {"http": "ReadTimeout", "https": "ConnectTimeout"}[scheme]
    assert failed(telemetry) == ("openai.APITimeoutError", "timeout")


def test_no_free_connection_in_time_is_a_timeout(telemetry: Telemetry, server: OpenAIServer) -> None:
    server.script([Fault(header_delay=2.0)])
    timeout = HTTPX.Timeout(10, pool=0.2)
    http = HTTPX.AsyncClient(limits=HTTPX.Limits(max_connections=1), timeout=timeout)

    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0, http_client=http) as it:
            first = asyncio.ensure_future(it.embeddings.create(model="text-embedding-3-large", input="one"))
            await until(lambda: bool(server.requests))
            with pytest.raises(openai.APITimeoutError) as error:
                await it.embeddings.create(model=SMALL, input="one", timeout=timeout)
            assert type(error.value.__cause__).__name__ == "PoolTimeout"
            await first

    run(work())
    assert failed(telemetry) == ("openai.APITimeoutError", "timeout")
    (span,) = telemetry.spans(f"embeddings {SMALL}")
    assert span.attributes["otel_embed.stage.acquire.duration"] > 0.15


@streams
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_streamed_body_that_stops_is_a_timeout_of_the_library_itself(
    telemetry: Telemetry, server: OpenAIServer, asynchronous: bool
) -> None:
    server.script([Fault(body_delay=2.0)])

    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0, timeout=0.2) as it:
            await stream(it)

    if asynchronous:
        with pytest.raises(HTTPX.ReadTimeout):
            run(work())
    else:
        with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0, timeout=0.2) as it:
            response = it.embeddings.with_streaming_response.create(model=SMALL, input="one")
            with pytest.raises(HTTPX.ReadTimeout), response as answer:
                assert list(answer.iter_bytes())
    assert failed(telemetry) == (raised(HTTPX, "ReadTimeout"), "timeout")


Work = Callable[[openai.AsyncOpenAI], Awaitable[Any]]


async def create(it: openai.AsyncOpenAI) -> Any:
    return await it.embeddings.create(model=SMALL, input="one")


async def stream(it: openai.AsyncOpenAI) -> None:
    async with it.embeddings.with_streaming_response.create(model=SMALL, input="one") as response:
        assert [chunk async for chunk in response.iter_bytes()]


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("fault", "work", "begun"), [
    pytest.param(Fault(header_delay=2.0), create, None, id="while it waits for an answer"),
    pytest.param(Fault(status=429, retry_after=5.0), create, 429, id="between two attempts"),
    pytest.param(Fault(body_delay=2.0), stream, 200, id="while it reads a streamed body", marks=streams),
])  # fmt: skip
def test_a_cancelled_task_ends_as_without_us(
    telemetry: Telemetry, server: OpenAIServer, fault: Fault, work: Work, begun: int | None
) -> None:
    server.script([fault])

    async def cancelled() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=2) as it:
            task = asyncio.ensure_future(work(it))
            await until(lambda: [request.status for request in server.requests] == [begun])
            await asyncio.sleep(0.2)
            assert task.cancel("no longer needed")
            with pytest.raises(asyncio.CancelledError) as error:
                await task
            said = ("no longer needed",) if sys.version_info >= (3, 11) else ()
            assert task.cancelled() and error.value.args == said

    run(cancelled())
    assert failed(telemetry) == ("asyncio.exceptions.CancelledError", "cancelled")


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_call_that_is_cancelled_between_two_attempts_was_waiting_for_the_next(
    telemetry: Telemetry, server: OpenAIServer, attempts: int
) -> None:
    server.script([*[Fault(status=503, retry_after=0.01)] * (attempts - 1), Fault(status=429, retry_after=5.0)])

    async def cancelled() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=3) as it:
            task = asyncio.ensure_future(create(it))
            await until(lambda: [request.status for request in server.requests] == [503, 429][-attempts:])
            await asyncio.sleep(0.4)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(cancelled())
    (span,) = calls(telemetry)
    assert span.attributes.get("otel_embed.retry.count", 0) == attempts - 1
    assert stages(span)["backoff"] > 0.2 and "deserialize" not in stages(span)


def test_a_time_limit_around_a_call_cancels_it(telemetry: Telemetry, server: OpenAIServer) -> None:
    server.script([Fault(header_delay=2.0)])

    async def limited() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x") as it:
            limit = getattr(asyncio, "timeout", None)  # since Python 3.11
            if limit is None:
                await asyncio.wait_for(create(it), 0.2)
            else:
                async with limit(0.2):
                    await create(it)

    with pytest.raises(asyncio.TimeoutError):
        run(limited())
    assert failed(telemetry) == ("asyncio.exceptions.CancelledError", "cancelled")


def test_an_interrupt_passes_through(telemetry: Telemetry, server: OpenAIServer) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    http = HTTPX.Client(event_hooks={"response": [interrupted]})
    with openai.OpenAI(base_url=server.url, api_key="x", http_client=http) as it, pytest.raises(KeyboardInterrupt):
        it.embeddings.create(model=SMALL, input="one")
    assert failed(telemetry) == ("KeyboardInterrupt", "cancelled")


class Odd(Exception):
    """An exception such as nobody should write."""

    code = ("insufficient_quota",)
    type: object = ["insufficient_quota"]
    status_code = "429"

    @property
    def response(self) -> object:
        raise RuntimeError("not now")


def test_an_exception_of_any_shape_is_classified() -> None:
    odd = Odd()
    assert failure(odd) == ("test_failure.Odd", "other")
    assert failure(odd, 429) == ("429", "rate_limited")
    odd.__cause__ = odd
    assert failure(odd) == ("test_failure.Odd", "other")
    odd.__cause__ = TimeoutError()
    assert failure(odd, 429) == ("test_failure.Odd", "timeout"), "the last answer is not why time ran out"


def test_a_refused_connection_is_no_timeout_whatever_a_library_calls_it() -> None:
    timeout = type("ConnectTimeout", (Exception,), {})()
    assert failure(timeout).cause == "timeout"
    timeout.__cause__ = OSError()
    timeout.__cause__.__cause__ = ConnectionRefusedError()
    assert failure(timeout).cause == "network"


def test_what_fails_after_a_good_answer_fails_for_what_that_holds() -> None:
    for error in (ValueError(), AttributeError()):
        assert failure(error, 200) == (type(error).__name__, "server_error")
    assert failure(ValueError()) == ("ValueError", "invalid_input")
    assert failure(TimeoutError(), 200) == ("TimeoutError", "timeout")
    assert failure(asyncio.CancelledError(), 200) == ("asyncio.exceptions.CancelledError", "cancelled")
