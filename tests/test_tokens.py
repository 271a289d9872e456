"""Tokens are counted only where that is free of surprises, else estimated, else unknown."""

from __future__ import annotations

import base64
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_embed.pricing.tokens import Calibration, TokenCounter, local_file
from otel_embed.record import Usage

SMALL = "text-embedding-3-small"
URL = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"


@pytest.fixture
def bpe_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small encoding in tiktoken's own format: every byte, and ``ab`` as one token."""
    lines = [f"{base64.b64encode(bytes([n])).decode()} {n}" for n in range(256)]
    lines.append(f"{base64.b64encode(b'ab').decode()} 256")
    file = tmp_path / sha1(URL.encode()).hexdigest()
    file.write_text("\n".join(lines))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    return file


def test_a_local_file_is_used_to_count(bpe_file: Path) -> None:
    assert local_file("cl100k_base") == bpe_file
    assert TokenCounter("tiktoken").count(SMALL, ["ab", "abc"], "text") == Usage(3, "counted")


def test_without_a_file_text_is_estimated_and_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_embed.pricing.tokens._folders", lambda: [tmp_path])
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    assert TokenCounter("auto").count(SMALL, "123456789", "text") == Usage(3, "estimated")
    assert TokenCounter("tiktoken").count(SMALL, "123456789", "text") == Usage(3, "estimated")


def test_token_ids_are_counted_exactly() -> None:
    assert TokenCounter("auto").count(SMALL, [1, 2, 3], "tokens") == Usage(3, "counted")
    assert TokenCounter("auto").count(SMALL, [[1, 2], [3]], "tokens") == Usage(3, "counted")


@given(
    st.one_of(st.none(), st.integers(), st.lists(st.one_of(st.integers(), st.text(), st.none()))),
    st.sampled_from(["text", None]),
)
def test_what_is_no_text_is_unknown_and_never_raises(content: Any, kind: Any) -> None:
    usage = TokenCounter("estimate").count(SMALL, content, kind)
    assert usage is None or usage.source == "estimated"


def test_off_is_off() -> None:
    assert TokenCounter("off").count(SMALL, "text", "text") is None


def test_a_cache_saves_at_the_rate_that_misses_were_billed() -> None:
    calibration = Calibration()
    assert calibration.estimate("m", 100) is None
    calibration.learn("m", 50, 100)
    assert calibration.estimate("m", 30) == 15
