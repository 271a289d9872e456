"""How much caches in a real Redis hold, by connections that are not the application's."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_redis import RedisCache
from redisvl.extensions.cache.embeddings import EmbeddingsCache

from conftest import Telemetry
from e2e.redis_server import redis_server
from otel_embed import guard, seen
from otel_embed.gauges import redis_stores, stores
from store_sizes import eventually, sizes

with warnings.catch_warnings():  # that it is no longer kept, at its first import
    warnings.simplefilter("ignore", DeprecationWarning)
    from langchain_community.storage import RedisStore

SMALL = "text-embedding-3-small"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield client


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the stores of other tests, and as in a process that has just begun."""
    seen.STORES.clear()
    monkeypatch.setattr(stores, "_sizes", stores.Sizes())


def fill(cache: EmbeddingsCache, count: int) -> None:
    for n in range(count):
        cache.set(f"text {n}", SMALL, [0.5] * 64)
    cache.get("text 0", SMALL)


def exact(client: redis.Redis, pattern: str) -> int:
    return sum(client.memory_usage(key) for key in client.scan_iter(pattern))


def test_the_keys_of_a_cache_are_told_from_others(telemetry: Telemetry, client: redis.Redis) -> None:
    cache = EmbeddingsCache(name="mine", redis_client=client)
    fill(cache, 30)
    client.mset({f"other:{n}": "x" * 1000 for n in range(500)})
    entries, size = eventually(telemetry, "EmbeddingsCache")
    assert entries == 30 and size == pytest.approx(exact(client, "mine:*"), rel=0.05)


def test_names_are_no_patterns(telemetry: Telemetry, client: redis.Redis) -> None:
    cache = EmbeddingsCache(name="a*[x]?", redis_client=client)
    fill(cache, 3)
    client.mset({"ab[x]c:1": "", "axb:1": ""})
    assert eventually(telemetry, "EmbeddingsCache")[0] == 3


@pytest.mark.parametrize("namespace", [None, "part"])
def test_a_store_has_a_part_of_a_database_or_all_of_it(
    telemetry: Telemetry, client: redis.Redis, namespace: str | None
) -> None:
    client.mset({f"other:{n}": "x" * 1000 for n in range(50)})
    store = RedisStore(client=client, namespace=namespace)
    embedder = DeterministicFakeEmbedding(size=64)
    it = CacheBackedEmbeddings.from_bytes_store(embedder, store, namespace="n", key_encoder="sha256")
    it.embed_documents([f"text {n}" for n in range(20)])
    entries, size = eventually(telemetry, "RedisStore")
    if namespace is None:
        assert entries == 70 and size == pytest.approx(client.info("memory")["used_memory"], rel=0.1)
    else:
        assert entries == 20 and size == pytest.approx(exact(client, "part/*"), rel=0.05)


def test_a_large_database_is_sampled(
    telemetry: Telemetry, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_stores, "_PAGE", 500)
    monkeypatch.setattr(redis_stores, "_MOST_PAGES", 2)
    client.mset({f"mine:{n}": "x" * 100 for n in range(5000)} | {f"other:{n}": "y" for n in range(5000)})
    cache = EmbeddingsCache(name="mine", redis_client=client)
    cache.get_by_key("mine:none")
    entries, size = eventually(telemetry, "EmbeddingsCache")
    assert entries == pytest.approx(5000, rel=0.15)
    assert size == pytest.approx(exact(client, "mine:*"), rel=0.15)
    assert client.info("commandstats")["cmdstat_scan"]["calls"] >= 2


def test_the_answers_that_langchain_redis_keeps(telemetry: Telemetry, client: redis.Redis) -> None:
    client.mset({"answers:1:2": "x" * 500, "answers:3:4": "x" * 500, "redis:5:6": "y"})
    cache = RedisCache(redis_client=client, prefix="answers")
    seen.see(cache, "RedisCache")
    assert eventually(telemetry, "RedisCache") == (2, exact(client, "answers:*"))


def test_an_asynchronous_client_leads_there_too(telemetry: Telemetry, url: str, client: redis.Redis) -> None:
    fill(EmbeddingsCache(name="mine", redis_client=client), 4)
    seen.STORES.clear()
    cache = EmbeddingsCache(name="mine", async_redis_client=redis.asyncio.Redis.from_url(url))
    seen.see(cache, "EmbeddingsCache")
    assert eventually(telemetry, "EmbeddingsCache")[0] == 4


def test_the_connections_of_the_application_are_left_to_it(telemetry: Telemetry, url: str, client: redis.Redis) -> None:
    pool = redis.ConnectionPool.from_url(url, max_connections=1)
    cache = EmbeddingsCache(name="mine", redis_client=redis.Redis(connection_pool=pool))
    fill(cache, 2)
    taken = pool.get_connection()
    try:
        assert eventually(telemetry, "EmbeddingsCache")[0] == 2
    finally:
        pool.release(taken)
        pool.disconnect()
    time.sleep(0.1)
    assert len(client.client_list()) == 1, "ours are closed"


def test_a_user_who_may_not_ask_for_memory_still_counts(telemetry: Telemetry, url: str, client: redis.Redis) -> None:
    may = {"categories": ["+@all"], "commands": ["-memory", "-info"]}
    client.acl_setuser("app", enabled=True, nopass=True, keys=["*"], **may)
    limited = redis.Redis.from_url(url.replace("//", "//app:x@"))
    fill(EmbeddingsCache(name="mine", redis_client=client), 3)
    seen.STORES.clear()
    caches: list[Any] = [RedisStore(client=limited), EmbeddingsCache(name="mine", redis_client=limited)]
    for cache, name in zip(caches, ("RedisStore", "EmbeddingsCache")):
        seen.see(cache, name)
        assert eventually(telemetry, name) == (3, None)
    assert guard.dropped == {}


def test_an_unreachable_server_is_one_failure_and_no_observation(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "reraise", False)
    monkeypatch.setattr(stores, "_REDIS_FRESH", 0.0)
    cache = RedisStore(client=redis.Redis(port=9))
    seen.see(cache, "RedisStore")
    for _ in range(5):
        stores._sizes._looked = float("-inf")
        began = time.perf_counter()
        assert sizes(telemetry) == {}
        assert time.perf_counter() - began < 0.25
        time.sleep(0.05)
    assert guard.dropped == {"measure a store": 1}
