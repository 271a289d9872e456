"""Embed pages on Spark's executors: one trace of the whole job, and one bill for it.

Python workers are processes that Spark starts, here or on other machines; what they must know of the job is in the closure.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
from opentelemetry import context, propagate, trace
from opentelemetry.instrumentation.auto_instrumentation import initialize
from pyspark.sql import SparkSession

import otel_embed
from otel_embed.demo.server import EmbeddingServer

MODEL, BATCH, PARTITIONS = "text-embedding-3-small", 24, 4
PAGES = [f"Page {n}. " + "Lamps for outdoors are marked IP44 or higher. " * (n % 7 + 1) for n in range(240)]
QUIET = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
LOCAL = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
Embedded = tuple[list[list[float]], int, Any]
"""Of a partition: its vectors, the worker that made them, and what they cost."""


@contextmanager
def part_of(job: dict[str, str]) -> Iterator[Any]:
    """In a worker: what the block does belongs to the job's trace, is added up, and is exported when the block ends.

    A worker may be killed at any time after its task, so that it cannot wait until its own end.
    """
    if job and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        initialize()  # as opentelemetry-instrument does, from the OTEL_* variables
    otel_embed.instrument()  # which does nothing where the line above has done it
    token = context.attach(propagate.extract(job))
    try:
        with otel_embed.track() as usage:
            yield usage
    finally:
        context.detach(token)
        otel_embed.flush()


def embedder(job: dict[str, str], settings: dict[str, Any]) -> Callable[[Iterable[str]], Iterator[Embedded]]:
    """What Spark runs on each partition."""

    def embed(partition: Iterable[str]) -> Iterator[Embedded]:
        pages = list(partition)
        with part_of(job) as usage, openai.OpenAI(**settings) as client:
            vectors = [
                row.embedding
                for start in range(0, len(pages), BATCH)
                for row in client.embeddings.create(model=MODEL, input=pages[start : start + BATCH]).data
            ]
        yield vectors, os.getpid(), usage

    return embed


@contextmanager
def endpoint() -> Iterator[tuple[dict[str, Any], EmbeddingServer | None]]:
    """What the clients need to know: nothing if there is a key for the real endpoint, else a server in this process."""
    if os.environ.get("OPENAI_API_KEY"):
        yield {}, None
        return
    with EmbeddingServer() as server:
        yield {"base_url": server.url, "api_key": "none-needed"}, server


def run(spark: SparkSession, settings: dict[str, Any]) -> list[Embedded]:
    job: dict[str, str] = {}
    with trace.get_tracer(__name__).start_as_current_span("embed all pages"):
        propagate.inject(job)
        done: list[Embedded] = (
            spark.sparkContext.parallelize(PAGES, PARTITIONS).mapPartitions(embedder(job, settings)).collect()
        )
    return done


def main() -> None:
    builder = SparkSession.builder.master("local[2]").appName("embed all pages")
    spark = builder.config(map=QUIET | LOCAL).getOrCreate()
    with endpoint() as (settings, server):
        done = run(spark, settings)
        print(f"{sum(len(vectors) for vectors, _, _ in done)} pages embedded in {len(done)} partitions.")
        by_worker = defaultdict(list)
        for _, worker, usage in done:
            by_worker[worker].append(usage)
        for worker, usages in by_worker.items():
            print(f"  worker {worker}: {bill(sum(usages))}")
        print(f"  the job: {bill(sum(usage for _, _, usage in done))}")
        if server is not None:
            print(f"  the server billed: {server.billed.requests} calls, {server.billed.tokens} tokens")
    spark.stop()


def bill(usage: Any) -> str:
    return f"{usage.calls} calls, {usage.tokens} tokens, ${usage.cost_usd:.8f}"


if __name__ == "__main__":
    main()
