"""The stores behind caches, as far as one was asked in this process: what there is to measure the size of."""

from __future__ import annotations

import weakref
from typing import Any

MAX_STORES = 64
STORES: dict[int, tuple[weakref.ref[Any], str]] = {}
"""Each with its name, by ``id``, for as long as the application keeps it."""


def see(store: Any, name: str) -> None:
    """A store was asked."""
    key = id(store)
    if key in STORES or len(STORES) >= MAX_STORES:
        return
    try:
        STORES[key] = weakref.ref(store, lambda _: STORES.pop(key, None)), name
    except TypeError:  # an object of a class without weak references is left alone
        return
