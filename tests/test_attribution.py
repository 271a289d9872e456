"""For whom a call was made: from baggage or from a block, on spans, metrics and in every report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from io import StringIO
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.documents import Document
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from opentelemetry import baggage, context

import otel_embed
from conftest import Telemetry
from documents import ROOT, blocks
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.cli import report_html, report_text
from otel_embed.cli.document import load, merge
from otel_embed.cli.report_json import to_dict
from otel_embed.config import Config
from otel_embed.report import attribution
from otel_embed.report.totals import OVERFLOW

MODEL = "text-embedding-3-small"
PICODOLLARS = 20_000


@contextmanager
def carrying(**items: str) -> Iterator[None]:
    """Baggage, as a web framework's instrumentation takes it from a request."""
    around = context.get_current()
    for key, value in items.items():
        around = baggage.set_baggage(key, value, around)
    token = context.attach(around)
    try:
        yield
    finally:
        context.detach(token)


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
def unused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that never said ``attribute``."""
    monkeypatch.setattr(attribution, "_used", False)


def ask(client: openai.OpenAI, text: str = "one two", **options: Any) -> Any:
    return client.embeddings.create(model=MODEL, input=text, dimensions=4, **options)


def test_only_the_keys_that_are_asked_for_are_copied(telemetry: Telemetry, client: openai.OpenAI) -> None:
    telemetry.instrument(baggage_attributes=("tenant", "team"))
    with carrying(tenant="acme", session="secret"):
        ask(client)
    (span,) = telemetry.spans()
    assert span.attributes["tenant"] == "acme"
    assert "session" not in span.attributes and "team" not in span.attributes
    points = telemetry.metrics()
    for name in ("otel_embed.cost", "otel_embed.inputs", "gen_ai.client.embeddings.duration",
                 "gen_ai.client.embeddings.operation.input_tokens"):  # fmt: skip
        (point,) = points[name]
        assert point.attributes["tenant"] == "acme" and "session" not in point.attributes, name
    assert all("tenant" not in point.attributes for point in points["otel_embed.stage.time"])


def test_without_the_setting_nothing_is_read(telemetry: Telemetry, client: openai.OpenAI, unused: None) -> None:
    telemetry.instrument()
    with carrying(tenant="acme"):
        ask(client)
    (span,) = telemetry.spans()
    assert "tenant" not in span.attributes
    recorder = otel_embed.instrumentor.EmbeddingInstrumentor().recorder
    assert not isinstance(recorder.begin, attribution.Attributing), "the hot path is what it was"
    assert otel_embed.summary().attributed == {}


def test_a_sampler_sees_for_whom_a_call_is(telemetry: Telemetry, client: openai.OpenAI) -> None:
    telemetry.instrument(baggage_attributes=("tenant",))
    begun: list[Any] = []

    class Begun:
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            begun.append(dict(span.attributes).get("tenant"))

        def on_end(self, span: Any) -> None: ...
        def _on_ending(self, span: Any) -> None: ...
        def shutdown(self) -> None: ...
        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    telemetry.tracers.add_span_processor(Begun())  # type: ignore[arg-type]
    with carrying(tenant="acme"):
        ask(client)
    assert begun == ["acme"]


def test_the_101st_value_is_others_and_the_sums_stay_whole(
    telemetry: Telemetry, server: OpenAIServer, client: openai.OpenAI
) -> None:
    telemetry.instrument(baggage_attributes=("tenant",), stage_spans="never")
    for number in range(105):
        with carrying(tenant=f"t{number}"):
            ask(client)
    with carrying(tenant="t3"):
        ask(client)
    points = {point.attributes["tenant"]: point.value for point in telemetry.metrics()["otel_embed.inputs"]}
    assert len(points) == 101 and points[OVERFLOW] == 5 and points["t3"] == 2
    tenants = otel_embed.summary().attributed["tenant"]
    assert sum(each.tokens for each in tenants.values()) == server.billed.tokens


def test_a_block_says_it_without_baggage_and_wins_over_it(
    telemetry: Telemetry, client: openai.OpenAI, unused: None
) -> None:
    telemetry.instrument(baggage_attributes=("tenant",))
    with otel_embed.attribute(tenant="acme", stage="ingest"):
        ask(client)
        with otel_embed.attribute(tenant="globex", job=7):
            ask(client)
        assert baggage.get_all() == {}, "it is not sent along with requests"
    with carrying(tenant="initech"), otel_embed.attribute(tenant="acme"):
        ask(client)
    ask(client)
    found = [{key: span.attributes.get(key) for key in ("tenant", "stage", "job")} for span in telemetry.spans()]
    assert found == [
        {"tenant": "acme", "stage": "ingest", "job": None},
        {"tenant": "globex", "stage": "ingest", "job": "7"},
        {"tenant": "acme", "stage": None, "job": None},
        {"tenant": None, "stage": None, "job": None},
    ]
    calls = {value: each.calls for value, each in otel_embed.summary().attributed["tenant"].items()}
    assert calls == {"acme": 2, "globex": 1, "_none": 1}


@pytest.mark.parametrize("where", [Context, copy_context], ids=["elsewhere", "in a copy"])
def test_a_block_in_a_generator_may_end_in_another_context(
    where: Callable[[], Context], caplog: pytest.LogCaptureFixture
) -> None:
    def ingest() -> Iterator[None]:
        with otel_embed.attribute(tenant="acme"), otel_embed.track():
            yield

    def work() -> None:
        before = context.get_current()
        ingesting: Any = ingest()
        next(ingesting)
        within = where()
        around = within.run(context.get_current)
        within.run(ingesting.close)
        assert within.run(context.get_current) == (before if around is context.get_current() else around)

    copy_context().run(work)
    assert caplog.records == []


def test_a_name_that_has_a_meaning_already_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gen_ai\."):
        otel_embed.attribute(**{"gen_ai.system": "x"})
    warnings: list[str] = []
    environ = {"OTEL_EMBED_BAGGAGE_ATTRIBUTES": "tenant, otel_embed.x,,Team,tenant"}
    config = Config.from_environment(warnings.append, environ)
    assert config.baggage_attributes == ("tenant", "Team")
    (warning,) = warnings
    assert "OTEL_EMBED_BAGGAGE_ATTRIBUTES" in warning and "otel_embed.x" in warning and "names of your own" in warning


def test_tasks_at_once_are_each_their_own_tenants(telemetry: Telemetry, server: OpenAIServer) -> None:
    telemetry.instrument(baggage_attributes=("tenant",))

    async def serve(client: openai.AsyncOpenAI, tenant: str) -> None:
        with carrying(tenant=tenant):
            for _ in range(3):
                await client.embeddings.create(model=MODEL, input="one", dimensions=4)

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x") as client:
            await asyncio.gather(*[serve(client, f"t{number}") for number in range(5)])

    asyncio.run(main())
    tenants = otel_embed.summary().attributed["tenant"]
    assert {value: (each.calls, each.tokens) for value, each in tenants.items()} == {f"t{n}": (3, 3) for n in range(5)}


def test_caches_chat_models_stores_and_failures_have_it_too(telemetry: Telemetry, server: OpenAIServer) -> None:
    telemetry.instrument(baggage_attributes=("tenant",))
    embedder = OpenAIEmbeddings(
        model=MODEL, base_url=server.url, api_key="x", dimensions=4, check_embedding_ctx_length=False, max_retries=0
    )
    cached = CacheBackedEmbeddings.from_bytes_store(embedder, InMemoryByteStore(), namespace="n", key_encoder="sha256")
    chat = ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key="x", max_retries=0)
    with carrying(tenant="acme"):
        cached.embed_documents(["one two", "three"])
        cached.embed_documents(["one two", "three"])
        chat.invoke("one")
        InMemoryVectorStore(embedder).add_documents([Document("one", id="1")])
        server.script([Fault(status=400)])
        with pytest.raises(openai.BadRequestError):
            embedder.embed_query("x")
    spans = [span for span in telemetry.spans() if not span.name.startswith("embeddings.")]
    assert all(span.attributes["tenant"] == "acme" for span in spans)
    points = telemetry.metrics()
    for name in ("otel_embed.cache.lookups", "otel_embed.saved.tokens", "otel_embed.saved.cost", "otel_embed.errors",
                 "otel_embed.framework.duration", "gen_ai.client.operation.duration",
                 "gen_ai.client.token.usage"):  # fmt: skip
        assert points[name] and all(point.attributes["tenant"] == "acme" for point in points[name]), name
    each = otel_embed.summary().attributed["tenant"]["acme"]
    assert (each.calls, each.failed, each.chat_calls, each.cache_hits, each.cache_misses) == (3, 1, 1, 2, 2)
    assert each.picodollars == round(1e12 * sum(span.attributes.get("otel_embed.cost.usd", 0) for span in spans))


def test_every_report_says_it(telemetry: Telemetry, client: openai.OpenAI, tmp_path: Path) -> None:
    telemetry.instrument(baggage_attributes=("tenant",))
    for tenant, calls in (("acme", 3), ("globex", 1), ("dear <b>", 5)):
        with carrying(tenant=tenant):
            for _ in range(calls):
                ask(client)
    path = tmp_path / "one.json"
    path.write_text(json.dumps(otel_embed.summary().document))
    summary = merge([load(path), load(path)])
    document = to_dict(summary)["attribution"]
    assert [(row["attribute"], row["value"], row["calls"], row["tokens"], row["cost_usd"]) for row in document] == [
        ("tenant", "dear <b>", 10, 20, 10 * 2 * PICODOLLARS / 1e12),
        ("tenant", "acme", 6, 12, 6 * 2 * PICODOLLARS / 1e12),
        ("tenant", "globex", 2, 4, 2 * 2 * PICODOLLARS / 1e12),
    ]
    shown = StringIO()
    report_text.write(summary, shown)
    assert "Cost by attribute" in shown.getvalue() and "tenant acme" in shown.getvalue()
    page = report_html.page(summary)
    assert "Cost by attribute" in page and "dear &lt;b&gt;" in page


def test_a_value_is_cut_and_an_odd_one_harms_nothing(telemetry: Telemetry, client: openai.OpenAI) -> None:
    telemetry.instrument(baggage_attributes=("tenant",))
    odd: Any = {"no": "text"}
    for value in ("x" * 1000, "", odd):
        with carrying(tenant=value):
            ask(client)
    first, empty, other = telemetry.spans()
    assert first.attributes["tenant"] == "x" * 128 and "tenant" not in empty.attributes
    assert other.attributes["tenant"] == "{'no': 'text'}"


def test_the_example_in_the_docs(
    telemetry: Telemetry, client: openai.OpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = blocks((ROOT / "docs" / "attribution.md").read_text(), "python")
    exec(example, {"answer_question": lambda: ask(client)})
    assert float(capsys.readouterr().out) == 2 * PICODOLLARS / 1e12
