"""The fake OpenAI endpoint, held against the real client: what a test learns from it is what the client does."""

from __future__ import annotations

import asyncio
import math
import random
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest

from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.demo import bundled_server
from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import EmbeddingServer, Latency, RateLimit
from otel_embed.demo.vectors import embed, tokenize

Create = Callable[..., Any]
MODEL = "text-embedding-3-small"

def create(client: dict[str, Any], arguments: dict[str, Any]) -> Any:
    with openai.OpenAI(**client) as opened:
        return opened.embeddings.create(**arguments)


def create_async(client: dict[str, Any], arguments: dict[str, Any]) -> Any:
    async def run() -> Any:
        async with openai.AsyncOpenAI(**client) as opened:
            return await opened.embeddings.create(**arguments)

    return asyncio.run(run())


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture(params=[create, create_async], ids=["sync", "async"])
def call(request: pytest.FixtureRequest, server: OpenAIServer) -> Create:
    """One call by a client of its own: ``call("text", retries=2, dimensions=8)``."""

    def call(text: Any = "hello world", *, retries: int = 0, timeout: float = 20.0, **arguments: Any) -> Any:
        client = {"base_url": server.url, "api_key": "test", "max_retries": retries, "timeout": timeout}
        return request.param(client, {"model": MODEL, "input": text, **arguments})

    return call


@pytest.mark.parametrize(
    ("given", "inputs", "tokens"),
    [
        ("Hello, world!", 1, 4),
        (["one two", "three"], 2, 3),
        ([11, 12, 13], 1, 3),
        ([[1, 2], [3], [4, 5, 6]], 3, 6),
        (["   "], 1, 1),
    ],
)
def test_every_shape_of_input_is_embedded_and_billed(
    call: Create, server: OpenAIServer, given: Any, inputs: int, tokens: int
) -> None:
    result = call(given)

    assert [len(item.embedding) for item in result.data] == [1536] * inputs
    assert [item.index for item in result.data] == list(range(inputs))
    assert (result.model, result.usage.prompt_tokens, result.usage.total_tokens) == (MODEL, tokens, tokens)
    assert server.billed.by_model == {MODEL: Bill(requests=1, inputs=inputs, tokens=tokens)}
    (received,) = server.requests
    assert received.path == "/v1/embeddings"
    assert received.headers["authorization"] == "Bearer test"
    assert received.body == {"input": given, "model": MODEL, "encoding_format": "base64"}
    assert (received.status, received.billed) == (200, Bill(1, inputs, tokens))


def test_base64_and_float_carry_the_same_vectors(call: Create) -> None:
    default = call("the same text").data[0].embedding
    floats = call("the same text", encoding_format="float").data[0].embedding
    encoded = call("the same text", encoding_format="base64").data[0].embedding

    assert default == floats
    assert len(encoded) == 1536 * 4 * 4 // 3
    assert math.isclose(math.hypot(*floats), 1, rel_tol=1e-6)


def test_a_text_is_nearest_to_the_one_that_answers_it() -> None:
    texts = [
        "json.loads deserializes a JSON document to a Python object",
        "socket.accept waits for a connection and returns a new socket",
        "re.compile turns a regular expression pattern into a pattern object",
    ]
    question = embed(tokenize("how do I compile a regular expression?"), 1536)
    scores = [sum(map(float.__mul__, question, embed(tokenize(text), 1536))) for text in texts]

    assert max(scores) == scores[2] > 0.4
    assert 0.1 < min(scores) < 0.3


def test_dimensions_follow_the_model_and_the_request(call: Create) -> None:
    assert len(call(model="text-embedding-3-large").data[0].embedding) == 3072
    assert len(call(dimensions=256).data[0].embedding) == 256
    ada = call(model="text-embedding-ada-002")
    assert (len(ada.data[0].embedding), ada.model) == (1536, "text-embedding-ada-002-v2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ""}, "'$.input' is invalid"),
        ({"text": []}, "'$.input' is invalid"),
        ({"text": ["fine", ""]}, "'$.input' is invalid"),
        ({"text": [1.5]}, "'$.input' is invalid"),
        ({"text": ["x"] * 2049}, "array too long"),
        ({"text": "word " * 8193}, "maximum context length is 8192 tokens, however you requested 8193"),
        ({"dimensions": 1537}, "'dimensions' = 1537"),
        ({"dimensions": 8, "model": "text-embedding-ada-002"}, "does not support specifying dimensions"),
        ({"encoding_format": "int8"}, "'int8'"),
        ({"model": None}, "you must provide a model"),
    ],
)
def test_what_the_real_endpoint_refuses_is_refused(
    call: Create, server: OpenAIServer, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        call(**arguments)

    assert message in raised.value.message
    assert raised.value.type == "invalid_request_error"
    assert (server.requests[0].status, server.requests[0].billed, server.billed.requests) == (400, None, 0)


def test_an_unknown_path_and_a_body_that_is_not_json_are_refused(server: OpenAIServer) -> None:
    for path, body, status in [("/v1/completions", b"{}", 404), ("/v1/embeddings", b"{oops", 400)]:
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(server.origin + path, data=body)
        with raised.value as error:
            assert error.code == status
            assert b"invalid_request_error" in error.read()
    assert server.requests[1].body is None


def test_headers_tell_the_limits_and_the_time_taken() -> None:
    with OpenAIServer(latency=Latency(base=0.03)) as server, openai.OpenAI(base_url=server.url, api_key="x") as client:
        client.embeddings.create(model=MODEL, input="one two three")
        headers = client.embeddings.with_raw_response.create(model=MODEL, input="four").headers

    assert 30 <= int(headers["openai-processing-ms"]) < 1000
    assert headers["openai-model"] == MODEL
    assert headers["x-request-id"].startswith("req_")
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("10000", "9998")
    assert (headers["x-ratelimit-limit-tokens"], headers["x-ratelimit-remaining-tokens"]) == ("5000000", "4999996")
    assert 0 < float(headers["x-ratelimit-reset-tokens"].removesuffix("s")) <= 60


ERRORS = [
    (Fault(400), openai.BadRequestError, None, "invalid_request_error"),
    (Fault(401), openai.AuthenticationError, "invalid_api_key", "invalid_request_error"),
    (Fault(403), openai.PermissionDeniedError, None, "invalid_request_error"),
    (Fault(404), openai.NotFoundError, "model_not_found", "invalid_request_error"),
    (Fault(408), openai.APIStatusError, None, "timeout"),
    (Fault(409), openai.ConflictError, None, "invalid_request_error"),
    (Fault(429), openai.RateLimitError, "rate_limit_exceeded", "requests"),
    (Fault(429, code="insufficient_quota"), openai.RateLimitError, "insufficient_quota", "insufficient_quota"),
    (Fault(500), openai.InternalServerError, None, "server_error"),
    (Fault(503), openai.InternalServerError, None, "server_error"),
    (Fault(500, gzip=True, chunked=True), openai.InternalServerError, None, "server_error"),
]


@pytest.mark.parametrize(("fault", "kind", "code", "type"), ERRORS)
def test_each_status_arrives_as_the_clients_own_error(
    call: Create, server: OpenAIServer, fault: Fault, kind: type[openai.APIStatusError], code: str | None, type: str
) -> None:
    server.script([fault])
    with pytest.raises(kind) as raised:
        call()

    assert (raised.value.status_code, raised.value.code, raised.value.type) == (fault.status, code, type)
    assert (server.requests[0].status, server.billed.requests) == (fault.status, 0)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_scripted_failure_is_retried_after_the_time_it_names(call: Create, server: OpenAIServer, status: int) -> None:
    server.script([Fault(status, retry_after=0.05), Fault(status, retry_after=0.1)])
    started = time.perf_counter()
    call(retries=2)

    assert 0.15 <= time.perf_counter() - started < 5
    assert [(each.status, each.attempt) for each in server.requests] == [(status, 0), (status, 1), (200, 2)]
    assert server.billed.requests == 1


def test_a_fault_can_stay_with_a_model_for_the_first_attempts_of_each_call(call: Create, server: OpenAIServer) -> None:
    server.by_model["flaky"] = Fault(429, retry_after=0.01, attempts=1)
    server.by_model["gone"] = Fault(404)
    for _ in range(2):
        call(model="flaky", retries=1)
    with pytest.raises(openai.NotFoundError, match="`gone` does not exist"):
        call(model="gone")

    assert [each.status for each in server.requests] == [429, 200, 429, 200, 404]
    assert list(server.billed.by_model) == ["flaky"]


def test_a_fault_can_be_ordered_by_the_request_and_leaves_the_script_alone(call: Create, server: OpenAIServer) -> None:
    server.script([None, Fault(500)])
    with pytest.raises(openai.PermissionDeniedError):
        call(extra_headers=Fault(403).header)
    call()
    with pytest.raises(openai.InternalServerError):
        call()

    assert [each.status for each in server.requests] == [403, 200, 500]


@pytest.mark.parametrize(
    ("drop", "chunked"), [("at once", False), ("in header", False), ("in body", False), ("in body", True)]
)
def test_a_dropped_connection_is_a_connection_error_and_is_retried(
    call: Create, server: OpenAIServer, drop: Any, chunked: bool
) -> None:
    server.script([Fault(drop=drop, chunked=chunked)] * 2)
    with pytest.raises(openai.APIConnectionError) as raised:
        call()
    assert type(raised.value.__cause__).__name__ == "RemoteProtocolError"
    assert server.billed.requests == 0

    call(retries=1)
    assert [each.billed for each in server.requests] == [None, None, Bill(1, 1, 2)]


@pytest.mark.parametrize("delay", [{"header_delay": 0.5}, {"body_delay": 0.5}])
def test_an_answer_that_comes_after_the_client_has_left_is_not_billed(
    call: Create, server: OpenAIServer, delay: dict[str, float]
) -> None:
    server.script([Fault(**delay)])
    with pytest.raises(openai.APITimeoutError):
        call(timeout=0.1)
    time.sleep(0.6)

    assert len(server.requests) == 1
    assert server.billed.requests == 0


def test_delays_before_the_head_and_before_the_body_are_apart(server: OpenAIServer) -> None:
    server.script([Fault(header_delay=0.1, body_delay=0.5)])
    with openai.OpenAI(base_url=server.url, api_key="test") as client:
        streaming = client.embeddings.with_streaming_response
        started = time.perf_counter()
        with streaming.create(model=MODEL, input="x", encoding_format="base64") as response:
            head = time.perf_counter() - started
            response.read()
            body = time.perf_counter() - started - head

    assert 0.09 < head < 0.45 < body


def test_malformed_json_fails_and_is_not_billed(call: Create, server: OpenAIServer) -> None:
    server.script([Fault(malformed=True)])
    with pytest.raises(ValueError, match=r"Unterminated string|Expecting|EOF"):
        call()
    assert server.billed.requests == 0


def test_an_answer_without_embeddings_fails_and_is_not_billed(call: Create, server: OpenAIServer) -> None:
    server.script([Fault(empty=True)])
    with pytest.raises(ValueError, match="No embedding data received"):
        call()
    assert call(encoding_format="float").data[0].embedding
    server.script([Fault(empty=True)])
    result = call(encoding_format="float")
    assert (result.data, result.usage.total_tokens) == ([], 0)
    assert server.billed.requests == 1


@pytest.mark.parametrize(("usage", "tokens"), [("absent", None), ("null", None), ("zeros", 0)])
def test_usage_can_be_missing_from_an_answer_that_is_billed(
    call: Create, server: OpenAIServer, usage: Any, tokens: int | None
) -> None:
    server.script([Fault(usage=usage)])
    result = call()

    reported = getattr(result, "usage", None)
    assert (reported and reported.prompt_tokens) == tokens
    assert len(result.data[0].embedding) == 1536
    assert server.billed.tokens == 2


def test_the_model_can_be_missing_from_an_answer(call: Create, server: OpenAIServer) -> None:
    server.script([Fault(no_model=True)])
    assert getattr(call(), "model", None) is None
    assert server.billed.tokens == 2


@pytest.mark.parametrize("fault", [Fault(gzip=True), Fault(chunked=True), Fault(gzip=True, chunked=True)])
def test_compressed_and_chunked_answers_arrive_whole(call: Create, server: OpenAIServer, fault: Fault) -> None:
    plain = call().data[0].embedding
    server.script([fault])
    assert call().data[0].embedding == plain
    assert server.billed.requests == 2


def test_headers_of_an_answer_can_be_set(server: OpenAIServer) -> None:
    server.script([Fault(headers={"openai-processing-ms": "42", "x-ratelimit-remaining-tokens": "7"})])
    with openai.OpenAI(base_url=server.url, api_key="test") as client:
        headers = client.embeddings.with_raw_response.create(model=MODEL, input="x").headers
    assert (headers["openai-processing-ms"], headers["x-ratelimit-remaining-tokens"]) == ("42", "7")


def test_tls_is_trusted_by_its_certificate_file_alone() -> None:
    with OpenAIServer(tls=True) as server:
        context = ssl.create_default_context(cafile=server.ca_file)
        with openai.OpenAI(
            base_url=server.url, api_key="test", http_client=openai.DefaultHttpxClient(verify=context)
        ) as client:
            assert len(client.embeddings.create(model=MODEL, input="x").data) == 1
            assert len(client.embeddings.create(model=MODEL, input="y").data) == 1
        with (
            openai.OpenAI(base_url=server.url, api_key="test", max_retries=0) as client,
            pytest.raises(openai.APIConnectionError, match="Connection error"),
        ):
            client.embeddings.create(model=MODEL, input="x")

        assert server.url.startswith("https://")
        assert (server.connections, server.billed.requests) == (2, 2)


def test_tls_with_the_async_client() -> None:
    async def run() -> None:
        context = ssl.create_default_context(cafile=server.ca_file)
        transport = openai.DefaultAsyncHttpxClient(verify=context)
        async with openai.AsyncOpenAI(base_url=server.url, api_key="test", http_client=transport) as client:
            await client.embeddings.create(model=MODEL, input="x")

    with OpenAIServer(tls=True) as server:
        asyncio.run(run())
        assert server.billed.requests == 1


def test_azure_deployments_stand_for_models() -> None:
    azure = {"api_key": "test", "api_version": "2024-10-21"}
    with OpenAIServer(deployments={"search": "text-embedding-ada-002"}) as server:
        with openai.AzureOpenAI(azure_endpoint=server.origin, **azure) as client:
            result = client.embeddings.create(model="search", input="two words")
        with openai.AzureOpenAI(azure_endpoint=server.origin, azure_deployment=MODEL, **azure) as client:
            client.embeddings.create(model=MODEL, input="three more words")

    assert result.model == "text-embedding-ada-002-v2"
    assert [each.path for each in server.requests] == [
        "/openai/deployments/search/embeddings?api-version=2024-10-21",
        f"/openai/deployments/{MODEL}/embeddings?api-version=2024-10-21",
    ]
    assert server.requests[0].headers["api-key"] == "test"
    assert server.billed.by_model == {"text-embedding-ada-002": Bill(1, 1, 2), MODEL: Bill(1, 1, 3)}


def test_a_connection_is_kept_and_small_answers_do_not_wait_for_acknowledgements(server: OpenAIServer) -> None:
    with openai.OpenAI(base_url=server.url, api_key="test") as client:
        times = []
        for _ in range(10):
            started = time.perf_counter()
            client.embeddings.create(model=MODEL, input="x", dimensions=8)
            times.append(time.perf_counter() - started)

    assert min(times) < 0.03
    assert server.connections == 1


def test_the_ledger_is_exact_under_threads_and_tasks(server: OpenAIServer) -> None:
    async def tasks() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="test", max_retries=3) as client:
            await asyncio.gather(*(client.embeddings.create(model="m", input="one", dimensions=8) for _ in range(50)))

    server.script([None, Fault(429, retry_after=0.01), Fault(500, retry_after=0.01), Fault(drop="in body")] * 5)
    with openai.OpenAI(base_url=server.url, api_key="test", max_retries=8) as client, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.embeddings.create(model="m", input=["one two"], dimensions=8), range(50)))
    asyncio.run(tasks())

    assert server.billed.by_model == {"m": Bill(requests=100, inputs=100, tokens=150)}
    assert sum(each.billed.tokens for each in server.requests if each.billed) == 150
    assert len(server.requests) == 115


def test_the_rate_limit_of_the_demo_strikes_every_so_many_requests() -> None:
    with EmbeddingServer(rate_limit=RateLimit(every=3, retry_after=0.05)) as server:
        with openai.OpenAI(base_url=server.url, api_key="test", max_retries=0) as client:
            for _ in range(2):
                client.embeddings.create(model=MODEL, input="x")
            with pytest.raises(openai.RateLimitError, match="try again in 50ms") as raised:
                client.embeddings.create(model=MODEL, input="x")
            client.embeddings.create(model=MODEL, input="x")
        assert raised.value.response.headers["retry-after-ms"] == "50"
        assert raised.value.response.headers["retry-after"] == "1"
        assert server.billed.requests == 3


def test_the_latency_of_the_demo_grows_with_tokens_and_repeats_by_its_seed() -> None:
    exact = Latency(base=0.04, per_token=0.001)
    assert math.isclose(exact.seconds(10, random.Random(0)), 0.05)
    jittery = Latency(base=0.04, jitter=0.3)
    drawn = [[jittery.seconds(0, source) for _ in range(200)] for source in (random.Random(1), random.Random(1))]
    assert drawn[0] == drawn[1]
    assert 0.035 < sorted(drawn[0])[100] < 0.045


def test_leaving_the_block_frees_the_port_and_ends_idle_connections() -> None:
    with openai.OpenAI(base_url="http://placeholder", api_key="test", max_retries=0) as client:
        with OpenAIServer() as server:
            client.base_url = server.url
            client.embeddings.create(model=MODEL, input="x")
            started = time.perf_counter()
        assert time.perf_counter() - started < 1
        with pytest.raises(openai.APIConnectionError):
            client.embeddings.create(model=MODEL, input="x")


def test_the_bundled_server_runs_in_a_process_of_its_own() -> None:
    options = "--latency-ms=5", "--limit-every=2", "--retry-after-ms=20"
    with bundled_server(*options) as url, openai.OpenAI(base_url=url, api_key="test") as client:
        for _ in range(3):
            assert len(client.embeddings.create(model=MODEL, input="x").data[0].embedding) == 1536


def test_the_bundled_server_is_not_instrumented_with_the_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``opentelemetry-instrument`` puts a sitecustomize on PYTHONPATH, which child processes inherit."""
    reached = tmp_path / "reached"
    (tmp_path / "sitecustomize.py").write_text(f"open({str(reached)!r}, 'w').close()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with bundled_server() as url:
        assert url.startswith("http://127.0.0.1:")
    assert not reached.exists()

    subprocess.run([sys.executable, "-c", ""], check=True)
    assert reached.exists()


def test_a_bundled_server_that_cannot_start_says_so() -> None:
    with pytest.raises(RuntimeError, match="did not start"), bundled_server("--port=none"):
        pass


def test_the_bundled_server_is_stopped_by_an_interrupt() -> None:
    command = [sys.executable, "-m", "otel_embed.demo.server"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell has what it runs in the background ignore it
    with subprocess.Popen(command, preexec_fn=heeded, **pipes) as process:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == 0
