"""LangChain's chains and chat models, of any line: spans, metrics, cost, and a context that is given back."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from types import ModuleType
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseLLM, FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation, LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableBranch, RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langchain_openai import OpenAI as Completions
from opentelemetry import context
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

import otel_embed
from conftest import Telemetry
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from fakes.server import FakeServer, Received
from otel_embed import guard, runs
from otel_embed.demo.server import Answer, Latency
from otel_embed.instrumentor import EmbeddingInstrumentor

QUESTION = "The sky is blue because air scatters light. Grass is green.\nWhy is the sky blue?"
ANSWER = "The sky is blue because air scatters light."
USAGE: Any = {"input_tokens": 30, "output_tokens": 8, "total_tokens": 38}
NEW = metadata.version("langchain-core") != "0.3.0"
IN, OUT = 0.15e-6, 0.6e-6


def model(server: OpenAIServer, **options: Any) -> ChatOpenAI:
    settings = {"model": "gpt-4o-mini", "base_url": server.url, "api_key": "x", "max_retries": 0, **options}
    return ChatOpenAI(**settings)


def fake(*answers: AIMessage) -> GenericFakeChatModel:
    said = answers or [AIMessage("hello there", usage_metadata=USAGE) for _ in range(20)]
    return GenericFakeChatModel(messages=iter(said))


def chain(middle: Callable[[Any], Any] = lambda asked: asked) -> Any:
    prompt = ChatPromptTemplate.from_template("Say {x}")
    return prompt | RunnableLambda(middle).with_config(run_name="middle") | fake() | StrOutputParser()


def tree(spans: list[ReadableSpan]) -> list[str]:
    """Names by start, indented by depth."""
    by_id = {span.context.span_id: span for span in spans}

    def depth(span: ReadableSpan) -> int:
        return 1 + depth(by_id[span.parent.span_id]) if span.parent and span.parent.span_id in by_id else 0

    return ["  " * depth(span) + span.name for span in sorted(spans, key=lambda span: span.start_time)]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No test leaves anything current, nor a run open."""
    assert not context.get_current()
    yield
    assert not context.get_current()
    recorder = EmbeddingInstrumentor().recorder
    assert recorder is not None
    assert recorder.runs._open == {}


WHOLE = [
    "invoke RunnableSequence",
    "  invoke ChatPromptTemplate",
    "  invoke middle",
    "    mine",
    "  chat",
    "  invoke StrOutputParser",
]


def ways() -> dict[str, Callable[[Any], Any]]:
    async def ainvoke(chain: Any) -> None:
        await chain.ainvoke({"x": 1})
        assert not context.get_current()

    async def astream(chain: Any) -> None:
        async for _ in chain.astream({"x": 1}):
            assert not context.get_current()
        assert not context.get_current()

    def stream(chain: Any) -> None:
        for _ in chain.stream({"x": 1}):
            assert not context.get_current()

    return {
        "invoke": lambda chain: chain.invoke({"x": 1}),
        "stream": stream,
        "ainvoke": lambda chain: asyncio.run(ainvoke(chain)),
        "astream": lambda chain: asyncio.run(astream(chain)),
    }


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
def test_runs_nest_as_they_ran_and_what_happens_inside_is_theirs(way: str, telemetry: Telemetry) -> None:
    tracer = telemetry.tracers.get_tracer("the application's")

    def middle(asked: Any) -> Any:
        tracer.start_span("mine").end()
        return asked

    ways()[way](chain(middle))
    spans = telemetry.spans()
    assert tree(spans) == WHOLE
    assert {span.name: span.kind for span in spans} == {
        name.strip(): SpanKind.CLIENT if name.strip() == "chat" else SpanKind.INTERNAL for name in WHOLE
    }


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_batch_is_one_tree_for_each_input(asynchronous: bool, telemetry: Telemetry) -> None:
    tracer = telemetry.tracers.get_tracer("the application's")

    def middle(asked: Any) -> Any:
        tracer.start_span("mine").end()
        return asked

    async def abatch() -> None:
        await chain(middle).abatch([{"x": n} for n in range(5)])
        assert not context.get_current()

    if asynchronous:
        asyncio.run(abatch())
    else:
        chain(middle).batch([{"x": n} for n in range(5)])
    spans = telemetry.spans()
    roots = [span for span in spans if span.parent is None]
    assert len(roots) == 5
    for root in roots:
        assert sorted(tree([s for s in spans if s.context.trace_id == root.context.trace_id])) == sorted(WHOLE)


def test_runs_are_inside_the_applications_own_span_and_of_its_threads(telemetry: Telemetry) -> None:
    tracer = telemetry.tracers.get_tracer("the application's")
    asked = chain()
    with tracer.start_as_current_span("request") as request, ThreadPoolExecutor(4) as pool:
        asked.invoke({"x": 1})
        assert get_current_span() is request
        list(pool.map(lambda n: chain().invoke({"x": n}), range(8)))
    roots = [span for span in telemetry.spans("invoke RunnableSequence") if span.parent is None]
    assert len(roots) == 8
    assert tree(telemetry.spans())[:2] == ["request", "  invoke RunnableSequence"]


def test_many_calls_at_once_in_one_loop_never_mix(telemetry: Telemetry) -> None:
    async def one(n: int) -> None:
        with telemetry.tracers.get_tracer("t").start_as_current_span(f"request {n}") as span:
            await chain().ainvoke({"x": n})
            assert get_current_span() is span
            async for _ in chain().astream({"x": n}):
                assert get_current_span() is span

    async def all_of_them() -> None:
        await asyncio.gather(*[one(n) for n in range(10)])

    asyncio.run(all_of_them())
    spans = telemetry.spans()
    for n in range(10):
        (request,) = telemetry.spans(f"request {n}")
        mine = [span for span in spans if span.context.trace_id == request.context.trace_id]
        assert [name for name in tree(mine) if name.count("  ") < 2] == [
            f"request {n}", "  invoke RunnableSequence", "  invoke RunnableSequence",
        ]  # fmt: skip


@pytest.mark.parametrize("keep", [False, True])
def test_a_stream_that_is_abandoned_leaves_nothing_current(keep: bool, telemetry: Telemetry) -> None:
    stream = chain().stream({"x": 1})
    next(stream)
    assert not context.get_current()
    if not keep:
        stream.close()
    del stream
    gc.collect()
    assert sorted(tree(telemetry.spans())) == sorted(name for name in WHOLE if "mine" not in name)
    stream = fake().stream("x")
    next(stream)
    stream.close()
    assert telemetry.spans("chat")[-1].attributes["otel_embed.error.cause"] == "cancelled"


def test_a_branch_that_streams_in_the_applications_own_context_shows_it_nothing(telemetry: Telemetry) -> None:
    branch = RunnableBranch((lambda x: True, chain()), chain())
    seen = [dict(context.get_current()) for _ in branch.stream({"x": 1})]
    assert len(seen) > 1 and not any(seen)
    branch.invoke({"x": 1})


def test_a_stream_inside_a_run_is_given_up_with_that_run(telemetry: Telemetry) -> None:
    kept = []

    class Retriever(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            stream = chain().stream({"x": query}, {"callbacks": run_manager.get_child()})
            next(stream)
            kept.append(stream)
            return []

    Retriever().invoke("q")
    assert not context.get_current()
    (RunnableLambda(lambda x: x) | Retriever()).invoke("q")
    assert not context.get_current()
    for stream in kept:
        stream.close()


def test_a_task_that_outlives_its_run_leaves_no_trace_of_it(telemetry: Telemetry) -> None:
    tasks = []

    async def later() -> None:
        await asyncio.sleep(0.02)
        await chain().ainvoke({"x": 1})

    async def middle(asked: Any) -> Any:
        tasks.append(asyncio.create_task(later()))
        return asked

    async def whole() -> None:
        await chain(middle).ainvoke({"x": 1})
        assert not context.get_current()
        await asyncio.gather(*tasks)
        assert not context.get_current()

    asyncio.run(whole())
    assert len(telemetry.spans("invoke RunnableSequence")) == 2


@pytest.mark.parametrize("asynchronous", [False, True])
def test_several_prompts_of_one_call_are_siblings(asynchronous: bool, telemetry: Telemetry) -> None:
    prompts = [[HumanMessage("a")], [HumanMessage("b")]]
    if asynchronous:
        asyncio.run(fake().agenerate(prompts))
    else:
        fake().generate(prompts)
    assert tree(telemetry.spans()) == ["chat", "chat"]
    assert telemetry.total("gen_ai.client.token.usage", gen_ai__token__type="input") == 60


def test_parallel_branches_overlap_and_own_time_is_what_no_run_inside_took(telemetry: Telemetry) -> None:
    import time

    def slow(x: Any) -> Any:
        time.sleep(0.1)
        return x

    a, b = (RunnableLambda(slow).with_config(run_name=name) for name in "ab")
    RunnableParallel(a=a, b=b).invoke(1)
    recorder = EmbeddingInstrumentor().recorder
    assert recorder is not None
    found = {each.name: each for each in recorder.chat.components()}
    assert set(found) == {"RunnableParallel<a,b>", "a", "b"}
    whole = found["RunnableParallel<a,b>"]
    assert 0.1 <= whole.latency.sum < 0.19
    assert whole.own_ns / 1e9 < 0.08
    assert found["a"].own_ns / 1e9 == pytest.approx(found["a"].latency.sum)


class Lengths(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [float(len(text))]


class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        Lengths().embed_query(query)
        return [Document(query)]


@tool
def double(number: int) -> int:
    """Twice a number."""
    if number < 0:
        raise ValueError("a secret of the application's")
    return 2 * number


def test_retrievers_and_tools_have_spans_of_their_own(telemetry: Telemetry) -> None:
    Shelf().invoke("q")
    double.invoke({"number": 2})
    asyncio.run(Shelf().ainvoke("q"))
    asyncio.run(double.ainvoke({"number": 2}))
    with pytest.raises(ValueError, match="secret"):
        double.invoke({"number": -1})
    names = tree(telemetry.spans())
    assert names == [
        "retrieval Shelf", "  embed_query Lengths", "execute_tool double",
        "retrieval Shelf", "  embed_query Lengths", "execute_tool double", "execute_tool double",
    ]  # fmt: skip
    assert dict(telemetry.spans("retrieval Shelf")[0].attributes) == {
        "otel_embed.framework": "langchain",
        "otel_embed.framework.class": "Shelf",
        "otel_embed.component.kind": "retriever",
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "Shelf",
    }
    failed = telemetry.spans("execute_tool double")[-1]
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description is None
    assert dict(failed.attributes) == {
        "otel_embed.framework": "langchain",
        "otel_embed.framework.class": "double",
        "otel_embed.component.kind": "tool",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "double",
        "error.type": "ValueError",
        "otel_embed.error.cause": "invalid_input",
    }
    assert "secret" not in str(failed.to_json())


class TestChatOpenAI:
    def test_a_call_is_told_whole(self, telemetry: Telemetry, server: OpenAIServer) -> None:
        server.cached_tokens = 4
        answer = model(server, temperature=0.5).invoke(QUESTION)
        assert answer.content == ANSWER
        (span,) = telemetry.spans()
        asked = answer.usage_metadata["input_tokens"]
        cost = ((asked - 4) * 0.15 + 4 * 0.075 + 8 * 0.6) / 1e6
        found = dict(span.attributes)
        rate = found.pop("otel_embed.output.rate")
        assert rate == pytest.approx(8 / ((span.end_time - span.start_time) / 1e9), rel=1e-3)
        if NEW:
            assert str(found.pop("gen_ai.response.id")).startswith("chatcmpl-")
        assert found == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.request.temperature": 0.5,
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": asked,
            "gen_ai.usage.output_tokens": 8,
            "gen_ai.usage.cache_read.input_tokens": 4,
            "gen_ai.usage.reasoning.output_tokens": 0,
            "server.address": "127.0.0.1",
            "server.port": server.server_address[1],
            "otel_embed.framework": "langchain",
            "otel_embed.framework.class": "ChatOpenAI",
            "otel_embed.usage.source": "reported",
            "otel_embed.cost.usd": pytest.approx(cost, abs=1e-12),
            "otel_embed.cost.source": "table",
        }

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_a_stream_has_a_time_to_its_first_token_and_a_rate_after_it(
        self, asynchronous: bool, telemetry: Telemetry
    ) -> None:
        async def astream(chat: ChatOpenAI) -> str:
            return "".join([str(chunk.content) async for chunk in chat.astream(QUESTION)])

        with OpenAIServer(writing=Latency(0.2, 0.03)) as server:
            chat = model(server, stream_usage=True)
            if asynchronous:
                assert asyncio.run(astream(chat)) == ANSWER
            else:
                assert "".join(str(chunk.content) for chunk in chat.stream(QUESTION)) == ANSWER
            bill = server.billed.by_model["gpt-4o-mini"]
        (span,) = telemetry.spans()
        found = span.attributes
        assert 0.2 <= found["gen_ai.response.time_to_first_chunk"] < 0.6 + 0.7 * asynchronous
        assert 20 < found["otel_embed.output.rate"] < 34
        assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (bill.tokens, 8)
        assert telemetry.total("gen_ai.client.token.usage") == bill.tokens + bill.output_tokens
        (point,) = telemetry.metrics()["gen_ai.client.operation.time_to_first_chunk"]
        assert point.sum == pytest.approx(found["gen_ai.response.time_to_first_chunk"])
        assert list(point.explicit_bounds)[:3] == [0.01, 0.02, 0.04]

    def test_without_usage_tokens_and_cost_are_unknown_and_not_0(
        self, telemetry: Telemetry, server: OpenAIServer
    ) -> None:
        list(model(server, stream_usage=False).stream(QUESTION))
        (span,) = telemetry.spans()
        assert not [name for name in span.attributes if "usage" in name or "cost" in name or "rate" in name]
        assert "gen_ai.client.token.usage" not in telemetry.metrics()
        assert telemetry.total("otel_embed.unpriced") == 1

    @pytest.mark.parametrize(
        ("status", "cause"),
        [(400, "invalid_input"), (401, "authentication"), (404, "not_found"), (429, "rate_limited"),
         (500, "server_error")],
    )
    def test_a_failure_has_its_status_and_a_cause(
        self, status: int, cause: str, telemetry: Telemetry, server: OpenAIServer
    ) -> None:
        server.script([Fault(status), Fault(status)])
        errors = []
        for ask in (lambda: model(server).invoke(QUESTION), lambda: list(model(server).stream(QUESTION))):
            with pytest.raises(Exception, match=str(status)) as caught:
                ask()
            errors.append(caught.value)
        assert {error.status_code for error in errors} == {status}
        for span in telemetry.spans():
            assert span.status.status_code is StatusCode.ERROR
            assert (span.attributes["error.type"], span.attributes["otel_embed.error.cause"]) == (str(status), cause)
        assert telemetry.total("otel_embed.errors", gen_ai__operation__name="chat") == 2
        assert "gen_ai.client.token.usage" not in telemetry.metrics()

    def test_several_choices_are_billed_once(self, telemetry: Telemetry, server: OpenAIServer) -> None:
        model(server, n=3).generate([[HumanMessage(QUESTION)]])
        (span,) = telemetry.spans()
        bill = server.billed.by_model["gpt-4o-mini"]
        assert bill.output_tokens == 24
        assert (span.attributes["gen_ai.usage.input_tokens"], span.attributes["gen_ai.usage.output_tokens"]) == (
            bill.tokens, 24,
        )  # fmt: skip
        assert span.attributes["gen_ai.response.finish_reasons"] == ("stop",) * 3

    def test_what_the_client_sends_is_inside_the_call(self, telemetry: Telemetry, server: OpenAIServer) -> None:
        from opentelemetry.instrumentation import httpx as instrumentation

        other = getattr(instrumentation, "HTTPX2ClientInstrumentor", instrumentation.HTTPXClientInstrumentor)()
        both = [other, instrumentation.HTTPXClientInstrumentor()]
        for each in both:
            if not each.is_instrumented_by_opentelemetry:
                each.instrument(tracer_provider=telemetry.tracers)
        try:
            model(server).invoke(QUESTION)
            list(model(server).stream(QUESTION))
            asyncio.run(model(server).ainvoke(QUESTION))
        finally:
            for each in both:
                each.uninstrument()
        assert tree(telemetry.spans())[:4] == ["chat gpt-4o-mini", "  POST"] * 2
        # langchain-core 0.3.0 tells that a call begins in a task of its own: nothing can be made current from there.
        assert tree(telemetry.spans())[4:] == ["chat gpt-4o-mini", "  POST" if NEW else "POST"]

    def test_the_ledger_is_what_the_server_bills(self, telemetry: Telemetry, server: OpenAIServer) -> None:
        async def some() -> None:
            chat = model(server, stream_usage=True)
            await asyncio.gather(*[chat.ainvoke(QUESTION * n) for n in range(1, 6)])
            async for _ in chat.astream(QUESTION):
                pass

        server.cached_tokens = 5 if NEW else 0  # of a stream, langchain-openai 0.2 does not say
        with otel_embed.track() as usage:
            asyncio.run(some())
            chat = model(server, stream_usage=True)
            chat.batch([QUESTION, QUESTION * 2])
            list(chat.stream(QUESTION))
            server.script([Fault(500)])
            with pytest.raises(Exception, match="server"):
                chat.invoke(QUESTION)
        bill = server.billed.by_model["gpt-4o-mini"]
        assert bill.requests == 9
        assert telemetry.total("gen_ai.client.token.usage", gen_ai__token__type="input") == bill.tokens
        assert telemetry.total("gen_ai.client.token.usage", gen_ai__token__type="output") == bill.output_tokens
        cost = ((bill.tokens - bill.cached_tokens) * 0.15 + bill.cached_tokens * 0.075 + bill.output_tokens * 0.6) / 1e6
        assert telemetry.total("otel_embed.cost", gen_ai__operation__name="chat") == pytest.approx(cost, abs=1e-12)
        assert (usage.chat_calls, usage.failed_chat_calls) == (10, 1)
        assert (usage.input_tokens, usage.output_tokens) == (bill.tokens, bill.output_tokens)
        assert usage.cost_usd == pytest.approx(cost, abs=1e-12)
        assert (usage.calls, usage.tokens) == (0, 0)


def test_blocks_nest_and_threads_and_tasks_are_apart(telemetry: Telemetry, server: OpenAIServer) -> None:
    chat = model(server)

    def block(n: int) -> int:
        with otel_embed.track() as mine:
            chat.batch([QUESTION] * n)
        return mine.chat_calls

    async def task(n: int) -> int:
        with otel_embed.track() as mine:
            await asyncio.gather(*[chat.ainvoke(QUESTION) for _ in range(n)])
        return mine.chat_calls

    async def tasks() -> list[int]:
        return list(await asyncio.gather(*[task(n) for n in (1, 2, 3)]))

    with otel_embed.track() as outer, ThreadPoolExecutor(3) as pool:
        assert list(pool.map(block, (1, 2, 3))) == [1, 2, 3]
        assert block(2) == 2
        assert asyncio.run(tasks()) == [1, 2, 3]
    assert outer.chat_calls == 8
    assert "chat" in repr(outer)


class Wrapping(FakeListChatModel):
    """A chat model that lets another one do its work."""

    inner: Any

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        answer = self.inner.invoke(messages, {"callbacks": list(run_manager.handlers)})
        return ChatResult(generations=[ChatGeneration(message=answer)])


def test_a_model_that_lets_another_work_is_not_billed_again(telemetry: Telemetry) -> None:
    Wrapping(responses=["-"], inner=fake()).invoke("x")
    outer, inner = sorted(telemetry.spans(), key=lambda span: span.start_time)
    assert tree([outer, inner]) == ["chat", "  chat"]
    assert "gen_ai.usage.input_tokens" not in outer.attributes
    assert inner.attributes["gen_ai.usage.input_tokens"] == 30
    assert telemetry.total("gen_ai.client.token.usage") == 38


class OpenAI(BaseLLM):
    """A completion model that spells its usage as OpenAI's once did."""

    model_name: str = "gpt-3.5-turbo-instruct"

    @property
    def _llm_type(self) -> str:
        return "openai"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def _generate(self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        usage = {"prompt_tokens": 100 * len(prompts), "completion_tokens": 10 * len(prompts)}
        made = [[Generation(text="done", generation_info={"finish_reason": "stop"})] for _ in prompts]
        return LLMResult(generations=made, llm_output={"token_usage": usage})


def test_a_completion_model_is_a_call_too(telemetry: Telemetry) -> None:
    old = OpenAI()
    old.invoke("x")
    asyncio.run(old.ainvoke("x"))
    old.generate(["a", "b"])
    old.batch(["a", "b"])
    spans = telemetry.spans("text_completion gpt-3.5-turbo-instruct")
    assert len(spans) == 6
    assert spans[0].attributes["gen_ai.operation.name"] == "text_completion"
    assert spans[0].attributes["otel_embed.cost.usd"] == pytest.approx((100 * 1.5 + 10 * 2) / 1e6)
    assert telemetry.total("gen_ai.client.token.usage", gen_ai__token__type="input") == 600


class CompletionServer(FakeServer):
    """OpenAI's old completions: one request for many prompts, 100 tokens each, and 50 of answer."""

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        asked = received.body
        prompts = len(asked["prompt"])
        of_each = {"text": "x", "logprobs": None, "finish_reason": "stop"}
        used = {"prompt_tokens": 100 * prompts, "completion_tokens": 50 * prompts, "total_tokens": 150 * prompts}
        answer = {
            "id": "c", "object": "text_completion", "created": 1, "model": asked["model"],
            "choices": [{"index": number, **of_each} for number in range(prompts)],
            "usage": used if fault.usage is None else {},
        }  # fmt: skip
        return Answer(200, {"content-type": "application/json"}, json.dumps(answer).encode())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_request_with_many_prompts_is_priced_whole_with_the_first(asynchronous: bool, telemetry: Telemetry) -> None:
    with CompletionServer() as server, otel_embed.track() as usage:
        settings: Any = {"model": "gpt-3.5-turbo-instruct", "base_url": f"{server.origin}/v1", "api_key": "x"}
        model = Completions(**settings)
        if asynchronous:
            asyncio.run(model.abatch(["a", "b", "c", "d"]))
        else:
            model.batch(["a", "b", "c", "d"])
        assert len(server.requests) == 1
        summary = otel_embed.summary()
        assert (summary.chat_calls, summary.input_tokens, summary.output_tokens) == (4, 400, 200)
        assert summary.chat_cost_usd == usage.cost_usd == pytest.approx((400 * 1.5 + 200 * 2) / 1e6)
        assert summary.unpriced_chat_calls == usage.unpriced_calls == telemetry.total("otel_embed.unpriced") == 0
        server.script([Fault(usage="absent")] * 2)
        model.invoke("a")
        model.batch(["a", "b"])
        assert otel_embed.summary().unpriced_chat_calls == usage.unpriced_calls == 3
    told = [span for span in telemetry.spans() if "gen_ai.usage.input_tokens" in span.attributes]
    assert len(told) == 1 and len(telemetry.spans()) == 7


class Ear(BaseCallbackHandler):
    """An application's own handler, which wants to hear of every run as before."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_llm_start(self, serialized: Any, prompts: list[str], **_: Any) -> None:
        self.heard += [f"start {prompt}" for prompt in prompts]

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        self.heard.append("end")


@pytest.mark.parametrize("on", [True, False])
def test_others_hear_of_a_completion_as_before(telemetry: Telemetry, on: bool) -> None:
    if not on:
        otel_embed.uninstrument()
    ear = Ear()
    asyncio.run(OpenAI().ainvoke("x", {"callbacks": [ear]}))
    asyncio.run(OpenAI().abatch(["y"], {"callbacks": [ear]}))
    OpenAI().invoke("z", {"callbacks": [ear]})
    assert ear.heard == ["start x", "end", "start y", "end", "start z", "end"]
    assert len(telemetry.spans("text_completion gpt-3.5-turbo-instruct")) == (3 if on else 0)


class Telling(GenericFakeChatModel):
    """A fake with usage where a provider puts it."""

    metadata_of_answer: Any = None

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        message = AIMessage("hi", response_metadata=self.metadata_of_answer)
        return ChatResult(generations=[ChatGeneration(message=message)])


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        ({"token_usage": {"prompt_tokens": 7, "completion_tokens": 3}}, (7, 3)),
        ({"usage": {"input_tokens": 7, "output_tokens": 3}}, (7, 3)),
        ({"usage": {"inputTokens": 7, "outputTokens": 3}}, (7, 3)),
        ({"usage_metadata": {"prompt_token_count": 7, "candidates_token_count": 3}}, (7, 3)),
        ({"prompt_eval_count": 7, "eval_count": 3}, (7, 3)),
        ({"token_usage": {"prompt_tokens": 0, "completion_tokens": 0}}, None),
        ({"token_usage": {"prompt_tokens": "many"}}, None),
        ({"token_usage": None, "usage": []}, None),
        ({}, None),
    ],
)
def test_usage_is_read_where_providers_put_it(told: Any, tokens: Any, telemetry: Telemetry) -> None:
    Telling(messages=iter([]), metadata_of_answer=told).invoke("x")
    (span,) = telemetry.spans()
    names = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    found = tuple(span.attributes[name] for name in names if name in span.attributes)
    assert found == (tokens or ())


class Claude(GenericFakeChatModel):
    def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
        return {"ls_provider": "anthropic", "ls_model_name": "claude-sonnet-4-5", "ls_model_type": "chat"}


@pytest.mark.parametrize(
    ("details", "written", "cost"),
    [
        ({"cache_creation": 1000}, 1000, 0.003855),
        ({"cache_creation": 0, "ephemeral_5m_input_tokens": 1000}, 1000, 0.003855),
        # As langchain-anthropic 0.3.17 tells it.
        ({"cache_creation": 1000, "ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 0}, 1000, 0.003855),
        ({"cache_creation": 0, "ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 999}, 1000, 0.00610275),
        ({"cache_creation": 0, "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, 0, 0.003105),
        ({}, None, 0.003105),
    ],
)  # fmt: skip
def test_tokens_for_the_providers_cache_are_told_by_how_long_they_stay(
    details: Any, written: int | None, cost: float, telemetry: Telemetry
) -> None:
    usage: Any = {"input_tokens": 1010, "output_tokens": 5, "total_tokens": 1015, "input_token_details": details}
    Claude(messages=iter([AIMessage("hi", usage_metadata=usage)])).invoke("x")
    (span,) = telemetry.spans()
    assert span.attributes.get("gen_ai.usage.cache_creation.input_tokens") == written
    assert span.attributes.get("otel_embed.cost.usd") == pytest.approx(cost)


class Thinking(GenericFakeChatModel):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(""))
        call: Any = {"name": "f", "args": "", "id": "1", "index": 0}
        yield ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=[call]))


def test_the_first_part_of_a_tools_call_is_a_first_token(telemetry: Telemetry) -> None:
    list(Thinking(messages=iter([])).stream("x"))
    assert "gen_ai.response.time_to_first_chunk" in telemetry.spans()[0].attributes


class TestContent:
    def test_none_by_default(self, telemetry: Telemetry, server: OpenAIServer) -> None:
        model(server).invoke("a secret question")
        assert "secret" not in telemetry.spans()[0].to_json()

    def test_messages_cut_short_where_asked_for(self, telemetry: Telemetry, server: OpenAIServer) -> None:
        telemetry.instrument(capture_content=True)
        model(server).invoke([("system", "s" * 5000 + "?"), ("human", QUESTION)])
        found = telemetry.spans()[0].attributes
        asked = found["gen_ai.input.messages"]
        assert asked.startswith('[{"role": "system", "parts": [{"type": "text", "content": "sss')
        assert len(asked) < 1500
        assert '"role": "user"' in asked
        answer = '[{"role": "assistant", "parts": [{"type": "text", "content": "%s"}], "finish_reason": "stop"}]'
        assert found["gen_ai.output.messages"] == answer % ANSWER


OTHERS = {
    "opentelemetry.instrumentation.genai.langchain": "LangChainInstrumentor",
    "openinference.instrumentation.langchain": "LangChainInstrumentor",
    "opentelemetry.instrumentation.langchain": "LangchainInstrumentor",
    "amazon.opentelemetry.distro.instrumentation.langchain": "LangChainInstrumentor",
}


def switched_on(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instrumentor of that name and place, switched on: all that is looked at of the real one."""

    class Instrumentor(BaseInstrumentor):
        def instrumentation_dependencies(self) -> tuple[str, ...]:
            return ()

        def _instrument(self, **options: Any) -> None:
            pass

        def _uninstrument(self, **options: Any) -> None:
            pass

    there = ModuleType(module)
    setattr(there, OTHERS[module], Instrumentor)
    monkeypatch.setitem(sys.modules, module, there)
    Instrumentor().instrument()


class TestCoexistence:
    @pytest.mark.parametrize("module", OTHERS)
    def test_auto_leaves_to_another_what_that_reports(
        self, module: str, telemetry: Telemetry, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        switched_on(module, monkeypatch)
        with otel_embed.track() as usage:
            model(server).invoke(QUESTION)
        assert telemetry.spans() == []
        measured = [name for name in telemetry.metrics() if name.startswith("gen_ai.")]
        assert bool(measured) == module.startswith(("openinference", "amazon"))
        assert telemetry.total("otel_embed.cost") == pytest.approx(usage.cost_usd)
        assert usage.output_tokens == 8

    def test_on_reports_all_the_same(
        self, telemetry: Telemetry, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        switched_on("opentelemetry.instrumentation.langchain", monkeypatch)
        telemetry.instrument(langchain_chat="on")
        model(server).invoke(QUESTION)
        assert len(telemetry.spans()) == 1

    def test_off_reports_nothing(self, telemetry: Telemetry, server: OpenAIServer) -> None:
        telemetry.instrument(langchain_chat="off")
        with otel_embed.track() as usage:
            chain().invoke({"x": 1})
            model(server).invoke(QUESTION)
        assert telemetry.spans() == []
        assert usage.chat_calls == 0

    def test_suppressed_instrumentation_is_silent(self, telemetry: Telemetry) -> None:
        token = context.attach(context.set_value("suppress_instrumentation", True))
        try:
            chain().invoke({"x": 1})
        finally:
            context.detach(token)
        assert telemetry.spans() == []


def test_the_handler_is_one_and_copies_and_pickles_as_such(telemetry: Telemetry) -> None:
    kept = []
    RunnableLambda(lambda x, config: kept.append(config["callbacks"])).invoke(1)
    handlers = [each for each in kept[0].handlers if type(each).__name__ == "OtelEmbedHandler"]
    assert len(handlers) == 1
    assert copy.deepcopy(handlers[0]) is copy.copy(handlers[0]) is handlers[0]
    assert pickle.loads(pickle.dumps(handlers[0])) is handlers[0]


def test_switched_off_and_on_again_it_tells_once(telemetry: Telemetry) -> None:
    otel_embed.uninstrument()
    chain().invoke({"x": 1})
    assert telemetry.spans() == []
    telemetry.instrument()
    telemetry.instrument()
    fake().invoke("x")
    assert len(telemetry.spans()) == 1


def test_runs_whose_end_nobody_tells_of_are_given_up(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MAX_OPEN", 3)
    streams = [chain().stream({"x": n}) for n in range(5)]
    for stream in streams:
        next(stream)
    recorder = EmbeddingInstrumentor().recorder
    assert recorder is not None
    assert len(recorder.runs._open) <= 3
    for stream in streams:
        stream.close()
    assert guard.dropped == {}


def test_results_and_exceptions_are_what_they_are_without_us(telemetry: Telemetry, server: OpenAIServer) -> None:
    def all_of_it() -> list[Any]:
        chat = model(server)
        server.script([None, Fault(400)])
        results: list[Any] = [chat.invoke(QUESTION).content]
        try:
            chat.invoke(QUESTION)
        except Exception as error:
            results.append((type(error), str(error)))
        return [*results, [chunk.content for chunk in chat.stream(QUESTION)], chain().batch([{"x": 1}, {"x": 2}])]

    observed = all_of_it()
    otel_embed.uninstrument()
    assert all_of_it() == observed
