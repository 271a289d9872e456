"""With any function of ours failing, the application's results, exceptions and context are what they were.

Each function that runs in an application's call is broken in turn, by its code object, so that every reference to it is
to a broken one. A function that the application below does not come to is listed with the reason, or the test fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType, ModuleType
from typing import Any

import openai
import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.caches import InMemoryCache
from langchain_core.embeddings import Embeddings
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.documents import Document
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_openai.chat_models import _client_utils
from haystack.components.embedders import OpenAITextEmbedder
from haystack.utils import Secret
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.ingestion import IngestionCache
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.embeddings.openai import OpenAIEmbedding
from opentelemetry.context import get_current

import otel_embed
from breaking import REACHED, broken, functions
from conftest import Telemetry
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed import answers, endpoints, exchange, failure, guard, headers, observe, operations, runs, seen, stages, threads, timeline
from otel_embed.frameworks import (
    haystack,
    langchain,
    langchain_handler,
    langchain_runs,
    langchain_stores,
    llama_index,
)
from otel_embed.pricing import bill, chat, prices, recorded, tokens
from otel_embed.providers import openai as provider
from otel_embed.report import (
    attribution,
    budget,
    budget_sums,
    chat_sums,
    chat_totals,
    coexist,
    dimensions,
    exemplars,
    limits,
    log,
    metrics,
    overhead,
    pending,
    recorder,
    run_recorder,
    run_spans,
    slowest,
    spans,
    totals,
    track,
    work_totals,
)
from otel_embed.report import operations as report_of_operations
from otel_embed.report.budgets import accounts, alerts, periods, rules
from otel_embed.transports import body, httpx
from test_langchain_chat import OpenAI, Shelf, Thinking, double, fake

MODULES = [endpoints, exchange, failure, headers, observe, stages, threads, timeline, langchain, bill, prices, tokens,
           provider, budget, coexist, exemplars, limits, log, metrics, overhead, pending, recorder, slowest, spans, totals, track,
           body, httpx, answers, runs, langchain_handler, langchain_runs, chat, chat_sums, chat_totals, dimensions,
           run_recorder, run_spans, seen, operations, report_of_operations, langchain_stores, llama_index,
           haystack, work_totals, attribution, budget_sums, accounts, alerts, periods, rules, recorded]  # fmt: skip
MODEL = "text-embedding-3-small"
ODD = {"openai-processing-ms": "4.5"}
def functions_of(module: ModuleType, prefix: str) -> list[tuple[str, FunctionType]]:
    return [(name, function) for name, function in functions(module) if name.startswith(prefix)]


TRUSTED = {
    "the application runs through it, so with the wrappers it is what may not fail": {
        "_Watched.__iter__", "_Watched.__aiter__", "_Watched.close", "_Watched.aclose", "_Watched.__del__",
        "_Watched.__getattr__", "_SyncExchange.trace", "_AsyncExchange.trace", "_Carried.__call__",
        "stage.__enter__", "stage.__exit__", "stage.__init__", "track.__enter__", "track.__exit__", "track.__init__",
        "attribute.__enter__", "attribute.__exit__", "attribute.__init__", "_use",
        "TrackedUsage.__init__", "TrackedUsage.end", "TrackedUsage.__repr__", "TrackedUsage.seconds",
        "TrackedUsage.cost_usd",
    },
    "LangChain calls it, and logs what it raises; or it gives the context of a run back": {
        *(name for name, _ in functions_of(langchain_handler, "_Handler.")), "Runs.end", "Runs.chunk", "OpenRun.leave",
        "OpenRun._follow", "OpenRun._keep", "_reset",
    },
    "an abstract method": {
        "_Exchange.trace", "Recorder.save", "Recorder.finish", "Recorder.operations", "RunReports.begin",
        "RunReports.finish", "OperationReports.begin", "OperationReports.finish", "Tracks.add",
    },
}  # fmt: skip
ELSEWHERE = {
    "runs when otel_embed is switched on": {
        "_component", "_provider", "CallRecorder.__init__", "CallRecorder.configure", "CallSite.__init__", "Sizes.look_again",
        "StageSite.__init__", "LookupSite.__init__", "OperationSite.__init__", "OperationReport.__init__", "embedders",
        "llama_index._one", "llama_index._many", "llama_index._call", "_ingestion", "_classes", "RecordedTokens.__init__", "Budget.__init__", "Budget.configure", "CallRecorder._watch", "Budget.blocks", "Budget._watch", "budget._store", "Accounts.__init__",
        "Account.__init__", "Account._begin", "Alerts.__init__", "Alerts.clear", "Calendar.__init__", "Calendar.named",
        "rules.rules", "rules._from_file", "rules._rule", "rules._choice", "rules._picodollars", "Rule.keys",
        "Slowest.__init__", "Slowest.clear", "Totals.__init__",
        "Totals.clear", "PendingInputs.__init__", "RateLimits.__init__", "RateLimits.clear", "MetricReport.__init__",
        "MetricReport.choose", "MetricReport._observe", "MetricReport.counter", "MetricReport.gauge",
        "Observers.counter", "Observers.gauge", "MetricReport.queue", "MetricReport.rate_limits", "QualityReport.observe", "Overhead.observe", "budget_sums.observe", "histogram", "SpanReport.__init__", "LogReport.__init__",
        "Pricing.__init__", "Pricing.configured", "Prices.__init__", "Prices.load", "Prices._add", "TokenCounter.__init__",
        "_Send.__init__", "Calibration.__init__", "parsed", "_row", "_user_rows", "_warning", "Elsewhere.__init__",
        "read_document", "day", "_exact", "quoted", "named", "register", "_handler", "_handler_class", "Runs.__init__",
        "RunRecorder.__init__", "RunRecorder.configure", "RunSpans.__init__", "ChatTotals.__init__", "ChatTotals.clear",
        "Overhead.__init__", "Overhead.clear", "Overhead._begin", "Overhead.configure",
        "WorkTotals.__init__", "WorkTotals.clear",
        "AnswerCacheSite.__init__", "ChatPrices.__init__", "Attributions.__init__", "Attributions.read",
        "Attributions.reserve", "Attributions.switch_on", "Attributions.start_anew", "Attributing.__init__",
        "CallRecorder._attribute", "ChatPrices.load", "user_rows", "_amount", "Runs.clear",
    },
    "runs in a thread of ours, when metrics are collected, or for a command": {
        "Prices.rows", "Prices.explain", "ChatPrices.rows", "inspect", "locate", "prefetch", "_cache", "_download", "_keep",
        "CallRecorder.budget_left", "CallRecorder.budget_shares",
        "TokenCounter._fetched", "TokenCounter._load_later", "TokenCounter._load_guarded", "Elsewhere._pending",
        "Elsewhere._ask", "_from_genai_prices", "genai_name",
    },
    "runs in ``summary()``": {"Slowest.calls", "ChatTotals.components", "WorkTotals.rows"},
    "runs in a forked child": {"PendingInputs.clear", "CallRecorder.start_anew", "Budget.clear", "Accounts.clear", "Budget._finish_as_a_worker"},
    "runs when otel_embed is switched off": {"Budget.finish", "Alerts.finish"},
    "is of what has tests of its own": {
        "Budget.exceeded", "OpenCall.stop", "Accounts.blocked", "Accounts.passed", "Calendar.at", "Account.turn",
        "alerts.payload", "Budget._learn", "Calendar.period", "periods._ns",
        "OpenExchange.__init__", "OpenExchange.mark", "OpenExchange.answered", "OpenExchange.server", "OpenCall.exchange",
        "Exchange.__init__", "CallRecorder._finish_load", "Overhead._blow", "Pricing._unusual", "Pricing._with_media", "Prices.find_media", "_is_quick", "_condensed", "_add_work",
        "Pricing._as_sent", "OpenCall._leave", "OpenCall._ending",
        "_tell_work", "_padding", "_truncated", "WorkTotals.add_load", "_Loads.__init__",
        "failure.refused", "headers.number", "Pricing._prices_images", "_is_part",
        "Runs._abandon", "langchain_handler._same", "langchain_runs.is_content",
    },
}  # fmt: skip
class FansOut(Embeddings):
    """An embedder of the application's own, on threads, with a stage that it names itself."""

    def __init__(self, url: str) -> None:
        self.client = openai.OpenAI(base_url=url, api_key="x", max_retries=1)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        with otel_embed.stage("tokenize"), ThreadPoolExecutor(2) as pool:
            made = pool.map(lambda text: self.client.embeddings.create(model=MODEL, input=text, dimensions=4), texts)
            return [answer.data[0].embedding for answer in made]

    def embed_query(self, text: str) -> list[float]:
        return [float(len(text))]


def seen(call: Callable[[], Any]) -> Any:
    """A result, or an exception with its text."""
    try:
        result = call()
    except Exception as error:
        return type(error), str(error)
    return result.model_dump(warnings=False) if hasattr(result, "model_dump") else result


def application(server: OpenAIServer) -> list[object]:
    """What an application sees of calls of every kind."""
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=1) as client, otel_embed.track(), otel_embed.attribute(tenant="x"):
        create, streamed = client.embeddings.create, client.embeddings.with_streaming_response.create
        asked: dict[str, Any] = {"model": MODEL, "dimensions": 4}
        results = [seen(lambda: create(input=["one", "two"], **asked))]
        for fault in (Fault(status=400), Fault(status=429, retry_after=1e-3), Fault(usage="absent", headers=ODD)):
            server.script([fault])
            results.append(seen(lambda: create(input="three", encoding_format="base64", **asked)))
        server.script([Fault(drop="in body")])
        results.append(seen(lambda: client.with_options(max_retries=0).embeddings.create(input="four", **asked)))
        server.script([Fault(usage="zeros")])
        results.append(seen(lambda: create(input=[1, 2], **asked)))
        results.append(seen(lambda: client.embeddings.with_raw_response.create(input="raw", **asked).parse()))
        for read in ("parse", "read", "iter_bytes"):
            with streamed(input="streamed", **asked) as answer:
                body = getattr(answer, read)()
                results.append(b"".join(body) if read == "iter_bytes" else body if read == "read" else seen(lambda: body))
    return [*results, *framework(server), *chains(server), *asyncio.run(concurrently(server))]


def framework(server: OpenAIServer) -> Iterator[object]:
    embedder = OpenAIEmbeddings(model=MODEL, base_url=server.url, api_key="x", check_embedding_ctx_length=False, dimensions=4)
    store = InMemoryByteStore()
    cached = CacheBackedEmbeddings.from_bytes_store(embedder, store, namespace="n", key_encoder="sha256")
    yield cached.embed_documents(["one", "two"])
    yield cached.embed_documents(["one", "three"])
    yield cached.embed_documents(["one", "three"])
    yield cached.embed_query("q")
    store = InMemoryVectorStore(embedder)
    yield store.add_documents([Document("one", id="1"), Document("two", id="2")])
    yield [found.page_content for found in store.similarity_search("one", k=1)]
    yield from other_frameworks(server)
    own = FansOut(server.url)
    yield own.embed_documents(["four", "five"])
    yield own.embed_query("six")
    own.client.close()


def chains(server: OpenAIServer) -> Iterator[object]:
    """Chat models in chains, with a cache, a stream, a retriever, a failure and a completion model."""
    # LangChain keeps a client for each address, whose connections belong to a loop that is gone; ports come again.
    _client_utils._cached_async_httpx_client.cache_clear()
    model = ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key="x", max_retries=0, stream_usage=True)
    chain = ChatPromptTemplate.from_template("{x} is blue for a reason.\nWhy?") | model | StrOutputParser()
    set_llm_cache(InMemoryCache())
    try:
        with otel_embed.track():
            both = [chain.invoke({"x": "The sky"}) for _ in range(2)]
        yield both
        for _ in range(2):
            yield fake().generate([[HumanMessage("One?")], [HumanMessage("Two?")]]).generations[0][0].text
        yield list(chain.stream({"x": "The sea"}))
        yield asyncio.run(chain.ainvoke({"x": "The moon"}))
        yield [Shelf().invoke("q"), double.invoke({"number": 2})]
        completion = OpenAI()
        for _ in range(2):
            yield completion.invoke("a")
        yield completion.generate(["a", "b"]).generations
        list(Thinking(messages=iter([])).stream("x"))
        server.script([Fault(status=400)])
        yield seen(lambda: model.invoke("failing"))
    finally:
        set_llm_cache(None)


def other_frameworks(server: OpenAIServer) -> Iterator[object]:
    embedder = OpenAIEmbedding(
        model=MODEL, api_base=server.url, api_key="x", dimensions=4, embeddings_cache=SimpleKVStore()
    )
    yield embedder.get_text_embedding_batch(["one", "two"])
    yield embedder.get_text_embedding_batch(["one", "three"])
    yield embedder.get_query_embedding("one")
    mock = MockEmbedding(embed_dim=2, embeddings_cache=SimpleKVStore())
    yield mock.get_text_embedding_batch(["one"])
    yield mock.get_text_embedding_batch(["one", "two"])
    cache = IngestionCache()
    cache.put("key", [TextNode(text="one", id_="1", embedding=[0.5])])
    yield [node.text for node in cache.get("key")]
    key = Secret.from_token("x")
    yield OpenAITextEmbedder(model=MODEL, api_base_url=server.url, api_key=key, dimensions=4).run(text="one")


async def concurrently(server: OpenAIServer) -> list[object]:
    async with openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        create = client.embeddings.create
        made = await asyncio.gather(*[create(model=MODEL, input=f"task {n}", dimensions=4) for n in range(2)])
        async with client.embeddings.with_streaming_response.create(model=MODEL, input="s", dimensions=4) as answer:
            body = await answer.read()
        try:
            await asyncio.wait_for(create(model=MODEL, input="slow", extra_headers=Fault(header_delay=0.5).header), 0.05)
        except asyncio.TimeoutError as error:
            return [*[each.model_dump() for each in made], body, type(error)]
    raise AssertionError("the last call was too quick")


@pytest.fixture(scope="module")
def expected() -> Iterator[list[object]]:
    otel_embed.uninstrument()
    with OpenAIServer() as server:
        yield application(server)


NOT_BROKEN = set().union(*TRUSTED.values(), *ELSEWHERE.values())
EVERYWHERE = {f"{module.__name__.rpartition('.')[2]}.{name}": function
              for module in MODULES for name, function in functions(module)}  # fmt: skip
PLACES = {place: function for place, function in EVERYWHERE.items()
          if place not in NOT_BROKEN and place.partition(".")[2] not in NOT_BROKEN}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_the_application_never_notices(
    telemetry: Telemetry, server: OpenAIServer, expected: list[object], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry.instrument(stage_spans="always", daily_budget_usd=1e-9, log="json" if "json" in place else "text",
                         capture_content=True, token_counting="tiktoken", baggage_attributes=("team",))  # fmt: skip
    REACHED.clear()
    headers._plans.clear()
    guard.reraise = False
    function = PLACES[place]
    code = broken.__code__.replace(co_freevars=function.__code__.co_freevars)
    monkeypatch.setattr(function, "__code__", code)
    assert application(server) == expected
    assert not get_current(), "the application's context is what it was"
    telemetry.metrics()
    monkeypatch.undo()
    otel_embed.summary()
    assert REACHED, f"no call comes to {place}: let one do so, or list it with the reason"
    assert sum(guard.dropped.values()) >= 1, "what failed is counted"
