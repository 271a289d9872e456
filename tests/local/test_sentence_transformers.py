"""The real sentence-transformers, of whichever line is installed, on a tiny model of its own form."""

from __future__ import annotations

import copy
import inspect
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import torch
from hypothesis import given
from local_models import DIMENSIONS, LONGEST, VOCABULARY, sentence_transformer, tokens, told, transformer, word_piece
from sentence_transformers import CrossEncoder, SentenceTransformer

import otel_embed
from conftest import Telemetry
from otel_embed.provider import Arguments
from otel_embed.providers import sentence_transformers as provider
from otel_embed.quality import vectors
from spans import stages
from test_reading import ANYTHING

LINE = tuple(int(part) for part in sentence_transformers.__version__.split(".")[:2])
TEXTS = ["the cat sat", "a dog", "one two three four five", "red"]
LONG = "blue " * 40
since_5 = pytest.mark.skipif(LINE < (5, 0), reason="of sentence-transformers 5 and later")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return sentence_transformer(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="module")
def plain(folder: str) -> Iterator[SentenceTransformer]:
    """The model, loaded while otel_embed is off."""
    otel_embed.uninstrument()
    yield SentenceTransformer(folder)


@pytest.fixture
def model(telemetry: Telemetry, plain: SentenceTransformer) -> SentenceTransformer:
    return plain


def the_call(telemetry: Telemetry) -> Any:
    (span,) = telemetry.spans("embeddings tiny-bert")
    return span


def counted(telemetry: Telemetry) -> list[int]:
    """The tokens of each call."""
    return [span.attributes["gen_ai.usage.input_tokens"] for span in telemetry.spans("embeddings tiny-bert")]


def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, model: SentenceTransformer) -> None:
    model.encode([*TEXTS, LONG], batch_size=2)
    span = the_call(telemetry)
    assert (span.kind.name, span.status.status_code.name, span.parent) == ("INTERNAL", "UNSET", None)
    assert told(span) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "sentence_transformers",
        "gen_ai.request.model": "tiny-bert",
        "gen_ai.usage.input_tokens": 5 + 4 + 7 + 3 + LONGEST,
        "gen_ai.embeddings.dimension.count": DIMENSIONS,
        "otel_embed.input.count": 5,
        "otel_embed.input.kind": "text",
        "otel_embed.input.truncated": 1,
        "otel_embed.padding.tokens": (LONGEST - 7) + (5 - 4),
        "otel_embed.usage.source": "counted",
        "otel_embed.device": "cpu",
    }
    assert set(stages(span)) == {"tokenize", "forward", "pool", "other"}


def test_a_call_is_counted_once_in_each_metric(telemetry: Telemetry, model: SentenceTransformer) -> None:
    model.encode([*TEXTS, LONG], batch_size=2)
    spent_in = stages(the_call(telemetry))
    metrics = telemetry.metrics()
    place = {"gen_ai.provider.name": "sentence_transformers", "gen_ai.request.model": "tiny-bert"}
    operation = {"gen_ai.operation.name": "embeddings", **place}
    found = {name: [(dict(point.attributes), getattr(point, "value", None) or point.sum) for point in points]
            for name, points in metrics.items() if "duration" not in name}  # fmt: skip
    assert sum(spent for _, spent in found.pop("otel_embed.overhead")) > 0
    assert found.pop("otel_embed.stage.time") == [
        ({**operation, "otel_embed.stage": stage}, pytest.approx(spent_in[stage])) for stage in spent_in
    ]
    assert found == {
        "gen_ai.client.embeddings.operation.input_tokens": [(operation, 31)],
        "otel_embed.checked": [({**place, "otel_embed.checked.what": what}, 5) for what in ("input", "vector")],
        "otel_embed.inputs": [(operation, 5)],
        "otel_embed.inputs.truncated": [(place, 1)],
        "otel_embed.padding": [(place, 6)],
    }
    (standard,), (fine,) = metrics["gen_ai.client.embeddings.duration"], metrics["otel_embed.local.duration"]
    assert (dict(standard.attributes), dict(fine.attributes)) == (operation, {**place, "otel_embed.device": "cpu"})
    assert (standard.count, fine.count, standard.sum) == (1, 1, fine.sum)
    assert (standard.explicit_bounds[0], fine.explicit_bounds[0]) == (0.01, 0.0005)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"convert_to_tensor": True},
        {"convert_to_numpy": False},
        {"normalize_embeddings": True, "batch_size": 1},
        {"output_value": "token_embeddings"},
        {"output_value": None},
        {"precision": "int8"},
        {"precision": "ubinary"},
        {"prompt": "the blue"},
        {"prompt_name": "query"},
        {"device": "cpu"},
    ],
)
def test_what_the_application_gets_is_untouched(
    telemetry: Telemetry, plain: SentenceTransformer, options: dict[str, Any]
) -> None:
    for content in (TEXTS, TEXTS[0], tuple(TEXTS), np.array(TEXTS), []):
        seen = outcome(plain, content, options)
        otel_embed.uninstrument()
        assert same(seen, outcome(plain, content, options))
        telemetry.instrument()


def outcome(model: SentenceTransformer, content: Any, options: dict[str, Any]) -> Any:
    try:
        return model.encode(content, **options)
    except Exception as error:
        return type(error).__name__, str(error)


def same(one: Any, other: Any) -> bool:
    assert type(one) is type(other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else bool(one == other)


@pytest.mark.parametrize(
    ("content", "inputs"), [("red", 1), (TEXTS, 4), (tuple(TEXTS), 4), (np.array(TEXTS), 4), ([], 0)]
)
def test_inputs_of_each_form_are_counted(
    telemetry: Telemetry, model: SentenceTransformer, content: Any, inputs: int
) -> None:
    if inputs or LINE >= (3, 3):  # before, an empty list raises
        model.encode(content)
        attributes = the_call(telemetry).attributes
        assert (attributes["otel_embed.input.count"], attributes["otel_embed.input.kind"]) == (inputs, "text")
        expected = sum(map(tokens, [content] if isinstance(content, str) else content))
        assert attributes["gen_ai.usage.input_tokens"] == expected


def test_a_prompt_counts_where_it_is_embedded_and_not_where_it_is_measured(
    telemetry: Telemetry, folder: str, tmp_path: Path
) -> None:
    without = SentenceTransformer(sentence_transformer(tmp_path / "tiny-bert", include_prompt=False))
    for _ in range(2):
        without.encode(TEXTS, prompt="the blue ", batch_size=3)
    assert counted(telemetry) == [sum(tokens("the blue " + text) for text in TEXTS)] * 2


@since_5
@pytest.mark.parametrize("method", ["encode_query", "encode_document"])
def test_a_query_and_a_document_are_one_call_each(
    telemetry: Telemetry, model: SentenceTransformer, method: str
) -> None:
    getattr(model, method)(TEXTS)
    prompt = "the red" if method == "encode_query" else ""
    expected = sum(tokens(f"{prompt}{text}") for text in TEXTS)
    assert counted(telemetry) == [expected]


def test_dimensions_are_the_vectors_whatever_they_are_packed_in(
    telemetry: Telemetry, model: SentenceTransformer
) -> None:
    for precision in ("ubinary", "uint8"):
        model.encode(TEXTS, precision=precision)  # type: ignore[call-overload]
    for span, precision in zip(telemetry.spans("embeddings tiny-bert"), ("ubinary", "uint8")):
        assert span.attributes["gen_ai.request.encoding_formats"] == (precision,)
        assert span.attributes["gen_ai.embeddings.dimension.count"] == DIMENSIONS


def test_a_load_is_a_span_and_a_duration(telemetry: Telemetry, folder: str) -> None:
    SentenceTransformer(folder, device="cpu")
    (span,) = telemetry.spans("load tiny-bert")
    place = {"gen_ai.provider.name": "sentence_transformers", "gen_ai.request.model": "tiny-bert",
             "otel_embed.device": "cpu"}  # fmt: skip
    assert (span.kind.name, span.status.status_code.name, dict(span.attributes)) == ("INTERNAL", "UNSET", place)
    (point,) = telemetry.metrics()["otel_embed.model.load.duration"]
    assert (dict(point.attributes), point.count) == (place, 1)
    assert point.sum == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1e-6) and point.sum > 0.001


def test_a_load_that_fails_passes_through(telemetry: Telemetry, tmp_path: Path) -> None:
    folder = Path(sentence_transformer(tmp_path / "broken"))
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match="safetensors"):
        SentenceTransformer(str(folder))
    (span,) = telemetry.spans("load broken")
    assert (span.status.status_code.name, span.status.description) == ("ERROR", None)
    assert dict(span.attributes) == {
        "gen_ai.provider.name": "sentence_transformers",
        "gen_ai.request.model": "broken",
        "error.type": "OSError",
    }
    (point,) = telemetry.metrics()["otel_embed.model.load.duration"]
    assert point.attributes["error.type"] == "OSError"


def test_a_failure_passes_through_and_its_cause_is_told(telemetry: Telemetry, model: SentenceTransformer) -> None:
    with pytest.raises(ValueError, match="nosuch"):
        model.encode(TEXTS, precision="nosuch")  # type: ignore[arg-type]
    span = the_call(telemetry)
    assert (span.status.status_code.name, span.status.description) == ("ERROR", None)
    assert span.attributes["error.type"] == "ValueError"
    assert "gen_ai.usage.input_tokens" not in span.attributes
    assert telemetry.total("otel_embed.errors") == 1
    (point,) = telemetry.metrics()["otel_embed.local.duration"]
    assert point.attributes["error.type"] == "ValueError"


def test_a_forward_pass_that_fails_ends_its_stage(
    telemetry: Telemetry, model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model[0], "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        model.encode(TEXTS)
    assert the_call(telemetry).attributes["error.type"] == "RuntimeError"


def test_calls_of_many_threads_are_told_apart(telemetry: Telemetry, model: SentenceTransformer) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: model.encode(TEXTS[: n % 4 + 1]), range(12)))
    calls = [span.attributes for span in telemetry.spans("embeddings tiny-bert")]
    for each in calls:
        texts = TEXTS[: each["otel_embed.input.count"]]
        assert each["gen_ai.usage.input_tokens"] == sum(map(tokens, texts))
    assert sum(each["otel_embed.input.count"] for each in calls) == 30


def test_a_call_of_very_many_batches_keeps_its_record_short(telemetry: Telemetry, model: SentenceTransformer) -> None:
    model.encode(TEXTS * 60, batch_size=1)
    assert set(stages(the_call(telemetry))) == {"tokenize", "forward", "pool", "other"}
    assert counted(telemetry) == [60 * sum(map(tokens, TEXTS))]
    (slow,) = otel_embed.summary().document["slowest"]
    assert len(slow["stages"]) < 600 and slow["stages"][-1][2] == pytest.approx(slow["seconds"])


def test_a_model_pickles_copies_and_inspects_as_before(telemetry: Telemetry, model: SentenceTransformer) -> None:
    expected = model.encode(TEXTS)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert np.array_equal(twin.encode(TEXTS), expected)
    assert counted(telemetry) == [sum(map(tokens, TEXTS))] * 3, "all three are of that model"
    assert pickle.loads(pickle.dumps(SentenceTransformer.encode)) is SentenceTransformer.encode
    assert "batch_size" in inspect.signature(SentenceTransformer.encode).parameters
    assert not [name for name in vars(model) if "otel" in name]


def test_uninstrument_puts_every_function_back(telemetry: Telemetry) -> None:
    wrapped = ["encode", "forward" if LINE < (5, 7) else "__call__", "__init__"]
    before = [getattr(SentenceTransformer, name) for name in wrapped]
    otel_embed.uninstrument()
    after = [getattr(SentenceTransformer, name) for name in wrapped]
    assert all(hasattr(each, "__otel_embed__") for each in before)
    assert not any(hasattr(each, "__otel_embed__") for each in after)
    assert ("__call__" in vars(SentenceTransformer)) is False


@pytest.mark.filterwarnings("ignore:Dynamo detected a call:UserWarning")  # the library's own
def test_a_compiled_model_has_no_graph_break_of_ours(telemetry: Telemetry, folder: str) -> None:
    torch._dynamo.reset()
    compiled = SentenceTransformer(folder)
    expected = compiled.encode(TEXTS)
    if LINE >= (5, 7):
        compiled.compile(backend="eager", fullgraph=True)
    else:
        compiled.forward = torch.compile(compiled.forward, backend="eager", fullgraph=True)
    torch._dynamo.utils.counters.clear()
    for _ in range(3):
        assert np.allclose(compiled.encode(TEXTS), expected, atol=1e-6)
    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"] and counters["stats"]["unique_graphs"] == 1
    for span in telemetry.spans("embeddings tiny-bert")[1:]:
        assert ("otel_embed.stage.forward.duration" in span.attributes) == (LINE >= (5, 7))
        assert "otel_embed.stage.pool.duration" not in span.attributes
        assert span.attributes["gen_ai.usage.input_tokens"] == sum(map(tokens, TEXTS))


POOL = """
import sys
from sentence_transformers import SentenceTransformer

def main():
    model = SentenceTransformer(sys.argv[1])
    pool = model.start_multi_process_pool(["cpu", "cpu"])
    texts = ["the cat sat", "a dog"] * 8
    encode = model.encode_multi_process if sys.argv[2] == "old" else model.encode
    print(encode(texts, pool=pool).shape)
    model.stop_multi_process_pool(pool)

if __name__ == "__main__":
    main()
"""


def test_a_pool_of_processes_is_one_call(folder: str, tmp_path: Path) -> None:
    """The processes are observed too: ``otel-embed run`` reaches every child."""
    (tmp_path / "program.py").write_text(POOL)
    command = [Path(sys.executable).with_name("otel-embed"), "run", "--json", "r.json", "--", sys.executable,
               "program.py", folder, "old" if LINE < (5, 0) else "new"]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert ran.stdout == f"(16, {DIMENSIONS})\n", ran.stderr
    (place,) = json.loads((tmp_path / "r.json").read_text())["providers"]
    assert (place["provider"], place["model"], place["calls"]) == ("sentence_transformers", "tiny-bert", 1)
    assert place["inputs"] == 16
    assert place["tokens"] == {"reported": 0, "counted": 0, "estimated": 8 * (3 + 2)}, "nobody saw their tokens"


BESIDE = """
import multiprocessing, sys, time
import numpy, otel_embed
from sentence_transformers import SentenceTransformer

TEXTS = ["the cat sat", "a dog", "one two three four five"] * 8

def main():
    otel_embed.instrument()
    model = SentenceTransformer(sys.argv[1])
    alone = model.encode(TEXTS)
    for way in sys.argv[2:]:
        pool = None if way == "devices" else model.start_multi_process_pool(["cpu", "cpu"])
        with otel_embed.track() as usage:
            began = time.perf_counter()
            if way == "method":
                vectors = model.encode_multi_process(TEXTS, pool, chunk_size=7)
            elif way == "devices":
                vectors = model.encode(TEXTS, device=["cpu", "cpu"], chunk_size=7)
            else:
                vectors = model.encode(TEXTS, pool=pool, chunk_size=7)
            took = time.perf_counter() - began
        places = otel_embed.summary().document["slowest"]
        assert type(vectors) is numpy.ndarray and numpy.allclose(vectors, alone, atol=1e-6)
        assert (usage.calls, usage.inputs) == (1, len(TEXTS)), usage
        assert any(0.9 * took < place["seconds"] <= took for place in places), (places, took)
        if pool is not None:
            model.stop_multi_process_pool(pool)
        assert not multiprocessing.active_children()
        print(way, usage.tokens)
    print(otel_embed.summary().calls)

if __name__ == "__main__":
    main()
"""
WAYS = ["method"] if LINE < (5, 0) else ["pool", "devices"]


@pytest.mark.parametrize("way", [[], ["opentelemetry-instrument"]])
def test_a_pool_of_processes_gives_what_the_model_gives_and_ends(folder: str, tmp_path: Path, way: list[str]) -> None:
    """The call covers the work of the processes, and nothing hangs at the end."""
    (tmp_path / "program.py").write_text(BESIDE)
    found = [str(Path(sys.executable).with_name(name)) if not n else name for n, name in enumerate(way)]
    exporters = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    ran = subprocess.run(
        [*found, sys.executable, "program.py", folder, *WAYS],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, env={**os.environ, **exporters},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    *told_by, calls = ran.stdout.splitlines()
    assert told_by == [f"{each} {8 * (3 + 2 + 6)}" for each in WAYS]
    assert int(calls) == 1 + len(WAYS)


def test_a_static_model_counts_what_it_looks_up(telemetry: Telemetry, tmp_path: Path) -> None:
    static_models = pytest.importorskip("sentence_transformers.models.StaticEmbedding" if LINE < (5, 4) else
                                        "sentence_transformers.sentence_transformer.modules.static_embedding",
                                        reason="of sentence-transformers 3.2 and later")  # fmt: skip
    from tokenizers import Tokenizer

    word_piece(tmp_path / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    static = static_models.StaticEmbedding(tokenizer, embedding_dim=8, embedding_weights=np.ones((len(VOCABULARY), 8)))
    SentenceTransformer(modules=[static]).encode(TEXTS)
    assert len(telemetry.spans("load")) == 1, "a model that has no name"
    (span,) = telemetry.spans("embeddings")
    assert span.attributes["gen_ai.usage.input_tokens"] == sum(len(text.split()) for text in TEXTS)
    assert "otel_embed.padding.tokens" not in span.attributes


def test_a_cross_encoder_is_left_alone(telemetry: Telemetry, tmp_path: Path) -> None:
    from transformers import AutoConfig, BertForSequenceClassification

    folder = transformer(tmp_path / "cross")
    BertForSequenceClassification(AutoConfig.from_pretrained(folder, num_labels=1)).save_pretrained(folder)
    CrossEncoder(folder).predict([("the cat", "a dog")])
    assert not telemetry.spans() and "otel_embed.inputs" not in telemetry.metrics()


@since_5
def test_a_sparse_encoder_is_left_alone(telemetry: Telemetry, tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder
    from transformers import AutoConfig, BertForMaskedLM

    folder = transformer(tmp_path / "splade")
    BertForMaskedLM(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    SparseEncoder(folder).encode(TEXTS)
    assert not telemetry.spans() and "otel_embed.inputs" not in telemetry.metrics()


@given(ANYTHING, ANYTHING)
def test_readers_take_anything(plain: SentenceTransformer, content: Any, result: Any) -> None:
    asked = provider._request(Arguments(plain, (content,), {"precision": result}))
    assert asked.inputs is None or asked.inputs >= 0
    assert provider._inputs(np.array("red")) == (1, "text"), "an array without dimensions"
    provider._reply(result)
    provider._batch(Arguments(plain, (), {}), result)


def test_a_model_that_is_moved_is_known_to_be_elsewhere(folder: str) -> None:
    model = SentenceTransformer(folder, device="cpu")
    where = [provider._placed(model) for _ in range(2)]
    model.to("meta")  # the one other device that is everywhere
    where += [provider._placed(model) for _ in range(2)]
    assert where == ["cpu", "cpu", "meta", "meta"] and str(model.device) == "meta"


@pytest.mark.filterwarnings("error")
def test_tensors_of_every_kind_are_looked_at() -> None:
    some = torch.tensor([[1.0, 2.0], [0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0]])
    wrong = ["zero_vector", "nan_vector", "infinite_vector"]
    for each in (some, some.clone().requires_grad_(), some.bfloat16(), some.double(), list(some)):
        assert vectors.look(each, 8) == (4, wrong)
    for each in (torch.ones(2, 3, dtype=torch.int8), torch.ones(2, 3).bool(), torch.eye(2).to_sparse()):
        assert vectors.look(each, 8) == (2, [])
    assert vectors.look(torch.ones(2, 3, device="meta"), 8) == (0, []), "a device is not waited for"
