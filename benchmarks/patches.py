"""What an instrumentation replaced, found by looking, so that it can be switched on and off in one process.

Instrumentations patch globally and can't coexist, and a comparison across processes measures the processes. So each is
started once, what it replaced is noted, and from then on put back and taken out between two blocks of calls.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

PATCHED_LIBRARIES = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
ABSENT = object()
Place = tuple[Any, str]
Value = tuple[Any, str, Any]


def patchable() -> Iterator[Any]:
    """The modules that an embedding call goes through, and their classes."""
    for name, module in list(sys.modules.items()):
        library, _, rest = name.partition(".")
        if library not in PATCHED_LIBRARIES or (library == "openai" and rest.startswith("types")):
            continue
        yield module
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__.partition(".")[0] == library:
                yield value


def snapshot() -> dict[Place, Any]:
    """Every function that can be called on the way, by the place where it is looked up."""
    return {
        (owner, name): value
        for owner in patchable()
        for name, value in list(vars(owner).items())
        if (callable(value) or isinstance(value, (classmethod, staticmethod, property)))
        and (not name.startswith("__") or name == "__init__")
    }


def replaced(before: dict[Place, Any], after: dict[Place, Any]) -> Iterator[Place]:
    """Places with another function than before. What a module gained was loaded, what a class gained was patched."""
    known_classes = {owner for owner, _ in before if isinstance(owner, type)}
    for place, value in after.items():
        if place in before:
            if before[place] is not value:
                yield place
        elif place[0] in known_classes:
            yield place


class Patches:
    """What to set to switch an instrumentation on, and off."""

    def __init__(self, on: list[Value], off: list[Value]) -> None:
        self.on = on
        self.off = off

    @classmethod
    def between(cls, before: dict[Place, Any], after: dict[Place, Any]) -> Patches:
        places = list(replaced(before, after))
        return cls([(*p, after[p]) for p in places], [(*p, before.get(p, ABSENT)) for p in places])

    @classmethod
    def to_themselves(cls, others: list[Patches]) -> Patches:
        """Sets the originals again wherever one of the others replaces something."""
        originals = {(owner, name): value for other in others for owner, name, value in other.off}
        values = [(*place, value) for place, value in originals.items()]
        return cls(values, values)

    def touch(self, places: Patches) -> None:
        """Set the originals where only others replace something, too.

        Whoever sets a class's attribute has the interpreter forget what it learned of that class: all must do so alike.
        """
        own = {place[:2] for place in self.on}
        others = [value for value in places.off if value[:2] not in own]
        self.on, self.off = self.on + others, self.off + others

    def put_on(self) -> None:
        assign(self.on)

    def take_off(self) -> None:
        assign(self.off)

    def names(self) -> list[str]:
        return sorted(f"{owner.__name__}.{name}" for owner, name, _ in self.on)


def assign(values: list[Value]) -> None:
    for owner, name, value in values:
        if value is not ABSENT:
            setattr(owner, name, value)
        elif name in vars(owner):
            delattr(owner, name)
