"""LangChain's caches of answers that outlive the process, in a real Redis and a real SQLite file."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from langchain_core.globals import set_llm_cache

import otel_embed
from conftest import Telemetry
from e2e.redis_server import redis_server
from fakes.openai_server import OpenAIServer
from test_langchain_cache import ask
from test_langchain_chat import IN, OUT, QUESTION, OpenAI, model

with warnings.catch_warnings():  # that it is no longer kept, at its first import
    warnings.simplefilter("ignore", DeprecationWarning)
    from langchain_community.cache import AsyncRedisCache, RedisCache, SQLiteCache

# What LangChain warns its own caches of.
pytestmark = [pytest.mark.filterwarnings(f"ignore:{said}") for said in ("The function `load", "The default value of")]


@pytest.fixture(params=["RedisCache", "AsyncRedisCache", "SQLiteCache"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The name of the cache that is in force; for the asynchronous one, the server's URL."""
    if request.param == "SQLiteCache":
        set_llm_cache(SQLiteCache(str(tmp_path / "answers.db")))
        yield request.param
    else:
        with redis_server(tmp_path) as url:
            if request.param == "RedisCache":
                with redis.Redis.from_url(url) as client:
                    set_llm_cache(RedisCache(client))
                    yield request.param
            else:
                yield url
    set_llm_cache(None)


def test_a_kept_answer_costs_nothing_and_the_ledger_is_what_the_server_billed(
    cache: str, telemetry: Telemetry, server: OpenAIServer
) -> None:
    async def twice() -> list[Any]:
        async with redis.asyncio.Redis.from_url(cache) as client:
            set_llm_cache(AsyncRedisCache(client))
            return [await model(server).ainvoke(QUESTION) for _ in range(2)]

    asynchronous = cache.startswith("redis:")
    first, second = asyncio.run(twice()) if asynchronous else [ask(model(server), False) for _ in range(2)]
    assert first.content == second.content
    bill = server.billed.by_model["gpt-4o-mini"]
    assert bill.requests == 1
    cost = pytest.approx(bill.tokens * IN + bill.output_tokens * OUT, abs=1e-12)
    miss, hit = (dict(span.attributes) for span in telemetry.spans())
    assert (miss["otel_embed.cache.outcome"], hit["otel_embed.cache.outcome"]) == ("miss", "hit")
    assert hit["otel_embed.cache.store"] == ("AsyncRedisCache" if asynchronous else cache)
    assert (hit["otel_embed.cost.usd"], hit["otel_embed.saved.usd"]) == (0, cost)
    assert hit["otel_embed.cache.lookup.duration"] > 0 and miss["otel_embed.cache.write.duration"] > 0
    assert telemetry.total("gen_ai.client.token.usage") == bill.tokens + bill.output_tokens
    assert telemetry.total("otel_embed.cost") == telemetry.total("otel_embed.saved.cost") == cost
    summary = otel_embed.summary()
    assert (summary.answer_cache_hits, summary.answer_cache_misses) == (1, 1)


@pytest.mark.parametrize("cache", ["RedisCache", "SQLiteCache"], indirect=True)
def test_a_completion_model_too(cache: str, telemetry: Telemetry) -> None:
    for _ in range(3):
        OpenAI().invoke("a")
    outcomes = sorted(span.attributes["otel_embed.cache.outcome"] for span in telemetry.spans())
    assert outcomes == ["hit", "hit", "miss"]
    assert telemetry.total("gen_ai.client.token.usage", gen_ai__token__type="input") == 100
