"""A program that knows nothing of telemetry, and what a real receiver got of its spans and metrics over OTLP."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from receiver import Agent, Telemetry, attributes, running_agent, seconds

from documents import README, commands
from otel_embed import __version__
from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import EmbeddingServer, Latency, RateLimit

BIN = Path(sys.executable).parent
SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"
USD_PER_TOKEN = {SMALL: 0.02e-6, LARGE: 0.13e-6}
SLOW = 700
"""Words in one input; the server takes a millisecond for each, and a call of half a second is slow."""
PROGRAM = f"""
import sys
import openai

with openai.OpenAI(base_url=sys.argv[1], api_key="x") as client:
    for model in ({SMALL!r}, {LARGE!r}):
        for count in (1, 2, 3):
            texts = ["one two", "three", "four five six"][:count]
            client.embeddings.create(model=model, input=texts, encoding_format="float")
    client.embeddings.create(model={SMALL!r}, input="word " * {SLOW})
    try:
        client.embeddings.create(model={LARGE!r}, input="")
    except openai.BadRequestError:
        print("the program's own output")
"""


class Run(NamedTuple):
    received: Telemetry
    billed: Mapping[str, Bill]


def environment(protocol: str, agent: Agent, session: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | {
        "OTEL_SERVICE_NAME": "ingest",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": agent.endpoint(protocol),
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-datadog-test-session-token={session}",
    }


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("agent")) as agent:
        yield agent


@pytest.fixture(scope="module", params=["grpc", "http/protobuf"])
def run(request: pytest.FixtureRequest, agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The program under ``opentelemetry-instrument``, exporting to the agent by one protocol."""
    protocol: str = request.param
    session = protocol.partition("/")[0]
    agent.begin(session)
    env = environment(protocol, agent, session)
    with EmbeddingServer(latency=Latency(per_token=1e-3), rate_limit=RateLimit(4, retry_after=0.05)) as server:
        command = [BIN / "opentelemetry-instrument", sys.executable, "-c", PROGRAM, server.url]
        directory = tmp_path_factory.mktemp("program")
        ran = subprocess.run(command, env=env, cwd=directory, capture_output=True, text=True, timeout=60)
        billed = server.billed.by_model
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "the program's own output\n", "")
    return Run(Telemetry.of(agent, session), billed)


@pytest.fixture
def received(run: Run) -> Telemetry:
    return run.received


@pytest.fixture
def billed(run: Run) -> Mapping[str, Bill]:
    return run.billed


def added(spans: Iterable[Mapping[str, Any]], name: str) -> dict[Any, float]:
    """An attribute of spans, added up by model."""
    totals: defaultdict[Any, float] = defaultdict(float)
    for span in spans:
        found = attributes(span)
        totals[found["gen_ai.request.model"]] += found.get(name, 0)
    return dict(totals)


def test_both_signals_say_who_sent_them(received: Telemetry) -> None:
    assert len({resource["service.instance.id"] for resource in received.resources}) == 1
    assert {resource["service.name"] for resource in received.resources} == {"ingest"}
    assert {scope["version"] for scope in received.scopes} == {__version__}
    assert all(scope["schema_url"].startswith("https://opentelemetry.io/schemas/") for scope in received.scopes)


def test_a_call_is_one_span_however_often_it_was_tried(received: Telemetry, billed: Mapping[str, Bill]) -> None:
    calls = received.named("embeddings text-embedding")
    assert sorted(span["name"] for span in calls) == [f"embeddings {LARGE}"] * 4 + [f"embeddings {SMALL}"] * 4
    assert {span["kind"] for span in calls} == {"SPAN_KIND_CLIENT"}
    assert sum(bill.requests for bill in billed.values()) == 7
    assert [attributes(span).get("otel_embed.retry.count") for span in calls].count(1) == 2
    assert received.total("otel_embed.retries", "otel_embed.retry.status") == {"429": 2}


def test_a_span_arrives_with_every_attribute_and_its_type(received: Telemetry) -> None:
    first = min(received.named(f"embeddings {SMALL}"), key=lambda span: int(span["start_time_unix_nano"]))
    found = attributes(first)
    stages = {name: found.pop(name) for name in list(found) if name.startswith("otel_embed.stage.")}
    assert sum(stages.values()) == pytest.approx(seconds(first), abs=1e-6)
    sizes = [found.pop(name) for name in ("server.port", "http.request.body.size", "http.response.body.size")]
    assert all(isinstance(size, int) and size > 0 for size in sizes)
    assert found.pop("otel_embed.server.duration") < seconds(first)
    assert found == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": SMALL,
        "gen_ai.response.model": SMALL,
        "gen_ai.usage.input_tokens": 2,
        "gen_ai.embeddings.dimension.count": 1536,
        "gen_ai.request.encoding_formats": ["float"],
        "server.address": "127.0.0.1",
        "otel_embed.input.count": 1,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "reported",
        "otel_embed.cost.usd": pytest.approx(4e-8, rel=1e-12),
        "otel_embed.cost.source": "table",
        "otel_embed.rate_limit.remaining.requests": 9_999,
        "otel_embed.rate_limit.remaining.tokens": 4_999_998,
    }


def test_tokens_and_cost_are_what_the_server_billed(received: Telemetry, billed: Mapping[str, Bill]) -> None:
    calls = received.named("embeddings text-embedding")
    tokens = {model: bill.tokens for model, bill in billed.items()}
    cost = {model: pytest.approx(count * USD_PER_TOKEN[model], rel=1e-12) for model, count in tokens.items()}
    assert tokens == {SMALL: 11 + SLOW, LARGE: 11}
    assert added(calls, "gen_ai.usage.input_tokens") == tokens
    assert added(calls, "otel_embed.cost.usd") == cost
    model = "gen_ai.request.model"
    assert received.total("gen_ai.client.embeddings.operation.input_tokens", model) == tokens
    assert received.total("otel_embed.cost", model) == cost
    assert received.total("otel_embed.inputs", model) == {SMALL: 7, LARGE: 6}
    assert received.total("gen_ai.client.embeddings.duration", model, "count") == {SMALL: 4, LARGE: 4}
    assert received.total("gen_ai.client.embeddings.duration", "error.type", "count") == {None: 7, "400": 1}


def test_a_failed_call_arrives_as_failed(received: Telemetry) -> None:
    (failed,) = (span for span in received.named("embeddings text-") if span["status"])
    assert failed["status"] == {"code": "STATUS_CODE_ERROR"}
    found = attributes(failed)
    assert (found["error.type"], found["otel_embed.error.cause"]) == ("400", "invalid_input")
    assert "gen_ai.usage.input_tokens" not in found
    assert "otel_embed.cost.usd" not in found
    assert received.total("otel_embed.errors", "otel_embed.error.cause") == {"invalid_input": 1}


def test_only_slow_and_failed_calls_have_a_span_for_each_stage(received: Telemetry) -> None:
    calls = {span["span_id"]: span for span in received.named("embeddings text-embedding")}
    stages = received.named("embeddings.")
    told = {span["parent_span_id"] for span in stages}
    assert told == {identifier for identifier, span in calls.items() if span["status"] or seconds(span) >= 0.5}
    for span in stages:
        call = calls[span["parent_span_id"]]
        assert span["trace_id"] == call["trace_id"]
        assert int(call["start_time_unix_nano"]) <= int(span["start_time_unix_nano"])
        assert int(span["end_time_unix_nano"]) <= int(call["end_time_unix_nano"])
    (slow,) = (span for span in calls.values() if seconds(span) >= SLOW / 1000)
    own = [span for span in stages if span["parent_span_id"] == slow["span_id"]]
    names = ("wait", "backoff", "deserialize")
    told_by = {name: sum(seconds(span) for span in own if span["name"] == f"embeddings.{name}") for name in names}
    said = attributes(slow)
    assert told_by == pytest.approx({name: said[f"otel_embed.stage.{name}.duration"] for name in names}, abs=1e-6)
    assert told_by["wait"] >= SLOW / 1000


def test_the_stage_metric_adds_up_to_the_durations_of_the_calls(received: Telemetry) -> None:
    stages = received.total("otel_embed.stage.time", "otel_embed.stage")
    waited = sum(received.total("gen_ai.client.embeddings.duration", "error.type").values())
    assert sum(stages.values()) == pytest.approx(waited, abs=1e-6)
    assert {"serialize", "connect", "send", "wait", "receive", "backoff", "deserialize"} <= set(stages)


EXPORTING = [command for command in commands(README) if command.endswith("opentelemetry-instrument python app.py")]


@pytest.mark.parametrize("command", EXPORTING)
def test_a_command_of_the_readme_reaches_a_collector(command: str, agent: Agent, tmp_path: Path) -> None:
    """The collector is the agent: where the command names one, and where it leaves that to the environment."""
    session = f"readme{EXPORTING.index(command)}"
    agent.begin(session)
    env = environment("grpc", agent, session) | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    here = re.sub(r"http://[a-z]+:4317", agent.grpc, command)
    with EmbeddingServer() as server:
        (tmp_path / "app.py").write_text(PROGRAM.replace("sys.argv[1]", repr(server.url)))
        subprocess.run(["sh", "-c", here], cwd=tmp_path, env=env, check=True, timeout=60)
    received = Telemetry.of(agent, session)
    assert len(received.named("embeddings text-")) == 8
    assert {resource["service.name"] for resource in received.resources} == {"ingest"}
    assert bool(received.metrics) == ("OTEL_METRICS_EXPORTER=none" not in command)
