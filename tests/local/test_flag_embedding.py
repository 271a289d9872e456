"""The real FlagEmbedding on a tiny BERT, in its two forms."""

from __future__ import annotations

import copy
import inspect
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from FlagEmbedding import BGEM3FlagModel, FlagModel
from hypothesis import given
from local_models import DIMENSIONS, LONGEST, tokens, told, transformer

import otel_embed
from conftest import Telemetry
from otel_embed.provider import Arguments
from otel_embed.providers import flag_embedding as provider
from spans import stages
from test_reading import ANYTHING

STAGES = tuple(int(part) for part in version("FlagEmbedding").split(".")) >= (1, 4, 1)
"""Whether this line pads in a function of its own, which is what tells tokens and stages."""
TEXTS = ["the cat sat", "a dog", "one two three four five", "red", "blue"]
LENGTHS = {"query_max_length": LONGEST, "passage_max_length": LONGEST}
CALL = "embeddings tiny-bge"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return transformer(tmp_path_factory.mktemp("models") / "tiny-bge")


@pytest.fixture
def model(telemetry: Telemetry, folder: str) -> FlagModel:
    return FlagModel(folder, use_fp16=False, devices="cpu", batch_size=2, **LENGTHS)


def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, model: FlagModel) -> None:
    model.encode(TEXTS)
    (span,) = telemetry.spans(CALL)
    assert (span.kind.name, span.status.status_code.name) == ("INTERNAL", "UNSET")
    known: dict[str, Any] = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "flag_embedding",
        "gen_ai.request.model": "tiny-bge",
        "gen_ai.embeddings.dimension.count": DIMENSIONS,
        "otel_embed.input.count": 5,
        "otel_embed.input.kind": "text",
        "otel_embed.device": "cpu",
    }
    if STAGES:
        # Sorted by length and two at a time: 7 and 5, 4 and 3, 3. That the first two are run twice, to try the memory,
        # counts once.
        known["otel_embed.padding.tokens"] = (7 - 5) + (4 - 3)
        assert told(span) == {**known, "gen_ai.usage.input_tokens": 22, "otel_embed.usage.source": "counted"}
        assert set(stages(span)) == {"tokenize", "forward", "pool", "other"}
    else:
        assert told(span) == {**known, "gen_ai.usage.input_tokens": 13, "otel_embed.usage.source": "estimated"}
        assert set(stages(span)) == {"other"}


def test_every_way_to_encode_is_one_call(telemetry: Telemetry, model: FlagModel) -> None:
    model.encode_queries(TEXTS[0])
    model.encode_corpus(TEXTS)
    calls = [span.attributes for span in telemetry.spans(CALL)]
    assert [each["otel_embed.input.count"] for each in calls] == [1, 5]
    if STAGES:
        assert [each["gen_ai.usage.input_tokens"] for each in calls] == [5, sum(map(tokens, TEXTS))]


def test_a_load_is_a_span(telemetry: Telemetry, model: FlagModel) -> None:
    (span,) = telemetry.spans("load tiny-bge")
    assert told(span) == {
        "gen_ai.provider.name": "flag_embedding",
        "gen_ai.request.model": "tiny-bge",
        "otel_embed.device": "cpu",
    }


def test_a_model_of_dense_and_other_vectors_is_one_call(telemetry: Telemetry, folder: str) -> None:
    for name in ("colbert_linear", "sparse_linear"):
        width = DIMENSIONS if name == "colbert_linear" else 1
        torch.save(torch.nn.Linear(DIMENSIONS, width).state_dict(), Path(folder, f"{name}.pt"))
    many = BGEM3FlagModel(folder, use_fp16=False, devices="cpu", batch_size=8, **LENGTHS)
    result = many.encode(TEXTS, return_sparse=True, return_colbert_vecs=True)
    assert result["dense_vecs"].shape == (5, DIMENSIONS) and len(result["lexical_weights"]) == 5
    (span,) = telemetry.spans(CALL)
    assert span.attributes["gen_ai.embeddings.dimension.count"] == DIMENSIONS
    assert span.attributes["otel_embed.input.count"] == 5
    if STAGES:
        assert span.attributes["gen_ai.usage.input_tokens"] == 22
        assert {"tokenize", "forward"} <= set(stages(span))


def test_what_the_application_gets_is_untouched(telemetry: Telemetry, model: FlagModel) -> None:
    seen = model.encode(TEXTS), model.encode_queries(TEXTS[0]), model.encode(TEXTS, convert_to_numpy=False)
    assert "batch_size" in inspect.signature(FlagModel.encode).parameters
    otel_embed.uninstrument()
    expected = model.encode(TEXTS), model.encode_queries(TEXTS[0]), model.encode(TEXTS, convert_to_numpy=False)
    for one, other in zip(seen, expected):
        assert type(one) is type(other) and np.array_equal(np.asarray(one), np.asarray(other))
    assert copy.deepcopy(model).encode(TEXTS).shape == (5, DIMENSIONS)


def test_a_failure_passes_through(telemetry: Telemetry, model: FlagModel) -> None:
    with pytest.raises(Exception, match=r".+") as failed:
        model.encode([1, 2])  # type: ignore[list-item]
    (span,) = telemetry.spans(CALL)
    assert span.attributes["error.type"].endswith(type(failed.value).__qualname__)
    assert span.status.status_code.name == "ERROR"


POOL = """
import sys
from FlagEmbedding import FlagModel

if __name__ == "__main__":
    model = FlagModel(sys.argv[1], use_fp16=False, devices=["cpu", "cpu"], passage_max_length=12)
    print(model.encode(["the cat sat", "a dog"] * 8).shape)
    model.stop_self_pool()
"""


def test_a_pool_of_processes_is_one_call(folder: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(POOL)
    command = [Path(sys.executable).with_name("otel-embed"), "run", "--json", "r.json", "--", sys.executable,
               "program.py", folder]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert ran.stdout == f"(16, {DIMENSIONS})\n", ran.stderr
    (place,) = json.loads((tmp_path / "r.json").read_text())["providers"]
    assert (place["provider"], place["model"], place["calls"], place["inputs"]) == ("flag_embedding", "tiny-bge", 1, 16)


@given(ANYTHING, ANYTHING)
def test_readers_take_anything(content: Any, result: Any) -> None:
    call = Arguments(result, (content,), {})
    provider._request(call)
    provider._reply(result)
    provider._padded(call, result)
    provider._loads(call)
