"""What is said of our metrics to other systems is what is emitted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import otel_embed
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed import guard
from otel_embed.backends.naming import label, series
from otel_embed.backends.signals import SIGNALS
from otel_embed.gauges import gpu, stores
from otel_embed.report import names
from otel_embed.report.names import Instrument
from otel_embed.report.recorder import CallRecorder
from promql import wrong

KINDS = {
    "create_histogram": "histogram",
    "create_observable_counter": "counter",
    "create_observable_gauge": "gauge",
    "create_observable_up_down_counter": "updown",
    "create_counter": "counter",
    "create_up_down_counter": "updown",
    "create_gauge": "gauge",
}


class Listing(NoOpMeter):
    """A meter that keeps nothing but the kind of each instrument."""

    def __init__(self) -> None:
        super().__init__("listing")
        self.kinds: dict[str, str] = {}

    def __getattribute__(self, name: str) -> Any:
        create = super().__getattribute__(name)
        if name not in KINDS:
            return create

        def noted(instrument: str, *rest: Any, **more: Any) -> Any:
            self.kinds[instrument] = KINDS[name]
            return create(instrument, *rest, **more)

        return noted


def test_every_instrument_is_known_with_its_kind() -> None:
    meter = Listing()
    recorder = CallRecorder(meter)
    recorder._metrics.choose("both")
    gpu.observe(meter)
    stores.observe(meter)
    assert {signal.name: signal.kind for signal in SIGNALS} == meter.kinds


def test_every_name_of_a_metric_has_a_signal() -> None:
    instruments = {value for value in vars(names).values() if isinstance(value, Instrument)}
    assert {signal.instrument for signal in SIGNALS} == instruments


@pytest.fixture
def scraped(server: OpenAIServer) -> Iterator[dict[str, set[str]]]:
    """The series of one scrape and their labels, after calls of many kinds."""
    registry = CollectorRegistry()
    meters = MeterProvider(metric_readers=[PrometheusMetricReader(registry=registry)], shutdown_on_exit=False)
    guard.dropped.clear()
    otel_embed.uninstrument()
    stores.rows()  # what a test before this one looked at a moment ago
    otel_embed.instrument(meter_provider=meters, semconv="both", token_counting="estimate", alerts="on")
    try:
        alive = use(server)  # an export says how much the caches hold that are there
        text = generate_latest(registry).decode()
        del alive
    finally:
        otel_embed.uninstrument()
        set_llm_cache(None)
        meters.shutdown()
    families = text_string_to_metric_families(text)
    found: dict[str, set[str]] = {}
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, set()).update(name for name, value in sample.labels.items() if value)
    yield found


def use(server: OpenAIServer) -> object:
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=1) as client:
        client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
        client.embeddings.create(model="of-unknown-price", input=["one", "two"])
        server.script([Fault(status=429, retry_after=0.01), None, Fault(status=400)])
        client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(model="text-embedding-3-small", input="one")
    embedder = OpenAIEmbeddings(base_url=server.url, api_key="x", check_embedding_ctx_length=False)  # type: ignore[arg-type]
    cached = CacheBackedEmbeddings.from_bytes_store(embedder, InMemoryByteStore(), key_encoder="sha256")
    store = InMemoryVectorStore(cached)
    store.add_texts(["one", "two"])
    store.add_texts(["one", "three"])
    set_llm_cache(InMemoryCache())
    chat = ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key="x", max_retries=0, stream_usage=True)  # type: ignore[arg-type]
    for _ in range(2):
        chat.invoke("Is it so? It is so.")
    set_llm_cache(None)
    list(chat.stream("Is it so? It is so."))
    server.script([Fault(status=400)])
    with pytest.raises(openai.BadRequestError):
        chat.invoke("Is it so?")
    return store


def test_a_scrape_has_the_names_and_labels_that_are_known(scraped: dict[str, set[str]]) -> None:
    known = {
        series(signal, part): {label(name) for name in signal.attributes}
        for signal in SIGNALS
        for part in (("bucket", "sum", "count") if signal.kind == "histogram" else ("",))
    }
    ours = {
        name: {each for each in labels if not each.startswith("otel_scope_")} - {"le"}
        for name, labels in scraped.items()
        if name != "target_info" and not name.endswith("_created")
    }
    unknown = {name: labels - known.get(name, set()) for name, labels in ours.items()}
    assert {name: labels for name, labels in unknown.items() if labels or name not in known} == {}
    assert set(known) - set(ours) == {
        series(signal, part)
        for signal in SIGNALS
        for part in (("bucket", "sum", "count") if signal.kind == "histogram" else ("",))
        if signal.name.startswith(("hw.", "otel_embed.local", "otel_embed.model", "otel_embed.budget"))
        or signal.instrument in (names.PADDING, names.TRUNCATED, names.DROPPED, names.LOST, names.PENDING, names.FUSE)
    }, "which need a GPU, a model in this process, a budget, a failure of our own, a backend that is gone, an open call"


@pytest.mark.parametrize(
    ("instrument", "part", "scraped", "pushed"),
    [
        # what prometheus/otlptranslator's own rules give, worked out by hand
        (names.DURATION, "bucket", "gen_ai_client_embeddings_duration_seconds_bucket", None),
        (names.TOKENS, "sum", "gen_ai_client_embeddings_operation_input_tokens_sum", None),
        (names.SPEND, "", "otel_embed_cost_total", None),
        (names.STAGE_TIME, "", "otel_embed_stage_time_seconds_total", None),
        (names.OUTPUT_RATE, "count", "otel_embed_output_rate_per_second_count", None),
        (names.CACHE_SIZE, "", "otel_embed_cache_size_bytes", None),
        (names.PENDING, "", "otel_embed_inputs_pending", None),
        (names.GPU_MEMORY_USAGE, "", "hw_gpu_memory_usage_bytes", None),
        (names.GPU_UTILIZATION, "", "hw_gpu_utilization", "hw_gpu_utilization_ratio"),
    ],
)
def test_the_two_rules_of_naming(instrument: Instrument, part: Any, scraped: str, pushed: str | None) -> None:
    (signal,) = (signal for signal in SIGNALS if signal.instrument == instrument)
    assert (series(signal, part, "scraped"), series(signal, part, "pushed")) == (scraped, pushed or scraped)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("sum by (job) (otel_embed_cost_total)", 0),
        ("sum by (job) (otel_embed_costs_total)", 2),
        ('otel_embed_cost_total{otel_embed_stage="wait"}', 2),
        ("sum by (otel_embed_stage) (otel_embed_cost_total)", 2),
        ("hw_gpu_utilization", 1),
        ('{__name__=~"hw_gpu_utilization|hw_gpu_utilization_ratio"}', 0),
        ("otel_embed_cost_total * on (colour) otel_embed_cost_total", 2),
    ],
)
def test_the_gate_sees_what_is_wrong(expression: str, said: int) -> None:
    assert len(wrong(expression)) == said
