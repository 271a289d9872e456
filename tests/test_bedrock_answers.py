"""Bedrock's answers: bodies that are left to the application, failures, retries, and what is billed in all."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import inspect
import io
import json
import pickle
import random
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import botocore.client
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

import otel_embed
from bedrock_clients import COHERE, TEXT, TITAN, asked, asynchronously, call, connect, connected, each_client, invoke
from conftest import Telemetry, run
from fakes.bedrock_server import CODES, TOKENS, BedrockServer
from fakes.faults import Fault

over_httpx = pytest.mark.skipif(
    not (find_spec("aiobotocore") and find_spec("aiobotocore.httpxsession") and find_spec("httpx")),
    reason="aiobotocore is older than its use of httpx, or httpx is not installed",
)
TOLD = {"embedding": [0.25] * 8, "inputTextTokenCount": 3}
WITHOUT_HEADER = Fault(usage="absent")


@pytest.fixture
def server() -> Iterator[BedrockServer]:
    with BedrockServer() as server:
        yield server


def answer(server: BedrockServer, model: str = TITAN) -> Any:
    return connect(server).invoke_model(**asked(model, TEXT))


def within(body: Any) -> bytes:
    with body as raw:
        return raw.read()


def into(body: Any) -> bytes:
    space = bytearray(1 << 16)
    return bytes(space[: body.readinto(space)] + body.read())


READ: dict[str, Callable[[Any], bytes]] = {
    "read": lambda body: body.read(),
    "pieces": lambda body: b"".join(iter(lambda: body.read(7), b"")),
    "iter_chunks": lambda body: b"".join(body.iter_chunks(7)),
    "iter_lines": lambda body: b"\n".join(body.iter_lines()),
    "iterate": lambda body: b"".join(body),
    "json.load": lambda body: json.dumps(json.load(body)).encode(),
    "with": within,
    **({"readinto": into} if hasattr(StreamingBody, "readinto") else {}),
}


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
@pytest.mark.parametrize("said", [None, WITHOUT_HEADER], ids=["header", "body"])
@pytest.mark.parametrize("way", READ)
def test_a_body_is_left_to_the_application_and_its_tokens_are_known_once_it_is_read(
    telemetry: Telemetry, server: BedrockServer, way: str, said: Fault | None, chunked: bool
) -> None:
    server.script([Fault(usage=said and said.usage, body_delay=0.1, chunked=chunked)])
    body = answer(server)["body"]
    assert not telemetry.spans(), "the call is over when its body is"
    assert json.loads(READ[way](body)) == TOLD
    found = call(telemetry)
    assert (found["gen_ai.usage.input_tokens"], found["otel_embed.usage.source"]) == (3, "reported")
    assert found["otel_embed.stage.receive.duration"] > 0


async def piecewise(body: Any) -> bytes:
    return b"".join([piece async for piece in body.iter_chunks(7)])


async def under(body: Any) -> bytes:
    async with body as it:
        return await it.read()


AWAIT: dict[str, Callable[[Any], Any]] = {"read": lambda body: body.read(), "iter_chunks": piecewise, "with": under}


@asynchronously
@pytest.mark.parametrize("fault", [
    Fault(), WITHOUT_HEADER, Fault(usage="absent", body_delay=0.1), Fault(usage="absent", body_delay=0.1, chunked=True),
], ids=["header", "at once", "later", "chunked"])  # fmt: skip
@pytest.mark.parametrize("way", AWAIT)
def test_the_same_for_aiobotocore(telemetry: Telemetry, server: BedrockServer, way: str, fault: Fault) -> None:
    async def work(client: Any) -> None:
        body = (await client.invoke_model(**asked(TITAN, TEXT)))["body"]
        assert len(telemetry.spans()) == 0 or not fault.body_delay
        assert json.loads(await AWAIT[way](body)) == TOLD

    server.script([fault])
    run(connected(server, work))
    found = call(telemetry)
    assert (found["gen_ai.usage.input_tokens"], found["otel_embed.usage.source"]) == (3, "reported")


@over_httpx
@pytest.mark.parametrize("fault", [Fault(), WITHOUT_HEADER, Fault(usage="absent", body_delay=0.1, chunked=True)])
def test_the_same_for_aiobotocore_over_httpx(telemetry: Telemetry, server: BedrockServer, fault: Fault) -> None:
    from aiobotocore.httpxsession import HttpxSession

    server.script([Fault(429), fault])
    options = {"http_session_cls": HttpxSession, "attempts": 2, "mode": "legacy"}
    assert json.loads(invoke(server, client="aiobotocore", **options)) == TOLD
    found = call(telemetry)
    assert (found["gen_ai.usage.input_tokens"], found["otel_embed.usage.source"]) == (3, "reported")
    assert found["otel_embed.retry.count"] == 1 and found["otel_embed.stage.wait.duration"] > 0


def test_where_nobody_says_how_many_tokens_they_are_estimated(telemetry: Telemetry, server: BedrockServer) -> None:
    server.script([WITHOUT_HEADER])
    invoke(server, COHERE, {"texts": ["12345678"], "input_type": "search_query"})
    found = call(telemetry)
    assert (found["gen_ai.usage.input_tokens"], found["otel_embed.usage.source"]) == (2, "estimated")


@pytest.mark.parametrize("fault", [Fault(), WITHOUT_HEADER], ids=["header", "body"])
def test_an_answer_that_is_dropped_unread_goes_at_once(
    telemetry: Telemetry, server: BedrockServer, fault: Fault
) -> None:
    server.script([Fault(usage=fault.usage, body_delay=0.2)])
    gc.collect()
    gc.disable()
    try:
        dropped = answer(server)
        del dropped
        found = call(telemetry)
    finally:
        gc.enable()
    assert "error.type" not in found
    assert found["otel_embed.usage.source"] == ("reported" if fault.usage is None else "estimated")


@pytest.mark.parametrize("fault", [Fault(), WITHOUT_HEADER], ids=["header", "body"])
def test_an_answer_is_what_it_is_without_us(telemetry: Telemetry, server: BedrockServer, fault: Fault) -> None:
    def looked_at() -> dict[str, Any]:
        server.script([fault])
        it = answer(server)
        body = it["body"]
        body.set_socket_timeout(5)
        seen = {
            "keys": list(it),
            "types": [type(part) for part in (it, body, body._raw_stream, body._raw_stream._fp)],
            "own": sorted(vars(body)) + sorted(vars(body._raw_stream)),
            "before": (body.readable(), body.tell(), body.read(0)),
            "parts": (body.read(5), body.tell(), body.read(), body.read(), body.read(3)),
        }
        body.close()
        return seen

    otel_embed.uninstrument()
    expected = looked_at()
    telemetry.instrument()
    assert looked_at() == expected
    assert call(telemetry)["otel_embed.usage.source"] == "reported"


def test_an_answer_of_a_stub_is_counted_too(telemetry: Telemetry, server: BedrockServer) -> None:
    client, body = connect(server), json.dumps(TOLD).encode()
    with Stubber(client) as stub:
        headers = {"HTTPHeaders": {TOKENS: "7"}}
        it = {"body": StreamingBody(io.BytesIO(body), len(body)), "contentType": "json", "ResponseMetadata": headers}
        stub.add_response("invoke_model", it)
        assert client.invoke_model(**asked(TITAN, TEXT))["body"].read() == body
    assert call(telemetry)["gen_ai.usage.input_tokens"] == 7 and not server.requests


# ---- failures

FAILURES = [
    (Fault(400), "400", "invalid_input"),
    (Fault(403), "403", "authentication"),
    (Fault(403, code="UnrecognizedClientException"), "403", "authentication"),
    (Fault(403, code="ExpiredTokenException"), "403", "authentication"),
    (Fault(404), "404", "not_found"),
    (Fault(408), "408", "timeout"),
    (Fault(400, code="ServiceQuotaExceededException"), "400", "quota_exhausted"),
    (Fault(424), "424", "server_error"),
    (Fault(429), "429", "rate_limited"),
    (Fault(429, code="ModelNotReadyException"), "429", "server_error"),
    (Fault(500), "500", "server_error"),
    (Fault(503), "503", "server_error"),
]


def raised(work: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:
        work()
    return caught.value


@each_client
@pytest.mark.parametrize(("fault", "error_type", "cause"), FAILURES)
def test_a_failure_passes_through_and_its_cause_is_told(
    telemetry: Telemetry, server: BedrockServer, client: str, fault: Fault, error_type: str, cause: str
) -> None:
    server.script([fault])
    error: Any = raised(lambda: invoke(server, client=client))
    assert error.response["Error"]["Code"] == fault.code or CODES[fault.status]
    found = call(telemetry)
    assert (found["error.type"], found["otel_embed.error.cause"]) == (error_type, cause)
    assert "gen_ai.usage.input_tokens" not in found and "otel_embed.cost.usd" not in found
    assert telemetry.total("otel_embed.errors", otel_embed__error__cause=cause) == 1
    (span,) = telemetry.spans(f"embeddings {TITAN}")
    assert span.status.status_code.name == "ERROR" and span.status.description is None


@each_client
def test_a_failed_call_of_an_image_costs_nothing(telemetry: Telemetry, server: BedrockServer, client: str) -> None:
    server.script([Fault(400)])
    raised(lambda: invoke(server, "amazon.titan-embed-image-v1", {"inputImage": "aGk="}, client))
    assert "otel_embed.cost.usd" not in call(telemetry) and not telemetry.total("otel_embed.cost")


@each_client
@pytest.mark.parametrize(("fault", "options", "cause"), [
    (Fault(header_delay=2), {"read_timeout": 0.2}, "timeout"),
    (Fault(drop="at once"), {}, "network"),
    (Fault(drop="in body", body_delay=0.05), {}, "network"),
    (Fault(drop="in body", body_delay=0.05, chunked=True), {}, "network"),
])  # fmt: skip
def test_a_broken_exchange_is_told(
    telemetry: Telemetry, server: BedrockServer, client: str, fault: Fault, options: dict[str, Any], cause: str
) -> None:
    server.script([fault])
    raised(lambda: invoke(server, client=client, **options))
    assert call(telemetry)["otel_embed.error.cause"] == cause


@each_client
def test_where_nothing_is_sent_the_cause_is_told_too(telemetry: Telemetry, client: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody: Any = SimpleNamespace(origin=f"http://127.0.0.1:{unused.getsockname()[1]}")
    raised(lambda: invoke(nobody, client=client))
    raised(lambda: invoke(nobody, client=client, body={1: "not a form of body"}.keys()))
    found = [(span.attributes["error.type"], span.attributes["otel_embed.error.cause"])
             for span in telemetry.spans(f"embeddings {TITAN}")]  # fmt: skip
    assert found == [
        ("botocore.exceptions.EndpointConnectionError", "network"),
        ("botocore.exceptions.ParamValidationError", "invalid_input"),
    ]


def test_without_credentials_it_is_authentication(
    telemetry: Telemetry, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import botocore.session

    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    client = botocore.session.Session().create_client("bedrock-runtime", "us-east-1", endpoint_url=server.origin)
    raised(lambda: client.invoke_model(**asked(TITAN, TEXT)))
    found = call(telemetry)
    assert found["error.type"] == "botocore.exceptions.NoCredentialsError"
    assert found["otel_embed.error.cause"] == "authentication"


@asynchronously
def test_a_cancelled_call_is_told(telemetry: Telemetry, server: BedrockServer) -> None:
    async def work(client: Any) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.invoke_model(**asked(TITAN, TEXT)), 0.2)

    server.script([Fault(header_delay=2)])
    run(connected(server, work))
    assert call(telemetry)["otel_embed.error.cause"] == "cancelled"


# ---- retries


@each_client
@pytest.mark.parametrize(("mode", "statuses"), [("legacy", [429, 503]), ("standard", [429]), ("adaptive", [500])])
def test_retries_are_part_of_the_call_and_their_sleep_is_backoff(
    telemetry: Telemetry,
    server: BedrockServer,
    client: str,
    mode: str,
    statuses: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.1)  # of which the legacy mode makes its backoff, each time
    server.script(map(Fault, statuses))
    assert json.loads(invoke(server, client=client, attempts=3, mode=mode)) == TOLD
    found = call(telemetry)
    assert found["otel_embed.retry.count"] == len(statuses)
    assert found["otel_embed.stage.backoff.duration"] >= (0.3 if mode == "legacy" else 0)
    for status in statuses:
        assert telemetry.total("otel_embed.retries", otel_embed__retry__status=str(status)) == 1
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 3


@each_client
def test_retries_that_are_used_up_leave_the_last_failure(
    telemetry: Telemetry, server: BedrockServer, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.01)
    server.script([Fault(429), Fault(500)])
    raised(lambda: invoke(server, client=client, attempts=2, mode="legacy"))
    found = call(telemetry)
    assert (found["error.type"], found["otel_embed.retry.count"]) == ("500", 1)


# ---- nothing changes for the application

OUTCOMES = [
    Fault(), Fault(chunked=True), Fault(gzip=True), Fault(empty=True), Fault(malformed=True), WITHOUT_HEADER,
    Fault(400), Fault(429), Fault(drop="in body"), Fault(drop="in body", chunked=True), Fault(drop="at once"),
    Fault(usage="absent", drop="in body"), Fault(usage="absent", gzip=True), Fault(headers={TOKENS: "many"}),
]  # fmt: skip


def outcomes(server: BedrockServer, client: str) -> list[object]:
    seen: list[object] = []
    for fault in OUTCOMES:
        server.script([fault])
        try:
            answer = invoke(server, client=client)
            seen.append(gzip.decompress(answer) if fault.gzip else answer)
        except Exception as error:
            seen.append((type(error).__qualname__, type(error.__cause__), str(error)[:40]))
    return seen


@each_client
def test_results_and_exceptions_are_those_without_us(
    telemetry: Telemetry, server: BedrockServer, client: str
) -> None:
    otel_embed.uninstrument()
    expected = outcomes(server, client)
    telemetry.instrument()
    assert outcomes(server, client) == expected
    assert len(telemetry.spans(f"embeddings {TITAN}")) == len(OUTCOMES)


def test_wrapped_methods_stay_ordinary_and_go_with_uninstrument(telemetry: Telemetry) -> None:
    wrapped = botocore.client.BaseClient._make_api_call
    assert inspect.isfunction(wrapped)
    assert list(inspect.signature(wrapped).parameters) == ["self", "operation_name", "api_params"]
    assert pickle.loads(pickle.dumps(wrapped)) is wrapped
    otel_embed.uninstrument()
    assert botocore.client.BaseClient._make_api_call is wrapped.__wrapped__


# ---- the bill


def test_many_calls_at_once_equal_the_bill(telemetry: Telemetry, server: BedrockServer) -> None:
    faults = [None, Fault(429), WITHOUT_HEADER, Fault(400), None, Fault(500)]
    server.script([faults[n % len(faults)] for n in range(300)])
    client = connect(server, attempts=2, mode="legacy", max_pool_connections=8)

    def work(n: int) -> None:
        model, body = ((TITAN, TEXT), (COHERE, {"texts": ["one two"] * 3, "input_type": "search_document"}))[n % 2]
        with contextlib.suppress(client.exceptions.ClientError):
            client.invoke_model(**asked(model, body))["body"].read()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(8) as pool:
        patch.setattr(random, "random", lambda: 0.001)
        list(pool.map(work, range(200)))
    tokens = {model: bill.tokens for model, bill in server.billed.by_model.items()}
    counted = {
        model: telemetry.total("gen_ai.client.embeddings.operation.input_tokens", gen_ai__request__model=model)
        for model in tokens
    }
    estimated = sum(span.attributes.get("otel_embed.usage.source") == "estimated" for span in telemetry.spans())
    assert counted[TITAN] == tokens[TITAN] > 0
    # Cohere's body tells no tokens: where no header does either, "one two" three times is six by the estimate as well.
    assert counted[COHERE] == tokens[COHERE] > 0 and estimated > 0
    assert telemetry.total("otel_embed.cost", gen_ai__request__model=TITAN) == tokens[TITAN] * 20_000 / 1e12
