"""The real ollama client, of whichever line is installed, against a server that answers as Ollama does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ollama
import pytest

import otel_embed
from conftest import Telemetry
from fakes.faults import Fault
from fakes.ollama_server import OllamaServer
from spans import STATUSES, attributes, calls, outcome, port, usage

MODEL = "nomic-embed-text"
VERSION = tuple(map(int, version("ollama").split(".")[:2]))
OLDEST = VERSION < (0, 4)


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


class Api:
    """Calls of one kind of client, asynchronous ones each in a loop of its own."""

    def __init__(self, asynchronous: bool) -> None:
        self.asynchronous = asynchronous

    def call(self, server: OllamaServer, name: str, *args: Any, **asked: Any) -> Any:
        if self.asynchronous:
            return asyncio.run(self._call(ollama.AsyncClient(server.url), name, *args, **asked))
        client = ollama.Client(server.url)
        try:
            return getattr(client, name)(*args, **asked)
        finally:
            client._client.close()

    async def _call(self, client: Any, name: str, *args: Any, **asked: Any) -> Any:
        async with client._client:
            return await getattr(client, name)(*args, **asked)

    def embed(self, server: OllamaServer, **asked: Any) -> Any:
        return self.call(server, "embed", **{"model": MODEL, "input": ["one two", "three"], **asked})


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def api(request: pytest.FixtureRequest) -> Api:
    return Api(request.param)


def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, server: OllamaServer, api: Api) -> None:
    api.embed(server)
    (span,) = calls(telemetry)
    assert span.name == f"embeddings {MODEL}" and span.kind.name == "CLIENT"
    assert attributes(span) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "ollama",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.embeddings.dimension.count": 8,
        "server.address": "127.0.0.1",
        "server.port": port(server.url),
        "otel_embed.input.count": 2,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "reported",
        "otel_embed.server.duration": 0.014143917,
    }
    assert {"otel_embed.stage.wait.duration", "otel_embed.stage.connect.duration"} <= set(span.attributes)
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 3


def test_a_server_of_ones_own_costs_nothing_and_that_is_no_gap(telemetry: Telemetry, server: OllamaServer) -> None:
    with otel_embed.track() as usage:
        Api(False).embed(server)
    assert "otel_embed.unpriced" not in telemetry.metrics() and "otel_embed.cost" not in telemetry.metrics()
    assert (usage.tokens, usage.cost_usd, usage.unpriced_calls) == (3, 0, 0)
    (row,) = otel_embed.summary().document["providers"]
    assert (row["cost_usd"], row["unpriced_calls"]) == (0, 0)


def test_a_price_of_the_users_own_is_charged(telemetry: Telemetry, server: OllamaServer, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(f'[[price]]\nprovider = "ollama"\nmodel = "{MODEL}"\nusd_per_million_tokens = 0.01\n')
    telemetry.instrument(prices=str(prices))
    Api(False).embed(server)
    (span,) = calls(telemetry)
    assert (span.attributes["otel_embed.cost.usd"], span.attributes["otel_embed.cost.source"]) == (3e-08, "user")


def test_the_older_endpoint_tells_no_tokens(telemetry: Telemetry, server: OllamaServer, api: Api) -> None:
    api.call(server, "embeddings", MODEL, "12345678")
    (span,) = calls(telemetry)
    told = attributes(span)
    assert usage(span) == (2, "estimated")
    assert (told["otel_embed.input.count"], told["gen_ai.embeddings.dimension.count"]) == (1, 8)


@pytest.mark.parametrize("said", ["absent", "zeros"])
def test_usage_that_is_not_told_is_estimated(telemetry: Telemetry, server: OllamaServer, api: Api, said: Any) -> None:
    server.script([Fault(usage=said)])
    api.embed(server, input="12345678")
    (span,) = calls(telemetry)
    assert usage(span) == (2, "estimated")


@pytest.mark.skipif(VERSION < (0, 6), reason="older clients do not ask for dimensions")
def test_dimensions_can_be_asked_for(telemetry: Telemetry, server: OllamaServer, api: Api) -> None:
    api.embed(server, dimensions=4)
    (span,) = calls(telemetry)
    assert span.attributes["gen_ai.embeddings.dimension.count"] == 4


PROGRAM = """
import sys
{first}
from ollama import embed
import otel_embed
otel_embed.instrument()
embed(model="m", input="one")
import ollama
ollama.embed(model="m", input="one")
print(otel_embed.summary().calls)
"""


@pytest.mark.skipif(OLDEST, reason="an older client's functions are seen only if it is imported after us")
def test_functions_of_the_module_are_seen_and_so_are_references_to_them(server: OllamaServer) -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first="")],
        env={"OLLAMA_HOST": server.url, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "2\n"


def test_functions_of_a_module_that_is_imported_after_us_are_seen(server: OllamaServer) -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first="import otel_embed; otel_embed.instrument()")],
        env={"OLLAMA_HOST": server.url, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "2\n"


def test_other_calls_of_the_client_are_no_embedding_calls(telemetry: Telemetry, server: OllamaServer, api: Api) -> None:
    server.script([Fault(404)])
    with pytest.raises(ollama.ResponseError):
        api.call(server, "show", MODEL)
    assert not calls(telemetry)


@pytest.mark.parametrize(("status", "cause"), STATUSES)
def test_a_failure_passes_through_and_its_cause_is_told(
    telemetry: Telemetry, server: OllamaServer, api: Api, status: int, cause: str
) -> None:
    server.script([Fault(status)])
    with pytest.raises(ollama.ResponseError):
        api.embed(server)
    (span,) = calls(telemetry)
    assert (span.attributes["error.type"], span.attributes["otel_embed.error.cause"]) == (str(status), cause)
    assert span.status.description is None and "gen_ai.usage.input_tokens" not in span.attributes


def test_a_server_that_is_not_running_is_a_network_failure(telemetry: Telemetry, api: Api) -> None:
    with OllamaServer() as gone:
        pass
    with pytest.raises(Exception, match=r"[Cc]onnect"):
        api.embed(gone)
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.error.cause"] == "network"


@pytest.mark.parametrize(
    "fault", [Fault(), Fault(500), Fault(malformed=True), Fault(empty=True), Fault(drop="in body")]
)
def test_results_and_exceptions_are_what_they_are_without_us(
    telemetry: Telemetry, server: OllamaServer, api: Api, fault: Fault
) -> None:
    server.script([fault])
    seen = outcome(lambda: api.embed(server))
    assert len(calls(telemetry)) == 1
    otel_embed.uninstrument()
    server.script([fault])
    assert outcome(lambda: api.embed(server)) == seen


def test_uninstrument_puts_the_original_back(telemetry: Telemetry, server: OllamaServer, api: Api) -> None:
    name = "embed" if OLDEST else "_request"
    wrapped = getattr(ollama.Client, name)
    otel_embed.uninstrument()
    assert getattr(ollama.Client, name) is wrapped.__wrapped__
    api.embed(server)
    assert not calls(telemetry)
