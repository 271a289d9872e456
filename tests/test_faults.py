"""With a function of ours failing, the application's results and exceptions are what they were.

The code object is replaced, so that every reference to a function is to a broken one. Of the 211 places some 117 are reached.
The others pass without having been broken in a call: constructors, settings and price files, what no call here comes to
(estimated tokens, tracking, capturing), and the asynchronous path. For those this test says nothing yet.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import openai
import pytest
from conftest import Telemetry
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings

from opentelemetry.context import get_current

from otel_embed import exchange, failure, guard, headers, observe, stages, timeline, wrapping
from otel_embed.pricing import bill, prices, tokens
from otel_embed.report import budget, coexist, log, metrics, pending, recorder, slowest, spans, totals, track
from otel_embed.transports import body, httpx

MODULES = [exchange, failure, headers, observe, stages, timeline, wrapping, bill, prices, tokens, budget, coexist, log,
           metrics, pending, recorder, slowest, spans, totals, track, body, httpx]  # fmt: skip
TRUSTED = {"_Watched": {"__iter__", "__aiter__", "close", "aclose"}}
"""What the application itself runs through: with ``Guard`` and the wrapped functions, all that may not fail."""
NOT_DURING_A_CALL = {"__repr__", "__reduce__", "__enter__", "__exit__", "__del__", "__getattr__", "seconds", "end"}


def functions(module: ModuleType) -> Iterator[tuple[Any, str]]:
    for name, value in vars(module).items():
        if inspect.isfunction(value) and value.__module__ == module.__name__:
            yield module, name
        elif inspect.isclass(value) and value.__module__ == module.__name__ and not issubclass(value, tuple):
            for method, found in vars(value).items():
                if (
                    isinstance(found, FunctionType)
                    and method not in NOT_DURING_A_CALL
                    and method not in TRUSTED.get(name, ())
                ):
                    yield value, method


REACHED: list[int] = []
PLACES = [place for module in MODULES for place in functions(module)
          if place[1] not in {"put", "_wrapped", "_around", "_around_async", "_carrying", "restored", "_inert", "watch"}]  # fmt: skip
IDS = [f"{owner.__name__.rpartition('.')[2]}.{name}" for owner, name in PLACES]


def application(server: OpenAIServer) -> list[object]:
    """What an application sees of several calls: results, and exceptions with their text."""
    seen: list[object] = []
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        seen.append(client.embeddings.create(model="text-embedding-3-small", input=["one", "two"]).model_dump())
        server.script([Fault(status=400)])
        try:
            client.embeddings.create(model="text-embedding-3-small", input="x")
        except openai.BadRequestError as error:
            seen.append((type(error), str(error)))
        with client.embeddings.with_streaming_response.create(model="text-embedding-3-small", input="three") as answer:
            seen.append(answer.parse().model_dump())
        lc = OpenAIEmbeddings(
            model="text-embedding-3-small", base_url=server.url, api_key="x", check_embedding_ctx_length=False
        )
        it = CacheBackedEmbeddings.from_bytes_store(lc, InMemoryByteStore(), namespace="n", key_encoder="sha256")
        seen += [it.embed_documents(["one", "two"]), it.embed_documents(["one", "three"]), it.embed_query("q")]
    return seen


@pytest.fixture(scope="module")
def expected() -> Iterator[list[object]]:
    with OpenAIServer() as server:
        yield application(server)


@pytest.mark.parametrize(("owner", "name"), PLACES, ids=IDS)
def test_the_application_never_notices(
    telemetry: Telemetry, server: OpenAIServer, expected: list[object], owner: Any, name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    telemetry.instrument(stage_spans="always", daily_budget_usd=1.0, log="text")
    REACHED.clear()

    def broken(*args: Any, **kwargs: Any) -> Any:
        __import__("test_faults").REACHED.append(1)
        raise RuntimeError("a bug in otel_embed")

    guard.reraise = False
    function = vars(owner)[name]
    if function.__code__.co_freevars:
        monkeypatch.setattr(owner, name, broken)
    else:
        monkeypatch.setattr(function, "__code__", broken.__code__)
    assert application(server) == expected
    assert not get_current(), "the application's context is what it was"
    telemetry.reader.get_metrics_data()
    monkeypatch.undo()
    if REACHED:
        assert sum(guard.dropped.values()) >= 1, "what failed is counted"
