"""Calls are counted a batch at a time: it must come to what each would have come to by itself."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_embed.record import (
    CacheOutcome,
    Component,
    Cost,
    EmbeddingCall,
    Failure,
    LocalWork,
    Paid,
    Server,
    StageTiming,
    Usage,
)
from otel_embed.report.sketch import Sketch
from otel_embed.report.totals import MAX_SERIES, OVERFLOW, CacheTotals, Series, Totals

NANOSECONDS = st.integers(1, 10**10)
TOKENS = st.integers(0, 10**6)
USAGE = st.builds(Usage, TOKENS, st.sampled_from(("reported", "counted", "estimated")))
COST = st.builds(lambda picodollars: Cost(picodollars / 1e12, "table"), st.integers(0, 10**10))
CACHE = st.builds(
    CacheOutcome,
    st.sampled_from(("redis", "file")),
    st.integers(0, 3),
    st.integers(0, 3),
    st.none() | USAGE,
    st.none() | COST,
    st.builds(Paid, TOKENS, TOKENS, st.integers(0, 2)),
)
STAGES = st.lists(st.tuples(st.sampled_from(("wait", "cache_lookup", "cache_write")), NANOSECONDS, st.booleans()))


def timings(stretches: list[Any]) -> tuple[StageTiming, ...]:
    found, now = [], 0
    for stage, length, own in stretches:
        found.append(StageTiming(stage, now, now + length, own))
        now += length
    return tuple(found)


CALLS = st.builds(
    EmbeddingCall,
    provider=st.sampled_from(("openai", "cohere")),
    component=st.none() | st.just(Component("langchain", "OpenAIEmbeddings", "embed_query")),
    request_model=st.sampled_from(("small", None)),
    response_model=st.just("small"),
    server=st.none() | st.just(Server("127.0.0.1", 80)),
    attribution=st.sampled_from(((), (("tenant", "acme"),))),
    local=st.booleans(),
    is_leaf=st.booleans(),
    root=st.booleans(),
    metered=st.booleans(),
    inputs=st.none() | st.integers(0, 5),
    kind=st.just("text"),
    dimensions=st.none(),
    encoding_format=st.none(),
    usage=st.none() | USAGE,
    cost=st.none() | COST,
    start_unix_ns=NANOSECONDS,
    duration_ns=NANOSECONDS,
    stages=STAGES.map(timings),
    retries=st.sampled_from(((), ("429",), ("429", "500", "429"))),
    cache=st.none() | CACHE,
    failure=st.none() | st.just(Failure("429", "rate_limited")),
    request_bytes=st.none(),
    answer=st.none(),
    work=st.none()
    | st.builds(LocalWork, st.sampled_from(("cpu", None)), *[st.none() | st.integers(0, 9)] * 2, st.none()),
)


def said(value: Any) -> Any:
    """All that the sums hold, as plain values."""
    if isinstance(value, (Series, CacheTotals)):
        return {name: said(getattr(value, name)) for name in value.__slots__}
    if isinstance(value, Sketch):
        return value.to_dict() | {"sum": pytest.approx(value.sum)}
    if isinstance(value, dict):
        # A sum that nothing but 0 was added to may be there or not.
        return {key: said(each) for key, each in value.items() if each}
    return value


@given(st.lists(CALLS, max_size=12).flatmap(lambda some: st.permutations(some * 2)))
def test_a_batch_comes_to_what_its_calls_come_to_one_by_one(calls: list[EmbeddingCall]) -> None:
    together, apart = Totals(), Totals()
    together.add(calls)
    for call in calls:
        apart.add([call])
    of_one, of_the_other = ({series.key: said(series) for series in totals.series()} for totals in (together, apart))
    assert of_one == of_the_other
    assert (together.first_start_ns, together.last_end_ns) == (apart.first_start_ns, apart.last_end_ns)


def call(model: str, component: Component | None = None, tenant: str = "acme") -> EmbeddingCall:
    """One of two inputs and five tokens that cost a picodollar."""
    return EmbeddingCall(
        provider="openai", component=component, request_model=model, response_model=model,
        server=Server("127.0.0.1", 80), attribution=(("tenant", tenant),), local=False, is_leaf=True, root=True,
        metered=True, inputs=2, kind="text", dimensions=None, encoding_format=None, usage=Usage(5, "reported"),
        cost=Cost(1e-12, "table"), start_unix_ns=1, duration_ns=1, stages=(), retries=("429",), cache=None,
        failure=None, request_bytes=None, answer=None, work=None,
    )  # fmt: skip


def test_models_without_end_are_one_series_from_some_number_on_and_none_is_lost() -> None:
    totals = Totals()
    for number in range(MAX_SERIES + 50):
        totals.add([call(f"m{number}"), call(f"m{number}")])
    totals.add([call("another", Component("langchain", "Mine", "embed_query"), "globex")])
    series = totals.series()
    assert len(series) == MAX_SERIES + 2
    others, last = series[MAX_SERIES:]
    assert (others.key.provider, others.key.component, others.key.request_model) == ("openai", None, OVERFLOW)
    assert (last.key.component, last.key.attribution) == (OVERFLOW, (("tenant", OVERFLOW),))
    assert (others.calls, others.retries, last.calls) == (100, {"429": 100}, 1)
    assert sum(each.tokens["reported"] for each in series) == 5 * (2 * (MAX_SERIES + 50) + 1)
    assert sum(each.picodollars for each in series) == 2 * (MAX_SERIES + 50) + 1


@given(st.lists(st.floats() | st.sampled_from((nan, inf, -inf, 0.0, 1e-9, 1e9)), max_size=20))
def test_durations_counted_at_once_come_to_what_they_come_to_one_by_one(durations: list[float]) -> None:
    together, apart = Sketch(), Sketch()
    together.extend(durations)
    for seconds in durations:
        apart.add(seconds)
    assert said(together) == said(apart)
    assert 0 <= together.sum < inf
