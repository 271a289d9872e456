"""How many tokens an input has, where its provider does not say.

tiktoken reads its encodings from files that it downloads without a timeout. Here an encoding is used only if its file
is already on this machine, or after a thread of our own has fetched it: the application never waits for a network.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha1, sha256
from importlib.util import find_spec
from itertools import islice
from math import ceil
from threading import Thread
from types import FunctionType
from typing import Any, Literal

from otel_embed.guard import Guard
from otel_embed.pricing import import_aside
from otel_embed.record import InputKind, Usage

Mode = Literal["auto", "tiktoken", "estimate", "off"]
CHARACTERS_PER_TOKEN = 4
_EXACT = 50_000
"""Characters of a call that ``auto`` counts; what is beyond them is taken to be like them. That takes at most 12 ms."""
_EXACT_OF_A_TEXT = 2_500
"""The same of one text before tiktoken 0.13, whose time grows with the square of a text without spaces."""
MODELS = {"text-embedding-3-": "cl100k_base", "text-embedding-ada-002": "cl100k_base"}
"""The encoding of the models whose names begin so."""
_BUNDLES = (
    ("litellm", "litellm_core_utils", "tokenizers"),
    ("litellm", "llms", "tokenizers"),
    ("llama_index", "core", "_static", "tiktoken_cache"),
)
"""Packages that ship the files: the package, and the folder inside it."""
_CACHES = ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR")
_LEARNED = 1000

_Reader = Callable[[str, "str | None"], bytes]
"""Gives the content of a file of tiktoken's by its address and, where that is known, its SHA-256."""


class TokenCounter:
    """Counts or estimates tokens; holds no lock, so a forked child can go on with it.

    ``auto`` counts with tiktoken once the model's encoding is loaded, and estimates until then. It is loaded on a
    thread of its own, but tiktoken holds the interpreter for 0.13 s of that. ``tiktoken`` loads it on the calling
    thread, a quarter of a second once, and counts everything. ``estimate`` takes a token for four characters. ``off``
    counts nothing. With ``fetch``, a thread gets a file that is not on this machine, within ``timeout`` seconds.
    """

    def __init__(self, mode: Mode, *, fetch: bool = False, timeout: float = 10.0) -> None:
        self._mode = mode
        self._fetch = fetch
        self._timeout = timeout
        # Kept from the start: litellm puts its own folder into the variable when it is imported, and tempfile takes a
        # lock at its first use, which a child forked meanwhile would find taken for ever.
        self._caches = _caches()
        self._encodings: dict[str, Any] = {}
        self._missing: set[str] = set()
        self._started: dict[tuple[str, int], object] = {}

    def count(self, model: str | None, content: Any, kind: InputKind | None = None) -> Usage | None:
        """The tokens of texts, or of lists of token ids; None for anything else, which is never walked through."""
        if self._mode == "off" or kind not in (None, "text", "tokens"):
            return None
        ids = _ids(content)
        if ids is not None:
            return Usage(ids, "counted")
        texts = _texts(content)
        if texts is None:
            return None
        encoding = None if self._mode == "estimate" else self._encoding(model)
        return _estimated(texts) if encoding is None else self._counted(encoding, texts)

    def _counted(self, encoding: Any, texts: Sequence[str]) -> Usage:
        total = sum(map(len, texts))
        most = total if self._mode == "tiktoken" else _EXACT
        each = total if self._mode == "tiktoken" or _is_quick() else _EXACT_OF_A_TEXT
        tokens = seen = 0
        try:
            for text in texts:
                part = text[: min(each, most - seen)]
                tokens += len(encoding.encode_ordinary(part))
                seen += len(part)
                if seen == most:
                    break
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # older tiktokens give up on a long text without spaces
                raise
            return _estimated(texts)
        return Usage(tokens, "counted") if seen == total else Usage(ceil(tokens * total / seen), "estimated")

    def _encoding(self, model: str | None) -> Any:
        name = _encoding_name(model)
        if name is None:
            return None
        encoding = self._encodings.get(name) or _application_encoding(name)
        if encoding is None and self._mode == "tiktoken" and name not in self._missing:
            encoding = self._load(name, self._local)
            if encoding is None:
                self._missing.add(name)
        if encoding is None and (self._fetch or self._mode == "auto"):
            self._load_later(name)
        return encoding

    def _load_later(self, name: str) -> None:
        once = object()
        if self._started.setdefault((name, os.getpid()), once) is once:  # a forked child has none of these threads
            try:
                Thread(target=self._load_guarded, args=(name,), name="otel-embed-tokens", daemon=True).start()
            except RuntimeError:  # the interpreter is shutting down
                return

    def _load_guarded(self, name: str) -> None:
        with Guard("load tiktoken's encoding"):
            if self._load(name, self._fetched if self._fetch else self._local) is None and self._fetch:
                logging.getLogger("otel_embed").warning(
                    "OTEL_EMBED_TOKEN_FETCH: tiktoken's %s could not be fetched, tokens are estimated", name
                )

    def _load(self, name: str, read: _Reader) -> Any:
        try:
            return self._encodings.setdefault(name, _build(name, read))
        except (ImportError, OSError, ValueError):  # not installed, not there, not what it should be
            return None

    def _local(self, url: str, checksum: str | None) -> bytes:
        for folder in (*_caches(), *self._caches, *_bundles()):
            content = _content(_place(folder, url), checksum)
            if content is not None:
                return content
        raise FileNotFoundError(url)

    def _fetched(self, url: str, checksum: str | None) -> bytes:
        try:
            return self._local(url, checksum)
        except FileNotFoundError:
            content = _download(url, checksum, self._timeout)
        with suppress(OSError):  # nowhere to keep it: it serves this process
            _keep(content, _place(_cache(), url))
        return content


def locate(encoding: str) -> str | None:
    """Where the file of an encoding is on this machine; None where it is not.

    Raises ``ValueError`` for an encoding that tiktoken does not know, or does not read from one file.
    """
    paths: list[str] = []

    def read(url: str, checksum: str | None) -> bytes:
        places = (_place(folder, url) for folder in (*_caches(), *_bundles()))
        paths.extend(islice((path for path in places if _content(path, checksum) is not None), 1))
        raise FileNotFoundError(url)  # the encoding itself is not wanted, and takes a third of a second

    with suppress(FileNotFoundError):
        _build(encoding, read)
    return paths[0] if paths else None


def prefetch(
    encodings: Iterable[str] = ("cl100k_base",), cache_dir: str | None = None, timeout: float = 30.0
) -> list[str]:
    """Fetch the files of encodings into ``cache_dir``, or into tiktoken's own cache, and say where they are.

    For a command: waits up to ``timeout`` seconds a file. Files that are there already are not fetched. Raises
    ``OSError`` for a file that cannot be had or kept, ``ValueError`` for an encoding that tiktoken does not know.
    """
    paths: list[str] = []

    def read(url: str, checksum: str | None) -> bytes:
        paths.append(_place(cache_dir or _cache(), url))
        content = _content(paths[-1], checksum)
        if content is None:
            content = _download(url, checksum, timeout)
            _keep(content, paths[-1])
        return content

    for name in encodings:
        _build(name, read)
    return paths


class Calibration:
    """Tokens per character of each embedder's inputs, learned from what its provider reported.

    Safe in threads and after a fork without a lock: two threads that learn at once may lose one of the two, but
    tokens and characters always belong together.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[int, int]] = {}

    def learn(self, whose: Hashable, tokens: int, characters: int) -> None:
        """That many characters were that many tokens. Beyond a thousand embedders, further ones are not learned."""
        if tokens > 0 and characters > 0 and (whose in self._seen or len(self._seen) < _LEARNED):
            before = self._seen.get(whose, (0, 0))
            self._seen[whose] = before[0] + tokens, before[1] + characters

    def estimate(self, whose: Hashable, characters: int) -> int | None:
        """The tokens of that many characters, rounded up; None for one that nothing was learned of."""
        tokens, seen = self._seen.get(whose, (0, 0))
        return ceil(max(characters, 0) * tokens / seen) if seen else None


def _ids(content: Any) -> int | None:
    """How many token ids these are, in one list or in several; None where these are none."""
    if not isinstance(content, (list, tuple)) or not content:
        return None
    if _is_id(content[0]):
        return len(content)
    lists = all(isinstance(part, (list, tuple)) and part and _is_id(part[0]) for part in content)
    return sum(map(len, content)) if lists else None


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _texts(content: Any) -> Sequence[str] | None:
    if isinstance(content, str):
        return (content,)
    if isinstance(content, (list, tuple)) and all(isinstance(text, str) for text in content):
        return content
    return None


def _estimated(texts: Sequence[str]) -> Usage:
    return Usage(sum(ceil(len(text) / CHARACTERS_PER_TOKEN) for text in texts), "estimated")


def _encoding_name(model: str | None) -> str | None:
    if not isinstance(model, str):
        return None
    name = model.rpartition("/")[2].lower()
    return next((encoding for start, encoding in MODELS.items() if name.startswith(start)), None)


def _application_encoding(name: str) -> Any:
    """The encoding where the application has it loaded itself: 40 MB that need not be there twice."""
    registry = sys.modules.get("tiktoken.registry")
    loaded = getattr(registry, "ENCODINGS", None)
    return loaded.get(name) if isinstance(loaded, dict) else None


def _is_quick() -> bool:
    version = str(getattr(sys.modules.get("tiktoken"), "__version__", "0"))
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return major.isdigit() and minor.isdigit() and (int(major), int(minor)) >= (0, 13)


def _build(name: str, read: _Reader) -> Any:
    """tiktoken's own encoding, from its own definition, but with ``read`` in the place of its download."""
    tiktoken, public = import_aside("tiktoken"), import_aside("tiktoken_ext.openai_public")
    define = public.ENCODING_CONSTRUCTORS.get(name)
    if not isinstance(define, FunctionType) or "load_tiktoken_bpe" not in define.__code__.co_names:
        raise ValueError(f"tiktoken has no encoding {name!r} in a file of its own")

    def ranks(url: str, expected_hash: str | None = None) -> dict[bytes, int]:
        lines = read(url, expected_hash).splitlines()
        return {b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}

    # A copy of the function with one name bound anew: patching the module would reach the application's own loads.
    scope = {**define.__globals__, "load_tiktoken_bpe": ranks}
    return tiktoken.Encoding(**FunctionType(define.__code__, scope, name, define.__defaults__, define.__closure__)())


def _caches() -> list[str]:
    """Where tiktoken looks, in its order."""
    folders = [folder for name in _CACHES if (folder := os.environ.get(name))]
    with suppress(OSError):  # a machine on which nothing can be written has no folder for temporary files
        folders.append(os.path.join(tempfile.gettempdir(), "data-gym-cache"))
    return folders


def _cache() -> str:
    """Where tiktoken keeps what it fetches."""
    return next(iter(_caches()), os.curdir)


def _bundles() -> Iterator[str]:
    for package, *inside in _BUNDLES:
        try:
            spec = find_spec(package)  # of a top-level package: finds it without importing anything
        except (ImportError, ValueError, AttributeError):
            continue
        for place in (spec.submodule_search_locations if spec else None) or ():
            yield os.path.join(place, *inside)


def _place(folder: str, url: str) -> str:
    return os.path.join(folder, sha1(url.encode(), usedforsecurity=False).hexdigest())


def _content(path: str, checksum: str | None) -> bytes | None:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return None
    return content if checksum in (None, sha256(content).hexdigest()) else None


def _download(url: str, checksum: str | None, timeout: float) -> bytes:
    content, deadline = bytearray(), time.monotonic() + timeout
    with import_aside("requests").get(url, timeout=timeout, stream=True) as response:
        response.raise_for_status()
        for chunk in response.iter_content(65_536):
            content += chunk
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} took more than {timeout:g} s")
    if checksum not in (None, sha256(content).hexdigest()):
        raise OSError(f"{url} is not what tiktoken expects: its checksum differs")
    return bytes(content)


def _keep(content: bytes, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.{os.getpid()}", "wb") as file:
        file.write(content)
    os.replace(file.name, path)  # at once: another process must never see half a file
