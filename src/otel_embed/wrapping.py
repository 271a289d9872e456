"""The wrappers themselves.

They are plain functions and not proxies, so that a wrapped method stays what it was: it pickles by
name, copies, inspects and type-checks as before. With ``Guard`` they are the trusted base: what they
call of ours may fail, they may not, and the application's own function runs outside every guard.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any

from opentelemetry import context

from otel_embed.guard import Guard
from otel_embed.provider import Observation, Site, Submit

_MARK = "__otel_embed__"
_OPENING, _CLOSING = Guard("begin to observe"), Guard("end what was observed")
_CARRYING = Guard("carry the context of a call into a thread")


class Patch:
    """What stands behind one wrapped function."""

    def __init__(self, target: str, site: Site | Submit, subclasses: bool = False) -> None:
        self.target = target
        self.module, _, self.path = target.partition(":")
        self.name = self.path.rpartition(".")[2]
        self.subclasses = subclasses
        self.active = True
        self._site: Any = site

    @property
    def submits(self) -> bool:
        return isinstance(self._site, Submit)

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any], method: bool) -> Observation | None:
        seen: Observation | None
        seen = self._site.open(args[0], args[1:], kwargs) if method else self._site.open(None, args, kwargs)
        return seen

    def carry(self, function: Callable[..., Any]) -> Callable[..., Any]:
        carried: Callable[..., Any] = self._site.carry(function)
        return carried

    def take_over(self, patch: Patch) -> Callable[[], None] | None:
        """Serve a newer patch of the same target from where this one still stands under another's wrapper."""
        if self.active:
            return None
        self._site, self.active = patch._site, True

        def undo() -> None:
            self.active = False

        return undo

    def __reduce__(self) -> tuple[Callable[[str], Patch], tuple[str]]:
        # A class that is pickled by value, as Ray and Spark do, takes its wrapped methods along.
        return restored, (self.target,)


def restored(target: str) -> Patch:
    """The patch of the process that unpickles a wrapped function; one that does nothing where there is none."""
    from otel_embed.patching import active_patch

    return active_patch(target) or _inert(target)


def _inert(target: str) -> Patch:
    patch = Patch(target, _Nothing())
    patch.active = False
    return patch


class _Nothing:
    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        return None


def put(owner: Any, name: str, patch: Patch) -> Callable[[], None] | None:
    """Wrap ``owner.name``; returns what undoes that, or None where an active one is there already."""
    inherited = name not in vars(owner)
    raw = inspect.getattr_static(owner, name)
    inner = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
    if getattr(inner, "__isabstractmethod__", False):
        return None
    already: Patch | None = getattr(inner, _MARK, None)
    if already is not None:
        return already.take_over(patch)
    method = inspect.isclass(owner) and not isinstance(raw, staticmethod)
    wrapped: Any = _wrapped(inner, patch, method)
    setattr(wrapped, _MARK, patch)
    if inner is not raw:
        wrapped = type(raw)(wrapped)
    setattr(owner, name, wrapped)
    held = weakref.ref(owner)

    def undo() -> None:
        target = held()
        if target is None or vars(target).get(name) is not wrapped:
            return
        if inherited:
            delattr(target, name)
        else:
            setattr(target, name, raw)

    return undo


def _wrapped(original: Any, patch: Patch, method: bool) -> Callable[..., Any]:
    if patch.submits:
        return functools.wraps(original)(_carrying(original, patch))
    make = _around_async if inspect.iscoroutinefunction(inspect.unwrap(original)) else _around
    call = original
    if method and not isinstance(original, FunctionType):  # another instrumentation's proxy: it wants to be bound

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return original.__get__(self, type(self))(*args, **kwargs)

    return functools.wraps(original)(make(call, patch, method))


def _around(original: Callable[..., Any], patch: Patch, method: bool) -> Callable[..., Any]:
    def around(*args: Any, **kwargs: Any) -> Any:
        seen = None
        if patch.active:
            with _OPENING:
                seen = patch.open(args, kwargs, method)
        if seen is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            with _CLOSING:
                if seen.token is not None:
                    context.detach(seen.token)
                seen.close(None, error)
            raise
        with _CLOSING:
            if seen.token is not None:
                context.detach(seen.token)
            seen.close(result, None)
        return result

    return around


def _around_async(original: Callable[..., Any], patch: Patch, method: bool) -> Callable[..., Any]:
    async def around(*args: Any, **kwargs: Any) -> Any:
        seen = None
        if patch.active:
            with _OPENING:
                seen = patch.open(args, kwargs, method)
        if seen is None:
            return await original(*args, **kwargs)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            with _CLOSING:
                if seen.token is not None:
                    context.detach(seen.token)
                seen.close(None, error)
            raise
        with _CLOSING:
            if seen.token is not None:
                context.detach(seen.token)
            seen.close(result, None)
        return result

    return around


def _carrying(original: Callable[..., Any], patch: Patch) -> Callable[..., Any]:
    def submit(self: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        carried = function
        if patch.active:
            with _CARRYING:
                carried = patch.carry(function)
        return original(self, carried, *args, **kwargs)

    return submit
