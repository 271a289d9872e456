"""The cache of answers before a LangChain model: hit or miss, what it took and saved, a ledger that stays right."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

import otel_embed
from conftest import Telemetry
from fakes.openai_server import OpenAIServer
from otel_embed import guard
from test_langchain_chat import IN, OUT, QUESTION, OpenAI, fake, model, tree


class Own(BaseCache):
    """A cache of the application's own, whose asynchronous methods are the base class's, or call each other."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Any] = {}

    def lookup(self, prompt: str, llm_string: str) -> Any:
        return self.kept.get((prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        self.kept[prompt, llm_string] = return_val

    def clear(self, **kwargs: Any) -> None:
        self.kept = {}


class Broken(Own):
    def lookup(self, prompt: str, llm_string: str) -> Any:
        raise ConnectionError("the cache's server is down")


@pytest.fixture(autouse=True)
def no_cache_is_left() -> Iterator[None]:
    yield
    set_llm_cache(None)


def ask(chat: ChatOpenAI, asynchronous: bool) -> Any:
    return asyncio.run(chat.ainvoke(QUESTION)) if asynchronous else chat.invoke(QUESTION)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kind", [InMemoryCache, Own])
def test_a_miss_is_billed_and_a_hit_costs_nothing_and_is_shown_as_saved(
    kind: type[BaseCache], asynchronous: bool, telemetry: Telemetry, server: OpenAIServer
) -> None:
    set_llm_cache(kind())
    with otel_embed.track() as usage:
        first = ask(model(server), asynchronous)
        second = ask(model(server), asynchronous)
    assert first.content == second.content
    bill = server.billed.by_model["gpt-4o-mini"]
    cost = pytest.approx(bill.tokens * IN + bill.output_tokens * OUT, abs=1e-12)
    miss, hit = (dict(span.attributes) for span in telemetry.spans())
    assert tree(telemetry.spans()) == ["chat gpt-4o-mini"] * 2
    assert (miss["otel_embed.cache.outcome"], hit["otel_embed.cache.outcome"]) == ("miss", "hit")
    assert miss["otel_embed.cache.store"] == hit["otel_embed.cache.store"] == kind.__name__
    assert 0 < hit["otel_embed.cache.lookup.duration"] < 0.5
    assert 0 < miss["otel_embed.cache.write.duration"] < 0.5
    assert (miss["otel_embed.cost.usd"], hit["otel_embed.cost.usd"]) == (cost, 0)
    assert hit["otel_embed.cost.source"] == "cache"
    assert hit["otel_embed.saved.tokens"] == bill.tokens + bill.output_tokens
    assert hit["otel_embed.saved.usd"] == cost
    assert not [name for name in hit if name.startswith("gen_ai.usage")]
    assert telemetry.total("gen_ai.client.token.usage") == bill.tokens + bill.output_tokens
    assert sum(point.count for point in telemetry.metrics()["gen_ai.client.operation.duration"]) == 1
    assert telemetry.total("otel_embed.cost") == cost
    assert telemetry.total("otel_embed.saved.cost", otel_embed__cache__store=kind.__name__) == cost
    assert telemetry.total("otel_embed.saved.tokens") == bill.tokens + bill.output_tokens
    for outcome in ("hit", "miss"):
        assert telemetry.total("otel_embed.cache.lookups", otel_embed__cache__outcome=outcome) == 1
    assert (usage.chat_calls, usage.answer_cache_hits, usage.answer_cache_misses) == (1, 1, 1)
    assert usage.cost_usd == cost
    assert usage.saved_tokens == bill.tokens + bill.output_tokens


@pytest.mark.parametrize("asynchronous", [False, True])
def test_several_prompts_at_once_know_their_own_hits(
    asynchronous: bool, telemetry: Telemetry, server: OpenAIServer
) -> None:
    set_llm_cache(InMemoryCache())
    prompts = [[HumanMessage(QUESTION)], [HumanMessage("Something else. Is it?")]]
    model(server).generate(prompts[:1])
    if asynchronous:
        asyncio.run(model(server).agenerate(prompts))
    else:
        model(server).generate(prompts)
    bill = server.billed.by_model["gpt-4o-mini"]
    assert bill.requests == 2
    assert telemetry.total("gen_ai.client.token.usage", gen_ai__token__type="input") == bill.tokens
    assert telemetry.total("otel_embed.cost") == pytest.approx(bill.tokens * IN + bill.output_tokens * OUT, abs=1e-12)
    hits = [span for span in telemetry.spans() if span.attributes.get("otel_embed.cache.outcome") == "hit"]
    assert len(hits) == 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_same_prompt_several_times_at_once_is_as_many_hits_of_its_cache(
    asynchronous: bool, telemetry: Telemetry, server: OpenAIServer
) -> None:
    set_llm_cache(InMemoryCache())
    chat = model(server)
    prompts = [[HumanMessage(QUESTION)]] * 3
    chat.generate(prompts[:1])
    if asynchronous:
        asyncio.run(chat.agenerate(prompts))
    else:
        chat.generate(prompts)
    assert server.billed.requests == 1
    hits = [span.attributes for span in telemetry.spans() if span.attributes["otel_embed.cache.outcome"] == "hit"]
    assert [hit["otel_embed.cache.store"] for hit in hits] == ["InMemoryCache"] * 3
    assert all(hit["otel_embed.cache.lookup.duration"] > 0 for hit in hits)


def test_batches_and_chains_know_their_hits(telemetry: Telemetry, server: OpenAIServer) -> None:
    set_llm_cache(InMemoryCache())
    chat = model(server)
    chat.invoke(QUESTION)
    chat.batch([QUESTION] * 5)
    assert server.billed.requests == 1
    assert telemetry.total("otel_embed.cache.lookups", otel_embed__cache__outcome="hit") == 5


def test_a_completion_models_hits_are_calls_that_langchain_tells_nobody_of(telemetry: Telemetry) -> None:
    set_llm_cache(InMemoryCache())
    old = OpenAI()
    with telemetry.tracers.get_tracer("t").start_as_current_span("request"):
        old.invoke("a")
        old.invoke("a")
        asyncio.run(old.ainvoke("a"))
        old.generate(["a", "b"])
    names = tree(telemetry.spans())
    assert names == ["request", *["  text_completion gpt-3.5-turbo-instruct"] * 5]
    outcomes = sorted(span.attributes.get("otel_embed.cache.outcome", "") for span in telemetry.spans())
    assert outcomes == ["", "hit", "hit", "hit", "miss", "miss"]
    hits = [span for span in telemetry.spans() if span.attributes.get("otel_embed.cache.outcome") == "hit"]
    assert {span.attributes["gen_ai.request.model"] for span in hits} == {"gpt-3.5-turbo-instruct"}
    assert telemetry.total("gen_ai.client.token.usage", gen_ai__token__type="input") == 200


def test_a_cache_that_fails_fails_as_it_would_without_us(telemetry: Telemetry, server: OpenAIServer) -> None:
    set_llm_cache(Broken())
    with pytest.raises(ConnectionError, match="server is down"):
        model(server).invoke(QUESTION)
    (span,) = telemetry.spans()
    assert span.attributes["otel_embed.error.cause"] == "network"


def test_a_cache_that_is_asked_by_itself_is_no_call(telemetry: Telemetry) -> None:
    cache = Own()
    assert cache.lookup("p", "m") is None
    assert asyncio.run(cache.alookup("p", "m")) is None
    assert telemetry.spans() == []
    otel_embed.uninstrument()
    assert "__otel_embed__" not in vars(Own.lookup)


def test_a_fake_model_without_usage_saves_an_unknown_amount(telemetry: Telemetry) -> None:
    from langchain_core.language_models import FakeListChatModel

    set_llm_cache(InMemoryCache())
    chat = FakeListChatModel(responses=["one", "two"])
    assert chat.invoke("x").content == chat.invoke("x").content == "one"
    hit = telemetry.spans()[-1].attributes
    assert hit["otel_embed.cache.outcome"] == "hit"
    assert "otel_embed.saved.tokens" not in hit
    assert "otel_embed.saved.usd" not in hit
    assert guard.dropped == {}
    assert fake().invoke("y").content == "hello there"
