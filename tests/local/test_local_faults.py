"""With any function of ours failing that local models come to, the application's results are what they were.

As ``test_faults`` does it for clients, without running it twice for each.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_models import VOCABULARY, sentence_transformer, word_piece
from model2vec import StaticModel
from opentelemetry.context import get_current
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import pipelines

import otel_embed
from breaking import Place, functions
from conftest import Telemetry
from otel_embed import guard, loads, local, reading, timeline
from otel_embed.providers import model2vec, sentence_transformers, transformers
from otel_embed.report import dimensions, spans, totals
from otel_embed.report import local as report
from otel_embed.report.work_totals import WorkTotals

TEXTS = ["the cat sat", "a dog", "one two three four five"]
MODULES = [local, loads, report, dimensions, sentence_transformers, model2vec, transformers]
MORE = {
    "reading.padded": reading.padded,
    "reading.model_name": reading.model_name,
    "spans._tell_work": spans._tell_work,
    "timeline._condensed": timeline._condensed,
    "totals._add_work": totals._add_work,
    "work_totals.WorkTotals.add_load": WorkTotals.add_load,
}
ELSEWHERE = {
    "takes a CUDA device": {"DevicePass.__init__", "DevicePass.launched", "DevicePass.read", "LocalCall._has_read"},
    "runs when otel_embed is switched on": {
        "LocalStageSite.__init__", "LoadSite.__init__", "LocalReport.__init__", "histogram",
    },
    "is for models whose stages no function marks": {"LocalCall.trail"},
    "is declared and never called": {
        "Event.record", "Event.query", "Event.elapsed_time", "Observers.counter", "Observers.gauge",
    },
}  # fmt: skip
PLACES = {f"{module.__name__.rpartition('otel_embed.')[2]}.{name}": function
          for module in MODULES for name, function in functions(module)
          if name not in set().union(*ELSEWHERE.values())} | MORE  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    sentence_transformer(folder)
    static = folder / "static"
    static.mkdir()
    word_piece(static / "tokenizer.json")
    vectors = np.eye(len(VOCABULARY), dtype=np.float32)
    StaticModel(vectors, Tokenizer.from_file(str(static / "tokenizer.json")), {}).save_pretrained(static)
    return folder


def application(folder: Path) -> list[Any]:
    """What an application sees of calls of every kind."""
    model = SentenceTransformer(str(folder))
    made: list[Any] = [copy.deepcopy(model).encode(TEXTS), model.encode(np.array(TEXTS)), model.encode(TEXTS * 27, batch_size=1)]
    made += [*model.encode(TEXTS, convert_to_numpy=False), model.encode(TEXTS, output_value=None)[0]["input_ids"]]
    for content, wrong in ((TEXTS, {"precision": "nosuch"}), (TEXTS, {"prompt_name": "nosuch"}), (7, {})):
        try:
            made.append(model.encode(content, **wrong))  # type: ignore[call-overload]
        except Exception as error:
            made.append(str(error))
    made.append(StaticModel.from_pretrained(folder / "static").encode(TEXTS))
    made.append(pipelines.pipeline("feature-extraction", model=str(folder), device="cpu")(TEXTS))
    return [(type(each), each.tolist() if hasattr(each, "tolist") else each) for each in made]


@pytest.fixture(scope="module")
def expected(folder: Path) -> Iterator[list[Any]]:
    otel_embed.uninstrument()
    yield application(folder)


def fails(_: Callable[[], Any]) -> Any:
    raise RuntimeError("a bug in otel_embed")


@pytest.mark.parametrize("place", PLACES)
def test_the_application_never_notices(
    telemetry: Telemetry, folder: Path, expected: list[Any], place: str
) -> None:
    guard.reraise = False
    broken = Place(place, PLACES[place].__code__, [PLACES[place]])
    with broken.behaving(fails):
        assert application(folder) == expected
        assert not get_current(), "the application's context is what it was"
        telemetry.metrics()
    assert broken.met, f"no call comes to {place}: let one do so, or list it with the reason"
    assert sum(guard.dropped.values()) >= 1, "what failed is counted"
