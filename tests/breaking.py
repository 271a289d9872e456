"""A function of ours made to fail, by its code object: whoever refers to it, has it broken."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

REACHED: list[str] = []


def broken(*args: Any, **kwargs: Any) -> Any:
    __import__("breaking").REACHED.append("")
    raise RuntimeError("a bug in otel_embed")


def functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    for value in vars(module).values():
        if inspect.isfunction(value) and value.__module__ == module.__name__:
            yield value.__qualname__, value
        elif inspect.isclass(value) and value.__module__ == module.__name__ and not issubclass(value, tuple):
            for found in vars(value).values():
                inner = found.__func__ if isinstance(found, classmethod) else found
                inner = inner.fget if isinstance(inner, property) else inner
                if isinstance(inner, FunctionType) and inner.__code__.co_filename == module.__file__:
                    yield inner.__qualname__, inner
