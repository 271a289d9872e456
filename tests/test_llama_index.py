"""LlamaIndex's embedders, of whichever line is installed, over the real openai client, with and without a cache."""

from __future__ import annotations

import inspect
import io
import pickle
from collections.abc import Coroutine, Iterable
from typing import Any

import openai
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.schema import TextNode, TransformComponent
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.embeddings.openai import OpenAIEmbedding

import otel_embed
from conftest import Telemetry, run
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.report.cache_worth import Money
from spans import told

SMALL = "text-embedding-3-small"
FIELDS: dict[str, Any] = getattr(BaseEmbedding, "model_fields", None) or BaseEmbedding.__fields__
caches = pytest.mark.skipif("embeddings_cache" not in FIELDS, reason="this line's embedders have no cache")
METHODS: list[tuple[str, Any, int]] = [
    ("get_query_embedding", "one two", 1),
    ("get_text_embedding", "one two", 1),
    ("get_text_embedding_batch", ["one two", "three"], 2),
]


def embedder(server: OpenAIServer, **options: Any) -> OpenAIEmbedding:
    return OpenAIEmbedding(model=SMALL, api_base=server.url, api_key="x", **options)


def call(it: BaseEmbedding, method: str, content: Any, asynchronous: bool) -> Any:
    return run(getattr(it, f"a{method}")(content)) if asynchronous else getattr(it, method)(content)


async def in_turn(calls: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """In one loop, as one client wants it."""
    for one in calls:
        await one


def tree(telemetry: Telemetry) -> dict[str, list[str]]:
    """The names of spans by the name of the span around them."""
    names = {span.context.span_id: span.name for span in telemetry.spans()}
    found: dict[str, list[str]] = {}
    for span in telemetry.spans():
        found.setdefault(names[span.parent.span_id] if span.parent else "", []).append(span.name)
    return found


class Handmade(BaseEmbedding):
    """An embedder of the application's own."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(len(text))] * 3

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("method", "content", "inputs"), METHODS)
def test_a_call_is_the_parent_of_the_clients_and_leaves_tokens_to_it(
    telemetry: Telemetry, server: OpenAIServer, method: str, content: Any, inputs: int, asynchronous: bool
) -> None:
    vectors = call(embedder(server), method, content, asynchronous)
    otel_embed.uninstrument()
    assert call(embedder(server), method, content, asynchronous) == vectors
    name = f"{'a' * asynchronous}{method} OpenAIEmbedding"
    assert tree(telemetry) == {"": [name], name: [f"embeddings {SMALL}"]}
    (whole,), (leaf,) = telemetry.spans(name), telemetry.spans(f"embeddings {SMALL}")
    assert whole.kind.name == "INTERNAL" and whole.status.status_code.name == "UNSET"
    assert told(whole) == {"otel_embed.framework": "llama_index", "otel_embed.input.count": inputs}
    assert leaf.attributes["gen_ai.request.model"] == SMALL
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens / 2
    assert telemetry.total("otel_embed.framework.duration", otel_embed__framework__class="OpenAIEmbedding") > 0
    assert telemetry.total("otel_embed.inputs") == inputs


def test_batches_are_one_call_and_a_client_call_each(telemetry: Telemetry, server: OpenAIServer) -> None:
    it = embedder(server, embed_batch_size=2)
    it.get_text_embedding_batch(["a", "b", "c"])
    run(it.aget_text_embedding_batch(["a", "b", "c"]))
    assert {name: len(spans) for name, spans in tree(telemetry).items()} == {
        "": 2, "get_text_embedding_batch OpenAIEmbedding": 2, "aget_text_embedding_batch OpenAIEmbedding": 2,
    }  # fmt: skip
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 6
    assert telemetry.total("otel_embed.cost") == 6 * 20_000 / 1e12


def test_an_embedder_of_ones_own_is_seen_and_its_tokens_are_an_estimate(telemetry: Telemetry) -> None:
    it = Handmade(model_name="mine")
    assert it.get_text_embedding_batch(["12345678", "1234"]) == [[8.0] * 3, [4.0] * 3]
    (span,) = telemetry.spans()
    assert span.name == "get_text_embedding_batch Handmade"
    assert told(span) == {
        "otel_embed.framework": "llama_index",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "llama_index",
        "gen_ai.request.model": "mine",
        "gen_ai.embeddings.dimension.count": 3,
        "gen_ai.usage.input_tokens": 3,
        "otel_embed.input.count": 2,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "estimated",
    }


def test_methods_that_a_class_overrides_are_seen_once(telemetry: Telemetry) -> None:
    class Overriding(Handmade):
        def get_text_embedding_batch(self, texts: list[str], show_progress: bool = False, **options: Any) -> Any:
            return [self.get_text_embedding(text) for text in texts] + super().get_text_embedding_batch([])

    assert Overriding().get_text_embedding_batch(["a", "b"]) == [[1.0] * 3] * 2
    assert Overriding().get_agg_embedding_from_queries(["a", "bb"]) == [1.5] * 3
    assert [span.name for span in telemetry.spans()] == [
        "get_text_embedding_batch Overriding", "get_query_embedding Overriding", "get_query_embedding Overriding",
    ]  # fmt: skip
    assert "gen_ai.request.model" not in telemetry.spans()[0].attributes, "'unknown' is no model"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_images_are_seen(telemetry: Telemetry, asynchronous: bool) -> None:
    class Images(Handmade, MultiModalEmbedding):
        def _get_image_embedding(self, img_file_path: Any) -> list[float]:
            return [0.5] * 4

        async def _aget_image_embedding(self, img_file_path: Any) -> list[float]:
            return [0.5] * 4

    call(Images(), "get_image_embedding_batch", ["a.png", io.BytesIO(b"x")], asynchronous)
    call(Images(), "get_image_embedding", "a.png", asynchronous)
    batch, one = telemetry.spans()
    assert [span.attributes["otel_embed.input.count"] for span in (batch, one)] == [2, 1]
    assert batch.attributes["otel_embed.input.kind"] == "image"
    assert "gen_ai.usage.input_tokens" not in batch.attributes


def test_a_failing_embedder_fails_as_without_us(telemetry: Telemetry) -> None:
    class Failing(Handmade):
        def _get_text_embedding(self, text: str) -> list[float]:
            raise LookupError(text)

    with pytest.raises(LookupError, match="secret"):
        Failing().get_text_embedding("secret")
    (span,) = telemetry.spans("get_text_embedding Failing")
    assert span.attributes["error.type"] == "LookupError"
    assert "secret" not in str(dict(span.attributes)) and not span.events


@pytest.mark.skipif(
    not hasattr(OpenAIEmbedding, "_create_retry_decorator"), reason="this line waits for seconds and tries six times"
)
def test_a_clients_failure_passes_through(telemetry: Telemetry, server: OpenAIServer) -> None:
    server.script([Fault(status=401)])
    with pytest.raises(openai.AuthenticationError):
        embedder(server, max_retries=0).get_text_embedding("secret")
    (whole,) = telemetry.spans("get_text_embedding OpenAIEmbedding")
    assert whole.status.status_code.name == "ERROR" and whole.status.description is None
    assert (whole.attributes["error.type"], whole.attributes["otel_embed.error.cause"]) == ("401", "authentication")
    assert telemetry.total("otel_embed.errors") == 1


def test_methods_stay_what_they_were(telemetry: Telemetry) -> None:
    observed = BaseEmbedding.get_text_embedding
    assert pickle.loads(pickle.dumps(Handmade())).get_text_embedding("abc") == [3.0] * 3
    assert list(inspect.signature(observed).parameters) == ["self", "text"]
    assert inspect.iscoroutinefunction(inspect.unwrap(BaseEmbedding.aget_text_embedding))
    otel_embed.uninstrument()
    assert BaseEmbedding.get_text_embedding is not observed
    telemetry.exporter.clear()
    Handmade().get_text_embedding("abc")
    assert telemetry.spans() == []


@caches
@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_embedders_cache_counts_hits_and_misses_by_input(
    telemetry: Telemetry, server: OpenAIServer, asynchronous: bool
) -> None:
    it = embedder(server, embeddings_cache=SimpleKVStore())
    asked: list[tuple[str, Any]] = [
        ("get_text_embedding_batch", ["one two", "three"]),
        ("get_text_embedding_batch", ["one two", "three", "four"]),
        ("get_text_embedding_batch", ["four"]),
        ("get_query_embedding", "four"),
    ]
    if asynchronous:
        run(in_turn(getattr(it, f"a{method}")(content) for method, content in asked))
    else:
        [getattr(it, method)(content) for method, content in asked]
    lookups = {
        outcome: telemetry.total("otel_embed.cache.lookups", otel_embed__cache__outcome=outcome)
        for outcome in ("hit", "miss")
    }
    assert lookups == {"hit": 4, "miss": 3}
    first, partial, full, query = [span for span in telemetry.spans() if span.name.endswith("OpenAIEmbedding")]
    assert told(partial) == {
        "otel_embed.framework": "llama_index",
        "otel_embed.input.count": 3,
        "otel_embed.cache.store": "SimpleKVStore",
        "otel_embed.cache.hits": 2,
        "otel_embed.cache.misses": 1,
        "otel_embed.saved.tokens": 3,
        "otel_embed.saved.usd": 6e-08,
    }
    assert "otel_embed.saved.tokens" not in first.attributes
    assert [span.attributes["otel_embed.cache.hits"] for span in (full, query)] == [1, 1]
    assert type(query.attributes["otel_embed.cache.hits"]) is type(query.attributes["otel_embed.cache.misses"]) is int
    assert {"otel_embed.stage.cache_lookup.duration", "otel_embed.stage.cache_write.duration"} <= set(first.attributes)
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 4
    for outcome, calls in {"miss": 1, "partial": 1, "hit": 2}.items():
        (point,) = [
            point
            for point in telemetry.metrics()["otel_embed.framework.duration"]
            if point.attributes["otel_embed.cache.outcome"] == outcome
        ]
        assert point.count == calls


@caches
def test_behind_a_cache_an_embedder_of_ones_own_is_counted_by_its_misses(telemetry: Telemetry) -> None:
    it = Handmade(model_name="mine", embeddings_cache=SimpleKVStore())
    with otel_embed.track() as usage:
        it.get_text_embedding_batch(["12345678", "1234"])
        it.get_text_embedding_batch(["12345678", "1234", "1234567890ab"])
        it.get_text_embedding_batch(["1234"])
    tokens = [span.attributes.get("gen_ai.usage.input_tokens") for span in telemetry.spans()]
    assert tokens == [3, 3, None], "eight and four characters; then twelve that the cache did not know; then none"
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == usage.tokens == 6
    assert telemetry.total("otel_embed.inputs") == usage.inputs == otel_embed.summary().inputs == 3
    assert (usage.cache_hits, usage.cache_misses, usage.saved_tokens) == (3, 3, 4)
    assert otel_embed.summary().caches["SimpleKVStore"].money == Money(None, None), "nobody knows what they cost"


@caches
def test_a_budget_does_not_stop_one_that_has_a_cache(telemetry: Telemetry) -> None:
    """Nothing that could be stopped lies between the cache, which may know the answer, and its work."""

    class Own(Handmade):
        """Billed, as far as its class tells."""

    Own.__module__ = "llama_index.embeddings.openai.own"
    telemetry.instrument(daily_budget_usd=1e-9, budget_action="block")
    it = Own(model_name=SMALL, embeddings_cache=SimpleKVStore())
    assert [it.get_text_embedding(text)[0] for text in ("four", "four", "other")] == [4.0, 4.0, 5.0]
    assert otel_embed.summary().cost_usd > 1e-9
    alone = Own(model_name=SMALL)
    alone.get_text_embedding("four")
    with pytest.raises(otel_embed.BudgetExceeded):
        alone.get_text_embedding("four")


def _stage_times(telemetry: Telemetry) -> tuple[float, float]:
    """The seconds of stages at the framework's level, and at that of providers."""
    levels = [0.0, 0.0]
    for point in telemetry.metrics().get("otel_embed.stage.time", ()):
        levels["gen_ai.provider.name" in point.attributes] += point.value
    return levels[0], levels[1]


@caches
def test_the_time_of_its_stages_never_goes_down(telemetry: Telemetry) -> None:
    """What a cache answers takes time in the framework, and none of a provider's; what was counted stays."""
    it, whole, leaves = Handmade(embeddings_cache=SimpleKVStore()), 0.0, 0.0
    for tenant, text in (("acme", "a"), ("acme", "b"), ("other", "c"), ("acme", "a"), ("other", "a"), ("acme", "d")):
        telemetry.exporter.clear()
        with otel_embed.attribute(tenant=tenant):
            it.get_text_embedding(text)
        (span,) = telemetry.spans()
        seconds = (span.end_time - span.start_time) / 1e9
        whole += seconds
        leaves += seconds if span.attributes["otel_embed.cache.misses"] else 0
        assert _stage_times(telemetry) == pytest.approx((whole, leaves), abs=1e-6)


@caches
def test_another_store_is_not_the_embedders_cache(telemetry: Telemetry) -> None:
    other = SimpleKVStore()

    class Looking(Handmade):
        def _get_text_embedding(self, text: str) -> list[float]:
            return [1.0] if other.get("x") is None else [2.0]

    Looking().get_text_embedding("a")
    other.get("x")
    assert telemetry.total("otel_embed.cache.lookups") == 0


class Upper(TransformComponent):
    def __call__(self, nodes: Any, **options: Any) -> Any:
        return [TextNode(text=node.text.upper(), id_=node.id_) for node in nodes]


def test_a_cache_of_ingestion_counts_the_nodes_whose_embeddings_it_gives_back(
    telemetry: Telemetry, server: OpenAIServer
) -> None:
    pipeline = IngestionPipeline(transformations=[Upper(), embedder(server)], cache=IngestionCache())
    nodes = [TextNode(text=text, id_=text) for text in ("one two", "three")]
    first = pipeline.run(nodes=nodes)
    assert [node.embedding for node in pipeline.run(nodes=nodes)] == [node.embedding for node in first]
    roots = [span for span in telemetry.spans() if span.parent is None]
    names = ("hits", "misses")
    assert [(span.name, *[span.attributes.get(f"otel_embed.cache.{name}") for name in names]) for span in roots] == [
        ("get IngestionCache", None, None),
        ("put IngestionCache", None, None),  # of Upper, which embeds nothing
        ("get IngestionCache", None, None),
        ("get_text_embedding_batch OpenAIEmbedding", None, None),
        ("put IngestionCache", 0, 2),
        ("get IngestionCache", None, None),
        ("get IngestionCache", 2, 0),
    ]
    assert told(roots[-1]) == {
        "otel_embed.framework": "llama_index",
        "otel_embed.cache.store": "IngestionCache",
        "otel_embed.cache.hits": 2,
        "otel_embed.cache.misses": 0,
        "otel_embed.saved.tokens": 3,
    }
    assert roots[-1].attributes["otel_embed.stage.cache_lookup.duration"] > 0
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 3
