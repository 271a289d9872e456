"""The real llama.cpp on a tiny BERT of its own form. It is built from source, so ``make test`` leaves this out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from llama_cpp import Llama
from local_models import gguf, told

import otel_embed
from conftest import Telemetry
from otel_embed.provider import Arguments
from otel_embed.providers import llama_cpp as provider
from spans import stages
from test_reading import ANYTHING

TEXTS = ["the cat sat", "a dog", "one two three four five"]
BATCH = 16
CALL = "embeddings tiny-bert.gguf"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return gguf(tmp_path_factory.mktemp("models") / "tiny-bert.gguf")


def loaded(file: str, **options: Any) -> Llama:
    return Llama(file, n_ctx=BATCH, n_batch=BATCH, n_ubatch=BATCH, verbose=False, **{"embedding": True, **options})


@pytest.fixture(scope="module")
def plain(file: str) -> Iterator[Llama]:
    otel_embed.uninstrument()
    yield loaded(file)


@pytest.fixture
def model(telemetry: Telemetry, plain: Llama) -> Llama:
    return plain


@pytest.mark.parametrize("method", ["embed", "create_embedding"])
def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, model: Llama, method: str) -> None:
    getattr(model, method)([*TEXTS, "blue " * 40])
    (span,) = telemetry.spans(CALL)
    assert (span.kind.name, span.status.status_code.name) == ("INTERNAL", "UNSET")
    assert told(span) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "llama_cpp",
        "gen_ai.request.model": "tiny-bert.gguf",
        "gen_ai.usage.input_tokens": 5 + 4 + 7 + BATCH,
        "gen_ai.embeddings.dimension.count": 32,
        "otel_embed.input.count": 4,
        "otel_embed.input.kind": "text",
        "otel_embed.input.truncated": 1,
        "otel_embed.usage.source": "counted",
        "otel_embed.device": "cpu",
    }
    assert set(stages(span)) == {"tokenize", "forward", "other"}
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == 32


def test_our_count_is_the_librarys(telemetry: Telemetry, model: Llama) -> None:
    answer = model.create_embedding(TEXTS)
    (span,) = telemetry.spans(CALL)
    assert span.attributes["gen_ai.usage.input_tokens"] == answer["usage"]["total_tokens"]


def test_what_the_application_gets_is_untouched(telemetry: Telemetry, plain: Llama) -> None:
    def made() -> list[Any]:
        return [plain.embed(TEXTS[0]), plain.embed(TEXTS, normalize=True), plain.embed(TEXTS, return_count=True)]

    seen = made()
    otel_embed.uninstrument()
    assert seen == made()
    assert not hasattr(Llama.embed, "__otel_embed__")


def test_a_load_for_embeddings_is_a_span_and_one_for_chat_is_not(telemetry: Telemetry, file: str) -> None:
    loaded(file)
    loaded(file, embedding=False)
    (span,) = telemetry.spans()
    place = {"gen_ai.provider.name": "llama_cpp", "gen_ai.request.model": "tiny-bert.gguf", "otel_embed.device": "cpu"}
    assert (span.name, told(span)) == ("load tiny-bert.gguf", place)


def test_failures_pass_through(telemetry: Telemetry, model: Llama, file: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exceed batch size"):
        model.embed("blue " * 40, truncate=False)
    with pytest.raises(ValueError, match="does not exist"):
        loaded(str(tmp_path / "nosuch.gguf"))
    with pytest.raises(RuntimeError, match="embedding=True"):
        loaded(file, embedding=False).embed(TEXTS)
    failed = [span.attributes["error.type"] for span in telemetry.spans() if "error.type" in span.attributes]
    assert failed == ["ValueError", "ValueError", "RuntimeError"]


@given(ANYTHING, ANYTHING)
def test_readers_take_anything(content: Any, result: Any) -> None:
    call = Arguments(result, (content,), {})
    provider._request(call)
    provider._reply(result)
    provider._tokenized(call, result)
    provider._loads(call)
