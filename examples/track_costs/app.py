"""What did this block cost? The same question for any provider, answered in the program itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings

import otel_embed

MODEL = "text-embedding-3-small"
ARTICLES = [
    "A vector database stores embeddings and finds the nearest ones to a query.",
    "Chunking cuts a document into passages that are short enough to embed.",
    "A cache in front of the model keeps the vectors of texts that did not change.",
]


@contextmanager
def endpoint() -> Iterator[dict[str, Any]]:
    """What the clients need to know: nothing if there is a key for the real endpoint, else the bundled server's URL."""
    if os.environ.get("OPENAI_API_KEY"):
        yield {}
        return
    from otel_embed.demo import bundled_server

    with bundled_server("--latency-ms=35", "--jitter=0.25") as url:
        yield {"base_url": url, "api_key": "none-needed"}


def show(title: str, usage: Any) -> None:
    print(f"{title}: {usage.calls} calls with {usage.inputs} inputs, {usage.cache_hits} more from the cache")
    print(f"    {usage.tokens} tokens, ${usage.cost_usd:.8f}, {usage.seconds:.3f} s")


def main() -> None:
    otel_embed.instrument()
    with endpoint() as settings:
        model = OpenAIEmbeddings(model=MODEL, check_embedding_ctx_length=not settings, **settings)
        cached = CacheBackedEmbeddings.from_bytes_store(
            model, InMemoryByteStore(), namespace=MODEL, key_encoder="sha256"
        )
        with otel_embed.track() as usage:
            cached.embed_documents(ARTICLES)
        show("First ingest", usage)

        with otel_embed.track() as usage:
            cached.embed_documents([*ARTICLES, "One article is new."])
        show("Second ingest", usage)

        with openai.OpenAI(**settings) as client, otel_embed.track() as usage:
            for question in ("What is chunking?", "What does a cache keep?"):
                client.embeddings.create(model="text-embedding-3-large", input=question)
        show("Questions", usage)

    whole = otel_embed.summary()
    print(f"The whole program: {whole.calls} calls, {whole.tokens} tokens, ${whole.cost_usd:.8f}")
    print(f"    and {whole.saved_tokens} tokens, ${whole.saved_usd:.8f}, saved by the cache")


if __name__ == "__main__":
    main()
