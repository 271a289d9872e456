"""Each billed token is counted once, and its cost is exact, whatever is nested, cached, retried or threaded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import openai
from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.utils import Secret
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.embeddings.openai import OpenAIEmbedding

import otel_embed
from conftest import Telemetry, run
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer

SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"
PICODOLLARS = {SMALL: 20_000, LARGE: 130_000}
"""Per token."""
CALLS = 2000


def test_two_thousand_mixed_calls_equal_the_bill(telemetry: Telemetry, server: OpenAIServer) -> None:
    telemetry.instrument(stage_spans="never")
    faults = [Fault(status=429, retry_after=0.001), Fault(status=500), Fault(status=400), None, None, None, None]
    server.script([faults[n % len(faults)] or Fault() for n in range(CALLS)])
    with otel_embed.track() as usage, openai.OpenAI(base_url=server.url, api_key="x", max_retries=3) as client:
        cached = _cached(server)
        works: list[Callable[[int], Any]] = [
            lambda n: client.embeddings.create(
                model=(SMALL, LARGE)[n // 4 % 2], input=["one two"] * (n % 5 + 1), dimensions=8
            ),
            lambda n: client.embeddings.with_raw_response.create(model=SMALL, input=f"raw {n}", dimensions=8),
            lambda n: cached.embed_documents([f"document {n % 97}", f"document {n % 53}"]),
            lambda n: _embedder(server).embed_query(f"query {n}"),
        ]
        with ThreadPoolExecutor(16) as pool:
            carried = otel_embed_context()
            list(pool.map(lambda n: carried(_quiet, works[n % 4], n), range(CALLS - 200)))
        run(_concurrent(server))
    for model, price in PICODOLLARS.items():
        billed = server.billed.by_model[model].tokens
        assert billed > 0
        assert (
            telemetry.total("gen_ai.client.embeddings.operation.input_tokens", gen_ai__request__model=model) == billed
        )
        assert telemetry.total("otel_embed.cost", gen_ai__request__model=model) == billed * price / 1e12
    total = server.billed.tokens
    assert (usage.tokens, otel_embed.summary().tokens) == (total, total)
    assert usage.estimated_tokens == 0


def otel_embed_context() -> Callable[..., Any]:
    """Threads of the application's own pool run in its context only if the application says so."""
    from opentelemetry import context

    around = context.get_current()

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        token = context.attach(around)
        try:
            return function(*arguments)
        finally:
            context.detach(token)

    return call


def _quiet(work: Callable[[int], Any], n: int) -> None:
    with suppress(openai.APIStatusError):
        work(n)


def _embedder(server: OpenAIServer) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(
        model=SMALL, base_url=server.url, api_key="x", check_embedding_ctx_length=False, dimensions=8
    )


def _cached(server: OpenAIServer) -> CacheBackedEmbeddings:
    return CacheBackedEmbeddings.from_bytes_store(
        _embedder(server), InMemoryByteStore(), namespace="n", key_encoder="sha256", query_embedding_cache=True
    )


async def _concurrent(server: OpenAIServer) -> None:
    async with openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=3) as client:
        calls = [client.embeddings.create(model=SMALL, input=f"task {n}", dimensions=8) for n in range(200)]
        await asyncio.gather(*calls, return_exceptions=True)


def test_other_frameworks_over_the_client_equal_the_bill(telemetry: Telemetry, server: OpenAIServer) -> None:
    llama = OpenAIEmbedding(
        model_name=SMALL, api_base=server.url, api_key="x", dimensions=8, embed_batch_size=3,
        embeddings_cache=SimpleKVStore(), max_retries=20,
    )  # fmt: skip
    options: dict[str, Any] = {"api_base_url": server.url, "api_key": Secret.from_token("x"), "dimensions": 8}
    one = OpenAITextEmbedder(model=LARGE, max_retries=20, **options)
    many = OpenAIDocumentEmbedder(model=LARGE, max_retries=20, batch_size=2, progress_bar=False, **options)
    works: list[Callable[[int], Any]] = [
        lambda n: llama.get_text_embedding_batch([f"text {n % 17}", f"text {n % 5}", "text", f"a b c {n}"]),
        lambda n: llama.get_query_embedding(f"query {n % 11}"),
        lambda n: one.run(text=f"query of {n}"),
        lambda n: many.run(documents=[Document(content=f"document {n} {part}") for part in range(3)]),
    ]
    server.script([Fault(status=429, retry_after=0.001) if n % 5 == 0 else None for n in range(400)])
    with otel_embed.track() as usage, ThreadPoolExecutor(8) as pool:
        carried = otel_embed_context()
        list(pool.map(lambda n: carried(works[n % 4], n), range(400)))
        run(_frameworks_at_once(llama, one))
    for model, price in PICODOLLARS.items():
        billed = server.billed.by_model[model].tokens
        assert billed > 0
        assert (
            telemetry.total("gen_ai.client.embeddings.operation.input_tokens", gen_ai__request__model=model) == billed
        )
        assert telemetry.total("otel_embed.cost", gen_ai__request__model=model) == billed * price / 1e12
    assert (usage.tokens, otel_embed.summary().tokens) == (server.billed.tokens, server.billed.tokens)
    assert usage.estimated_tokens == 0 and usage.cache_hits > 0


async def _frameworks_at_once(llama: OpenAIEmbedding, one: OpenAITextEmbedder) -> None:
    await asyncio.gather(
        *[llama.aget_text_embedding_batch([f"later {n % 7}", "text", f"later {n}", "one two"]) for n in range(40)],
        *[one.run_async(text=f"later {n}") for n in range(40)],
    )


def test_a_client_that_fans_out_over_threads_is_one_bill(telemetry: Telemetry, server: OpenAIServer) -> None:
    from langchain_core.embeddings import Embeddings

    class FansOut(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            with openai.OpenAI(base_url=server.url, api_key="x") as client, ThreadPoolExecutor(4) as pool:
                made = pool.map(lambda text: client.embeddings.create(model=SMALL, input=text), texts)
                return [answer.data[0].embedding for answer in made]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    FansOut().embed_documents(["one two", "three", "four five six"])
    assert (
        telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.by_model[SMALL].tokens == 6
    )
    (parent,) = telemetry.spans("embed_documents FansOut")
    assert {span.parent.span_id for span in telemetry.spans(f"embeddings {SMALL}")} == {parent.context.span_id}
    stages = [value for name, value in parent.attributes.items() if name.startswith("otel_embed.stage.")]
    assert abs(sum(stages) - (parent.end_time - parent.start_time) / 1e9) < 1e-6
