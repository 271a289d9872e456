"""What our own work takes is known, and where it is more than was allowed, otel_embed switches itself off."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import openai
import pytest

import otel_embed
from conftest import Telemetry
from documents import ROOT, blocks
from fakes.distributions import distribution
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed import provider
from otel_embed.config import Config
from otel_embed.instrumentor import EmbeddingInstrumentor
from otel_embed.providers import openai as declared
from otel_embed.record import Request
from otel_embed.report import overhead
from otel_embed.report.overhead import Overhead

SMALL = "text-embedding-3-small"


def slow_request(arguments: provider.Arguments) -> Request:
    time.sleep(0.02)
    return Request(model=SMALL)


def slow_reply(result: Any) -> provider.Reply:
    time.sleep(0.02)
    return provider.Reply()


SLOW = provider.Provider(
    name="slow",
    requires="openai>=1",
    calls=(declared.PROVIDER.calls[0]._replace(request=slow_request, reply=slow_reply),),
)
"""As another distribution would declare it, under the entry point group ``otel_embed_provider``."""


def embed(server: OpenAIServer, calls: int, **options: Any) -> None:
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        for _ in range(calls):
            client.embeddings.create(model=SMALL, input="one two", **options)


@pytest.fixture
def slow(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Telemetry:
    """A provider from elsewhere whose readers take 40 ms a call."""
    monkeypatch.setattr(overhead, "FEWEST_CALLS", 10)
    monkeypatch.setattr(overhead, "SHORTEST_SECONDS", 0.1)
    files = {"acme_slow.py": f"from {__name__} import SLOW"}
    distribution(tmp_path, "acme-slow", "1.0", files, "[otel_embed_provider]\nslow = acme_slow:SLOW\n")
    monkeypatch.syspath_prepend(tmp_path)
    return telemetry


def instrument(telemetry: Telemetry, limit: float | None) -> None:
    telemetry.instrument(max_overhead=limit, disabled_providers=frozenset({"openai"}))


def settle() -> Overhead:
    recorder = EmbeddingInstrumentor().recorder
    assert recorder is not None
    recorder.settle()
    return recorder.overhead


def test_it_is_a_metric_by_part(slow: Telemetry, server: OpenAIServer) -> None:
    instrument(slow, None)
    embed(server, 5)
    in_calls = slow.total("otel_embed.overhead", otel_embed__overhead__part="call")
    assert 0.2 <= in_calls < 1
    assert slow.total("otel_embed.overhead", otel_embed__overhead__part="settle") == pytest.approx(0, abs=0.1)
    assert "otel_embed.fuse.blown" not in slow.metrics()
    found = otel_embed.summary()
    assert found.document["overhead_seconds"]["call"] == pytest.approx(in_calls)
    assert found.switched_off is None


def test_the_application_s_own_time_is_not_ours(telemetry: Telemetry, server: OpenAIServer) -> None:
    embed(server, 3)
    before = settle().in_calls
    embed(server, 5, extra_headers=Fault(header_delay=0.1).header)
    assert settle().in_calls - before < 0.05e9


def test_what_takes_too_long_is_switched_off_for_good(
    slow: Telemetry, server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    create = openai.resources.embeddings.Embeddings.create
    original = getattr(create, "__wrapped__", create)
    instrument(slow, 0.05)
    assert openai.resources.embeddings.Embeddings.create is not original
    caplog.set_level(logging.INFO)
    assert [point.value for point in slow.metrics()["otel_embed.fuse.blown"]] == [0]
    embed(server, 20)
    assert [point.value for point in slow.metrics()["otel_embed.fuse.blown"]] == [1]
    assert openai.resources.embeddings.Embeddings.create is original
    (why,) = [message for message in caplog.messages if "otel_embed" in message]
    assert why.startswith("otel_embed switched itself off: in ") and why.endswith(" It stays off in this process.")
    assert "of the time of 20 observed calls, and OTEL_EMBED_MAX_OVERHEAD allows 5 %." in why
    spans = len(slow.spans())
    embed(server, 30)
    settle()
    assert len(slow.spans()) == spans and server.billed.requests == 50, "the application goes on, unobserved"
    otel_embed.instrument()
    assert openai.resources.embeddings.Embeddings.create is original
    assert len([message for message in caplog.messages if "otel_embed" in message]) == 1
    found = otel_embed.summary()
    assert found.switched_off is not None and why.startswith(found.switched_off)


def test_a_call_that_is_open_meanwhile_ends_as_it_should(slow: Telemetry, server: OpenAIServer) -> None:
    instrument(slow, 0.05)
    embed(server, 20)
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        streamed = client.embeddings.with_streaming_response.create(model=SMALL, input="one")
        with streamed as answer:
            assert settle().blown
            assert b"embedding" in answer.read()


def test_what_is_quick_enough_stays_on(slow: Telemetry, server: OpenAIServer) -> None:
    slow.instrument(max_overhead=0.9, disabled_providers=frozenset({"slow"}))
    embed(server, 20, extra_headers=Fault(header_delay=0.02).header)
    assert settle().blown is None
    assert [point.value for point in slow.metrics()["otel_embed.fuse.blown"]] == [0]
    embed(server, 5)
    assert len(slow.spans(f"embeddings {SMALL}")) == 25


def test_nobody_judges_by_few_calls_or_a_short_time() -> None:
    now = [0]
    judged = Overhead(lambda: now[0])
    judged.configure(0.0)
    call: Any = type("Call", (), {"root": True, "duration_ns": 10**6})
    now[0] = 10 * 10**9
    judged.add([call] * (overhead.FEWEST_CALLS - 1), 10**9, 0)
    assert judged.blown is None
    judged.add([call], 0, 0)
    assert judged.blown is not None
    judged.configure(0.0)
    now[0] += 10**9
    judged.add([call] * 10 * overhead.FEWEST_CALLS, 10**9, 0)
    assert judged.blown is None


@pytest.mark.parametrize("value", ["5", "-0.1", "much", "nan"])
def test_a_bad_value_is_named_with_what_is_allowed(value: str) -> None:
    warnings: list[str] = []
    assert Config.from_environment(warnings.append, {"OTEL_EMBED_MAX_OVERHEAD": value}) == Config()
    (warning,) = warnings
    assert value in warning and "a number from 0 to 1" in warning


def test_the_report_says_so(slow: Telemetry, server: OpenAIServer, tmp_path: Path) -> None:
    instrument(slow, 0.05)
    embed(server, 20)
    from otel_embed.report import summary

    recorder = EmbeddingInstrumentor().recorder
    assert recorder is not None
    summary.write(recorder, str(tmp_path), "1.json")
    for option in ("--json", "--html"):
        command = [Path(sys.executable).parent / "otel-embed", "report", "1.json", option, "made"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "otel_embed switched itself off: in " in ran.stdout + ran.stderr
        assert "otel_embed switched itself off: in " in (tmp_path / "made").read_text()


def test_the_page_shows_the_warning_that_there_is(caplog: pytest.LogCaptureFixture) -> None:
    page = (ROOT / "docs/overhead.md").read_text(encoding="utf-8")
    now = [0]
    judged = Overhead(lambda: now[0])
    judged.configure(0.05)
    call: Any = type("Call", (), {"root": True, "duration_ns": 10**7})
    now[0] = 6_200_000_000
    judged.add([call] * 128, 300 * 10**6, 96_800_000)
    assert blocks(page, "text")[1] == caplog.messages[0] + "\n"
    assert f"at least {overhead.FEWEST_CALLS} calls and {overhead.SHORTEST_SECONDS:g} seconds" in page
