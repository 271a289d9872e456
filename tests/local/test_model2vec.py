"""The real model2vec on a small vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from local_models import VOCABULARY, told, word_piece
from model2vec import StaticModel
from tokenizers import Tokenizer

import otel_embed
from conftest import Telemetry
from otel_embed.provider import Arguments
from otel_embed.providers import model2vec as provider
from spans import stages
from test_reading import ANYTHING

TEXTS = ["the cat sat", "a dog", "one two three four five"]
TOKENS = 3 + 2 + 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny-static"
    folder.mkdir()
    word_piece(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    vectors = np.random.default_rng(1).normal(size=(len(VOCABULARY), 8)).astype(np.float32)
    StaticModel(vectors, tokenizer, {"tokenizer_name": "tiny"}).save_pretrained(folder)
    return str(folder)


def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, folder: str) -> None:
    StaticModel.from_pretrained(folder).encode(TEXTS)
    (span,) = telemetry.spans("embeddings tiny-static")
    assert (span.kind.name, span.status.status_code.name) == ("INTERNAL", "UNSET")
    assert told(span) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "model2vec",
        "gen_ai.request.model": "tiny-static",
        "gen_ai.usage.input_tokens": TOKENS,
        "gen_ai.embeddings.dimension.count": 8,
        "otel_embed.input.count": 3,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "counted",
        "otel_embed.device": "cpu",
    }
    assert set(stages(span)) == {"tokenize", "pool", "other"}
    (fine,) = telemetry.metrics()["otel_embed.local.duration"]
    assert fine.explicit_bounds[0] == 0.0005 and fine.count == 1


def test_nobody_is_paid_whatever_a_file_says(telemetry: Telemetry, folder: str, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nprovider = "model2vec"\nmodel = "tiny-static"\nusd_per_million_tokens = 5\n')
    telemetry.instrument(prices=str(prices), daily_budget_usd=0.0, budget_action="block")
    StaticModel.from_pretrained(folder).encode(TEXTS)
    (span,) = telemetry.spans("embeddings tiny-static")
    assert span.status.status_code.name == "UNSET" and "otel_embed.cost.usd" not in span.attributes
    assert (otel_embed.summary().cost_usd, otel_embed.summary().unpriced_calls) == (0, 0)


def test_a_load_is_a_span_and_a_duration(telemetry: Telemetry, folder: str, tmp_path: Path) -> None:
    StaticModel.from_pretrained(folder)
    with pytest.raises(Exception, match=r".+"):
        StaticModel.from_pretrained(str(tmp_path / "nosuch" / "model"))
    loaded, failed = telemetry.spans("load tiny-static"), telemetry.spans("load model")
    place = {"gen_ai.provider.name": "model2vec", "gen_ai.request.model": "tiny-static", "otel_embed.device": "cpu"}
    assert [told(span) for span in loaded] == [place]
    assert [span.status.status_code.name for span in failed] == ["ERROR"]
    assert sum(point.count for point in telemetry.metrics()["otel_embed.model.load.duration"]) == 2


def test_threads_belong_to_the_call_that_started_them(telemetry: Telemetry, folder: str) -> None:
    StaticModel.from_pretrained(folder).encode(TEXTS * 40, batch_size=10, multiprocessing_threshold=50)
    (span,) = telemetry.spans("embeddings tiny-static")
    assert span.attributes["otel_embed.usage.source"] == "counted"
    assert span.attributes["gen_ai.usage.input_tokens"] == 40 * TOKENS


def test_what_the_application_gets_is_untouched(telemetry: Telemetry, folder: str) -> None:
    model = StaticModel.from_pretrained(folder)
    assert isinstance(model, StaticModel)
    seen = model.encode(TEXTS), model.encode(TEXTS[0]), model.encode_as_sequence(TEXTS[0])
    otel_embed.uninstrument()
    expected = model.encode(TEXTS), model.encode(TEXTS[0]), model.encode_as_sequence(TEXTS[0])
    assert all(np.array_equal(*pair) for pair in zip(seen, expected))
    assert not hasattr(StaticModel.encode, "__otel_embed__")
    assert not hasattr(StaticModel.from_pretrained, "__otel_embed__")
    assert [span.attributes["otel_embed.input.count"] for span in telemetry.spans("embeddings tiny-static")] == [3, 1]


def test_a_failure_passes_through(telemetry: Telemetry, folder: str) -> None:
    with pytest.raises(TypeError):
        StaticModel.from_pretrained(folder).encode([1, 2])  # type: ignore[list-item]
    (span,) = telemetry.spans("embeddings tiny-static")
    assert (span.attributes["error.type"], span.status.status_code.name) == ("TypeError", "ERROR")


@given(ANYTHING, ANYTHING)
def test_readers_take_anything(content: Any, result: Any) -> None:
    call = Arguments(TEXTS, (content,), {})
    assert provider._request(Arguments(StaticModel, (content,), {})).device == "cpu"
    provider._batch(call, result)
    provider._loads(call)
