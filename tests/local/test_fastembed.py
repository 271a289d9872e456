"""The real fastembed on a tiny ONNX model and a tiny static one."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastembed
import numpy as np
import pytest
from fastembed import SparseTextEmbedding, TextEmbedding
from hypothesis import given
from local_models import DIMENSIONS, LONGEST, VOCABULARY, onnx, tokens, told, word_piece

import otel_embed
from conftest import Telemetry
from otel_embed.provider import Arguments
from otel_embed.providers import fastembed as provider
from spans import stages
from test_reading import ANYTHING

LINE = tuple(int(part) for part in fastembed.__version__.split(".")[:2])
TEXTS = ["the cat sat", "a dog", "one two three four five"]
LONG = "blue " * 40
NAME, CALL = "tests/tiny-onnx", "embeddings tests/tiny-onnx"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    from fastembed.common.model_description import ModelSource, PoolingType

    source = ModelSource(hf=NAME)
    TextEmbedding.add_custom_model(NAME, PoolingType.MEAN, True, source, DIMENSIONS, model_file="model.onnx")
    return onnx(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def plain(folder: str) -> Iterator[TextEmbedding]:
    otel_embed.uninstrument()
    yield TextEmbedding(NAME, specific_model_path=folder)


@pytest.fixture
def model(telemetry: Telemetry, plain: TextEmbedding) -> TextEmbedding:
    return plain


def test_a_batch_is_one_call_with_all_that_is_known(telemetry: Telemetry, model: TextEmbedding) -> None:
    list(model.embed([*TEXTS, LONG]))
    (span,) = telemetry.spans(CALL)
    assert (span.kind.name, span.status.status_code.name) == ("INTERNAL", "UNSET")
    assert told(span) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "fastembed",
        "gen_ai.request.model": NAME,
        "gen_ai.usage.input_tokens": 5 + 4 + 7 + LONGEST,
        "gen_ai.embeddings.dimension.count": DIMENSIONS,
        "otel_embed.input.count": 4,
        "otel_embed.input.kind": "text",
        "otel_embed.input.truncated": 1,
        "otel_embed.padding.tokens": 3 * LONGEST - (5 + 4 + 7),
        "otel_embed.usage.source": "counted",
        "otel_embed.device": "cpu",
    }
    assert set(stages(span)) >= {"tokenize", "forward"}
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == 28
    assert telemetry.total("otel_embed.padding") == 20


@pytest.mark.parametrize("method", ["embed", "passage_embed", "query_embed"])
def test_the_generator_stays_lazy_and_the_time_between_vectors_is_nobodys(
    telemetry: Telemetry, model: TextEmbedding, method: str
) -> None:
    taken: list[str] = []

    def texts() -> Iterator[str]:
        for text in TEXTS * 2:
            taken.append(text)
            yield text

    options = {} if method == "query_embed" else {"batch_size": 2}
    vectors = getattr(model, method)(texts() if options else TEXTS, **options)
    assert isinstance(vectors, types.GeneratorType) and not taken and not telemetry.spans()
    assert next(vectors).shape == (DIMENSIONS,)
    assert len(telemetry.spans(CALL)) == 1 and len(taken) <= 3
    vectors.close()
    (span,) = telemetry.spans(CALL)
    assert span.attributes["otel_embed.input.count"] == (2 if options else 3)


def test_batches_add_up(telemetry: Telemetry, model: TextEmbedding) -> None:
    assert len(list(model.embed(TEXTS * 5, batch_size=4))) == 15
    assert [span.attributes["otel_embed.input.count"] for span in telemetry.spans(CALL)] == [4, 4, 4, 3]
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == 5 * sum(map(tokens, TEXTS))
    assert telemetry.total("otel_embed.inputs") == 15


def test_what_the_application_gets_is_untouched(telemetry: Telemetry, plain: TextEmbedding) -> None:
    seen = list(plain.embed(TEXTS)), list(plain.query_embed(TEXTS[0]))
    otel_embed.uninstrument()
    for vectors, expected in zip(seen, (list(plain.embed(TEXTS)), list(plain.query_embed(TEXTS[0])))):
        assert np.array_equal(vectors, expected)


def test_a_failure_passes_through(telemetry: Telemetry, model: TextEmbedding) -> None:
    with pytest.raises(TypeError):
        list(model.embed([1, 2]))  # type: ignore[list-item]
    (span,) = telemetry.spans(CALL)
    assert (span.attributes["error.type"], span.status.status_code.name) == ("TypeError", "ERROR")


@pytest.mark.parametrize("lazy", [False, True])
def test_a_load_is_a_span_when_it_happens(telemetry: Telemetry, folder: str, lazy: bool) -> None:
    model = TextEmbedding(NAME, specific_model_path=folder, lazy_load=lazy)
    assert len(telemetry.spans(f"load {NAME}")) == (not lazy)
    list(model.embed(TEXTS))
    (span,) = telemetry.spans(f"load {NAME}")
    assert told(span) == {
        "gen_ai.provider.name": "fastembed",
        "gen_ai.request.model": NAME,
        "otel_embed.device": "cpu",
    }
    (point,) = telemetry.metrics()["otel_embed.model.load.duration"]
    assert point.count == 1


def test_a_sparse_model_is_left_alone(telemetry: Telemetry, tmp_path: Path) -> None:
    name = "prithivida/Splade_PP_en_v1"
    (vector,) = SparseTextEmbedding(name, specific_model_path=onnx(tmp_path / "splade")).embed(["the cat"])
    assert len(vector.values) > 0
    assert not telemetry.spans() and "otel_embed.inputs" not in telemetry.metrics()


@pytest.mark.skipif(LINE < (0, 9), reason="of fastembed 0.9 and later")
def test_a_static_model_counts_what_it_looks_up(telemetry: Telemetry, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"embeddings": np.ones((len(VOCABULARY), 8), np.float32)}, tmp_path / "model.safetensors")
    word_piece(tmp_path / "tokenizer.json")
    name = "minishlab/potion-base-8M"
    list(TextEmbedding(name, specific_model_path=str(tmp_path)).embed(TEXTS))
    (span,) = telemetry.spans(f"embeddings {name}")
    assert told(span) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "fastembed",
        "gen_ai.request.model": name,
        "gen_ai.usage.input_tokens": sum(len(text.split()) for text in TEXTS),
        "gen_ai.embeddings.dimension.count": 8,
        "otel_embed.input.count": 3,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "counted",
        "otel_embed.device": "cpu",
    }
    assert set(stages(span)) >= {"tokenize", "pool"}
    assert len(telemetry.spans(f"load {name}")) == 1


@given(ANYTHING, ANYTHING)
def test_readers_take_anything(plain: TextEmbedding, content: Any, result: Any) -> None:
    call = Arguments(plain.model, (content,), {})
    provider._request(call)
    provider._reply(result)
    provider._encoded(call, result)
    provider._looked_up(call, result)
