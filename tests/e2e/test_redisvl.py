"""RedisVL's EmbeddingsCache, of whichever line is installed, on a real Redis: outside of embedding calls and in one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import redis
from redisvl.extensions.cache.embeddings import EmbeddingsCache

import otel_embed
from conftest import Telemetry
from e2e.redis_server import redis_server
from fakes.openai_server import OpenAIServer
from spans import told

SMALL = "text-embedding-3-small"
BYTES = "content" in inspect.signature(EmbeddingsCache.get).parameters
"""Whether this line caches what is no text, too."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def cache(url: str) -> Iterator[EmbeddingsCache]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
    it = EmbeddingsCache(name="embedcache", redis_url=url)
    yield it
    it.disconnect()


def lookups(telemetry: Telemetry) -> tuple[float, float]:
    hits, misses = (
        telemetry.total("otel_embed.cache.lookups", otel_embed__cache__outcome=outcome) for outcome in ("hit", "miss")
    )
    return hits, misses


def embed(server: OpenAIServer, cache: EmbeddingsCache, texts: list[str]) -> list[list[float]]:
    """What an application does: ask the cache, then the model for what the cache does not know."""
    found = cache.mget(texts, SMALL)
    missing = [text for text, entry in zip(texts, found) if entry is None]
    if missing:
        with openai.OpenAI(base_url=server.url, api_key="x") as client:
            answer = client.embeddings.create(model=SMALL, input=missing, encoding_format="float")
        made = {text: each.embedding for text, each in zip(missing, answer.data)}
        word = "content" if BYTES else "text"
        cache.mset([{word: text, "model_name": SMALL, "embedding": vector} for text, vector in made.items()])
    return [made[text] if entry is None else entry["embedding"] for text, entry in zip(texts, found)]


def test_an_application_with_a_cache_of_its_own(
    telemetry: Telemetry, server: OpenAIServer, cache: EmbeddingsCache
) -> None:
    with otel_embed.track() as usage:
        first = embed(server, cache, ["one two", "three"])
        assert embed(server, cache, ["one two", "three"]) == first
        embed(server, cache, ["one two", "four"])
    assert lookups(telemetry) == (3, 3) == (usage.cache_hits, usage.cache_misses)
    names = [span.name for span in telemetry.spans()]
    asked = ["mget EmbeddingsCache", f"embeddings {SMALL}", "mset EmbeddingsCache"]
    assert names == [*asked, "mget EmbeddingsCache", *asked]
    hit = telemetry.spans("mget EmbeddingsCache")[1]
    assert hit.kind.name == "INTERNAL" and hit.attributes["otel_embed.stage.cache_lookup.duration"] > 0
    assert told(hit) == {
        "otel_embed.framework": "redisvl",
        "otel_embed.input.count": 2,
        "otel_embed.cache.store": "EmbeddingsCache",
        "otel_embed.cache.hits": 2,
        "otel_embed.cache.misses": 0,
        "otel_embed.saved.tokens": 3,
        "otel_embed.saved.usd": 6e-08,
    }
    write = telemetry.spans("mset EmbeddingsCache")[0]
    assert told(write) == {"otel_embed.framework": "redisvl", "otel_embed.input.count": 2}
    assert write.attributes["otel_embed.stage.cache_write.duration"] > 0


def test_a_lookup_outside_a_call_is_no_embedding(
    telemetry: Telemetry, server: OpenAIServer, cache: EmbeddingsCache
) -> None:
    embed(server, cache, ["one two"])
    embed(server, cache, ["one two"])
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 2
    assert telemetry.total("otel_embed.inputs") == 1 == otel_embed.summary().calls
    durations = telemetry.metrics()["otel_embed.framework.duration"]
    outcomes = {point.attributes["otel_embed.cache.outcome"]: point.count for point in durations}
    assert outcomes == {"miss": 1, "hit": 1, "none": 1}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_each_method_counts_each_input_once(
    telemetry: Telemetry, cache: EmbeddingsCache, asynchronous: bool
) -> None:
    keys: list[str] = []

    async def work(call: Any) -> None:
        keys.append(await call("set", "abcd", SMALL, [0.5, 1.0]))
        assert await call("get", "abcd", SMALL) is not None
        assert await call("get", "efgh", model_name=SMALL) is None
        assert [bool(each) for each in await call("mget", ["abcd", "efgh"], SMALL)] == [True, False]
        assert await call("get_by_key", keys[0]) is not None
        assert await call("mget_by_keys", [*keys, "none"]) is not None
        assert await call("mget", [], SMALL) == []

    async def call(name: str, *args: Any, **kwargs: Any) -> Any:
        result = getattr(cache, f"{'a' * asynchronous}{name}")(*args, **kwargs)
        return await result if asynchronous else result

    async def whole() -> None:
        await work(call)
        if asynchronous:
            await cache.adisconnect()

    asyncio.run(whole())
    assert lookups(telemetry) == (4, 3)
    spans = [span.name.removeprefix("a") for span in telemetry.spans()]
    methods = ["set", "get", "get", "mget", "get_by_key", "mget_by_keys", "mget"]
    assert spans == [f"{method} EmbeddingsCache" for method in methods]
    assert telemetry.total("otel_embed.saved.tokens") == 4, "a token for four characters, for want of a better rate"


def test_in_an_embedding_call_a_lookup_is_its_stage(telemetry: Telemetry, cache: EmbeddingsCache) -> None:
    from langchain_core.embeddings import Embeddings

    class Cached(Embeddings):
        """An embedder of the application's own, with a cache of its own."""

        model = "mine"

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [self.embed_query(text) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            entry = cache.get(text, self.model)
            if entry is None:
                cache.set(text, self.model, [float(len(text))])
            return entry["embedding"] if entry else [float(len(text))]

    it = Cached()
    assert it.embed_documents(["12345678", "1234", "12345678"]) == [[8.0], [4.0], [8.0]]
    (span,) = telemetry.spans()
    assert {"otel_embed.stage.cache_lookup.duration", "otel_embed.stage.cache_write.duration"} <= set(span.attributes)
    assert told(span) == {
        "otel_embed.framework": "langchain",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "langchain",
        "gen_ai.request.model": "mine",
        "gen_ai.embeddings.dimension.count": 1,
        "gen_ai.usage.input_tokens": 3,
        "otel_embed.input.count": 3,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "estimated",
        "otel_embed.cache.store": "EmbeddingsCache",
        "otel_embed.cache.hits": 1,
        "otel_embed.cache.misses": 2,
        "otel_embed.saved.tokens": 2,
    }
    assert lookups(telemetry) == (1, 2)


@pytest.mark.skipif(not BYTES, reason="this line caches texts alone")
def test_what_is_no_text_saves_nobody_knows_how_many_tokens(telemetry: Telemetry, cache: EmbeddingsCache) -> None:
    cache.set(b"\x00" * 100, "clip", [0.5])
    assert cache.get(b"\x00" * 100, "clip") is not None
    _, span = telemetry.spans()
    assert span.attributes["otel_embed.cache.hits"] == 1
    assert "otel_embed.saved.tokens" not in span.attributes


def test_an_unreachable_redis_fails_as_without_us(telemetry: Telemetry) -> None:
    it = EmbeddingsCache(redis_client=redis.Redis(port=9))
    with pytest.raises(redis.ConnectionError):
        it.get("one", SMALL)
    (span,) = telemetry.spans("get EmbeddingsCache")
    assert span.status.status_code.name == "ERROR" and span.attributes["otel_embed.error.cause"] == "network"
    assert lookups(telemetry) == (0, 0)
