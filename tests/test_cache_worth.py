"""What a cache is worth in dollars, from the tokens of what it knew, and whether its time pays."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.embeddings import Embeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings

import otel_embed
from conftest import Telemetry
from documents import ROOT, blocks
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.cli import report_html, report_text
from otel_embed.cli.document import load, merge
from otel_embed.cli.report_json import to_dict
from otel_embed.demo.vectors import tokenize
from otel_embed.pricing.recorded import MOST, RecordedTokens
from otel_embed.report.cache_worth import Money, Time

SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"
PICODOLLARS = {SMALL: 20_000, LARGE: 130_000}
TEXTS = ["one", "a text of seven words, all told", "internationalization", "a b c d e f g h i j k l m n o p"]
"""Their tokens are no function of their length."""


def cached(server: OpenAIServer, model: str, store: Any = None, **options: Any) -> CacheBackedEmbeddings:
    embedder = OpenAIEmbeddings(
        model=model, base_url=server.url, api_key="x", dimensions=4, check_embedding_ctx_length=False
    )
    store = InMemoryByteStore() if store is None else store
    return CacheBackedEmbeddings.from_bytes_store(embedder, store, namespace=model, key_encoder="sha256", **options)


def test_a_hit_saves_what_the_input_was_billed(telemetry: Telemetry, server: OpenAIServer) -> None:
    expected: dict[str, int] = {}
    for model, times in ((SMALL, 3), (LARGE, 2)):
        embedder = cached(server, model)
        for text in TEXTS:
            embedder.embed_documents([text])
        billed = server.billed.by_model[model].tokens
        for _ in range(times):
            embedder.embed_documents(TEXTS)
            embedder.embed_documents(TEXTS[2:])
        alone = sum(billed_for(text) for text in TEXTS[2:])
        expected[model] = times * (billed + alone)
        assert server.billed.by_model[model].tokens == billed, "the cache knew all of it"
    summary = otel_embed.summary()
    assert summary.saved_tokens == sum(expected.values())
    for model, money in summary.cached_models.items():
        assert money.saved_usd is not None and round(money.saved_usd * 1e12) == expected[model] * PICODOLLARS[model]
        paid = server.billed.by_model[model].tokens * PICODOLLARS[model]
        assert money.paid_usd == paid / 1e12 and money.without_usd is not None
        assert round(money.without_usd * 1e12) == paid + expected[model] * PICODOLLARS[model]
    store = summary.caches["InMemoryByteStore"]
    assert (store.paid_tokens, store.saved_tokens) == (server.billed.tokens, sum(expected.values()))
    assert store.money.paid_usd == summary.cost_usd == summary.cache_money.paid_usd
    assert store.money.saved_ratio == summary.saved_usd / (summary.saved_usd + summary.cost_usd)


def billed_for(text: str) -> int:
    """What the server bills for a text."""
    return len(tokenize(text))


def test_a_batch_is_divided_by_length_and_its_parts_add_up(telemetry: Telemetry, server: OpenAIServer) -> None:
    embedder = cached(server, SMALL)
    embedder.embed_documents(TEXTS)
    embedder.embed_documents(TEXTS)
    assert otel_embed.summary().saved_tokens == server.billed.tokens


BATCHES = st.lists(st.tuples(st.integers(0, 2**60), st.integers(0, 10**5)), max_size=20, unique_by=lambda text: text[0])


@given(st.integers(0, 10**6), BATCHES)
def test_parts_are_never_negative_and_add_up(tokens: int, texts: list[tuple[int, int]]) -> None:
    recorded = RecordedTokens()
    recorded.learn("m", tokens, texts)
    each = [recorded.of("m", [text])[0] for text in texts]
    assert all(part >= 0 for part in each)
    assert sum(each) == (tokens if any(length for _, length in texts) else 0)
    assert recorded.of("another", texts) == (0, sum(length for _, length in texts))


def test_what_is_remembered_is_bounded() -> None:
    recorded = RecordedTokens()
    recorded.learn("m", MOST * 2, [(number, 1) for number in range(MOST * 2)])
    assert len(recorded._tokens) == MOST and recorded.of("m", [(0, 7)]) == (0, 7)


def test_what_another_process_cached_is_estimated_at_the_rate_of_what_is_billed_here(
    telemetry: Telemetry, server: OpenAIServer
) -> None:
    store = InMemoryByteStore()
    cached(server, SMALL, store).embed_documents(["four words in all"])
    Telemetry().instrument()  # as a new process: it has seen nothing
    embedder = cached(server, SMALL, store)
    embedder.embed_documents(["five words are here, yes"])
    embedder.embed_documents(["four words in all"])
    saved = otel_embed.summary().saved_tokens
    assert saved == pytest.approx(billed_for("four words in all"), abs=1)
    embedder.embed_documents(["four words in all", "five words are here, yes"])
    assert otel_embed.summary().saved_tokens == 2 * saved + billed_for("five words are here, yes")


def test_attempts_that_fail_save_nothing(telemetry: Telemetry, server: OpenAIServer) -> None:
    embedder = cached(server, SMALL)
    embedder.embed_documents(TEXTS)
    billed = server.billed.tokens
    server.script([Fault(400)] * 3)
    with otel_embed.track() as usage:
        for _ in range(3):
            with pytest.raises(openai.BadRequestError):
                embedder.embed_documents([*TEXTS, "a new one"])
        assert otel_embed.summary().caches["InMemoryByteStore"].money.saved_usd == 0.0, "which is known"
        embedder.embed_documents([*TEXTS, "a new one"])
    summary = otel_embed.summary()
    assert summary.saved_tokens == usage.saved_tokens == billed
    assert round(summary.saved_usd * 1e12) == billed * PICODOLLARS[SMALL]
    assert (summary.cache_hits, summary.cache_misses) == (4 * len(TEXTS), len(TEXTS) + 4)
    failed = [
        span for span in telemetry.spans() if "otel_embed.cache.hits" in span.attributes and not span.status.is_ok
    ]
    assert len(failed) == 3 and not any("otel_embed.saved.tokens" in span.attributes for span in failed)


class FullStore(InMemoryByteStore):
    """It fails at its second write."""

    writes = 0

    def mset(self, pairs: Any) -> None:
        self.writes += 1
        if self.writes == 2:
            raise OSError("disk full")
        super().mset(pairs)


def test_what_texts_were_billed_is_not_learned_from_a_call_that_fails(
    telemetry: Telemetry, server: OpenAIServer
) -> None:
    texts = [f"number {number} of some texts that are alike" for number in range(10, 40)]
    embedder = cached(server, SMALL, FullStore(), batch_size=10)
    with pytest.raises(OSError, match="full"):
        embedder.embed_documents(texts)
    embedder.embed_documents(texts[10:])
    embedder.embed_documents(texts[10:])
    summary = otel_embed.summary()
    assert summary.saved_tokens == sum(billed_for(text) for text in texts[10:])


class Slow(Embeddings):
    """An embedder that takes its time."""

    fails = False

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        import time

        time.sleep(self.seconds * len(texts))
        if self.fails:
            raise TimeoutError
        return [[1.0]] * len(texts)

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class SlowStore(InMemoryByteStore):
    def mget(self, keys: Any) -> Any:
        import time

        time.sleep(0.002 * len(keys))
        return super().mget(keys)

    def mset(self, pairs: Any) -> None:
        import time

        time.sleep(0.004 * len(pairs))
        super().mset(pairs)


def test_the_time_of_lookups_and_writes_is_set_against_that_of_embedding(telemetry: Telemetry) -> None:
    embedder = CacheBackedEmbeddings.from_bytes_store(Slow(0.02), SlowStore(), key_encoder="sha256")
    embedder.embed_documents(["a", "b", "c", "d"])
    for _ in range(3):
        embedder.embed_documents(["a", "b", "c", "d"])
    embedder.underlying_embeddings.fails = True
    with pytest.raises(TimeoutError):
        embedder.embed_documents(["e"])
    time = otel_embed.summary().caches["SlowStore"].time
    assert (time.hits, time.misses, time.embedded) == (12, 5, 4), "how long a failure took says nothing"
    assert 0.032 <= time.lookup_seconds < 1 and 0.016 <= time.write_seconds < 1 and 0.08 <= time.embed_seconds < 2
    assert time.break_even is not None and 0 < time.break_even < 1
    assert time.saved_seconds is not None and time.saved_seconds > 0.05


class TestTime:
    def test_at_the_break_even_rate_nothing_is_gained_or_lost(self) -> None:
        time = Time(hits=25, misses=75, lookup_seconds=1.0, write_seconds=2.25, embed_seconds=7.5, embedded=75)
        assert time.break_even == pytest.approx((0.01 + 0.03) / (0.1 + 0.03))
        rate = time.break_even
        there = Time(hits=int(1e6 * rate), misses=int(1e6 * (1 - rate)), lookup_seconds=0.01 * 1e6,
                     write_seconds=0.03 * 1e6 * (1 - rate), embed_seconds=0.1 * 1e6 * (1 - rate),
                     embedded=int(1e6 * (1 - rate)))  # fmt: skip
        assert there.saved_seconds == pytest.approx(0, abs=1)

    def test_a_cache_that_is_slower_than_the_model_never_pays(self) -> None:
        time = Time(hits=50, misses=50, lookup_seconds=10.0, write_seconds=1.0, embed_seconds=1.0, embedded=50)
        assert time.break_even is not None and time.break_even > 1
        assert time.saved_seconds is not None and time.saved_seconds < 0

    def test_without_a_miss_nobody_knows(self) -> None:
        time = Time(hits=50, misses=0, lookup_seconds=1.0, write_seconds=0.0, embed_seconds=0.0, embedded=0)
        assert time.break_even is None and time.saved_seconds is None

    def test_what_is_not_known_is_not_nothing(self) -> None:
        assert Money(None, 1.0).without_usd is None and Money(None, 1.0).saved_ratio is None
        assert Money(1.0, None).without_usd is None and Money(1.0, None).saved_ratio is None
        assert Money(0.0, 0.0).saved_ratio is None and Money(0.0, 2.0).saved_ratio == 1


def test_every_report_says_it(telemetry: Telemetry, server: OpenAIServer, tmp_path: Path) -> None:
    embedder = cached(server, SMALL)
    for _ in range(4):
        embedder.embed_documents(TEXTS)
    path = tmp_path / "one.json"
    path.write_text(json.dumps(otel_embed.summary().document))
    summary = merge([load(path), load(path)])
    document = to_dict(summary)
    (row,) = document["caches"]
    billed = 2 * server.billed.tokens * PICODOLLARS[SMALL] / 1e12
    assert (row["paid_usd"], row["without_cache_usd"], row["saved_ratio"]) == pytest.approx((billed, 4 * billed, 0.75))
    assert document["cached_models"] == [
        {"model": SMALL, "paid_usd": billed, "without_cache_usd": pytest.approx(4 * billed),
         "saved_usd": pytest.approx(3 * billed), "saved_ratio": pytest.approx(0.75)}
    ]  # fmt: skip
    assert document["totals"]["with_and_without_cache"]["saved_ratio"] == pytest.approx(0.75)
    assert row["break_even_hit_rate"] > 0 and row["saved_seconds"] is not None
    path.write_text(json.dumps(document))
    assert to_dict(merge([load(path)])) == document
    shown = StringIO()
    report_text.write(summary, shown)
    for text in (shown.getvalue(), report_html.page(summary)):
        assert "With and without cache" in text and "75.0 %" in text and SMALL in text


def test_without_a_price_nothing_is_known_to_be_saved(
    telemetry: Telemetry, server: OpenAIServer, tmp_path: Path
) -> None:
    store = InMemoryByteStore()
    cached(server, "acme-embed-9", store).embed_documents(TEXTS)
    summary = otel_embed.summary()
    assert summary.cached_models["acme-embed-9"] == summary.caches["InMemoryByteStore"].money == Money(None, 0.0)
    path = tmp_path / "misses.json"
    path.write_text(json.dumps(otel_embed.summary().document))
    Telemetry().instrument()  # as a new process: it has seen nothing
    with otel_embed.attribute(tenant="acme"):
        cached(server, "acme-embed-9", store).embed_documents(TEXTS)
    summary = otel_embed.summary()
    unknown = Money(0.0, None)
    assert summary.cached_models["acme-embed-9"] == summary.caches["InMemoryByteStore"].money == unknown
    assert summary.cache_money == unknown and summary.attributed["tenant"]["acme"].saved_usd is None
    assert summary.saved_tokens > 0 and summary.saved_usd == 0
    hits = tmp_path / "hits.json"
    hits.write_text(json.dumps(summary.document))
    for files in ([hits], [hits, path], [path, hits]):
        merged = merge([load(file) for file in files])
        document = to_dict(merged)
        rows = [*document["caches"], *document["cached_models"], *document["attribution"], document["totals"]["cache"],
                document["totals"]["with_and_without_cache"]]  # fmt: skip
        assert [row["saved_usd"] for row in rows] == [None] * 5
        assert [row["without_cache_usd"] for row in rows if "without_cache_usd" in row] == [None] * 3
        hits_again = tmp_path / "again.json"
        hits_again.write_text(json.dumps(document))
        assert to_dict(merge([load(hits_again)])) == document
        shown = StringIO()
        report_text.write(merged, shown)
        for text in (shown.getvalue(), report_html.page(merged)):
            assert "price unknown" in text and "acme-embed-9" in text and "With and without cache" in text


def test_the_example_in_the_docs(
    telemetry: Telemetry, server: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = blocks((ROOT / "docs" / "cache_savings.md").read_text(), "python")

    def index_documents() -> None:
        embedder = cached(server, SMALL)
        embedder.embed_documents(TEXTS)
        embedder.embed_documents(TEXTS)

    exec(example, {"index_documents": index_documents})
    model, store = capsys.readouterr().out.splitlines()
    assert model.startswith(f"{SMALL} ") and model.endswith(" 0.5") and store.startswith("InMemoryByteStore ")
