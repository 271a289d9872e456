"""Tokens of inputs whose provider reports none: counted where that is free of surprises, else estimated.

tiktoken downloads its files without a timeout, so that one is used only if it is on this machine
already, and it is read on a thread of its own: the application never waits for either.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from hashlib import sha1
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any, Literal

from otel_embed.record import InputKind, Usage

Mode = Literal["auto", "tiktoken", "estimate", "off"]
CHARACTERS_PER_TOKEN = 4
_COUNTED_CHARACTERS = 50_000
"""As much of a call's text is counted exactly; the rest is taken to be like it."""
_ENCODINGS = {
    "text-embedding-3-small": "cl100k_base",
    "text-embedding-3-large": "cl100k_base",
    "text-embedding-ada-002": "cl100k_base",
}
_FILE = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_BUNDLES = (("llama_index.core", "_static/tiktoken_cache"), ("litellm", "litellm_core_utils/tokenizers"))
_MAX_MODELS = 1000


class TokenCounter:
    """``auto`` counts once the encoding is loaded and estimates until then; ``tiktoken`` waits for it to load."""

    def __init__(self, mode: Mode, fetch: bool = False, timeout: float = 10.0) -> None:
        self._mode = mode
        self._fetch, self._timeout = fetch, timeout
        self._encodings: dict[str, Any] = {}
        self._asked: set[str] = set()

    def count(self, model: str | None, content: Any, kind: InputKind | None) -> Usage | None:
        """The tokens of texts or token ids; None for all else, which is never walked through."""
        if self._mode == "off" or content is None:
            return None
        if kind == "tokens":
            ids = content[0] if content and not isinstance(content[0], int) else None
            return Usage(len(content) if ids is None else sum(map(len, content)), "counted")
        texts = [content] if isinstance(content, str) else content
        if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
            return None
        encoding = None if self._mode == "estimate" else self._encoding(model)
        return estimated(texts) if encoding is None else self._counted(encoding, texts)

    def _counted(self, encoding: Any, texts: Sequence[str]) -> Usage:
        tokens = seen = 0
        most = _COUNTED_CHARACTERS if self._mode == "auto" else float("inf")
        for number, text in enumerate(texts):
            if seen + len(text) > most and seen:
                rest = sum(map(len, texts[number:]))
                return Usage(ceil(tokens * (seen + rest) / seen), "estimated")
            tokens, seen = tokens + len(encoding.encode_ordinary(text)), seen + len(text)
        return Usage(tokens, "counted")

    def _encoding(self, model: str | None) -> Any:
        name = _ENCODINGS.get(model or "")
        if name is None or name in self._encodings:
            return self._encodings.get(name or "")
        if self._mode == "tiktoken" and local_file(name) is not None:
            self._load(name)
        elif name not in self._asked:
            self._asked.add(name)
            if local_file(name) is not None or self._fetch:
                threading.Thread(target=self._load, args=(name,), name="otel-embed-tokens", daemon=True).start()
        return self._encodings.get(name)

    def _load(self, name: str) -> None:
        """Read an encoding from this machine; fetch it first where that is allowed."""
        if local_file(name) is None and self._fetch:
            fetch(name, self._timeout)
        path = local_file(name)
        if path is not None:
            self._encodings[name] = _read(name, path)


def estimated(texts: Sequence[str]) -> Usage:
    return Usage(ceil(sum(map(len, texts)) / CHARACTERS_PER_TOKEN), "estimated")


def local_file(encoding: str) -> Path | None:
    """Where tiktoken's file of an encoding is on this machine: in tiktoken's cache, or in a package that ships it."""
    name = sha1(_FILE.format(encoding).encode(), usedforsecurity=False).hexdigest()
    return next((path for folder in _folders() if (path := folder / name).is_file()), None)


def _folders() -> list[Path]:
    folders = [Path(os.environ[name]) for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR") if os.environ.get(name)]
    folders.append(Path(tempfile.gettempdir(), "data-gym-cache"))
    for package, inside in _BUNDLES:
        top, _, below = package.partition(".")
        spec = find_spec(top)  # finds the package without importing it
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            folders.append(Path(place, *below.split("."), inside) if below else Path(place, inside))
    return folders


def _read(name: str, path: Path) -> Any:
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe

    pattern = tiktoken_pattern(name)
    return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=load_tiktoken_bpe(str(path)), special_tokens={})


def tiktoken_pattern(name: str) -> str:
    """How an encoding cuts text before it merges bytes, as tiktoken has it."""
    from tiktoken_ext import openai_public  # type: ignore[import-untyped]

    if name != "cl100k_base":
        raise ValueError(f"no pattern is known for the encoding {name!r}")
    pattern: str | None = getattr(openai_public, "CL100K_PAT_STR", None)
    return pattern or (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    )


def fetch(encoding: str, timeout: float) -> Path:
    """Fetch an encoding's file into tiktoken's own cache, within a number of seconds; raises ``OSError`` else.

    Never called on a thread that the application waits for, but for the command that is there to do it.
    """
    from urllib.request import urlopen

    url = _FILE.format(encoding)
    with urlopen(url, timeout=timeout) as answer:
        content = answer.read()
    path = _folders()[0] / sha1(url.encode(), usedforsecurity=False).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
    return path


class Calibration:
    """Tokens per character of each model's inputs, learned from what its provider billed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, int]] = {}

    def learn(self, model: str, tokens: int, characters: int) -> None:
        with self._lock:
            if model in self._seen or len(self._seen) < _MAX_MODELS:
                before = self._seen.get(model, (0, 0))
                self._seen[model] = before[0] + tokens, before[1] + characters

    def estimate(self, model: str, characters: int) -> int | None:
        """The tokens of that much text; None for a model that was not seen."""
        tokens, seen = self._seen.get(model, (0, 0))
        return round(characters * tokens / seen) if seen else None
