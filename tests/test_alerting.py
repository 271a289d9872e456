"""Alerts in the process: what is induced fires its alert, that one alone, once, and it ends."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sized
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.stores import InMemoryByteStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

import otel_embed
from conftest import Telemetry
from documents import ROOT, blocks
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed import Alert, alert
from otel_embed.instrumentor import EmbeddingInstrumentor
from otel_embed.record import EmbeddingCall, ModelLoad
from otel_embed.report.alerting import alerting
from otel_embed.report.alerting.judge import Judge
from otel_embed.report.alerting.look import Look, Observer
from otel_embed.report.alerting.measures import MEASURES
from otel_embed.report.alerting.watch import Watch
from otel_embed.report.alerting.window import MAX_PLACES, PARTS, Place, Tally, Window
from otel_embed.report.recorder import CallRecorder
from otel_embed.thresholds import Threshold, Thresholds
from test_budgets import receiver

ACTIVE = "otel_embed.alerts.active"
SMALL = "text-embedding-3-small"
LIMITS = """
[latency_p95]
above = 0.25
at_least = 5
[error_rate]
at_least = 5
[retry_rate]
at_least = 5
[cache_hit_rate]
at_least = 10
[answer_cache_hit_rate]
at_least = 4
[queue_depth]
above = 20
[daily_cost]
above = 0.0005
for = "5m"
[time_to_first_token]
above = 0.05
at_least = 3
[output_rate]
below = 1000000
at_least = 3
[throughput]
alert = true
[local_latency_p95]
alert = true
"""


class Watched:
    """A watch whose time is the test's."""

    def __init__(self, server: OpenAIServer, thresholds: Thresholds) -> None:
        self.server = server
        self.recorder = recorder()
        self.now = 0.0
        self.told: list[Alert] = []
        self.watch = Watch(Observer(self.recorder, gpus=False), thresholds, self.told.append, lambda: self.now)

    def minutes(self, minutes: int, work: Callable[[], object] = lambda: None, every: int = 1) -> list[Alert]:
        """Do the work every so many minutes, look each minute, and return what was told meanwhile."""
        before = len(self.told)
        for minute in range(minutes):
            if minute % every == 0:
                work()
            self.now += 60
            self.watch.look()
        return self.told[before:]

    def names(self, *args: Any, **more: Any) -> list[tuple[str, bool]]:
        return [(alert.name, alert.resolved) for alert in self.minutes(*args, **more)]

    def embed(self, calls: int = 6, **more: Any) -> None:
        with openai.OpenAI(base_url=self.server.url, api_key="x", max_retries=more.pop("max_retries", 0)) as client:
            for _ in range(calls):
                with contextlib.suppress(openai.APIError):
                    client.embeddings.create(**{"model": SMALL, "input": "one two", **more})

    def failing(self) -> None:
        self.embed(extra_headers=Fault(status=500).header)


def recorder() -> CallRecorder:
    found = EmbeddingInstrumentor().recorder
    assert found is not None
    return found


@pytest.fixture
def watched(telemetry: Telemetry, server: OpenAIServer, tmp_path: Path) -> Watched:
    telemetry.instrument(alerts="off")
    file = tmp_path / "thresholds.toml"
    file.write_text(LIMITS)
    return Watched(server, Thresholds.load(str(file), pytest.fail))


FIRED, OVER = [("latency_p95", False)], [("latency_p95", True)]


def slow(watched: Watched) -> None:
    watched.embed(extra_headers=Fault(header_delay=0.3).header)


def test_nothing_fires_on_clean_traffic(watched: Watched) -> None:
    assert watched.minutes(60, watched.embed) == []
    assert set(watched.watch.active().values()) == {0}


def test_a_slow_down_fires_once_and_resolves(watched: Watched) -> None:
    assert watched.names(10, watched.embed) == []
    assert watched.names(12, lambda: slow(watched)) == FIRED
    fired = watched.told[0]
    assert (fired.provider, fired.model, fired.subject) == ("openai", SMALL, None)
    assert fired.measured is not None and 0.3 <= fired.measured < 2.0
    assert (fired.limit, fired.unit, fired.severity, fired.above) == (0.25, "s", "warning", True)
    assert fired.text == f"latency_p95 of openai {SMALL} is {fired.measured:.4g} s, above 0.25 s."
    assert watched.watch.active()["latency_p95"] == 1
    assert watched.names(15, watched.embed) == OVER
    assert "again; the limit is 0.25 s." in watched.told[-1].text
    assert watched.watch.active()["latency_p95"] == 0


def test_it_is_bad_for_a_while_before_it_fires(watched: Watched) -> None:
    assert watched.names(4, lambda: slow(watched), every=4) == []
    assert watched.names(3) == [], "then the window was empty"
    assert watched.names(5, lambda: slow(watched)) == []
    assert watched.names(1, lambda: slow(watched)) == FIRED
    began = datetime.now(timezone.utc) + timedelta(minutes=8)
    assert abs(watched.told[-1].since - began) < timedelta(minutes=1), "by the test's clock, which began at 0"


def test_an_error_burst_fires_once_and_resolves(watched: Watched) -> None:
    watched.minutes(3, watched.embed)
    (fired,) = watched.minutes(9, watched.failing)
    assert (fired.name, fired.severity, fired.model) == ("error_rate", "critical", SMALL)
    assert fired.measured is not None and 0.5 < fired.measured <= 1
    assert watched.names(20, watched.embed) == [("error_rate", True)]


def test_when_the_calls_stop_it_is_over(watched: Watched) -> None:
    assert watched.names(8, watched.failing) == [("error_rate", False)]
    (over,) = watched.minutes(12)
    assert over.resolved and over.measured is None
    assert over.text == f"error_rate of openai {SMALL} is not measured any more; the limit is 1 %."


def test_retries_fire_their_own_alert(watched: Watched) -> None:
    retried = Fault(status=429, retry_after=1e-3, attempts=1).header
    assert watched.names(8, lambda: watched.embed(max_retries=1, extra_headers=retried)) == [("retry_rate", False)]


def test_a_rate_limit_that_is_nearly_reached(watched: Watched) -> None:
    left = {"x-ratelimit-remaining-requests": "3", "x-ratelimit-limit-requests": "20"}
    (fired,) = watched.minutes(8, lambda: watched.embed(extra_headers=Fault(headers=left).header))
    assert (fired.name, fired.measured, fired.above) == ("rate_limit_requests", 3, False)
    assert fired.text == f"rate_limit_requests of openai {SMALL} is 3 requests, below 10 requests."
    assert watched.names(12) == [("rate_limit_requests", True)], "without calls, it says nothing"


def test_a_rate_limit_of_which_little_is_left(watched: Watched) -> None:
    left = {"x-ratelimit-remaining-tokens": "4000", "x-ratelimit-limit-tokens": "100000"}
    (fired,) = watched.minutes(8, lambda: watched.embed(extra_headers=Fault(headers=left).header))
    assert fired.text == f"rate_limit_headroom of openai {SMALL} is 4 %, below 10 %."
    assert watched.names(12) == [("rate_limit_headroom", True)], "without calls, it says nothing"


def test_vectors_that_no_search_can_use(watched: Watched) -> None:
    with otel_embed.attribute(pipeline="docs"):
        watched.embed(dimensions=8)
        assert watched.minutes(3, lambda: watched.embed(dimensions=8)) == []
        (fired,) = watched.minutes(2, lambda: watched.embed(dimensions=4), every=2)
    assert fired.text == f"broken_vectors of openai {SMALL} dimension_change is 1 problems, above 0 problems."
    assert fired.severity == "critical"
    assert watched.names(20) == [("broken_vectors", True)]


def test_a_cache_that_knows_nothing_any_more(watched: Watched) -> None:
    embedder = OpenAIEmbeddings(base_url=watched.server.url, api_key="x", check_embedding_ctx_length=False)  # type: ignore[arg-type]
    cached = CacheBackedEmbeddings.from_bytes_store(embedder, InMemoryByteStore(), key_encoder="sha256")
    fresh = iter(range(10**6))
    cached.embed_documents(["the same"])
    watched.minutes(1)
    watched.now += 3600
    assert watched.names(40, lambda: cached.embed_documents(["the same"] * 5)) == []
    (fired,) = watched.minutes(60, lambda: cached.embed_documents([f"text {next(fresh)}" for _ in range(5)]))
    assert (fired.name, fired.subject, fired.model) == ("cache_hit_rate", "InMemoryByteStore", None)
    assert watched.names(70, lambda: cached.embed_documents(["the same"] * 5)) == [("cache_hit_rate", True)]


def test_overspending(watched: Watched) -> None:
    assert watched.names(3, watched.embed) == []
    much = ["word " * 1000] * 10
    (fired,) = watched.minutes(12, lambda: watched.embed(4, input=much), every=2)
    assert (fired.name, fired.provider, fired.model, fired.unit) == ("daily_cost", None, None, "{USD}")
    assert watched.watch.active()["daily_cost"] == 1
    watched.now += 86400
    assert watched.names(8) == [("daily_cost", True)]


def test_a_deep_queue(watched: Watched) -> None:
    with openai.OpenAI(base_url=watched.server.url, api_key="x", max_retries=0) as client:
        asked = {"model": SMALL, "input": ["text"] * 30, "extra_headers": Fault(header_delay=3).header}
        thread = threading.Thread(target=lambda: client.embeddings.create(**asked))  # type: ignore[arg-type]
        thread.start()
        while not watched.recorder.pending.now().get(("openai", SMALL)):
            time.sleep(0.01)
        (fired,) = watched.minutes(7)
        thread.join()
    assert (fired.name, fired.measured, fired.model) == ("queue_depth", 30, SMALL)
    assert watched.names(7) == [("queue_depth", True)]


def test_a_budget_that_is_nearly_spent(telemetry: Telemetry, server: OpenAIServer) -> None:
    telemetry.instrument(alerts="off", daily_budget_usd=1e-7)
    watched = Watched(server, Thresholds.load(None, pytest.fail))
    watched.embed(3)
    (fired,) = watched.minutes(1)
    assert (fired.name, fired.unit) == ("budget_spent", "1")
    assert fired.measured is not None and fired.measured > 0.8


def test_chat_models_that_start_late_and_write_slowly_and_a_cache_of_answers(watched: Watched) -> None:
    chat = ChatOpenAI(model="gpt-4o-mini", base_url=watched.server.url, api_key="x", max_retries=0, stream_usage=True,
                      default_headers=Fault(header_delay=0.1).header)  # type: ignore[arg-type]  # fmt: skip
    found = watched.names(8, lambda: list(chat.stream("Why is it so? It is.")))
    assert sorted(found) == [("output_rate", False), ("time_to_first_token", False)]
    watched.minutes(20)
    fresh = iter(range(10**6))
    set_llm_cache(InMemoryCache())
    try:
        told = watched.names(40, lambda: chat.invoke(f"Why {next(fresh)} times? It is."), every=2)
    finally:
        set_llm_cache(None)
    assert ("answer_cache_hit_rate", False) in told


def test_a_model_that_takes_long_to_load(watched: Watched) -> None:
    watched.watch.observer.loads.append(ModelLoad("sentence_transformers", "m", "cpu", 0, 40 * 10**9, None))
    (fired,) = watched.minutes(1)
    assert (fired.name, fired.measured, fired.unit) == ("model_load", 40.0, "s")
    assert (fired.provider, fired.model) == ("sentence_transformers", "m")


def test_failures_of_our_own(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    from otel_embed import guard

    monkeypatch.setitem(guard.dropped, "count tokens", 3)
    (fired,) = watched.minutes(1)
    assert (fired.name, fired.measured, fired.subject) == ("own_failures", 3, "count tokens")


def test_it_rests_for_the_cooldown(watched: Watched) -> None:
    assert watched.names(8, watched.failing) == [("error_rate", False)]
    assert watched.names(20) == [("error_rate", True)]
    assert watched.names(20, watched.failing) == [], "28 minutes after it was told"
    assert watched.watch.active()["error_rate"] == 1, "which the metric says all the same"
    assert watched.names(20, watched.failing) == [("error_rate", False)], "an hour later it is still so"


def test_every_threshold_with_a_measure_is_one_that_there_is() -> None:
    assert set(Thresholds.load(None, pytest.fail)) - set(MEASURES) == {"stale_telemetry"}


@given(st.lists(st.tuples(st.floats(0, 100), st.one_of(st.none(), st.floats(0, 2))), max_size=60))
def test_fires_and_ends_alternate_and_rest(looks: list[tuple[float, float | None]]) -> None:
    """Whatever is measured and whenever: an end after each alert, and no two alerts within the cooldown."""
    threshold = Threshold("queue_depth", "m", "above", 1.0, 10.0, 30.0, 200.0, "warning")
    judge, now, told = Judge(threshold, MEASURES["queue_depth"]), 0.0, []
    for wait, depth in looks:
        now += wait
        pending = {} if depth is None else {Place("p"): depth}
        told += [(now, turn) for turn in judge.judge(Look(pending=pending), now)]
    assert [turn.ends for _, turn in told] == [bool(index % 2) for index in range(len(told))]
    fired = [at for at, turn in told if not turn.ends]
    assert all(later - earlier >= 200 for earlier, later in itertools.pairwise(fired))
    assert all(at - turn.since >= 30 for at, turn in told)


def test_memory_is_bounded() -> None:
    window = Window(300.0)
    for number in range(20_000):
        window.add(number * 0.7, [(Place("p", f"model {number}"), Tally(1, 1))])
    assert len(window._parts) <= PARTS + 1
    assert sum(len(part) for _, part in window._parts) <= (PARTS + 1) * (MAX_PLACES + 1)
    assert sum(tally.count for tally in window.whole().values()) == pytest.approx(300 / 0.7, abs=10)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Alert]]:
    monkeypatch.setattr(alerting, "EVERY_SECONDS", 0.05)
    found: list[Alert] = []
    yield found
    alert.listeners.clear()


def quick(path: Path) -> str:
    path.write_text('[error_rate]\nat_least = 3\nfor = "0s"\nwindow = "1s"\ncooldown = "1h"\n')
    return str(path)


def wait_for(found: Sized, many: int) -> None:
    ends = time.monotonic() + 10
    while len(found) < many and time.monotonic() < ends:
        time.sleep(0.02)


def test_functions_log_and_metric_are_told(
    telemetry: Telemetry, server: OpenAIServer, told: list[Alert], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    telemetry.instrument(thresholds=quick(tmp_path / "t.toml"))

    @otel_embed.on_alert
    def broken(alert: Alert) -> None:
        raise ValueError("the application's own mistake")

    assert otel_embed.on_alert(told.append) == told.append
    Watched(server, Thresholds.load(None, pytest.fail)).failing()
    wait_for(told, 1)
    assert [(each.name, each.resolved) for each in told] == [("error_rate", False)]
    points = {point.attributes["otel_embed.alert.name"]: point.value for point in telemetry.metrics()[ACTIVE]}
    assert points.pop("error_rate") == 1 and points and not any(points.values())
    wait_for(told, 2)
    assert [(each.name, each.resolved) for each in told] == [("error_rate", False), ("error_rate", True)]
    said = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "otel_embed.alerts"]
    assert said == [
        ("WARNING", f"error_rate of openai {SMALL} is 100 %, above 1 %."),
        ("WARNING", "A function that was given to otel_embed.on_alert failed."),
        ("INFO", f"error_rate of openai {SMALL} is not measured any more; the limit is 1 %."),
        ("WARNING", "A function that was given to otel_embed.on_alert failed."),
    ]


def watching() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "otel-embed-alerts"]


def test_off_and_auto_without_a_listener_cost_no_thread(telemetry: Telemetry, told: list[Alert]) -> None:
    for mode in ("off", "auto"):
        telemetry.instrument(alerts=mode)
        assert watching() == [] and ACTIVE not in telemetry.metrics()
    telemetry.instrument(alerts="off")
    otel_embed.on_alert(told.append)
    assert watching() == []
    telemetry.instrument()
    assert len(watching()) == 1
    otel_embed.uninstrument()
    ends = time.monotonic() + 5
    while watching() and time.monotonic() < ends:
        time.sleep(0.01)
    assert watching() == []


PROGRAM = """
import {more}os, sys, openai, otel_embed
from fakes.faults import Fault

def work():
    fault = Fault(status=500).header
    with openai.OpenAI(base_url={url!r}, api_key="x", max_retries=0) as client:
        for _ in range(30):
            try:
                client.embeddings.create(model="text-embedding-3-small", input="one", extra_headers=fault)
            except openai.InternalServerError:
                pass

if __name__ == "__main__":
    otel_embed.instrument()
    @otel_embed.on_alert
    def hear(alert):
        print(os.getpid() == {parent}, alert.name, alert.measured, alert.limit, alert.resolved, flush=True)
    {last}
"""


def run(server: OpenAIServer, last: str, parent: str = "os.getpid()", more: str = "") -> list[str]:
    program = PROGRAM.format(url=server.url, last=last, parent=parent, more=more)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OTEL_TRACES_EXPORTER": "none"}
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, env=env, check=True, timeout=60)
    assert ran.stderr == f"error_rate of openai {SMALL} is 100 %, above 1 %.\n"
    return ran.stdout.splitlines()


def test_a_short_program_is_judged_when_it_ends(server: OpenAIServer) -> None:
    assert run(server, "work()") == ["True error_rate 1.0 0.01 False"]


def test_a_worker_is_judged_when_it_ends_and_its_parent_is_not(server: OpenAIServer) -> None:
    fork = "p = multiprocessing.get_context('fork').Process(target=work); PARENT = os.getpid(); p.start(); p.join()"
    assert run(server, fork, "PARENT", "multiprocessing, ") == ["False error_rate 1.0 0.01 False"]


def test_what_the_page_shows_is_what_happens(server: OpenAIServer) -> None:
    page = (ROOT / "docs/alerts_in_process.md").read_text(encoding="utf-8")
    (block,) = blocks(page, "python")
    (shown,) = blocks(page, "text")
    work = PROGRAM.format(url=server.url, parent="0", more="", last="pass").partition("if __name__")[0]
    program = f"{work}\n{block}\nwork()\n"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OTEL_TRACES_EXPORTER": "none"}
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, env=env, check=True, timeout=60)
    assert ran.stdout == shown


def test_the_page_lists_every_measure() -> None:
    table = (ROOT / "docs/alerts_in_process.md").read_text(encoding="utf-8").partition("| threshold |")[2]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    shown = [name.strip().strip("`") for row in rows for name in row.split(",")]
    assert sorted(shown) == sorted(MEASURES)


def test_a_gpu_that_has_no_room_for_more() -> None:
    threshold = Thresholds.load(None, pytest.fail)["gpu_saturated"]
    judge, told = Judge(threshold, MEASURES["gpu_saturated"]), []
    for minute in range(100):
        busy = 0.5 if minute < 20 else 0.97
        told += list(judge.judge(Look(gpus={Place(subject="GPU-1"): busy}), 60.0 * minute))
    assert [(turn.place.subject, turn.ends) for turn in told] == [("GPU-1", False)]


def test_calls_of_a_model_in_the_process_have_a_limit_of_their_own(watched: Watched) -> None:
    def local(seconds: float) -> EmbeddingCall:
        call = dict.fromkeys(EmbeddingCall._fields)
        kind = {
            "provider": "model2vec",
            "request_model": "m",
            "local": True,
            "is_leaf": True,
            "root": True,
            "inputs": 1,
        }
        times = {"start_unix_ns": 0, "duration_ns": round(seconds * 1e9), "stages": (), "retries": ()}
        return EmbeddingCall(**{**call, **kind, **times})  # type: ignore[arg-type]

    assert watched.names(10, lambda: watched.recorder.totals.add([local(0.01)] * 10)) == []
    (fired,) = watched.minutes(10, lambda: watched.recorder.totals.add([local(0.3)] * 10))
    assert (fired.name, fired.model, fired.measured) == ("local_latency_p95", "m", pytest.approx(0.3, rel=0.01))


def test_a_webhook_is_told_and_switches_alerts_on(
    telemetry: Telemetry, server: OpenAIServer, told: list[Alert], tmp_path: Path
) -> None:
    with receiver([]) as (url, posted):
        telemetry.instrument(thresholds=quick(tmp_path / "t.toml"), alert_webhook=url, stage_spans="never")
        Watched(server, Thresholds.load(None, pytest.fail)).failing()
        wait_for(posted, 2)
    since = [post.pop("since") for post in posted]
    assert since[0] == since[1] and since[0].endswith("+00:00")
    about = {"alert": "error_rate", "severity": "critical", "limit": 0.01, "unit": "1", "provider": "openai",
             "model": SMALL, "subject": None}  # fmt: skip
    fired = f"otel-embed: error_rate of openai {SMALL} is 100 %, above 1 %."
    over = f"otel-embed: error_rate of openai {SMALL} is not measured any more; the limit is 1 %."
    assert posted == [
        {"text": fired, "state": "firing", "measured": 1.0, **about},
        {"text": over, "state": "resolved", "measured": None, **about},
    ]
    assert {span.name for span in telemetry.spans()} == {f"embeddings {SMALL}"}, "our own request is not observed"


@pytest.mark.parametrize(
    ("measured", "limit", "unit", "said"),
    [
        (0.8123456, 0.5, "s", "is 0.8123 s, above 0.5 s."),
        (12_345.678, 10_000, "{USD}", "is 12,346 USD, above 10,000 USD."),
        (4.8e-07, 1e-07, "{USD}", "is 0.00000048 USD, above 0.0000001 USD."),
        (1_250_000, 100_000, "{input}", "is 1,250,000 inputs, above 100,000 inputs."),
        (12.345, 1.0, "1", "is 1,234 %, above 100 %."),
        (0.0234, 0.01, "1", "is 2.34 %, above 1 %."),
        (1234.0, 1000.0, "{input}/min", "is 1,234 texts/min, above 1,000 texts/min."),
    ],
)
def test_an_alert_writes_numbers_as_people_do(measured: float, limit: float, unit: str, said: str) -> None:
    alert = otel_embed.Alert("x", "warning", measured, limit, True, unit, datetime.now(timezone.utc), False)
    assert alert.text == f"x {said}"
