"""What goes wrong without an error: a real case in, the right count out, and nothing on clean data."""

from __future__ import annotations

import base64
import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import openai
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import Embeddings

import otel_embed
from conftest import Telemetry, run
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from fakes.server import Received
from otel_embed.cli.document import load, merge
from otel_embed.cli.report_json import to_dict
from otel_embed.cli.work_tables import work_tables
from otel_embed.demo.server import Answer
from otel_embed.quality import checks, inputs, vectors
from otel_embed.quality.models import most_inputs, most_tokens
from otel_embed.record import EmbeddingCall, Reply, Request
from test_reading import ANYTHING

SMALL = "text-embedding-3-small"
NAN, INFINITE = float("nan"), float("inf")


RECORD = EmbeddingCall(
    **dict.fromkeys(EmbeddingCall._fields, None)
    | {"provider": "openai", "local": False, "is_leaf": True, "inputs": 1, "kind": "text", "dimensions": 1}
    | {"duration_ns": 10**6, "retries": (), "attribution": ()}
)


class StrangeServer(OpenAIServer):
    """Answers as told: with these vectors in place of its own first ones, and by this model's name."""

    vectors: Sequence[list[float]] = ()
    model: str | None = None

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        answer = super().respond(received, raw, fault)
        if answer.status != 200:
            return answer
        said = json.loads(answer.body)
        said["model"] = self.model or said["model"]
        for row, vector in zip(said["data"], self.vectors):
            packed = base64.b64encode(np.array(vector, np.float32).tobytes()).decode()
            row["embedding"] = packed if isinstance(row["embedding"], str) else vector
        return answer._replace(body=json.dumps(said).encode())


@pytest.fixture
def strange() -> Iterator[StrangeServer]:
    with StrangeServer() as server:
        yield server


@pytest.fixture
def client(strange: StrangeServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=strange.url, api_key="x", max_retries=2) as client:
        yield client


def problems(telemetry: Telemetry) -> dict[str, float]:
    found: Counter[str] = Counter()
    for point in telemetry.metrics().get("otel_embed.problems", ()):
        found[point.attributes["otel_embed.problem"]] += point.value
    return dict(found)


def looked_at(telemetry: Telemetry) -> tuple[float, float]:
    what = "otel_embed__checked__what"
    return tuple(telemetry.total("otel_embed.checked", **{what: kind}) for kind in ("input", "vector"))  # type: ignore[return-value]


def test_clean_calls_have_no_problem(telemetry: Telemetry, client: openai.OpenAI) -> None:
    for n in range(20):
        client.embeddings.create(model=SMALL, input=[f"text {n} {m}" for m in range(4)])
        client.embeddings.create(model=SMALL, input=f"query {n}", dimensions=4)
    assert problems(telemetry) == {}
    assert looked_at(telemetry) == (100, 100)
    assert telemetry.total("otel_embed.wasted.tokens") == telemetry.total("otel_embed.wasted.cost") == 0
    assert not any("otel_embed.problems" in span.attributes for span in telemetry.spans())


def test_empty_duplicate_and_repeated_texts_and_what_they_cost(telemetry: Telemetry, client: openai.OpenAI) -> None:
    client.embeddings.create(model=SMALL, input=["a" * 40, "b" * 40, "a" * 40, "  ", "\n"])
    client.embeddings.create(model=SMALL, input=["b" * 40, "c" * 40])
    client.embeddings.create(model="text-embedding-3-large", input="b" * 40)  # another model's vector is another one
    assert problems(telemetry) == {"empty_input": 2, "duplicate_input": 1, "repeated_input": 1}
    first, second, third = telemetry.spans()
    assert first.attributes["otel_embed.problems"] == ("empty_input", "duplicate_input")
    assert second.attributes["otel_embed.problems"] == ("repeated_input",)
    assert "otel_embed.problems" not in third.attributes
    spent, tokens = second.attributes["otel_embed.cost.usd"], second.attributes["gen_ai.usage.input_tokens"]
    assert telemetry.total("otel_embed.wasted.tokens", otel_embed__waste="repeated_input") == round(tokens / 2)
    assert telemetry.total("otel_embed.wasted.cost", otel_embed__waste="repeated_input") == pytest.approx(spent / 2)
    assert telemetry.total("otel_embed.checked.cost") == telemetry.total("otel_embed.cost")
    tokens = first.attributes["gen_ai.usage.input_tokens"]
    assert telemetry.total("otel_embed.wasted.tokens", otel_embed__waste="duplicate_input") == round(tokens * 40 / 123)


def test_vectors_that_no_search_can_use(
    telemetry: Telemetry, strange: StrangeServer, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    strange.vectors = [[0.5, NAN], [0.0, 0.0], [INFINITE, 1.0], [-INFINITE, INFINITE], [1.0, 2.0]]
    with caplog.at_level(logging.INFO, "otel_embed.quality"):
        for texts in (["a", "b", "c", "d", "e"], ["f", "g", "h", "i", "j"]):
            client.embeddings.create(model=SMALL, input=texts)
    assert problems(telemetry) == {"nan_vector": 2, "zero_vector": 2, "infinite_vector": 4}
    assert [record.getMessage().partition(". ")[0] for record in caplog.records] == [
        f"openai {SMALL}: a vector has numbers that are not a number (NaN)",
        f"openai {SMALL}: a vector is all zeros",
        f"openai {SMALL}: a vector has infinite numbers",
    ]


def test_another_dimension_or_model_than_asked_for_or_than_before(
    telemetry: Telemetry, strange: StrangeServer, client: openai.OpenAI
) -> None:
    strange.vectors = [[1.0, 2.0, 3.0]]
    client.embeddings.create(model=SMALL, input="a", dimensions=2)
    assert problems(telemetry) == {"wrong_dimension": 1}
    client.embeddings.create(model=SMALL, input="b")
    strange.vectors = [[1.0, 2.0]]
    client.embeddings.create(model=SMALL, input="c")
    client.embeddings.create(model=SMALL, input="d")
    assert problems(telemetry) == {"wrong_dimension": 1, "dimension_change": 1}
    strange.model = "text-embedding-3-small-v2"
    client.embeddings.create(model=SMALL, input="e")
    assert problems(telemetry) == {"wrong_dimension": 1, "dimension_change": 1, "model_change": 1}


def test_another_model_or_dimension_in_one_pipeline(telemetry: Telemetry, client: openai.OpenAI) -> None:
    for name, model, dimensions in [
        ("docs", SMALL, 8), ("images", "text-embedding-3-large", 16), ("docs", SMALL, 8), ("docs", "text-embedding-3-large", 8),
        ("docs", "text-embedding-3-large", 16), ("images", "text-embedding-3-large", 16),
    ]:  # fmt: skip
        with otel_embed.attribute(pipeline=name):
            client.embeddings.create(model=model, input=f"{name} {model} {dimensions}", dimensions=dimensions)
    found = {**problems(telemetry)}
    found.pop("repeated_input")
    assert found == {"model_change": 1, "dimension_change": 1}


def test_texts_longer_than_the_model_takes(telemetry: Telemetry, client: openai.OpenAI, strange: StrangeServer) -> None:
    client.embeddings.create(model="embed-english-v3.0", input=["word " * 600, "short"])
    assert problems(telemetry) == {"oversized_input": 1}
    strange.script([Fault(status=400)])
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model=SMALL, input="x" * 50_000)
    assert problems(telemetry) == {"oversized_input": 2}
    client.embeddings.create(model="a-model-nobody-knows", input="y" * 50_000)
    assert problems(telemetry) == {"oversized_input": 2}


@pytest.mark.parametrize(("words", "found"), [(300, {}), (600, {"oversized_input": 5})])
def test_a_part_of_a_call_is_judged_by_its_part_of_the_tokens(
    telemetry: Telemetry, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, words: int, found: dict[str, int]
) -> None:
    """A model that takes 512 tokens, and more texts than there is time to look at."""
    monkeypatch.setattr(checks, "_LEAST_CHARACTERS", 4 * words * 5)
    monkeypatch.setattr(checks, "_PART", 10**12)
    client.embeddings.create(model="embed-english-v3.0", input=[f"{n:04} " + "word " * (words - 1) for n in range(20)])
    assert (problems(telemetry), looked_at(telemetry)[0]) == (found, 5)


def test_one_text_of_a_call_is_judged_by_its_own_tokens(
    telemetry: Telemetry, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_LEAST_CHARACTERS", 0)
    monkeypatch.setattr(checks, "_PART", 10**12)
    client.embeddings.create(model="embed-english-v3.0", input=["one " * 300, "two " * 300])
    assert (problems(telemetry), looked_at(telemetry)[0]) == ({}, 1)
    client.embeddings.create(model="embed-english-v3.0", input=["three " * 512])
    assert problems(telemetry) == {"oversized_input": 1}


def test_of_very_many_texts_the_characters_are_an_estimate() -> None:
    assert inputs.look(["abc"] * 5, "m", None, 2, 10**6).of_all == 15
    assert inputs.look(["abc", [1], "", "d"], "m", None, 1, 10**6).of_all == 4
    assert inputs.look(["abc"] * 100_000, "m", None, 2, 10**6).of_all == pytest.approx(300_000)
    assert inputs.look("abc", "m", None, 2, 10**6).of_all == 3


def test_what_the_application_decodes_itself_is_not_counted_as_looked_at(
    telemetry: Telemetry, client: openai.OpenAI
) -> None:
    client.embeddings.create(model=SMALL, input=["a", "b"], encoding_format="base64")
    assert looked_at(telemetry) == (2, 0)
    client.embeddings.create(model=SMALL, input=["c", "d"], encoding_format="float")
    assert looked_at(telemetry) == (4, 2)


def test_lists_of_token_ids_are_looked_at_as_texts_are(telemetry: Telemetry, client: openai.OpenAI) -> None:
    """LangChain's ``OpenAIEmbeddings`` sends texts so."""
    client.embeddings.create(model=SMALL, input=[[1, 2, 3], [4, 5, 6, 7], [1, 2, 3]])
    client.embeddings.create(model=SMALL, input=[4, 5, 6, 7])
    client.embeddings.create(model=SMALL, input=[[8] * 8192, [9]])
    assert problems(telemetry) == {"duplicate_input": 1, "repeated_input": 1}
    assert looked_at(telemetry)[0] == 6
    assert telemetry.total("otel_embed.wasted.tokens", otel_embed__waste="duplicate_input") == 3
    assert telemetry.total("otel_embed.wasted.tokens", otel_embed__waste="repeated_input") == 4
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model=SMALL, input=[[8] * 8193])
    assert problems(telemetry)["oversized_input"] == 1
    assert telemetry.total("otel_embed.wasted.tokens", otel_embed__waste="failed_attempt") == 8193


def test_a_text_is_not_repeated_where_other_dimensions_are_asked_for(
    telemetry: Telemetry, client: openai.OpenAI
) -> None:
    for dimensions in (8, 16):
        client.embeddings.create(model=SMALL, input="one", dimensions=dimensions)
    assert problems(telemetry) == {}
    client.embeddings.create(model=SMALL, input="one", dimensions=8)
    assert problems(telemetry) == {"repeated_input": 1}


def test_tokens_of_failed_attempts(telemetry: Telemetry, client: openai.OpenAI, strange: StrangeServer) -> None:
    strange.script([Fault(status=429, retry_after=0.01), Fault(status=500, retry_after=0.01)])
    client.embeddings.create(model=SMALL, input="some text")
    (span,) = telemetry.spans()
    tokens = span.attributes["gen_ai.usage.input_tokens"]
    assert telemetry.total("otel_embed.wasted.tokens", otel_embed__waste="failed_attempt") == 2 * tokens
    strange.script([Fault(status=500, retry_after=0.01)] * 3)
    with pytest.raises(openai.InternalServerError):
        client.embeddings.create(model=SMALL, input="x" * 400)
    assert telemetry.total("otel_embed.wasted.tokens", otel_embed__waste="failed_attempt") == 2 * tokens + 3 * 100
    assert telemetry.total("otel_embed.wasted.cost") == 0


def test_what_nobody_got_is_not_wasted(telemetry: Telemetry, client: openai.OpenAI) -> None:
    class Unheard(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            requests.post(nowhere, json=texts)
            raise AssertionError

        embed_query = embed_documents  # type: ignore[assignment]

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"  # bound, and nobody listens
        with pytest.raises(openai.APIConnectionError):
            client.with_options(base_url=nowhere).embeddings.create(model=SMALL, input="some text")
        with pytest.raises(requests.ConnectionError):
            Unheard().embed_documents(["some text"])
    assert "otel_embed.retries" in telemetry.metrics()
    assert "otel_embed.wasted.tokens" not in telemetry.metrics()


def test_an_embedder_of_the_applications_own(telemetry: Telemetry) -> None:
    class Broken(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[0.0, 0.0] for _ in texts]

        def embed_query(self, text: str) -> list[float]:
            return [NAN]

    Broken().embed_documents(["a", "b"])
    Broken().embed_query("c")
    assert problems(telemetry) == {"zero_vector": 2, "nan_vector": 1}


def test_an_asynchronous_call_is_looked_at_too(telemetry: Telemetry, strange: StrangeServer) -> None:
    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=strange.url, api_key="x") as client:
            await client.embeddings.create(model=SMALL, input=["a", "a"])

    run(work())
    assert problems(telemetry) == {"duplicate_input": 1}


def test_many_calls_are_a_sample_and_off_is_off(telemetry: Telemetry, client: openai.OpenAI) -> None:
    for n in range(150):
        client.embeddings.create(model=SMALL, input=f"{n}")
    looked, _ = looked_at(telemetry)
    assert 100 <= looked < 150
    telemetry.instrument(checks="off")
    client.embeddings.create(model=SMALL, input=["a", "a"])
    assert problems(telemetry) == {} and looked_at(telemetry)[0] == looked


def test_headroom_and_what_fits_into_a_call(
    telemetry: Telemetry, strange: StrangeServer, client: openai.OpenAI
) -> None:
    left = {"x-ratelimit-limit-requests": "200", "x-ratelimit-remaining-requests": "50"}
    left |= {"ratelimit-remaining": "800", "ratelimit-limit": "1000"}  # those of a proxy
    strange.script([Fault(headers=left)])
    client.embeddings.create(model=SMALL, input="a")
    (point,) = [
        point
        for point in telemetry.metrics()["otel_embed.rate_limit.headroom"]
        if point.attributes["otel_embed.rate_limit.kind"] == "requests"
    ]
    assert point.value == 0.25
    assert telemetry.total("otel_embed.batch.limit", gen_ai__request__model=SMALL) == 2048


def test_the_summary_has_what_was_found(telemetry: Telemetry, client: openai.OpenAI) -> None:
    client.embeddings.create(model=SMALL, input=["a" * 100, "a" * 100])
    (row,) = otel_embed.summary().document["quality"]
    assert row["problems"] == {"duplicate_input": 1} and row["inputs"] == row["vectors"] == 2
    assert row["wasted_usd"]["duplicate_input"] > 0 and row["most_inputs"] == 2048


def test_what_was_wasted_of_a_model_without_a_price_is_unknown_and_not_0(
    telemetry: Telemetry, client: openai.OpenAI, strange: StrangeServer
) -> None:
    client.embeddings.create(model="nobody-knows", input=["a" * 100, "a" * 100])
    with pytest.raises(openai.BadRequestError):
        strange.script([Fault(status=400)])
        client.embeddings.create(model="nobody-knows", input=[])
    (row,) = otel_embed.summary().document["quality"]
    assert row["wasted_tokens"].keys() == {"duplicate_input"}, "what no text was sent in wasted none"
    assert row["wasted_usd"] == {}
    assert "otel_embed.wasted.cost" not in telemetry.metrics()


def test_a_memory_forgets_and_never_invents() -> None:
    memory = inputs.Memory()
    texts = [f"text {n}" for n in range(300_000)]
    assert memory.known(texts, "a model") == []
    assert memory.known(texts[-1000:], "another model") == []
    assert len(memory.known(texts[-1000:], "a model")) > 900
    assert len(memory.known(texts[:1000], "a model")) < 100


def test_as_many_texts_are_looked_at_as_there_is_time_for() -> None:
    texts = ["abcd", "ef", "", "gh", "ij"]
    looked = [inputs.look(texts, "m", None, 4, most)[:2] for most in (0, 4, 5, 6, 7, 99)]
    assert looked == [(1, 4), (2, 6), (2, 6), (4, 8), (4, 8), (4, 8)]


@given(st.lists(st.one_of(st.text(max_size=9), st.none(), st.integers(), st.lists(st.integers(), max_size=2))))
def test_texts_are_told_apart_as_a_plain_count_does(content: list[Any]) -> None:
    content = ["first", *content]
    found = inputs.look(content, "m", inputs.Memory(), 1000, 10**6)
    texts = [text for text in content if isinstance(text, str)]
    said = [text for text in texts if text.strip()]
    assert (found.inputs, found.characters) == (len(texts), sum(map(len, texts)))
    assert found.empty == len(texts) - len(said)
    assert found.duplicate == len(said) - len(set(said)) and found.repeated == 0


@given(st.lists(st.lists(st.integers(0, 2**63 - 1), max_size=3), min_size=1))
def test_lists_of_token_ids_are_told_apart_as_a_plain_count_does(content: list[list[int]]) -> None:
    found = inputs.look(content, "m", inputs.Memory(), 1000, 10**6)
    said = [tuple(ids) for ids in content if ids]
    assert (found.inputs, found.characters) == (len(content), found.a_token * sum(map(len, content)))
    assert found.empty == len(content) - len(said)
    assert found.duplicate == len(said) - len(set(said)) and found.repeated == 0


@pytest.mark.parametrize("content", [[[0.5, 1.0]], [["a"]], [[2**63]], [[1], [None]], [[[1]]]])
def test_what_holds_no_token_ids_is_passed_over(content: Any) -> None:
    assert inputs.look(content, "m", inputs.Memory(), 1000, 10**6).inputs == 0


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_a_vector_is_judged_as_number_by_number(vector: list[float]) -> None:
    array = np.array(vector, np.float32)
    expected = (
        "nan_vector"
        if np.isnan(array).any()
        else "infinite_vector"
        if np.isinf(array).any()
        else None
        if array.any()
        else "zero_vector"
    )
    assert vectors.wrong(vector) == expected
    with np.errstate(all="raise"):
        assert vectors.wrong(array) == expected


@given(
    st.lists(
        st.sampled_from(([1.0, 2.0], [0.0, 0.0], [nan, 1.0], [inf, -inf], [3e38, 3e38], [-0.0, 1e-45])), max_size=20
    ),
    st.integers(1, 25),
)
def test_the_rows_of_an_array_are_judged_as_each_by_itself(rows: list[list[float]], most: int) -> None:
    array = np.array(rows, np.float32).reshape(-1, 2)
    looked, wrong = vectors.look(array, most)
    each = [vectors.wrong(row) for row in vectors.picked(list(array), most)]
    assert looked == len(each) <= most
    assert wrong == [problem for problem in each if problem is not None]


@settings(deadline=None)
@given(ANYTHING)
def test_whatever_a_library_returns_is_looked_at_without_an_error(value: Any) -> None:
    vectors.look(value, 8)
    inputs.look(value, "m", None, 8, 100)


def test_models_are_known_by_their_names() -> None:
    assert most_tokens("text-embedding-ada-002-v2") == most_tokens("text-embedding-3-large") == 8192
    assert most_tokens("cohere.embed-english-v3") == most_tokens("embed-multilingual-light-v3.0") == 512
    assert most_tokens("voyage-code-2") == 16000 and most_tokens("voyage-code-3") == 32000
    assert most_tokens("nobody's") is None and most_tokens(None) is None
    assert most_inputs("cohere", "embed-v4.0") == 96 and most_inputs("openai", "other") is None


def test_models_without_end_take_no_memory_without_end() -> None:
    found, now = checks.Checks(), time.perf_counter_ns()
    site = SimpleNamespace(call=SimpleNamespace(local=False, ending=None))
    for n in range(3 * checks._MAX_MODELS):
        record = RECORD._replace(request_model=str(n), response_model=None)
        call: Any = SimpleNamespace(
            delegated=False, end=now + n * 10**9, site=site, request=Request(str(n), 1, "text", content=f"text {n}"),
            reply=Reply(), lanes=[], failure=None, record=lambda record=record: record,
        )  # fmt: skip
        found.look(call, [[1.0]])
    assert len(found.sums()) == len(found._latest) == checks._MAX_MODELS


def test_the_report_says_which_share_of_the_dollars_was_wasted(
    telemetry: Telemetry, client: openai.OpenAI, tmp_path: Path
) -> None:
    client.embeddings.create(model=SMALL, input=["one two", "one two"])
    client.embeddings.create(model=SMALL, input=["three four", "five six", "seven eight"])
    client.embeddings.create(model="text-embedding-3-large", input="one two three four")
    client.embeddings.create(model="nobody-knows", input=["one two", "one two"])
    file = tmp_path / "summary.json"
    file.write_text(json.dumps(otel_embed.summary().document))
    report = merge([load(file), load(file)])
    (table,) = (table for table in work_tables(report) if table.title == "Worth a look")
    assert table.note == f"{100 * 2 * 20 / (10 * 20 + 4 * 130):.1f} % of dollars on repeated texts"
    ratios = {row["model"]: row["wasted_ratio"] for row in to_dict(report)["quality"]}
    assert ratios == {SMALL: pytest.approx(0.2), "text-embedding-3-large": 0, "nobody-knows": None}


def test_the_report_shows_it(telemetry: Telemetry, client: openai.OpenAI, tmp_path: Path) -> None:
    for n in range(120):
        client.embeddings.create(model=SMALL, input=f"query {n % 60}")
    client.embeddings.create(model=SMALL, input=["a", "a"])
    file = tmp_path / "summary.json"
    file.write_text(json.dumps(otel_embed.summary().document))
    rows = {
        cells[0]: cells[1:]
        for table in work_tables(merge([load(file), load(file)]))
        for _, cells in table.rows
        if table.title == "Worth a look"
    }
    assert set(rows) == {"repeated input", "small calls"} or set(rows) == {
        "repeated input",
        "duplicate input",
        "small calls",
    }
    assert rows["small calls"] == ["242", "1.0 of 2,048 texts", "–", "–"]
    assert int(rows["repeated input"][0]) >= 80 and rows["repeated input"][3].startswith("$")
