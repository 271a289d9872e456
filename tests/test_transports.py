"""Each HTTP library's exchanges and stages, in embedders of an application's own on a server with faults to order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from types import FunctionType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from packaging.version import Version

import otel_embed
from breaking import functions
from conftest import Telemetry, run
from embedders import (
    Embedder,
    OnAiobotocore,
    OnAiohttp,
    OnBotocore,
    OnHttpxAiohttp,
    OnRequests,
    OnStreamedRequests,
    VectorServer,
    using,
)
from fakes.faults import Fault
from otel_embed import guard
from otel_embed.transports import TRANSPORTS, aiohttp, botocore, flight, requests, urllib3

ALL: list[type[Embedder]] = [OnRequests, OnStreamedRequests, OnBotocore, OnAiohttp, OnAiobotocore, OnHttpxAiohttp]
KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(not find_spec(kind.library), reason=f"{kind.library} is not installed"))
    for kind in ALL
]
STAGE = re.compile(r"otel_embed\.stage\.(\w+)\.duration")
EARLY, LATE = 0.08, 0.38
"""How far from the time that was ordered something may happen on a busy machine, in seconds."""

each_library = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def server() -> Iterator[VectorServer]:
    with VectorServer() as server:
        yield server


def embed(kind: type[Embedder], server: VectorServer, *batches: list[str], **options: Any) -> None:
    async def work(embedder: Embedder) -> None:
        for texts in batches:
            assert await embedder.embed(texts) == [[float(len(text))] * 8 for text in texts]

    run(using(kind(server, **options), work))


def failing(kind: type[Embedder], server: VectorServer, *batches: list[str], **options: Any) -> Exception:
    try:
        embed(kind, server, *batches, **options)
    except Exception as error:
        return error
    raise AssertionError("nothing failed")


def calls(telemetry: Telemetry) -> list[Any]:
    return [span for span in telemetry.spans() if "embed_documents" in span.name]


def stages(span: Any) -> dict[str, float]:
    found = {name: STAGE.fullmatch(name) for name in span.attributes}
    return {match[1]: span.attributes[name] for name, match in found.items() if match}


def near(seconds: float, ordered: float) -> bool:
    return ordered - EARLY <= seconds < ordered + LATE


def retried(telemetry: Telemetry) -> dict[str, int]:
    return {
        point.attributes["otel_embed.retry.status"]: point.value for point in telemetry.metrics()["otel_embed.retries"]
    }


def tells_tls_apart(kind: type[Embedder]) -> bool:
    """aiohttp makes a connection and its handshake in one step before 3.10."""
    return issubclass(kind, OnRequests | OnBotocore) or Version(version("aiohttp")) >= Version("3.10")


@each_library
def test_delays_appear_in_the_stage_where_they_happen(
    telemetry: Telemetry, server: VectorServer, kind: type[Embedder]
) -> None:
    server.script([None, Fault(header_delay=0.3, body_delay=0.2, chunked=True)])
    embed(kind, server, ["one"], ["one", "two"])
    first, delayed = map(stages, calls(telemetry))
    assert {"acquire", "connect", "send", "wait", "receive"} <= first.keys()
    assert near(delayed["wait"], 0.3) and near(delayed["receive"], 0.2)
    assert sum(seconds for stage, seconds in delayed.items() if stage not in ("wait", "receive")) < LATE


@each_library
def test_a_connection_is_made_once_and_used_again(
    telemetry: Telemetry, server: VectorServer, kind: type[Embedder]
) -> None:
    embed(kind, server, ["one"], ["two"], ["three"])
    assert server.connections == 1
    assert ["connect" in stages(span) for span in calls(telemetry)] == [True, False, False]
    assert all(stages(span).keys().isdisjoint({"tls", "backoff"}) for span in calls(telemetry))


@each_library
def test_a_handshake_is_a_stage_of_its_own(telemetry: Telemetry, kind: type[Embedder]) -> None:
    with VectorServer(tls=True) as server:
        embed(kind, server, ["one"], ["two"])
    first, second = map(stages, calls(telemetry))
    assert first["connect"] > 0 and ("tls" in first) is tells_tls_apart(kind)
    assert second.keys().isdisjoint({"connect", "tls"})


@each_library
def test_stages_add_up_and_the_exchange_is_described(
    telemetry: Telemetry, server: VectorServer, kind: type[Embedder]
) -> None:
    embed(kind, server, ["one", "two"])
    (span,) = calls(telemetry)
    assert sum(stages(span).values()) == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1e-6)
    received = server.requests[0].headers
    described = {
        "server.address": "127.0.0.1",
        "server.port": server.server_address[1],
        "http.request.body.size": int(received["content-length"]),
        "http.response.body.size": len(json.dumps({"vectors": [[3.0] * 8] * 2})),
        "otel_embed.rate_limit.remaining.requests": 41,
    }
    assert described.items() <= dict(span.attributes).items()
    assert "otel_embed.retry.count" not in span.attributes


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[1], KINDS[2], KINDS[4]])
def test_a_librarys_own_retries_are_seen_with_their_causes_and_their_sleep(
    telemetry: Telemetry, server: VectorServer, kind: type[Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.1)  # of which botocore makes its backoff: 0.1 s, then 0.2 s
    server.script([Fault(429), Fault(500)])
    embed(kind, server, ["one"], retries=2)
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.retry.count"] == 2
    assert retried(telemetry) == {"429": 1, "500": 1}
    assert 0.1 <= stages(span)["backoff"] < 0.3 + LATE  # urllib3 tries again at once, then after 0.1 s


def test_a_connection_that_urllib3_loses_is_a_retry_too(telemetry: Telemetry, server: VectorServer) -> None:
    server.script([Fault(drop="at once")])
    embed(OnRequests, server, ["one"], retries=1)
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.retry.count"] == 1
    assert retried(telemetry) == {"urllib3.exceptions.ProtocolError": 1}


def test_retries_that_are_used_up_leave_the_status_as_the_failure(telemetry: Telemetry, server: VectorServer) -> None:
    server.script([Fault(429)] * 3)
    assert "too many 429" in str(failing(OnRequests, server, ["one"], retries=2))
    (span,) = calls(telemetry)
    failure = span.attributes["error.type"], span.attributes["otel_embed.error.cause"]
    assert failure == ("429", "rate_limited") and span.attributes["otel_embed.retry.count"] == 2


def test_an_application_that_tries_again_while_it_handles_an_error(telemetry: Telemetry, server: VectorServer) -> None:
    """The error that it handles is none of the second request's."""

    class Persistent(OnStreamedRequests):
        def send(self, texts: list[str]) -> Any:
            try:
                return super().send(texts)
            except Exception:
                super().send(texts)
                return super().send(texts)

    server.script([Fault(drop="in body", body_delay=0.05)])
    embed(Persistent, server, ["one"])
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.retry.count"] == 1


def test_an_application_that_tries_again_while_it_handles_an_error_of_aiohttp(
    telemetry: Telemetry, server: VectorServer
) -> None:
    class Persistent(OnAiohttp):
        async def send(self, texts: list[str]) -> Any:
            try:
                return await super().send(texts)
            except Exception:
                await super().send(texts)
                return await super().send(texts)

    server.script([Fault(drop="in body", body_delay=0.05), Fault(body_delay=0.05)])
    embed(Persistent, server, ["one"])
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.retry.count"] == 1
    assert retried(telemetry) == {"aiohttp.client_exceptions.ClientPayloadError": 1}


@each_library
@pytest.mark.parametrize("origin", ["http://:/", "http://example.org:none", "http://\x80.invalid", "no address"])
def test_an_address_that_is_none_is_refused_as_without_us(
    telemetry: Telemetry, kind: type[Embedder], origin: str
) -> None:
    nowhere: Any = SimpleNamespace(origin=origin, ca_file="")
    error = failing(kind, nowhere, ["one"])
    otel_embed.uninstrument()
    assert repr(error) == repr(failing(kind, nowhere, ["one"]))


@each_library
def test_a_refused_connection_is_a_network_failure(telemetry: Telemetry, kind: type[Embedder]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    nobody: Any = SimpleNamespace(origin=f"http://127.0.0.1:{port}", ca_file="")
    error = failing(kind, nobody, ["one"])
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.error.cause"] == "network"  # also where httpx-aiohttp makes a ConnectTimeout of it
    assert span.attributes["error.type"].endswith(type(error).__name__)
    assert span.attributes["server.port"] == port
    assert "connect" in stages(span) and stages(span).keys().isdisjoint({"wait", "receive"})


@each_library
def test_a_timeout_is_told_and_was_spent_waiting(
    telemetry: Telemetry, server: VectorServer, kind: type[Embedder]
) -> None:
    server.script([None, Fault(header_delay=3)])
    failing(kind, server, ["one"], ["two"], timeout=0.3)
    span = calls(telemetry)[1]
    assert span.attributes["otel_embed.error.cause"] == "timeout"
    assert 0.25 <= stages(span)["wait"] < 0.3 + LATE and "receive" not in stages(span)


@each_library
def test_a_body_that_breaks_off_is_a_failure_while_receiving(
    telemetry: Telemetry, server: VectorServer, kind: type[Embedder]
) -> None:
    server.script([Fault(drop="in body", body_delay=0.2)])
    failing(kind, server, ["one"])
    (span,) = calls(telemetry)
    assert near(stages(span)["receive"], 0.2)
    assert telemetry.total("otel_embed.errors") == 1


OUTCOMES = [
    None, Fault(429), Fault(500), Fault(chunked=True, body_delay=0.02), Fault(drop="at once"), Fault(drop="in header"),
    Fault(drop="in body"), Fault(drop="in body", chunked=True), Fault(malformed=True), Fault(header_delay=1),
]  # fmt: skip


def outcomes(kind: type[Embedder], server: VectorServer, how: Callable[[Embedder], Any]) -> list[object]:
    """What an application sees: results, and exceptions with their text and what they come from."""

    async def work(embedder: Embedder) -> list[object]:
        seen: list[object] = []
        for fault in OUTCOMES:
            server.script([fault])
            try:
                seen.append(await how(embedder)(["one", "two"]))
            except Exception as error:
                seen.append((type(error), *map(type, (error.__cause__, error.__context__)), _text(error)))
        return seen

    seen: list[object] = run(using(kind(server, timeout=0.4), work))
    return seen


def _text(error: Exception) -> str:
    return re.sub(r"0x[0-9a-f]+|port=\d+|:\d+", "", str(error))


@each_library
def test_results_and_exceptions_are_those_without_us(
    server: VectorServer, kind: type[Embedder], telemetry: Telemetry
) -> None:
    otel_embed.uninstrument()
    expected = outcomes(kind, server, lambda it: it.embed)
    assert expected[0] == [[3.0] * 8] * 2
    telemetry.instrument()
    assert outcomes(kind, server, lambda it: it.plain) == expected
    assert not telemetry.spans() and "otel_embed.stage.time" not in telemetry.metrics()
    assert outcomes(kind, server, lambda it: it.embed) == expected
    assert len(calls(telemetry)) == len(OUTCOMES)


def test_wrapped_functions_stay_ordinary_and_go_with_uninstrument(telemetry: Telemetry) -> None:
    targets = [transport.target for provider in TRANSPORTS for transport in provider.transports]
    found: list[tuple[Any, str]] = []
    for target in targets:
        module, _, path = target.partition(":")
        with contextlib.suppress(ImportError):
            found.append((import_module(module), path))
    assert {"ClientSession._request", "HTTPConnection.getresponse", "Retry.sleep"} <= {path for _, path in found}
    wrapped = [_resolved(module, path) for module, path in found]
    assert all(isinstance(each, FunctionType) and hasattr(each, "__otel_embed__") for each in wrapped)
    otel_embed.uninstrument()
    assert not any(hasattr(_resolved(module, path), "__otel_embed__") for module, path in found)


def _resolved(owner: Any, path: str) -> Any:
    for name in path.split("."):
        owner = inspect.getattr_static(owner, name)
    return owner


@each_library
def test_a_client_made_before_instrumentation_is_seen(
    server: VectorServer, kind: type[Embedder], telemetry: Telemetry
) -> None:
    otel_embed.uninstrument()

    async def work(embedder: Embedder) -> None:
        await embedder.embed(["one"])
        telemetry.instrument()
        await embedder.embed(["one"])

    run(using(kind(server), work))
    (span,) = calls(telemetry)
    assert {"acquire", "send", "wait"} <= stages(span).keys() and "connect" not in stages(span)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_threads_keep_their_exchanges_apart(telemetry: Telemetry, server: VectorServer, kind: type[Embedder]) -> None:
    delays = {f"{n} tenths": n / 10 for n in range(5)}
    server.by_model = {text: Fault(header_delay=delay) for text, delay in delays.items()}
    embedder = kind(server)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda text: embedder.embed_documents([text] * len(text)), delays))
    _each_waited_its_own_time(telemetry, delays.values())
    run(embedder.close())


@pytest.mark.parametrize("kind", KINDS[3:])
def test_tasks_keep_their_exchanges_apart(telemetry: Telemetry, server: VectorServer, kind: type[Embedder]) -> None:
    delays = {f"{n} tenths": n / 10 for n in range(5)}
    server.by_model = {text: Fault(header_delay=delay, body_delay=delay) for text, delay in delays.items()}

    async def work(embedder: Embedder) -> None:
        await embedder.embed(["before"])
        await asyncio.gather(*[embedder.embed([text]) for text in delays])

    run(using(kind(server), work))
    _each_waited_its_own_time(telemetry, [0, *delays.values()])


def _each_waited_its_own_time(telemetry: Telemetry, delays: Any) -> None:
    waits = sorted(stages(span)["wait"] for span in calls(telemetry))
    assert len(waits) == len(delays)
    assert all(near(wait, delay) for wait, delay in zip(waits, sorted(delays)))
    for span in calls(telemetry):
        assert sum(stages(span).values()) == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1e-6)


def test_one_call_may_have_exchanges_at_once(telemetry: Telemetry, server: VectorServer) -> None:
    class Batched(OnAiohttp):
        async def send(self, texts: list[str]) -> Any:
            both = await asyncio.gather(*[super(Batched, self).send([text]) for text in texts])
            return [vector for vectors in both for vector in vectors]

    server.by_model = {"first": Fault(header_delay=0.1), "third one": Fault(header_delay=0.2)}
    embed(Batched, server, ["first", "third one"])
    (span,) = calls(telemetry)
    assert near(stages(span)["wait"], 0.2) and "otel_embed.retry.count" not in span.attributes


# ---- bodies that are left to the application


class LeavingAiohttp(OnAiohttp):
    async def send(self, texts: list[str]) -> Any:
        self.session = self.session or self.connect()
        return [await self.session.post(self.url, json=self.ask(texts))]


class LeavingRequests(OnRequests):
    def send(self, texts: list[str]) -> Any:
        return [self.session.post(self.url, json=self.ask(texts), stream=True)]


class LeavingBotocore(OnBotocore):
    def send(self, texts: list[str]) -> Any:
        return [self.client.invoke_model(modelId="m", body=json.dumps(self.ask(texts)))["body"]]


READ = {"content": lambda r: r.content, "lines": lambda r: list(r.iter_lines()), "raw": lambda r: r.raw.read(),
        "bytes": lambda r: r.raw.read(10_000), "stream": lambda r: list(r.raw.stream(7))}  # fmt: skip


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_a_streamed_body_is_received_until_the_application_has_read_it(
    telemetry: Telemetry, server: VectorServer, read: Callable[[Any], Any], chunked: bool
) -> None:
    server.script([Fault(body_delay=0.2, chunked=chunked)])
    (response,) = LeavingRequests(server).embed_documents(["one"])
    assert not telemetry.spans(), "the call is over when its body is"
    assert read(response)
    (span,) = calls(telemetry)
    assert 0.15 <= stages(span)["receive"] < 0.2 + LATE


@pytest.mark.parametrize("give_up", ["close", "with", "drop"])
def test_a_streamed_body_that_nobody_reads_ends_when_it_is_given_up(
    telemetry: Telemetry, server: VectorServer, give_up: str
) -> None:
    server.script([Fault(body_delay=2)])
    (response,) = LeavingRequests(server).embed_documents(["one"])
    if give_up == "close":
        response.close()
    elif give_up == "with":
        with response:
            pass
    del response
    gc.collect()
    telemetry.metrics()  # whoever looks has what was dropped ended: the collector may not, whatever it interrupts
    (span,) = calls(telemetry)
    assert stages(span).get("receive", 0) < 1.5 and "error.type" not in span.attributes


def test_a_response_that_is_dropped_within_its_call_goes_at_once(telemetry: Telemetry, server: VectorServer) -> None:
    class Careless(OnRequests):
        def send(self, texts: list[str]) -> Any:
            gc.disable()  # what follows must not need it
            self.session.post(self.url, json=self.ask(texts), stream=True)
            time.sleep(0.1)
            return super().send(texts)

    server.script([Fault(body_delay=0.3)])
    embed(Careless, server, ["one"])
    gc.enable()
    (span,) = calls(telemetry)
    assert stages(span).get("receive", 0) < 0.1 and stages(span)["other"] >= 0.1


@pytest.mark.parametrize("read", [lambda b: b.read(), lambda b: list(b.iter_lines()), lambda b: b.close()])
def test_bedrocks_body_is_left_to_the_application(
    telemetry: Telemetry, server: VectorServer, read: Callable[[Any], Any]
) -> None:
    server.script([Fault(body_delay=0.2)])
    (body,) = LeavingBotocore(server).embed_documents(["one"])
    assert not telemetry.spans()
    left = read(body)
    (span,) = calls(telemetry)
    assert (stages(span).get("receive", 0) >= 0.15) is (left is not None)


def test_an_answer_that_botocore_reads_itself_is_received_within_its_exchange(
    telemetry: Telemetry, server: VectorServer
) -> None:
    class Listing(OnBotocore):
        service = "dynamodb"

        def send(self, texts: list[str]) -> Any:
            return [self.client.list_tables()["ResponseMetadata"]["HTTPStatusCode"]]

    server.script([Fault(body_delay=0.2)])
    assert Listing(server).embed_documents(["one"]) == [200]
    assert near(stages(calls(telemetry)[0])["receive"], 0.2)


def test_an_answer_that_aiobotocore_reads_itself_is_received_within_its_exchange(
    telemetry: Telemetry, server: VectorServer
) -> None:
    class Listing(OnAiobotocore):
        service = "dynamodb"

        async def send(self, texts: list[str]) -> Any:
            await self.connect()
            return [(await self.client.list_tables())["ResponseMetadata"]["HTTPStatusCode"]]

    server.script([Fault(body_delay=0.2)])
    assert run(using(Listing(server), lambda it: it.embed(["one"]))) == [200]
    assert near(stages(calls(telemetry)[0])["receive"], 0.2)


AWAIT = {
    "read": lambda r: r.read(), "json": lambda r: r.json(), "text": lambda r: r.text(),
    "pieces": lambda r: r.content.read(),
    "close": lambda r: _given_up(r.close), "release": lambda r: _given_up(r.release),
}  # fmt: skip


async def _given_up(how: Callable[[], Any]) -> None:
    how()


@pytest.mark.parametrize("way", AWAIT)
def test_an_aiohttp_body_is_left_to_the_application(telemetry: Telemetry, server: VectorServer, way: str) -> None:
    async def work(embedder: Embedder) -> None:
        (response,) = await embedder.embed(["one"])
        assert not telemetry.spans(), "the call is over when its body is"
        left = await AWAIT[way](response)
        (span,) = calls(telemetry)
        assert (stages(span).get("receive", 0) >= 0.15) is (left is not None)
        assert "error.type" not in span.attributes

    server.script([Fault(body_delay=0.2)])
    run(using(LeavingAiohttp(server), work))


def test_an_aiohttp_response_that_is_dropped_ends_when_its_body_has_come(
    telemetry: Telemetry, server: VectorServer
) -> None:
    async def work(embedder: Embedder) -> None:
        await embedder.embed(["one"])
        await asyncio.sleep(0.3)  # aiohttp receives a body that nobody reads
        (span,) = calls(telemetry)
        assert stages(span)["receive"] >= 0.15

    server.script([Fault(body_delay=0.2)])
    run(using(LeavingAiohttp(server), work))


def test_a_response_with_content_of_a_tests_own_making_ends(telemetry: Telemetry, server: VectorServer) -> None:
    async def work(embedder: Embedder) -> None:
        (response,) = await embedder.embed(["one"])
        response.content = Mock()
        response.close()
        assert len(calls(telemetry)) == 1

    server.script([Fault(body_delay=0.2)])
    run(using(LeavingAiohttp(server), work))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # aiohttp's own
def test_an_aiohttp_response_that_the_collector_finds_ends_later(telemetry: Telemetry, server: VectorServer) -> None:
    async def leave() -> None:
        await LeavingAiohttp(server).embed(["one"])

    server.script([Fault(body_delay=2)])
    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    del loop
    gc.collect()
    assert not telemetry.spans(), "a lock may be held that the end of a span takes"
    telemetry.metrics()
    (span,) = calls(telemetry)
    assert stages(span).get("receive", 0) < 1.5 and "error.type" not in span.attributes


# ---- what is part of an exchange, and what is not


@pytest.mark.parametrize("kind", [OnRequests, OnAiohttp])
def test_a_redirect_is_part_of_its_exchange(telemetry: Telemetry, server: VectorServer, kind: type[Embedder]) -> None:
    server.script([Fault(307, headers={"location": f"{server.origin}/elsewhere"}), Fault(header_delay=0.1)])
    embed(kind, server, ["one"])
    assert [received.path for received in server.requests] == ["/v1/embeddings", "/elsewhere"]
    (span,) = calls(telemetry)
    assert "otel_embed.retry.count" not in span.attributes and stages(span)["wait"] >= 0.1
    assert stages(span).keys().isdisjoint({"backoff", "other"})


class ConnectProxy:
    """Passes ``CONNECT`` on to where it asks, after a while."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> ConnectProxy:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        host, _, port = head.split()[1].decode().partition(":")
        server = socket.create_connection((host, int(port)))
        threading.Event().wait(self._delay)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self._pass_on, args=(server, client), daemon=True).start()
        self._pass_on(client, server)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
        sink.close()


@pytest.mark.parametrize("kind", [OnRequests, OnAiohttp])
def test_what_a_proxy_is_asked_is_part_of_connecting(telemetry: Telemetry, kind: type[Embedder]) -> None:
    class Proxied(kind):  # type: ignore[misc, valid-type]
        def options(self) -> dict[str, Any]:
            return {"proxies": {"https": proxy.url}}

        def connect(self) -> Any:
            session = super().connect()
            post = session.post
            session.__dict__["post"] = lambda *args, **options: post(*args, proxy=proxy.url, **options)
            return session

    with VectorServer(tls=True) as server, ConnectProxy(0.5) as proxy:
        embed(Proxied, server, ["one"])
    (span,) = calls(telemetry)
    assert near(stages(span)["connect"], 0.5)
    assert stages(span)["wait"] < LATE and stages(span).get("tls", 0) < LATE


def test_requests_under_suppressed_instrumentation_belong_to_no_call(
    telemetry: Telemetry, server: VectorServer
) -> None:
    class Exporting(OnRequests):
        def send(self, texts: list[str]) -> Any:
            with suppress_instrumentation():
                return super().send(texts)

    embed(Exporting, server, ["one"])
    (span,) = calls(telemetry)
    assert stages(span).keys() == {"other"} and "server.address" not in span.attributes


def test_what_an_exchange_started_and_left_behind_marks_nothing(telemetry: Telemetry, server: VectorServer) -> None:
    """A task begun inside an exchange inherits its context, and keeps it."""

    class Starting(OnAiohttp):
        later: asyncio.Task[Any]

        def connect(self) -> Any:
            import aiohttp

            class Resolver(aiohttp.ThreadedResolver):
                async def resolve(resolver, *args: Any, **options: Any) -> Any:
                    self.later = asyncio.ensure_future(self._much_later())
                    return await super().resolve(*args, **options)

            self.url = self.url.replace("127.0.0.1", "localhost")
            return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Resolver(), family=socket.AF_INET))

        async def _much_later(self) -> Any:
            await asyncio.sleep(0.1)
            return await super().send(["later"])

    async def work(embedder: Starting) -> None:
        await embedder.embed(["one"])
        before = stages(calls(telemetry)[0])
        await embedder.later
        assert [stages(span) for span in calls(telemetry)] == [before]

    run(using(Starting(server), work))
    assert [received.model for received in server.requests] == ["one", "later"]


# ---- faults of our own

MODULES = [flight, urllib3, requests, aiohttp, botocore]
TRUSTED = {
    "Sender.__init__": "runs when otel_embed is imported",
    "Step.__init__": "the same",
    "BodyEnd.__call__": "holds the guard",
    "_FileEnd.__del__": "calls that",
    "_Heard.__call__": "holds the guard",
    **dict.fromkeys(("_listen", "_Heard.__init__", "_ended_early", "_Break.open"), "are reached with Bedrock's answers"),
    **({} if find_spec("aiohappyeyeballs") else {"_Dial.open": "aiohttp before 3.10 does not come to it"}),
}
PLACES = {
    f"{module.__name__.rpartition('.')[2]}.{name}": function
    for module in MODULES
    for name, function in functions(module)
    if name not in TRUSTED
}


def bug(*args: Any, **kwargs: Any) -> Any:
    __import__("test_transports").REACHED.append(1)
    raise RuntimeError("a bug in otel_embed")


REACHED: list[int] = []


@pytest.mark.parametrize("place", PLACES)
def test_the_application_never_notices_a_bug_of_ours(
    telemetry: Telemetry, server: VectorServer, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard.reraise = False
    REACHED.clear()
    function = PLACES[place]
    monkeypatch.setattr(function, "__code__", bug.__code__.replace(co_freevars=function.__code__.co_freevars))
    for kind in ALL:
        if find_spec(kind.library):
            server.script([Fault(429) if kind in (OnRequests, OnBotocore) else None, Fault(body_delay=0.01)])
            embed(kind, server, ["one"], ["two"], retries=1)
    monkeypatch.undo()
    assert REACHED and sum(guard.dropped.values()) >= 1, "it was reached, contained and counted"
