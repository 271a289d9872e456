"""Budgets that processes share in a real Redis: exact to the picodollar, also where Redis comes and goes."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import redis
from redis_server import redis_server

import otel_embed
from conftest import Telemetry
from fakes.openai_server import OpenAIServer
from otel_embed.cli.checks import settings
from otel_embed.config import Config

SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"
PICODOLLARS = {SMALL: 20_000, LARGE: 130_000}
CALLS, PROCESSES = 50, 4
PROGRAM = """
import os, sys, openai, otel_embed
otel_embed.instrument()
with openai.OpenAI(base_url=sys.argv[1], api_key="x", max_retries=0) as client:
    for number in range(int(sys.argv[2])):
        with otel_embed.attribute(tenant=f"t{number % 3}"):
            model = ("text-embedding-3-small", "text-embedding-3-large")[number % 2]
            client.embeddings.create(model=model, input=["word"] * (number % 7 + 1), dimensions=4)
"""
FILE = """
[[budget]]
name = "tenants"
period = "month"
usd = 100
each = "tenant"
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Any]:
    with redis.Redis.from_url(url, decode_responses=True) as store:
        store.flushall()
        yield store


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        yield client


def totals(store: Any) -> dict[str, int]:
    """By budget, in picodollars."""
    keys = [key for key in store.keys("otel-embed:budget:*") if key.endswith("}")]
    return {key.partition("{")[2].rpartition(":")[0]: int(store.get(key)) for key in keys}


def billed(server: OpenAIServer) -> int:
    return sum(server.billed.by_model[model].tokens * price for model, price in PICODOLLARS.items()
               if model in server.billed.by_model)  # fmt: skip


def ask(client: openai.OpenAI, words: int = 100) -> None:
    client.embeddings.create(model=SMALL, input=" ".join(["word"] * words), dimensions=4)


def wait_for(condition: Callable[[], object], seconds: float = 15.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.05)


def spent(telemetry: Telemetry) -> int:
    return round(telemetry.total("otel_embed.budget.spent") * 1e12)


def test_four_processes_share_one_exact_total(url: str, store: Any, server: OpenAIServer, tmp_path: Path) -> None:
    (tmp_path / "budgets.toml").write_text(FILE)
    limit = billed_by(CALLS * PROCESSES) / 1e12
    environ = {**os.environ, "OTEL_EMBED_BUDGET_REDIS_URL": url, "OTEL_EMBED_DAILY_BUDGET_USD": repr(limit),
               "OTEL_EMBED_BUDGETS": str(tmp_path / "budgets.toml"), "OTEL_TRACES_EXPORTER": "none",
               "OTEL_METRICS_EXPORTER": "none"}  # fmt: skip
    command = [sys.executable, "-c", PROGRAM, server.url, str(CALLS)]
    programs = [subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    said = "".join(program.communicate(timeout=120)[1] for program in programs)
    assert [program.returncode for program in programs] == [0] * PROCESSES, said
    found = totals(store)
    assert server.billed.requests == CALLS * PROCESSES
    assert found.pop("daily") == billed(server)
    assert set(found) == {"tenants%3Dt0", "tenants%3Dt1", "tenants%3Dt2"}
    assert sum(found.values()) == billed(server)
    for mark in (50, 80, 100):
        assert said.count(f"{mark} % of budget daily") <= 1, "each mark is told once by all of them together"
    assert said.count("100 % of budget daily") == 1
    assert all(store.ttl(key) > 24 * 3600 for key in store.keys("otel-embed:*"))


def billed_by(calls: int) -> int:
    """What the program's calls cost in all; whoever writes it down twice sees a mistake in either."""
    each = [(number % 7 + 1) * (PICODOLLARS[SMALL], PICODOLLARS[LARGE])[number % 2] for number in range(CALLS)]
    return sum(each) * calls // CALLS


def test_a_restart_goes_on_where_the_last_process_ended_and_warns_no_second_time(
    url: str, store: Any, server: OpenAIServer, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    for began in (0, 3):
        telemetry = Telemetry()
        telemetry.instrument(daily_budget_usd=10e-6, budget_redis_url=url)
        wait_for(lambda: spent(telemetry) == began * 2_000_000)  # noqa: B023
        for _ in range(3):
            ask(client)
        otel_embed.uninstrument()
        assert totals(store) == {"daily": (began + 3) * 2_000_000}
    marks = [message.partition(" %")[0] for message in caplog.messages if "of budget" in message]
    assert marks == ["50", "80", "100"]


def test_what_others_spent_stops_this_process_within_a_second_or_two(
    url: str, store: Any, telemetry: Telemetry, client: openai.OpenAI
) -> None:
    telemetry.instrument(daily_budget_usd=4e-6, budget_redis_url=url, budget_action="block")
    ask(client)
    wait_for(lambda: totals(store).get("daily") == 2_000_000)
    (key,) = [key for key in store.keys("otel-embed:budget:*") if key.endswith("}")]
    store.incrby(key, 2_000_000)  # as another process does
    began = time.monotonic()

    def stopped() -> bool:
        return any(point.value == 4e-6 for point in telemetry.metrics()["otel_embed.budget.spent"])

    wait_for(stopped)
    assert time.monotonic() - began < 3
    with pytest.raises(otel_embed.BudgetExceeded):
        ask(client)


def test_while_redis_hangs_calls_go_on_with_one_warning_and_then_the_total_is_exact(
    url: str, store: Any, telemetry: Telemetry, server: OpenAIServer, client: openai.OpenAI, caplog: Any
) -> None:
    telemetry.instrument(daily_budget_usd=100.0, budget_redis_url=url)
    ask(client)
    wait_for(lambda: totals(store).get("daily") == 2_000_000)
    process: int = store.info()["process_id"]
    os.kill(process, signal.SIGSTOP)
    try:
        ask(client)  # is sent, and nobody says that it has arrived: Redis will find it when it wakes
        wait_for(lambda: any("does not answer" in message for message in caplog.messages))
        with otel_embed.track() as usage:
            for _ in range(20):
                ask(client)
        assert usage.seconds < 2, "no call waits for Redis"
        assert spent(telemetry) == billed(server), "what is known here is exact all the while"
        time.sleep(2.5)  # it is tried again, and again in vain
    finally:
        os.kill(process, signal.SIGCONT)
    wait_for(lambda: totals(store).get("daily") == billed(server))
    time.sleep(2.5)
    assert totals(store) == {"daily": billed(server)} and billed(server) == 22 * 2_000_000
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1 and "Calls go on" in warnings[0] and "127.0.0.1" not in warnings[0]


def test_without_any_redis_calls_go_on_and_the_end_is_quick(
    telemetry: Telemetry, server: OpenAIServer, client: openai.OpenAI, caplog: Any
) -> None:
    address = "redis://user:secret@127.0.0.1:9/0"
    telemetry.instrument(daily_budget_usd=4e-6, budget_redis_url=address, budget_action="block")
    ask(client), ask(client)
    with pytest.raises(otel_embed.BudgetExceeded):
        ask(client)  # what this process spent is known without Redis
    wait_for(lambda: len(caplog.messages) == 3)
    with otel_embed.track() as usage:
        otel_embed.uninstrument()
    assert usage.seconds < 5
    gone = [message for message in caplog.messages if "Calls go on" in message]
    assert "not counted" in caplog.messages[-1], "what is lost is told"
    assert len(gone) == 1 and "secret" not in "".join(caplog.messages)


@contextmanager
def lossy(url: str) -> Iterator[tuple[str, list[bool]]]:
    """A way to Redis that loses answers: each True that is put into the list costs one and its connection."""
    port = int(url.rpartition(":")[2])
    losing: list[bool] = []

    def carry(near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            while request := near.recv(1 << 16):
                far.sendall(request)
                answer = far.recv(1 << 16)
                if losing and b"EVAL" in request:
                    losing.pop()
                    return
                near.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    near, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=carry, args=(near,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}", losing
        listening.shutdown(socket.SHUT_RDWR)


def test_an_amount_whose_answer_is_lost_is_counted_once(
    url: str, store: Any, telemetry: Telemetry, server: OpenAIServer, client: openai.OpenAI
) -> None:
    with lossy(url) as (way, losing):
        telemetry.instrument(daily_budget_usd=100.0, budget_redis_url=way)
        for number in range(4):
            losing.append(True)
            ask(client, 100 + number)
            wait_for(lambda: not losing)
            ask(client)
        wait_for(lambda: totals(store).get("daily") == billed(server))
        assert spent(telemetry) == billed(server)
        otel_embed.uninstrument()
    assert totals(store) == {"daily": billed(server)}


def test_a_forked_worker_counts_what_it_spends_itself(
    url: str, store: Any, telemetry: Telemetry, server: OpenAIServer, client: openai.OpenAI
) -> None:
    telemetry.instrument(daily_budget_usd=100.0, budget_redis_url=url)
    ask(client)
    program = f"""
import multiprocessing, openai, otel_embed
def work(_):
    with openai.OpenAI(base_url={server.url!r}, api_key="x") as client:
        client.embeddings.create(model={SMALL!r}, input="one two three", dimensions=4)
otel_embed.instrument(daily_budget_usd=100.0, budget_redis_url={url!r})
work(0)
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(n,)) for n in range(3)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env={
        **os.environ, "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"})  # fmt: skip
    otel_embed.uninstrument()
    assert server.billed.requests == 5
    assert totals(store) == {"daily": billed(server)}


def test_a_large_total_is_exact(url: str, store: Any, telemetry: Telemetry, client: openai.OpenAI) -> None:
    """Beyond what a double holds, as Lua's numbers are."""
    telemetry.instrument(daily_budget_usd=900_000.0, budget_redis_url=url)
    ask(client)
    wait_for(lambda: totals(store).get("daily") == 2_000_000)
    (key,) = [key for key in store.keys("otel-embed:budget:*") if key.endswith("}")]
    large = 123_456_789_012_345_679
    store.incrby(key, large)
    ask(client)
    wait_for(lambda: totals(store)["daily"] == large + 4_000_000)
    recorder = otel_embed.instrumentor.EmbeddingInstrumentor().recorder
    wait_for(lambda: recorder.budget.standings()[0].spent == large + 4_000_000)


@pytest.mark.parametrize(
    ("address", "connect", "said"),
    [
        ("{url}", True, "1 budget in force, shared through Redis: daily"),
        ("http://{url}", False, "OTEL_EMBED_BUDGET_REDIS_URL is no address such as redis://host:6379/0"),
        ("redis://me:passw0rd@localhost:1", True, "redis://***@localhost:1 does not answer (ConnectionError)"),
        ("redis://localhost:1", False, "1 budget in force, shared through Redis: daily"),
    ],
)
def test_doctor_says_whether_budgets_are_shared(address: str, connect: bool, said: str, url: str) -> None:
    variables = {"OTEL_EMBED_BUDGET_REDIS_URL": address.format(url=url), "OTEL_EMBED_DAILY_BUDGET_USD": "3"}
    config = Config.from_environment(pytest.fail, variables)
    found = " ".join(finding.said for finding in settings.check(config, [], variables, connect=connect))
    assert said in found
    assert ("shared through Redis" in found) == ("shared" in said)
    assert "passw0rd" not in found
