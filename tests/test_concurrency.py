"""Each call has its own stages, and they add up to its duration, however many are open at once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import openai
import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings
from opentelemetry.sdk.trace import ReadableSpan

from clients import SMALL
from conftest import Telemetry, run
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.report.chat_totals import ChatTotals
from otel_embed.report.metrics import MetricReport
from otel_embed.report.totals import Totals
from spans import stages


def asked(n: int) -> dict[str, Any]:
    """The n-th call: known by its number of inputs, answered the later the more there are, every fifth tried twice."""
    fault = Fault(header_delay=n / 200, status=429 if n % 5 == 0 else 200, attempts=1 if n % 5 == 0 else None)
    return {"model": SMALL, "input": ["a"] * n, "extra_headers": fault.header}


def check(telemetry: Telemetry, calls: int) -> None:
    spans = {span.attributes["otel_embed.input.count"]: span for span in telemetry.spans(f"embeddings {SMALL}")}
    assert sorted(spans) == list(range(1, calls + 1))
    for n, span in spans.items():
        found = stages(span)
        # A task that has sent may learn of it late, after others had the loop.
        assert found["send"] + found["wait"] > n / 200, "each waits for its own answer"
        assert ("backoff" in found) == (n % 5 == 0)
    told = telemetry.total("otel_embed.stage.time")
    assert told == pytest.approx(sum(map(seconds, spans.values())), abs=1e-6 * calls)
    assert telemetry.total("otel_embed.inputs.pending") == 0


def seconds(span: ReadableSpan) -> float:
    return (span.end_time - span.start_time) / 1e9


def test_fifty_tasks(telemetry: Telemetry, server: OpenAIServer) -> None:
    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x") as it:
            await asyncio.gather(*[it.embeddings.create(**asked(n)) for n in range(1, 51)])

    run(work())
    check(telemetry, 50)


def test_sixteen_threads(telemetry: Telemetry, server: OpenAIServer) -> None:
    together = Barrier(16)
    with openai.OpenAI(base_url=server.url, api_key="x") as it, ThreadPoolExecutor(16) as pool:

        def work(n: int) -> None:
            together.wait()
            it.embeddings.create(**asked(n))

        list(pool.map(work, range(1, 49)))
    check(telemetry, 48)


def test_sixteen_threads_with_a_cache_between(telemetry: Telemetry, server: OpenAIServer) -> None:
    model = OpenAIEmbeddings(model=SMALL, base_url=server.url, api_key="x", check_embedding_ctx_length=False)
    cached = CacheBackedEmbeddings.from_bytes_store(model, InMemoryByteStore(), namespace="n", key_encoder="sha256")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: cached.embed_documents([f"{n // 2}", f"{n}"]), range(48)))
    spans = telemetry.spans()
    assert len([span for span in spans if span.name.endswith("CacheBackedEmbeddings")]) == 48
    assert len([span for span in spans if span.parent is None]) == 48
    for span in spans:
        assert "wait" in stages(span) or "cache_lookup" in stages(span)


def test_a_collection_counts_what_is_finished_once_and_not_for_each_instrument() -> None:
    """Where much goes on, each time takes long, and an SDK waits for ten seconds in all."""
    telemetry, counted = Telemetry(), []
    MetricReport(telemetry.meters.get_meter("x"), Totals(), ChatTotals(), lambda: counted.append(1))
    for collections in (1, 2, 3):
        telemetry.metrics()
        assert len(counted) == collections
