"""A real local model in the summary: where it was loaded, what padding took, which inputs were too long."""

from __future__ import annotations

from pathlib import Path

from local_models import LONGEST, sentence_transformer, tokens
from sentence_transformers import SentenceTransformer

import otel_embed
from conftest import Telemetry


def test_the_summary_has_the_load_and_the_work(telemetry: Telemetry, tmp_path: Path) -> None:
    model = SentenceTransformer(sentence_transformer(tmp_path / "tiny"), device="cpu")
    texts = ["the cat", "the dog sat on the mat", "the " * 40]
    model.encode(texts, batch_size=3)
    document = otel_embed.summary().document
    (load,) = document["loads"]
    assert (load["provider"], load["model"], load["device"]) == ("sentence_transformers", "tiny", "cpu")
    assert (load["loads"], load["errors"]) == (1, {})
    assert load["seconds"]["sum"] > 0
    (row,) = document["providers"]
    assert (row["local"], row["devices"], row["unpriced_calls"]) == (True, {"cpu": 1}, 0)
    assert row["tokens"]["counted"] + row["tokens"]["reported"] == sum(map(tokens, texts))
    assert row["padding_tokens"] == 3 * LONGEST - sum(map(tokens, texts))
    assert row["truncated_inputs"] == 1
