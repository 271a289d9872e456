"""Stages and sizes as httpx and httpx2 tell them, under the real openai client: TLS, reuse, gzip, chunks, delays."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest

from clients import LIBRARIES, Client, http_client, streams
from conftest import Telemetry
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
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
