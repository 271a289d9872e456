"""Readers take whatever a server or an application gives them, and never raise."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_embed import reading
from otel_embed.record import Reply, Server

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
OBJECTS = st.builds(SimpleNamespace, data=ANYTHING, usage=ANYTHING, model=ANYTHING, embedding=ANYTHING)


@pytest.mark.parametrize("usage", ['{"prompt_tokens": 5}', '{"details": {"text": 5}, "prompt_tokens": 5, "more": {}}'])
def test_the_usage_of_a_body_that_is_not_parsed(usage: str) -> None:
    body = f'{{"data": [], "model": "m", "usage": {usage}}}'.encode()
    assert reading.unparsed(SimpleNamespace(_content=body)) == Reply(model="m", tokens=5)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (["a", "b"], (2, "text")),
        ([1, 2], (1, "tokens")),
        ([[1, 2], [3]], (2, "tokens")),
        ([{"image": "data:"}, {"text": "a"}], (2, None)),
        ([], (0, "text")),
    ],
)
def test_inputs_are_counted_and_their_kind_told_where_it_is_known(content: Any, told: Any) -> None:
    assert reading.inputs(content) == told


@given(ANYTHING | OBJECTS)
def test_anything_can_be_read(value: Any) -> None:
    for read in (reading.text, reading.amount, reading.count, reading.first, reading.dimensions, reading.server):
        read(value)
    assert reading.inputs(value)[1] in (None, "text", "tokens")
    assert reading.mixed_inputs(value)[1] in (None, "text", "image", "mixed")
    assert isinstance(reading.listed(value), Reply) and isinstance(reading.unparsed(value), Reply)


@given(st.lists(OBJECTS), ANYTHING | st.dictionaries(st.sampled_from(["prompt_tokens", "total_tokens"]), ANYTHING))
def test_any_answer_of_openais_form_can_be_read(data: Any, usage: Any) -> None:
    reply = reading.listed(SimpleNamespace(data=data, usage=usage, model="m"))
    assert reply.vectors == (len(data) or None)
    assert reply.tokens is None or (isinstance(reply.tokens, int) and reply.tokens > 0)


@given(st.binary(max_size=2000), ANYTHING)
def test_any_body_can_be_looked_at(body: bytes, usage: Any) -> None:
    told = json.dumps({"usage": {"prompt_tokens": repr(usage)}}).encode()
    for content in (body, body + told, body + b'"usage": {"prompt_tokens": ' + b"9" * 5000 + b"}"):
        assert reading.unparsed(SimpleNamespace(_content=content)).tokens is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), (3.0, 3), *[(other, None) for other in (0, -1, True, "3", None, float("nan"), 1e99, 0.2)]],
)
def test_a_count_is_a_number_above_zero(value: Any, expected: int | None) -> None:
    assert reading.count(value) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.cohere.com/v1", Server("api.cohere.com", 443)),
        ("http://127.0.0.1:8080", Server("127.0.0.1", 8080)),
        ("http://[::1]/v1", Server("::1", 80)),
        ("http://host:port", None),
        ("", None),
        (SimpleNamespace(host="api.cohere.com", port=None, scheme="https"), Server("api.cohere.com", 443)),
    ],
)
def test_where_a_url_leads(url: Any, expected: Server | None) -> None:
    assert reading.server(url) == expected
