"""Embedders that let an observed client do their work, and those that have not done it yet."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

_Work = tuple[str, str, "str | None"]
"""A method, and the provider and the model of its calls."""
_MOST = 1000
_LATER = ("__next__", "__anext__", "__await__", "add_done_callback")
_known: WeakKeyDictionary[type, set[_Work]] = WeakKeyDictionary()


def learn(embedder: type, work: _Work) -> None:
    """A client was seen to do this work of this class of embedders."""
    known = _known.get(embedder)
    if known is None and len(_known) < _MOST:
        known = _known[embedder] = set()
    if known is not None and len(known) < _MOST:
        known.add(work)


def is_done_elsewhere(embedder: type, work: _Work, result: Any) -> bool:
    """Whether a call in which no client was asked did no work that somebody bills.

    An embedder whose client is seen at other times has answered from its own memory. What is a generator, a task or a
    future is worked out later, by calls that are seen then.
    """
    return work in _known.get(embedder, ()) or any(hasattr(type(result), name) for name in _LATER)
