"""Methods that are no plain functions, such as those that ``functools.lru_cache`` makes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any


class Decorated:
    """Stands for such a method: it is called as ``around`` says, and all else that it can do is the method's own."""

    __wrapped__: Any

    def __init__(self, method: Any, around: Callable[..., Any]) -> None:
        functools.update_wrapper(self, method, updated=())
        self._around = around

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        bound = self.__wrapped__.__get__(instance, owner)
        return MethodType(self, instance) if type(bound) is MethodType else _Bound(bound, self._around, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._around(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __reduce__(self) -> str:
        name: str = self.__qualname__
        return name


class _Bound:
    """Such a method of an object, where that is more than the two of them."""

    def __init__(self, bound: Any, around: Callable[..., Any], instance: Any) -> None:
        self.__wrapped__, self.__doc__ = bound, bound.__doc__
        self._around, self._instance = around, instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._around(self._instance, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)
