"""Which object it is, told by a number that no other object of this process ever has."""

from __future__ import annotations

import weakref
from itertools import count
from typing import Any

MOST = 1000
_NUMBERED: dict[int, tuple[weakref.ref[Any], int]] = {}
_numbers = count(1)


def identity(thing: Any) -> int | None:
    """The object is not kept alive. None for one of a class without weak references, and where ``MOST`` are known."""
    found = _NUMBERED.get(id(thing))
    if found is not None and found[0]() is thing:
        return found[1]
    if not type(thing).__weakrefoffset__:
        return None
    if len(_NUMBERED) >= MOST:
        _forget()
    if len(_NUMBERED) >= MOST:
        return None
    _NUMBERED[id(thing)] = weakref.ref(thing), (number := next(_numbers))
    return number


def _forget() -> None:
    """Those that the application let go."""
    for key, (thing, _) in list(_NUMBERED.items()):
        if thing() is None:
            _NUMBERED.pop(key, None)
