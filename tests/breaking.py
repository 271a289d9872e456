"""Functions of ours that are made to misbehave, by their code objects: whoever refers to one, has the faulty one.

Which of them run in an application's calls is found by running it, so that none is forgotten.
"""

from __future__ import annotations

import gc
import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import otel_embed

SOURCES = str(Path(otel_embed.__file__).parent) + "/"
NOT_OURS_TO_BREAK = tuple(SOURCES + part for part in ("demo/", "cli/"))
"""The fake servers, which run in this process; the command line."""
PARTS = ("<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>", "<module>")
"""Code that is part of the function around it."""


@dataclass
class Place:
    """A function of ours. What is defined anew with each call of another is found in that one's code."""

    name: str
    code: CodeType
    functions: list[FunctionType] = field(default_factory=list)
    holders: list[FunctionType] = field(default_factory=list)
    behave: Callable[..., Any] | None = None
    met: int = 0

    def meet(self, variables: dict[str, Any]) -> Any:
        """The function was called."""
        self.met += 1
        args, kwargs = variables.pop("_args_"), variables.pop("_kwargs_")
        assert self.behave is not None
        return self.behave(lambda: self.original(variables)(*args, **kwargs))

    def original(self, free: dict[str, Any]) -> Callable[..., Any]:
        """The function itself, over the free variables that it has just now."""
        one = self.functions[0] if self.functions else self.holders[0]
        cells = tuple(CellType(free[name]) if name in free else CellType() for name in self.code.co_freevars)
        made = FunctionType(self.code, one.__globals__, self.code.co_name, None, cells)
        if self.functions:
            made.__defaults__, made.__kwdefaults__ = one.__defaults__, one.__kwdefaults__
        return made

    @contextmanager
    def behaving(self, behave: Callable[[Callable[[], Any]], Any]) -> Iterator[None]:
        """In the block, whoever calls the function gets what ``behave`` makes of it; it can call the original."""
        global _faulty
        same = {"co_name": self.code.co_name, "co_filename": self.code.co_filename}
        stand_in = _stand_in(self.code.co_freevars).replace(**same)
        holders = [(holder, holder.__code__) for holder in self.holders]
        self.behave, self.met, _faulty = behave, 0, self
        try:
            for function in self.functions:
                function.__code__ = stand_in
            for holder, code in holders:
                holder.__code__ = _with(code, self.code, stand_in)
            yield
        finally:
            for function in self.functions:
                function.__code__ = self.code
            for holder, code in holders:
                holder.__code__ = code


_faulty: Place | None = None
"""The one that is, at a time."""


def meet(variables: dict[str, Any]) -> Any:
    """What a stand-in calls."""
    assert _faulty is not None
    return _faulty.meet(variables)


@cache
def _stand_in(free: tuple[str, ...]) -> CodeType:
    """The code of a function that takes anything, with these free variables."""
    own = "".join(f"    {name} = None\n" for name in free)
    refer = f"        if 0: {', '.join(free)}\n" if free else ""
    source = f"def outer():\n{own}    def stand_in(*_args_, **_kwargs_):\n{refer}"
    scope: dict[str, Any] = {}
    exec(f"{source}        return __import__('breaking').meet(locals())\n    return stand_in", scope)
    code: CodeType = scope["outer"]().__code__
    assert code.co_freevars == free
    return code


def _with(code: CodeType, old: CodeType, new: CodeType) -> CodeType:
    """A code with another in place of one that it holds."""
    consts = [
        new if const is old else _with(const, old, new) if isinstance(const, CodeType) else const
        for const in code.co_consts
    ]
    return code.replace(co_consts=tuple(consts))


def reached(run: Callable[[], Any]) -> tuple[Any, set[CodeType]]:
    """What a run gives, and the code of ours that it comes to, in its own thread and those that it starts."""
    codes: set[CodeType] = set()
    code_of = codes.add

    def see(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            code_of(frame.f_code)

    threading.setprofile(see)
    sys.setprofile(see)
    try:
        result = run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return result, {code for code in codes.copy() if is_ours(code)}  # a thread may still run


@contextmanager
def slow(seconds: float) -> Iterator[None]:
    """In the block, each call of a function of ours takes longer, in this thread and those that it starts."""

    def wait(frame: Any, event: str, _: Any) -> None:
        if event == "call" and is_ours(frame.f_code):
            time.sleep(seconds)

    threading.setprofile(wait)
    sys.setprofile(wait)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def is_ours(code: CodeType) -> bool:
    name = code.co_filename
    return name.startswith(SOURCES) and not name.startswith(NOT_OURS_TO_BREAK) and code.co_name not in PARTS


def places(codes: set[CodeType]) -> list[Place]:
    """The functions with these codes."""
    functions = _functions()
    found = {}
    for code in codes:
        own, holders = functions.get(code, ([], []))
        assert own or holders, f"nobody refers to {code}"
        name = _name(own[0]) if own else f"{_name(holders[0])}.{code.co_name}"
        found[name] = Place(name, code, own, holders)
    return [found[name] for name in sorted(found)]


@cache
def _functions() -> dict[CodeType, tuple[list[FunctionType], list[FunctionType]]]:
    """By code: the functions that have it, and those in whose code it is."""
    found: dict[CodeType, tuple[list[FunctionType], list[FunctionType]]] = {}
    for function in [each for each in gc.get_objects() if type(each) is FunctionType and is_ours(each.__code__)]:
        found.setdefault(function.__code__, ([], []))[0].append(function)
        for inner in _held(function.__code__):
            found.setdefault(inner, ([], []))[1].append(function)
    gc.collect()
    gc.freeze()  # a collector that walks through all libraries again and again would take most of the time
    return found


def _held(code: CodeType) -> Iterator[CodeType]:
    for const in code.co_consts:
        if isinstance(const, CodeType):
            if const.co_name not in PARTS:
                yield const
            yield from _held(const)


def _name(function: FunctionType) -> str:
    """The same whether one that is made anew with each call is there just now or not."""
    module = function.__code__.co_filename.removeprefix(SOURCES).removesuffix(".py").replace("/", ".")
    ours = function.__module__.startswith("otel_embed") and not hasattr(function, "__wrapped__")
    name = function.__qualname__.replace(".<locals>", "") if ours else function.__code__.co_name
    return f"{module}.{name}"


def names() -> set[str]:
    """Those of all functions of ours, but for what is defined anew with each call of another."""
    return {_name(own[0]) for own, _ in _functions().values() if own and "<locals>" not in own[0].__qualname__}


def functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """Those of one module, by name."""
    for value in vars(module).values():
        if inspect.isfunction(value) and value.__module__ == module.__name__:
            yield value.__qualname__, value
        elif inspect.isclass(value) and value.__module__ == module.__name__ and not issubclass(value, tuple):
            for found in vars(value).values():
                inner = found.__func__ if isinstance(found, classmethod) else found
                inner = inner.fget if isinstance(inner, property) else inner
                if isinstance(inner, FunctionType) and inner.__code__.co_filename == module.__file__:
                    yield inner.__qualname__, inner
