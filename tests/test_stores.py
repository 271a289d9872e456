"""How much caches hold: stores in memory and in folders. Those in Redis are in tests/e2e/test_redis_stores.py."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_classic.storage import LocalFileStore
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.stores import InMemoryByteStore, InMemoryStore
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.storage.kvstore import SimpleKVStore
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import otel_embed
from conftest import Telemetry
from otel_embed import seen
from otel_embed.gauges import local_stores, stores
from store_sizes import eventually, sizes

TEXTS = [f"text {n}" for n in range(100)]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without the stores of other tests, and as in a process that has just begun."""
    gc.collect()
    seen.STORES.clear()
    monkeypatch.setattr(stores, "_sizes", stores.Sizes())
    yield


def cached(store: Any) -> CacheBackedEmbeddings:
    embedder = DeterministicFakeEmbedding(size=64)
    return CacheBackedEmbeddings.from_bytes_store(embedder, store, namespace="n", key_encoder="sha256")


def test_a_store_in_memory(telemetry: Telemetry) -> None:
    store = InMemoryByteStore()
    assert sizes(telemetry) == {}, "a store that was never asked is nobody's cache"
    it = cached(store)
    it.embed_documents(TEXTS)
    stores._sizes._looked = float("-inf")
    entries, size = sizes(telemetry)["InMemoryByteStore"]
    exact = sum(sys.getsizeof(key) + sys.getsizeof(value) for key, value in store.store.items())
    assert entries == 100
    assert size == pytest.approx(exact + sys.getsizeof(store.store), rel=0.05)


def test_vectors_as_they_are_and_llama_indexs_own(telemetry: Telemetry) -> None:
    vectors = InMemoryStore()
    embedder = CacheBackedEmbeddings(DeterministicFakeEmbedding(size=64), vectors)
    embedder.embed_documents(TEXTS)
    other = MockEmbedding(embed_dim=64, embeddings_cache=SimpleKVStore())
    other.get_text_embedding_batch(TEXTS[:10])
    found = sizes(telemetry)
    floats = 64 * sys.getsizeof(0.5)
    assert found["InMemoryStore"][0] == 100 and found["InMemoryStore"][1] > 100 * floats
    assert found["SimpleKVStore"][0] == 10 and found["SimpleKVStore"][1] > 10 * floats


def test_stores_of_one_name_add_up_and_one_store_counts_once(telemetry: Telemetry) -> None:
    one, two = InMemoryByteStore(), InMemoryByteStore()
    caches = [cached(one), cached(one), cached(two)]
    for cache in caches:
        cache.embed_documents(TEXTS[:5])
    assert sizes(telemetry)["InMemoryByteStore"][0] == 10
    del one, two, cache
    caches.clear()
    gc.collect()
    stores._sizes._looked = float("-inf")
    assert sizes(telemetry) == {}, "nothing of ours keeps them"


def test_they_are_looked_at_while_they_are_switched_on(telemetry: Telemetry) -> None:
    """Whatever the meter was told first, and what it was told last is what it does."""
    it = cached(InMemoryByteStore())
    it.embed_documents(TEXTS)
    for off in (False, True, False):
        telemetry.instrument(disabled_providers=frozenset({"stores"} if off else ()))
        assert bool(sizes(telemetry)) == bool(otel_embed.summary().document["cache_sizes"]) == (not off)
    telemetry.reader = InMemoryMetricReader()
    telemetry.meters = MeterProvider([telemetry.reader], shutdown_on_exit=False)
    for off in (True, False):
        telemetry.instrument(disabled_providers=frozenset({"stores"} if off else ()))
        assert bool(sizes(telemetry)) == (not off)


def test_a_folder(telemetry: Telemetry, tmp_path: Path) -> None:
    it = cached(LocalFileStore(tmp_path))
    it.embed_documents(TEXTS)
    exact = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert eventually(telemetry, "LocalFileStore") == (100, pytest.approx(exact, rel=0.05))
    it.embed_documents(["another"])
    stores._sizes._looked = float("-inf")
    assert sizes(telemetry)["LocalFileStore"][0] == 100, "a folder is walked once a minute at most"


def test_a_folder_with_too_many_files_is_not_observed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        (tmp_path / str(n)).write_bytes(b"x" * 10)
    assert local_stores.in_folder(str(tmp_path)) == (str(tmp_path), 3, 30)
    monkeypatch.setattr(local_stores, "_MOST_FILES", 2)
    assert local_stores.in_folder(str(tmp_path)) is None


def test_a_folder_that_is_gone_is_one_failure_and_no_observation(
    telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otel_embed.guard, "reraise", False)
    monkeypatch.setattr(stores, "_FOLDER_FRESH", 0.0)
    it = cached(LocalFileStore(tmp_path / "gone"))
    it.document_embedding_store.mget(["x"])
    seen.see(it.document_embedding_store, "LocalFileStore")
    for _ in range(5):
        stores._sizes._looked = float("-inf")
        assert sizes(telemetry) == {}
        time.sleep(0.02)
    assert otel_embed.guard.dropped == {"measure a store": 1}


def test_an_export_is_not_kept_waiting(telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = cached(LocalFileStore(tmp_path))
    it.embed_documents(TEXTS[:3])
    original = local_stores.in_folder
    monkeypatch.setattr(stores, "in_folder", lambda folder: (time.sleep(1.0), original(folder))[1])
    began = time.perf_counter()
    assert "LocalFileStore" not in sizes(telemetry)
    assert time.perf_counter() - began < 0.7, "a second is what the folder takes"
    assert eventually(telemetry, "LocalFileStore")[0] == 3


def test_they_can_be_switched_off() -> None:
    reader = InMemoryMetricReader()
    otel_embed.instrument(
        meter_provider=MeterProvider(metric_readers=[reader], shutdown_on_exit=False),
        disabled_providers=frozenset({"stores"}),
    )
    try:
        it = cached(InMemoryByteStore())
        it.embed_documents(TEXTS[:1])
        data = reader.get_metrics_data()
        names = {metric.name for scope in data.resource_metrics[0].scope_metrics for metric in scope.metrics}
        assert "otel_embed.cache.lookups" in names and "otel_embed.cache.entries" not in names
    finally:
        otel_embed.uninstrument()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_measures_its_own(telemetry: Telemetry) -> None:
    it = cached(InMemoryByteStore())
    it.embed_documents(TEXTS[:3])
    stores._sizes._lock.acquire()
    child = os.fork()
    if child == 0:
        os._exit(0 if stores._sizes.now() else 1)
    stores._sizes._lock.release()
    assert os.waitpid(child, 0)[1] == 0
