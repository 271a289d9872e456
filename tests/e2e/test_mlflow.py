"""A second opinion on what calls cost: MLflow takes our spans over OTLP, and prices models and tokens by its own catalog.

Its dependencies want an environment of their own: ``MLFLOW`` is the path of the program in it. ``nox -s mlflow`` sets that
up, which takes minutes; by hand it is ``pip install mlflow`` in a new environment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from monitoring import eventually, running
from receiver import free_ports

from otel_embed.demo.server import EmbeddingServer
from otel_embed.pricing.chat import ChatPrices
from otel_embed.pricing.prices import Prices
from programs import OTHERS

BIN = Path(sys.executable).parent
EMBEDDERS = ["text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"]
CACHED = {
    row.names[0]: row.price.cached_input is not None
    for row in ChatPrices.load(None, pytest.fail, Prices.load(None, pytest.fail)).rows("openai")
}
"""OpenAI's chat models of our table, and whether it has a price of what the provider's cache read of a prompt."""
UNKNOWN = "a-model-of-unknown-price"
PROGRAM = """
import sys
import openai
from langchain_openai import ChatOpenAI

url, embedders, chats = sys.argv[1], filter(None, sys.argv[2].split(",")), sys.argv[3].split(",")
with openai.OpenAI(base_url=url, api_key="x") as client:
    for model in embedders:
        client.embeddings.create(model=model, input=["one two three " * 400, "four"], encoding_format="float")
for model in chats:
    chat = ChatOpenAI(model=model, base_url=url, api_key="x", max_retries=0, use_responses_api=False)
    chat.invoke("Is it so? " * 400 + "It is so.")
"""


class Priced(NamedTuple):
    """A call as MLflow has it: dollars by our count and by its own, None where there is no price."""

    kind: str
    tokens: int
    ours: float | None
    theirs: float | None


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server of MLflow's, which takes a minute to come up."""
    if given := os.environ.get("MLFLOW_ORIGIN"):
        yield given
        return
    found = os.environ.get("MLFLOW") or shutil.which("mlflow")
    assert found, "set MLFLOW to an mlflow, or run nox -s mlflow, which installs one"
    folder = tmp_path_factory.mktemp("mlflow")
    (port,) = free_ports(1)
    origin = f"http://127.0.0.1:{port}"
    quiet = ["MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true", f"PATH={Path(found).parent}{os.pathsep}{os.environ['PATH']}"]
    command = ["env", "-C", str(folder), *quiet, found, "server", "--host", "127.0.0.1", "--port", str(port),
               "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--workers", "1"]  # fmt: skip
    with running(command, folder / "log", f"{origin}/health", 240):
        yield origin


@pytest.fixture(scope="module")
def priced(origin: str) -> dict[str, Priced]:
    """Calls by model; part of a chat's prompt was read from the provider's cache, where that has a price."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHON"))} | {
        "OTEL_SERVICE_NAME": "priced", "OTEL_METRICS_EXPORTER": "none", "OTEL_EMBED_STAGE_SPANS": "never",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT": origin,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-mlflow-experiment-id=0",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "60",  # its first answer takes ten seconds
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(OTHERS),
    }  # fmt: skip
    for cached in (0, 512):
        embedders = [] if cached else [*EMBEDDERS, UNKNOWN]
        chats = [model for model, has_price in CACHED.items() if has_price == bool(cached)]
        with EmbeddingServer() as server:
            server.cached_tokens = cached
            command = [BIN / "opentelemetry-instrument", sys.executable, "-c", PROGRAM, server.url]
            models = [",".join(embedders), ",".join(chats)]
            ran = subprocess.run([*command, *models], env=env, capture_output=True, text=True, timeout=120)
            assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    wanted = len(EMBEDDERS) + 1 + len(CACHED)
    eventually(lambda: len(traces(origin)) >= wanted, lambda: len(traces(origin)))
    return dict(read(origin, trace) for trace in traces(origin))


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def traces(origin: str) -> list[str]:
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    found = ask(f"{origin}/api/3.0/mlflow/traces/search", {"locations": [place], "max_results": 500})
    return [each["trace_id"] for each in found.get("traces", ())]


def read(origin: str, trace: str) -> tuple[str, Priced]:
    """The model and what it cost, of a trace with one span."""
    (span,) = ask(f"{origin}/api/3.0/mlflow/traces/get?trace_id={trace}")["trace"]["spans"]
    found = {each["key"]: plain(each["value"]) for each in span["attributes"]}
    kind, usage = found["mlflow.spanType"], found["mlflow.chat.tokenUsage"]
    dollars = found.get("mlflow.llm.cost", {}).get("total_cost")
    return found["gen_ai.request.model"], Priced(kind, usage["input_tokens"], found.get("otel_embed.cost.usd"), dollars)


def plain(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "kvlist_value":
        return {each["key"]: plain(each["value"]) for each in content["values"]}
    return int(content) if kind == "int_value" else content


def test_it_takes_each_call_for_what_it_is(priced: dict[str, Priced]) -> None:
    assert {model for model, each in priced.items() if each.kind == "EMBEDDING"} == {*EMBEDDERS, UNKNOWN}
    assert {model for model, each in priced.items() if each.kind == "CHAT_MODEL"} == set(CACHED)
    assert all(each.tokens > 1000 for each in priced.values())


def test_it_comes_to_the_same_cost(priced: dict[str, Priced]) -> None:
    both = {model: each for model, each in priced.items() if each.theirs is not None}
    ours, theirs = ({model: each[at] for model, each in both.items()} for at in (2, 3))
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert {*EMBEDDERS, "gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3"} <= set(both)


def test_what_has_no_price_has_none_with_either(priced: dict[str, Priced]) -> None:
    assert (priced[UNKNOWN].ours, priced[UNKNOWN].theirs) == (None, None)
    assert all(each.ours for model, each in priced.items() if model != UNKNOWN)
