"""Embed pages on Ray's workers: one trace of the whole job, and one bill for it.

The workers are processes of their own, here or on other machines; what they must know of the job comes with each task.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import ray
from opentelemetry import context, propagate, trace
from opentelemetry.instrumentation.auto_instrumentation import initialize

import otel_embed
from otel_embed.demo.server import EmbeddingServer

MODEL, BATCH = "text-embedding-3-small", 24
PAGES = [f"Page {n}. " + "Lamps for outdoors are marked IP44 or higher. " * (n % 7 + 1) for n in range(240)]
QUIET = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}


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


@ray.remote
def embed(job: dict[str, str], settings: dict[str, Any], pages: list[str]) -> tuple[list[list[float]], int, Any]:
    """The vectors of some pages, the worker that made them, and what they cost."""
    with part_of(job) as usage, openai.OpenAI(**settings) as client:
        reply = client.embeddings.create(model=MODEL, input=pages)
    return [row.embedding for row in reply.data], os.getpid(), usage


@contextmanager
def endpoint() -> Iterator[tuple[dict[str, Any], EmbeddingServer | None]]:
    """What the clients need to know: nothing if there is a key for the real endpoint, else a server in this process."""
    if os.environ.get("OPENAI_API_KEY"):
        yield {}, None
        return
    with EmbeddingServer() as server:
        yield {"base_url": server.url, "api_key": "none-needed"}, server


def run(settings: dict[str, Any]) -> list[tuple[list[list[float]], int, Any]]:
    job: dict[str, str] = {}
    with trace.get_tracer(__name__).start_as_current_span("embed all pages"):
        propagate.inject(job)
        batches = [PAGES[start : start + BATCH] for start in range(0, len(PAGES), BATCH)]
        done: list[tuple[list[list[float]], int, Any]] = ray.get([embed.remote(job, settings, each) for each in batches])
    return done


def main() -> None:
    ray.init(address="local", num_cpus=2, **QUIET)
    with endpoint() as (settings, server):
        done = run(settings)
        print(f"{sum(len(vectors) for vectors, _, _ in done)} pages embedded in {len(done)} tasks.")
        by_worker = defaultdict(list)
        for _, worker, usage in done:
            by_worker[worker].append(usage)
        for worker, usages in by_worker.items():
            print(f"  worker {worker}: {bill(sum(usages))}")
        print(f"  the job: {bill(sum(usage for _, _, usage in done))}")
        if server is not None:
            print(f"  the server billed: {server.billed.requests} calls, {server.billed.tokens} tokens")
    ray.shutdown()


def bill(usage: Any) -> str:
    return f"{usage.calls} calls, {usage.tokens} tokens, ${usage.cost_usd:.8f}"


if __name__ == "__main__":
    main()
