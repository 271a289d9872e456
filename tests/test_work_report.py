"""What the report says of vector stores, loaded models, local models and the sizes of caches."""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore
from opentelemetry.sdk.metrics import MeterProvider

import otel_embed
from conftest import Telemetry
from otel_embed import seen
from otel_embed.cli.document import Summary, load, merge
from otel_embed.cli.report_html import page
from otel_embed.cli.report_json import to_dict
from otel_embed.gauges import stores
from otel_embed.instrumentor import EmbeddingInstrumentor
from otel_embed.loads import LoadSite
from otel_embed.provider import Load
from test_langchain_stores import EMBEDS, STORES, Shelf, Slow
from test_report import DOCUMENT, SAMPLE, rendered

LOCAL: dict[str, Any] = {
    "provider": "sentence_transformers", "model": "all-MiniLM-L6-v2", "local": True, "calls": 40, "inputs": 1280,
    "tokens": {"counted": 24_320}, "cost_usd": 0.0, "stages": {"tokenize": 0.21, "forward": 2.4},
    "devices": {"cuda:0": 38, "": 2}, "padding_tokens": 6_080, "truncated_inputs": 12,
}  # fmt: skip


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen.STORES.clear()
    monkeypatch.setattr(stores, "_sizes", stores.Sizes())


def document() -> dict[str, Any]:
    return otel_embed.summary().document


def saved(path: Path, content: Any) -> Summary:
    path.write_text(json.dumps(content))
    return load(path)


def test_a_vector_stores_own_time_is_told_from_that_of_embedding(telemetry: Telemetry) -> None:
    shelf = Shelf.from_texts(["one", "two"], Slow())
    shelf.similarity_search("one", k=1)
    written, searched = document()["store_operations"]
    assert (written["framework"], written["store"], written["method"]) == ("langchain", "Shelf", "from_texts")
    assert (written["calls"], written["documents"], written["errors"]) == (1, 2, {})
    assert written["seconds"] == pytest.approx(2 * EMBEDS + STORES, abs=0.03)
    assert written["own"]["sum"] == pytest.approx(STORES, abs=0.02)
    assert (searched["method"], searched["documents"], searched["own"]["count"]) == ("similarity_search", 1, 1)


def test_a_search_that_fails_is_counted_with_its_cause(telemetry: Telemetry) -> None:
    class Away(Shelf):
        def similarity_search(self, query: str, k: int = 4, **options: Any) -> Any:
            raise TimeoutError("gone")

    with pytest.raises(TimeoutError):
        Away(Slow()).similarity_search("one")
    (searched,) = document()["store_operations"]
    assert (searched["calls"], searched["documents"], searched["errors"]) == (1, 0, {"timeout": 1})


def test_more_kinds_than_are_kept_apart_are_counted_together(telemetry: Telemetry) -> None:
    for number in range(210):
        type(f"Store{number}", (InMemoryVectorStore,), {})(DeterministicFakeEmbedding(size=2)).similarity_search("q")
    rows = document()["store_operations"]
    assert len(rows) == 201
    assert sum(row["calls"] for row in rows) == 210
    assert (rows[-1]["store"], rows[-1]["calls"]) == ("_overflow", 10)


def loaded(model: str, device: str | None, error: Exception | None = None) -> None:
    recorder = EmbeddingInstrumentor().recorder
    assert recorder is not None
    site = LoadSite(recorder, "toy", Load("toy:load", lambda call: call.get("name"), lambda call, model: device))
    opened = site.open(None, (), {"name": model})
    assert opened is not None
    opened.close(object(), error)


def test_loads_are_counted_by_model_and_device(telemetry: Telemetry) -> None:
    loaded("small", "cpu")
    loaded("small", "cpu")
    loaded("small", None, OSError("no such file"))
    rows = [(row["model"], row["device"], row["loads"], row["errors"], row["seconds"]["count"]) for row in document()["loads"]]
    assert rows == [("small", "cpu", 2, {}, 2), ("small", "unknown", 1, {"OSError": 1}, 1)]


def test_what_a_cache_holds_is_known_also_when_it_is_gone(telemetry: Telemetry) -> None:
    store = InMemoryByteStore()
    cached = CacheBackedEmbeddings.from_bytes_store(
        DeterministicFakeEmbedding(size=8), store, namespace="n", key_encoder="sha256"
    )
    cached.embed_documents(["one", "two", "three"])
    (row,) = document()["cache_sizes"]
    assert (row["store"], row["shared"], row["entries"]) == ("InMemoryByteStore", False, 3)
    assert row["bytes"] > 0
    del store, cached
    seen.STORES.clear()
    stores._sizes._looked = float("-inf")
    assert document()["cache_sizes"] == [row]


def test_a_store_that_nobody_may_look_at_has_no_size() -> None:
    otel_embed.uninstrument()
    otel_embed.instrument(meter_provider=MeterProvider(shutdown_on_exit=False), disabled_providers=frozenset({"stores"}))
    try:
        assert document()["cache_sizes"] == []
    finally:
        otel_embed.uninstrument()


def test_a_forked_child_reports_its_own_work_alone(telemetry: Telemetry) -> None:
    Shelf.from_texts(["one"], Slow())
    loaded("small", "cpu")
    child = os.fork()
    if child == 0:
        os._exit(len(document()["store_operations"]) + len(document()["loads"]))
    assert os.waitpid(child, 0)[1] == 0
    assert len(document()["store_operations"]) == 1


def test_what_processes_share_is_counted_once(tmp_path: Path) -> None:
    both = merge([load(SAMPLE), load(SAMPLE)])
    memory, folder = both.cache_sizes
    assert (memory.entries, memory.bytes) == (2 * 9_856, 2 * 61_243_392)
    assert (folder.entries, folder.bytes) == (25_632, None)
    assert both.operations[0].calls == 152
    assert both.loads[0].seconds.count == 4


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local.json"
    path.write_text(json.dumps(DOCUMENT | {"providers": [*DOCUMENT["providers"], LOCAL]}))
    return path


SAID = (
    ("Local models", "sentence_transformers all-MiniLM-L6-v2", "40", "24,320", "20.0 %", "12", "cuda:0, unknown"),
    ("Models loaded", "sentence_transformers all-MiniLM-L6-v2", "2", "2.98 s", "2.99 s", "cuda:0", "0"),
    ("Vector stores", "InMemoryVectorStore similarity_search", "76", "300", "2.53 s", "33.2 ms", "68.5 ms", "1"),
    ("What caches hold", "InMemoryByteStore", "9,856", "61.2 MB"),
    ("What caches hold", "LocalFileStore", "25,632", "–"),
)


@pytest.mark.parametrize(("title", "name", "cells"), [(said[0], said[1], said[2:]) for said in SAID])
def test_it_is_in_the_terminal_on_the_page_and_in_the_data(
    title: str, name: str, cells: tuple[str, ...], local: Path
) -> None:
    text = rendered(local, 100)
    (section,) = re.findall(rf"^ {title}\b.*?\n\n", text + "\n", re.MULTILINE | re.DOTALL) or [""]
    assert re.search(rf"{name} +{' +'.join(map(re.escape, cells))}$", section, re.MULTILINE), section
    html = re.sub(r"<[^>]+>", "|", page(merge([load(local)])))
    assert title in html
    assert re.search(r"[ |]+".join(map(re.escape, (name.split(" ")[-1], *cells))), html)
    data = to_dict(merge([load(local)]))
    assert to_dict(merge([saved(local, data)])) == data


def test_a_local_model_costs_nothing_that_anybody_bills(local: Path) -> None:
    assert re.search(r"all-MiniLM-L6-v2 .* local$", rendered(local, 100), re.MULTILINE)


def test_a_process_that_did_nothing_else_has_a_report(tmp_path: Path) -> None:
    alone = {key: copy.deepcopy(DOCUMENT[key]) for key in ("schema", "store_operations", "loads")}
    assert not saved(tmp_path / "x.json", alone).is_empty
    assert "Vector stores" in rendered(tmp_path / "x.json")
