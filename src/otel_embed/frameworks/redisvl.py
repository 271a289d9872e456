"""RedisVL's ``EmbeddingsCache``, which applications ask themselves: mostly outside of embedding calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

from otel_embed.identity import identity
from otel_embed.provider import Arguments, Call, Lookup, Provider, Timed
from otel_embed.reading import first, text
from otel_embed.record import Component, Request

_NAMES = ("content", "text", "contents", "texts", "items", "key", "keys")
"""Of the first argument, in all methods and versions."""
_CACHE = "redisvl.extensions.cache.embeddings.embeddings:EmbeddingsCache"
_READ = ("get", "mget", "get_by_key", "mget_by_keys")
_WRITE = ("set", "mset")


def _asked(call: Arguments) -> Any:
    return next((value for name in _NAMES if (value := call.get(name, 0)) is not None), None)


def _request(call: Arguments) -> Request:
    asked = _asked(call)
    item = first(asked)
    model = item.get("model_name") if isinstance(item, dict) else call.get("model_name", 1)
    one = 1 if isinstance(asked, (str, bytes)) else None
    return Request(text(model), len(asked) if isinstance(asked, (list, tuple)) else one)


def _lookup(call: Arguments, found: Any, embedder: Any) -> Lookup | None:
    """What the cache knew of each text; None where it was asked for nothing."""
    asked, answers = _asked(call), found if isinstance(found, list) else [found]
    one = [asked] if isinstance(asked, (str, bytes)) else repeat(None)
    contents = asked if isinstance(asked, (list, tuple)) else one
    return _outcome(call, embedder, zip(answers, contents))


def _lookup_by_key(call: Arguments, found: Any, embedder: Any) -> Lookup | None:
    """The same; a key does not tell the length of a text that the cache did not know."""
    answers = found if isinstance(found, list) else [found]
    return _outcome(call, embedder, zip(answers, repeat(None)))


def _outcome(call: Arguments, embedder: Any, answers: Iterable[tuple[Any, Any]]) -> Lookup | None:
    """Of answers, each with the content that was asked for, where that is known."""
    hits = misses = hit_characters = miss_characters = 0
    for answer, content in answers:
        if isinstance(answer, dict):
            known = answer.get("content", answer.get("text")) if content is None else content
            hits, hit_characters = hits + 1, hit_characters + _length(known)
        else:
            misses, miss_characters = misses + 1, miss_characters + _length(content)
    if not hits + misses:
        return None
    store, who = type(call.instance).__name__, identity(embedder)
    return Lookup(store, hits, misses, hit_characters, miss_characters, embedder=who)


def _length(content: Any) -> int:
    """In characters; 0 for what is no text, such as an image."""
    return len(content) if isinstance(content, str) else 0


def _timed(method: str) -> Timed:
    target = f"{_CACHE}.{method}"
    alone = Call(target, _request, component=_component(method))
    if method.removeprefix("a") in _WRITE:
        return Timed(target, "cache_write", alone=alone)
    return Timed(target, "cache_lookup", _lookup_by_key if "_by_" in method else _lookup, alone=alone)


def _component(method: str) -> Callable[[Arguments], Component]:
    return lambda call: Component("redisvl", type(call.instance).__name__, method)


CACHE = Provider(
    name="redisvl",
    requires="redisvl>=0.6,<0.29",
    timed=tuple(_timed(f"{twin}{name}") for name in (*_READ, *_WRITE) for twin in ("", "a")),
)
PROVIDERS: tuple[Provider, ...] = (CACHE,)
