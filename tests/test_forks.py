"""A forked process begins at nothing, in what the SDK keeps as well."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider

from fakes.openai_server import OpenAIServer
from fakes.otlp import HttpReceiver
from otel_embed.report import sdk_points
from programs import TOKENS, check, environment, launch, zero_code

CALLS = 70
"""More than are counted at a time, so that the SDK has some when the process forks."""
TOLD = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import openai, otel_embed
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.vectorstores import InMemoryVectorStore

DELTA = {kind: AggregationTemporality.DELTA for kind in (Counter, Histogram, ObservableCounter)}
readers = {"cumulative": InMemoryMetricReader(), "delta": InMemoryMetricReader(preferred_temporality=DELTA)}
views = [View(instrument_name="otel_embed.store.duration", aggregation=ExplicitBucketHistogramAggregation([1.0]))]
meters = MeterProvider([*readers.values()], views=views, shutdown_on_exit=False)
theirs = meters.get_meter("the application's").create_histogram("theirs")
otel_embed.instrument(meter_provider=meters)

def embed(times):
    with openai.OpenAI(base_url=sys.argv[1], api_key="x") as client:
        for _ in range(times):
            client.embeddings.create(model="text-embedding-3-small", input="one two")

def every_kind():
    said = AIMessage("x", usage_metadata={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5})
    GenericFakeChatModel(messages=iter([said])).invoke("hi")
    InMemoryVectorStore(DeterministicFakeEmbedding(size=4)).add_texts(["one"])

def told():
    found = {}
    for kind, reader in readers.items():
        data = reader.get_metrics_data()
        for scope in data.resource_metrics[0].scope_metrics if data else ():
            for metric in scope.metrics:
                points = [getattr(point, "count", getattr(point, "value", 0)) for point in metric.data.data_points]
                found[f"{kind} {metric.name}"] = sum(points)
    return found

def child(work):
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, json.dumps([work(), told()]).encode())
        os._exit(0)
    os.close(write)
    with open(read) as answer:
        said = json.load(answer)
    os.waitpid(pid, 0)
    return said
"""


def program(server: OpenAIServer, folder: Path, end: str) -> Any:
    (folder / "app.py").write_text(TOLD + end)
    out, said = launch({"PATH": ""}, folder, sys.executable, "app.py", server.url)
    assert not said
    return json.loads(out)


def test_the_sdk_has_nothing_of_the_parents_in_a_child(server: OpenAIServer, tmp_path: Path) -> None:
    """Of no instrument of ours and for no reader; what is the application's own is left to it."""
    parent, (_, idle) = program(server, tmp_path, f"""
embed({CALLS}); every_kind(); theirs.record(1)
told(); theirs.record(1)
print(json.dumps([told(), child(lambda: None)]))
""")  # fmt: skip
    counted = {name.partition(" ")[2] for name, count in parent.items() if name.startswith("cumulative") and count}
    assert counted > {
        TOKENS, "gen_ai.client.embeddings.duration", "gen_ai.client.operation.duration", "gen_ai.client.token.usage",
        "otel_embed.output.rate", "otel_embed.framework.duration", "otel_embed.store.duration", "otel_embed.inputs",
    }  # fmt: skip
    assert {name: count for name, count in idle.items() if count} == {"cumulative theirs": 2}


def test_a_child_tells_what_it_did_itself(server: OpenAIServer, tmp_path: Path) -> None:
    """Also of what its parent had told before, and where only differences are asked for."""
    first, second, third, parent = program(server, tmp_path, f"""
embed({CALLS}); told()
_, first = child(lambda: embed(1))
embed(4)
def work():
    embed(2)
    return child(lambda: embed(3))
(_, third), second = child(work)
print(json.dumps([first, second, third, told()]))
""")  # fmt: skip
    for kind in ("cumulative", "delta"):
        for name in ("otel_embed.inputs", "gen_ai.client.embeddings.duration", TOKENS):
            assert [each[f"{kind} {name}"] for each in (first, second, third)] == [1, 2, 3], name
    assert (parent[f"cumulative {TOKENS}"], parent[f"delta {TOKENS}"]) == (CALLS + 4, 4)


def test_workers_add_up_to_the_bill(server: OpenAIServer, tmp_path: Path) -> None:
    with HttpReceiver() as collector:
        environ = environment(server, collector, tmp_path)
        environ["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"] = "cumulative"
        zero_code(environ, tmp_path, f"""
import multiprocessing
def work(number):
    with client() as it:
        embed(it, number)
with client() as it:
    for _ in range({CALLS}):
        embed(it, 2)
workers = [multiprocessing.get_context("fork").Process(target=work, args=(number,)) for number in (1, 2, 3)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
""")  # fmt: skip
        check(collector, server, CALLS + 3)


WORKERS = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
FORK = multiprocessing.get_context("fork")
def work(number):
    with client() as it:
        embed(it, number)
def run(target, *args):
    began = time.monotonic()
    worker = FORK.Process(target=target, args=args)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    return time.monotonic() - began
"""


def test_workers_of_multiprocessing_end_with_all_exported(server: OpenAIServer, tmp_path: Path) -> None:
    """Without a word to us, and however short they live: their end runs no exit handlers."""
    with HttpReceiver() as collector:
        zero_code(environment(server, collector, tmp_path), tmp_path, WORKERS + """
work(1)
with ProcessPoolExecutor(2, mp_context=FORK) as pool:
    list(pool.map(work, (2, 3, 4)))
run(work, 5)
""")  # fmt: skip
        check(collector, server, 5)


def test_a_worker_waits_a_little_for_a_collector_that_is_gone(server: OpenAIServer, tmp_path: Path) -> None:
    """And not at all where it has nothing of its own to tell. Older exporters do not even try again."""
    with HttpReceiver() as collector:
        environ = environment(server, collector, tmp_path)
    took, _ = zero_code(environ, tmp_path, WORKERS + """
work(1)
say(run(work, 2), run(int))
os._exit(0)
""")  # fmt: skip
    waited, idle = map(float, took.split())
    assert idle < 1 and waited < 6


class Strange:
    """An SDK of another form."""

    def __init__(self, **parts: Any) -> None:
        vars(self).update(parts)

    def __repr__(self) -> str:
        return repr(vars(self))


@pytest.mark.parametrize(
    "meter",
    [
        NoOpMeterProvider().get_meter("a"),
        Strange(),
        Strange(_instrumentation_scope="a", _measurement_consumer=Strange(_reader_storages=[Strange()])),
        Strange(_instrumentation_scope="a", _measurement_consumer=Strange(_reader_storages={1: Strange()})),
    ],
)
def test_what_is_not_known_is_left_as_it_is(meter: Any) -> None:
    before = repr(vars(meter))
    sdk_points.forget(meter)
    assert repr(vars(meter)) == before
