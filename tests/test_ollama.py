"""The real ollama client, of whichever line is installed, against a server that answers as Ollama does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import ollama
import pytest

import otel_embed
from conftest import Telemetry, run
from every_provider import EveryProvider
from fakes.api_server import ApiServer
from fakes.faults import Fault
from fakes.ollama_server import OllamaServer
from spans import calls, usage, whole

MODEL = "nomic-embed-text"
VERSION = tuple(map(int, version("ollama").split(".")[:2]))
OLDEST = VERSION < (0, 4)


class TestOllama(EveryProvider):
    server_class = OllamaServer
    model, picodollars = MODEL, 0
    metered = False
    wrapped: ClassVar = [
        f"ollama._client:{kind}.{name}"
        for kind in ("Client", "AsyncClient")
        for name in (["embed", "embeddings"] if OLDEST else ["_request"])
    ]
    test_a_retry_is_part_of_the_call_and_its_sleep_is_backoff: ClassVar = None
    """The client does not try again."""

    def known(self, server: ApiServer) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "ollama",
            "gen_ai.request.model": MODEL,
            "gen_ai.response.model": MODEL,
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.embeddings.dimension.count": 8,
            "server.address": "127.0.0.1",
            "server.port": server.server_address[1],
            "otel_embed.input.count": 2,
            "otel_embed.input.kind": "text",
            "otel_embed.usage.source": "reported",
            "otel_embed.server.duration": 0.014143917,
        }

    def embed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        client = ollama.Client(url, timeout=timeout)
        with client._client:
            return client.embed(model=MODEL, input=texts)

    async def aembed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        client = ollama.AsyncClient(url, timeout=timeout)
        async with client._client:
            return await client.embed(model=MODEL, input=texts)


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


def test_a_server_of_ones_own_costs_nothing_and_that_is_no_gap(telemetry: Telemetry, server: OllamaServer) -> None:
    with otel_embed.track() as tracked:
        ollama.Client(server.origin).embed(model=MODEL, input=["one two", "three"])
    assert "otel_embed.unpriced" not in telemetry.metrics() and "otel_embed.cost" not in telemetry.metrics()
    assert (tracked.tokens, tracked.cost_usd, tracked.unpriced_calls) == (3, 0, 0)
    (row,) = otel_embed.summary().document["providers"]
    assert (row["cost_usd"], row["unpriced_calls"]) == (0, 0)


def test_a_server_of_ones_own_is_not_stopped_by_a_budget(telemetry: Telemetry, server: OllamaServer) -> None:
    telemetry.instrument(daily_budget_usd=0.0, budget_action="block")
    assert len(ollama.Client(server.origin).embed(model=MODEL, input="one")["embeddings"]) == 1


def test_a_price_of_the_users_own_is_charged(telemetry: Telemetry, server: OllamaServer, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(f'[[price]]\nprovider = "ollama"\nmodel = "{MODEL}"\nusd_per_million_tokens = 0.01\n')
    telemetry.instrument(prices=str(prices))
    ollama.Client(server.origin).embed(model=MODEL, input="one two")
    (span,) = calls(telemetry)
    assert (span.attributes["otel_embed.cost.usd"], span.attributes["otel_embed.cost.source"]) == (2e-08, "user")


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_the_older_endpoint_tells_no_tokens(telemetry: Telemetry, server: OllamaServer, asynchronous: bool) -> None:
    if asynchronous:
        run(ollama.AsyncClient(server.origin).embeddings(MODEL, "12345678"))
    else:
        ollama.Client(server.origin).embeddings(MODEL, "12345678")
    (span,) = calls(telemetry)
    told = whole(span)
    assert (told["otel_embed.input.count"], told["gen_ai.embeddings.dimension.count"]) == (1, 8)
    assert usage(span) == (2, "estimated")


@pytest.mark.skipif(VERSION < (0, 6), reason="older clients do not ask for dimensions")
def test_dimensions_can_be_asked_for(telemetry: Telemetry, server: OllamaServer) -> None:
    server.script([None, Fault(empty=True)])
    for _ in range(2):
        ollama.Client(server.origin).embed(model=MODEL, input="one", dimensions=4)
    assert [span.attributes["gen_ai.embeddings.dimension.count"] for span in calls(telemetry)] == [4, 4]


def test_other_calls_of_the_client_are_no_embedding_calls(telemetry: Telemetry, server: OllamaServer) -> None:
    with pytest.raises(ollama.ResponseError):
        ollama.Client(server.origin).show(MODEL)
    assert not telemetry.spans()


PROGRAM = """
{first}
from ollama import embed
import otel_embed
otel_embed.instrument()
embed(model="m", input="one")
import ollama
ollama.embed(model="m", input="one")
print(otel_embed.summary().calls)
"""
US = "import otel_embed; otel_embed.instrument()"
sees = pytest.mark.skipif(OLDEST, reason="an older client's functions are seen only if it is imported after us")


@pytest.mark.parametrize("first", [pytest.param("", marks=sees), US], ids=["before us", "after us"])
def test_functions_of_the_module_are_seen_and_so_are_references_to_them(server: OllamaServer, first: str) -> None:
    env = {"OLLAMA_HOST": server.origin, "PYTHONPATH": ":".join(sys.path)}
    program = PROGRAM.format(first=first)
    found = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert found.stdout == "2\n", found.stderr
