"""The real feature-extraction pipeline on a tiny BERT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from local_models import DIMENSIONS, LONGEST, tokens, told, transformer
from transformers import FeatureExtractionPipeline, pipeline

import otel_embed
from conftest import Telemetry
from otel_embed.provider import Arguments
from otel_embed.providers import transformers as provider
from spans import stages
from test_reading import ANYTHING

TEXTS = ["the cat sat", "a dog", "one two three four five"]
CALL = "embeddings tiny-bert"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return transformer(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="module")
def plain(folder: str) -> Iterator[FeatureExtractionPipeline]:
    otel_embed.uninstrument()
    yield pipeline("feature-extraction", model=folder, device="cpu")


@pytest.fixture
def extract(telemetry: Telemetry, plain: FeatureExtractionPipeline) -> FeatureExtractionPipeline:
    return plain


def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, extract: FeatureExtractionPipeline) -> None:
    extract([*TEXTS, "blue " * 40], batch_size=2, truncation=True)
    (span,) = telemetry.spans(CALL)
    assert (span.kind.name, span.status.status_code.name) == ("INTERNAL", "UNSET")
    assert told(span) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "transformers",
        "gen_ai.request.model": "tiny-bert",
        "gen_ai.usage.input_tokens": 5 + 4 + 7 + LONGEST,
        "gen_ai.embeddings.dimension.count": DIMENSIONS,
        "otel_embed.input.count": 4,
        "otel_embed.input.kind": "text",
        "otel_embed.input.truncated": 1,
        "otel_embed.padding.tokens": (5 - 4) + (LONGEST - 7),
        "otel_embed.usage.source": "counted",
        "otel_embed.device": "cpu",
    }
    assert set(stages(span)) == {"tokenize", "forward", "other"}
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == 28


@pytest.mark.parametrize("options", [{}, {"return_tensors": True}])
@pytest.mark.parametrize("content", [TEXTS, TEXTS[0], TEXTS[:1]])
def test_what_the_application_gets_is_untouched(
    telemetry: Telemetry, plain: FeatureExtractionPipeline, content: Any, options: dict[str, Any]
) -> None:
    seen = plain(content, **options)
    otel_embed.uninstrument()
    expected = plain(content, **options)
    assert type(seen) is type(expected)
    assert all(torch.equal(torch.as_tensor(one), torch.as_tensor(other)) for one, other in zip(seen, expected))
    (span,) = telemetry.spans(CALL)
    assert span.attributes["gen_ai.embeddings.dimension.count"] == DIMENSIONS
    expected = tokens(content) if isinstance(content, str) else sum(map(tokens, content))
    assert span.attributes["gen_ai.usage.input_tokens"] == expected


def test_what_is_made_lazily_stays_lazy(telemetry: Telemetry, extract: FeatureExtractionPipeline) -> None:
    taken: list[str] = []

    def texts() -> Iterator[str]:
        for text in TEXTS:
            taken.append(text)
            yield text

    made = extract(texts())
    assert len(taken) <= 1
    assert len(list(made)) == 3
    assert not telemetry.spans(), "not seen, as the docs say"


def test_a_load_is_a_span_and_other_tasks_are_left_alone(telemetry: Telemetry, folder: str) -> None:
    transformers.pipelines.pipeline("feature-extraction", model=folder, device="cpu")
    with pytest.raises(Exception, match=r".+"):
        transformers.pipelines.pipeline("no-such-task", model=folder)
    (span,) = telemetry.spans()
    assert (span.name, told(span)) == (
        "load tiny-bert",
        {"gen_ai.provider.name": "transformers", "gen_ai.request.model": "tiny-bert", "otel_embed.device": "cpu"},
    )


def test_a_failure_passes_through(telemetry: Telemetry, extract: FeatureExtractionPipeline) -> None:
    with pytest.raises(Exception, match=r".+") as failed:
        extract(["blue " * 40])  # longer than the model takes, and not to be cut short
    (span,) = telemetry.spans(CALL)
    assert span.attributes["error.type"] == type(failed.value).__qualname__
    assert span.status.status_code.name == "ERROR" and "gen_ai.usage.input_tokens" not in span.attributes


@given(ANYTHING, ANYTHING)
def test_readers_take_anything(plain: FeatureExtractionPipeline, content: Any, result: Any) -> None:
    call = Arguments(plain, (content, result), {})
    provider._request(call)
    provider._reply(result)
    provider._batch(call, result)
    provider._makes_features(call)
    provider._loads(call)
