"""Embedding methods that applications write in unusual ways: decorated, lazy, on threads of their own."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import sys
import threading
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import openai
import pytest
from langchain_core.embeddings import Embeddings

import otel_embed
from clients import SMALL
from conftest import Telemetry, run
from fakes.openai_server import OpenAIServer

TEXTS = ["one two", "three"]
TOKENS = "gen_ai.client.embeddings.operation.input_tokens"


class Remote(Embeddings):
    """Asks a server through the openai client."""

    def __init__(self, server: OpenAIServer) -> None:
        self.server = server

    def ask(self, texts: list[str]) -> list[list[float]]:
        with openai.OpenAI(base_url=self.server.url, api_key="x") as client:
            return [each.embedding for each in client.embeddings.create(model=SMALL, input=texts).data]

    async def ask_later(self, texts: list[str]) -> list[list[float]]:
        async with openai.AsyncOpenAI(base_url=self.server.url, api_key="x") as client:
            return [each.embedding for each in (await client.embeddings.create(model=SMALL, input=texts)).data]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.ask(texts)

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def at_once(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return asyncio.run(function(*args))

    return wrapper


def on_a_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any) -> Any:
        return await asyncio.to_thread(function, *args)

    return wrapper


class AtOnce(Remote):
    @at_once
    async def embed_documents(self, texts: list[str]) -> list[list[float]]:  # type: ignore[override]
        return await self.ask_later(texts)


class Lazy(Remote):
    def aembed_documents(self, texts: list[str]) -> Any:
        return self.ask_later(texts)


class OnAThread(Remote):
    @on_a_thread
    def aembed_documents(self, texts: list[str]) -> Any:
        return self.ask(texts)


class InAThread(Remote):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.extend(asyncio.run(self.ask_later(texts))))
        thread.start()
        thread.join()
        return found


class InAPool(Remote):
    how = "map"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        with ThreadPool(2) as pool:
            if self.how == "starmap":
                return [vector for (vector,) in pool.starmap(self.ask, [([text],) for text in texts])]
            return [vector for (vector,) in getattr(pool, self.how)(self.ask, [[text] for text in texts])]


def billed_once(telemetry: Telemetry, server: OpenAIServer, requests: int = 1) -> None:
    assert telemetry.total(TOKENS) == server.billed.tokens == 3
    assert telemetry.total("otel_embed.inputs") == 2 and telemetry.total("otel_embed.unpriced") == 0
    assert len(telemetry.spans(f"embeddings {SMALL}")) == requests
    (whole,) = [span for span in telemetry.spans() if span.attributes.get("otel_embed.framework") == "langchain"]
    assert TOKENS not in whole.attributes and telemetry.total("otel_embed.inputs.pending") == 0


def test_a_coroutine_that_is_made_to_run_at_once_gives_its_result(telemetry: Telemetry, server: OpenAIServer) -> None:
    assert len(AtOnce(server).embed_documents(TEXTS)) == 2
    billed_once(telemetry, server)


@pytest.mark.parametrize("kind", [Lazy, OnAThread])
def test_a_method_that_returns_what_does_the_work_is_one_call(
    telemetry: Telemetry, server: OpenAIServer, kind: type[Remote]
) -> None:
    async def work() -> Any:
        return await kind(server).aembed_documents(TEXTS)

    assert len(run(work())) == 2
    billed_once(telemetry, server)
    spans = {span.name.partition(" ")[0]: span for span in telemetry.spans()}
    assert spans["embeddings"].parent.span_id == spans["aembed_documents"].context.span_id


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_what_is_never_awaited_leaves_nothing_open(telemetry: Telemetry, server: OpenAIServer) -> None:
    Lazy(server).aembed_documents(TEXTS)
    AtOnce(server).embed_documents(TEXTS)
    billed_once(telemetry, server)


@pytest.mark.parametrize("how", ["map", "starmap", "imap", "imap_unordered"])
def test_a_pool_of_threads_works_for_the_call(
    telemetry: Telemetry, server: OpenAIServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InAPool, "how", how)
    assert len(InAPool(server).embed_documents(TEXTS)) == 2
    billed_once(telemetry, server, requests=2)


def test_a_thread_that_a_call_makes_works_for_it(telemetry: Telemetry, server: OpenAIServer) -> None:
    assert len(InAThread(server).embed_documents(TEXTS)) == 2
    billed_once(telemetry, server)


def test_a_thread_that_outlives_the_call_that_made_it_is_on_its_own(telemetry: Telemetry, server: OpenAIServer) -> None:
    go, threads = threading.Event(), []

    class Background(Remote):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            threads.append(threading.Thread(target=lambda: go.wait() and self.ask(["four"])))
            threads[0].start()
            return self.ask(texts)

    Background(server).embed_documents(TEXTS)
    go.set()
    threads[0].join()
    assert telemetry.total(TOKENS) == server.billed.tokens == 4
    outer, own = (telemetry.spans(name)[0] for name in ("embed_documents Background", f"embeddings {SMALL}"))
    assert own.parent.span_id == outer.context.span_id
    assert [span.parent for span in telemetry.spans(f"embeddings {SMALL}")][1:] == [None]


def test_a_class_attribute_that_is_no_method_is_left_alone(telemetry: Telemetry) -> None:
    class Faked(Embeddings):
        embed_documents = Mock(return_value=[[0.1]])
        embed_query = functools.partial(lambda text: [0.2])  # type: ignore[assignment]

    assert (Faked().embed_documents(["x"]), Faked().embed_query("x")) == ([[0.1]], [0.2])
    Faked.embed_documents.assert_called_once_with(["x"])
    assert not telemetry.spans()


def test_an_override_that_is_dressed_as_what_it_overrides_is_seen(telemetry: Telemetry, server: OpenAIServer) -> None:
    class Dressed(Remote):
        @functools.wraps(Remote.embed_documents)
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return self.ask(texts)

    Dressed(server).embed_documents(TEXTS)
    billed_once(telemetry, server)


class Remembering(Remote):
    """Asks for what it was not asked before."""

    def __init__(self, server: OpenAIServer) -> None:
        super().__init__(server)
        self.known: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        new = [text for text in texts if text not in self.known]
        if new:
            self.known.update(zip(new, self.ask(new)))
        return [self.known[text] for text in texts]


class Kept(Remote):
    @functools.lru_cache  # noqa: B019
    def embed_query(self, text: str) -> list[float]:
        return self.ask([text])[0]


def test_what_an_embedder_remembers_itself_is_billed_to_nobody(telemetry: Telemetry, server: OpenAIServer) -> None:
    remembering = Remembering(server)
    for _ in range(3):
        remembering.embed_documents(TEXTS)
    billed_once_of(telemetry, server, "embed_documents Remembering", calls=3)


def test_a_method_with_a_cache_around_it_is_billed_for_what_that_does_not_know(
    telemetry: Telemetry, server: OpenAIServer
) -> None:
    kept = Kept(server)
    for _ in range(3):
        kept.embed_query("one two three")
    billed_once_of(telemetry, server, "embed_query Kept", calls=3)


def billed_once_of(telemetry: Telemetry, server: OpenAIServer, name: str, calls: int) -> None:
    assert telemetry.total(TOKENS) == server.billed.tokens == 3
    assert telemetry.total("otel_embed.inputs") == server.billed.inputs
    assert len(telemetry.spans(name)) == calls and len(telemetry.spans(f"embeddings {SMALL}")) == 1


class Generator(Remote):
    def embed_documents(self, texts: list[str]) -> Any:
        return (self.ask([text])[0] for text in texts)

    async def aembed_documents(self, texts: list[str]) -> Any:
        for text in texts:
            yield (await self.ask_later([text]))[0]


class Task(Remote):
    def aembed_documents(self, texts: list[str]) -> Any:
        return asyncio.ensure_future(self.ask_later(texts))


def test_what_is_worked_out_later_is_counted_then(telemetry: Telemetry, server: OpenAIServer) -> None:
    async def work() -> Any:
        task = await Task(server).aembed_documents(TEXTS)
        return (
            list(Generator(server).embed_documents(TEXTS)),
            task,
            [vector async for vector in Generator(server).aembed_documents(TEXTS)],
        )

    generated, task, asynchronously = run(work())
    assert generated == task == asynchronously
    assert telemetry.total(TOKENS) == server.billed.tokens == 9
    assert telemetry.total("otel_embed.inputs") == server.billed.inputs == 6


class PerObject:
    """A descriptor, as some caches are, whose methods of objects can do more than be called."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__wrapped__ = function

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        bound = functools.partial(self.__wrapped__, instance)
        bound.asked_by = instance  # type: ignore[attr-defined]
        return bound


def test_a_decorated_method_keeps_what_else_it_can_do(telemetry: Telemetry, server: OpenAIServer) -> None:
    class Decorated(Kept):
        @PerObject
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return self.ask(texts)

        @functools.singledispatchmethod
        def embed_query(self, text: Any) -> list[float]:
            return [0.0]

    kept, decorated = Kept(server), Decorated(server)
    kept.embed_query.cache_clear()
    kept.embed_query("one")
    for method in (kept.embed_query, Kept.embed_query):
        assert method.cache_info().currsize == 1 and method.cache_parameters()["maxsize"] == 128
    assert kept.embed_query == kept.embed_query
    assert inspect.ismethod(kept.embed_query) and kept.embed_query.__name__ == "embed_query"
    assert str(inspect.signature(Kept.embed_query)) == "(self, text: 'str') -> 'list[float]'"
    assert pickle.loads(pickle.dumps(Kept.embed_query)) is Kept.embed_query
    Decorated.embed_query.register(int, lambda self, number: [float(number)])
    assert decorated.embed_query(7) == [7.0] and decorated.embed_query("x") == [0.0]
    assert decorated.embed_documents.asked_by is decorated and len(decorated.embed_documents(texts=TEXTS)) == 2
    assert len(telemetry.spans("embed_documents Decorated")) == 1
    otel_embed.uninstrument()
    assert type(vars(Kept)["embed_query"]) is functools._lru_cache_wrapper


def test_a_stage_is_used_by_many_threads_and_within_itself(telemetry: Telemetry) -> None:
    tokenize = otel_embed.stage("tokenize")

    class Slow(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            with tokenize, tokenize:
                both.wait()
            return [[0.1]] * len(texts)

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    both = threading.Barrier(2)
    threads = [threading.Thread(target=Slow().embed_documents, args=(TEXTS,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(telemetry.spans()) == 2
    for span in telemetry.spans():
        told = {name: value for name, value in span.attributes.items() if ".stage." in name}
        assert sum(told.values()) == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1e-6)
        assert told["otel_embed.stage.tokenize.duration"] > 0 and len(told) == 2


NOTEBOOK = """
from langchain_core.embeddings import Embeddings
class Reloaded(Embeddings):
    def embed_documents(self, texts, by=NUMBER):
        return [[by, NUMBER] for _ in texts]
    def embed_query(self, text):
        return [*self.embed_documents([text])[0], NUMBER]
    async def aembed_query(self, text):
        return [*await super().aembed_query(text), NUMBER]
"""


def reloaded(number: int) -> Any:
    names: dict[str, Any] = {"__name__": "in_a_notebook"}
    exec(NOTEBOOK.replace("NUMBER", str(number)), names)
    return names["Reloaded"]


def hand_over(old: type, new: type) -> None:
    """As the autoreload of IPython does: what stands already is handed what the new one consists of."""
    for name in ("embed_documents", "embed_query", "aembed_query"):
        for part in ("__code__", "__defaults__", "__kwdefaults__", "__dict__"):
            setattr(vars(old)[name], part, getattr(vars(new)[name], part))


def test_a_method_that_is_reloaded_in_a_notebook_does_what_is_new(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of a class which was imported by name."""
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    first = reloaded(1)
    for number in (2, 3):
        hand_over(first, reloaded(number))
        assert first().embed_query("a") == [number] * 3
        assert run(first().aembed_query("a")) == [number] * 4
    assert [span.name for span in telemetry.spans()] == ["embed_query Reloaded", "aembed_query Reloaded"] * 2
