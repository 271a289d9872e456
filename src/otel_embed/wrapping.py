"""The wrappers themselves.

They are plain functions and not proxies, so that a wrapped method stays what it was: it pickles by
name, copies, inspects and type-checks as before. With ``Guard`` they are the trusted base: what they
call of ours may fail, they may not, and the application's own function runs outside every guard.
"""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from collections.abc import Callable, Collection
from contextlib import suppress
from types import CoroutineType, FunctionType
from typing import Any

from opentelemetry import context

from otel_embed.decorated import Decorated
from otel_embed.exceeded import BudgetExceeded
from otel_embed.guard import Guard, guarded
from otel_embed.leaving import leave
from otel_embed.observe import OPEN_CALLS, open_call
from otel_embed.provider import Arguments, Muted, Observation, Site, Submit

_MARK = "__otel_embed__"
_CLOSING = Guard("end what was observed")


class Patch:
    """What stands behind one wrapped function, which refers to nothing else of ours."""

    opening = Guard("begin to observe")
    open: Callable[..., Observation | None]
    carry: Callable[..., Callable[..., Any] | None]
    answer: Callable[..., tuple[Any] | None]

    def __init__(self, target: str, site: Site | Submit | Muted, subclasses: bool = False, torch: bool = False) -> None:
        self.target = target
        self.module, _, self.path = target.partition(":")
        self.name = self.path.rpartition(".")[2]
        self.subclasses = subclasses
        self.torch = torch
        self.versions, self.base = "", True
        self.submits, self.mutes = isinstance(site, Submit), isinstance(site, Muted)
        self.also, self.place = (site.also, site.place) if isinstance(site, Submit) else ((), 0)
        always = getattr(site, "always", False)
        self.occasion: Collection[Any] = (True,) if always else getattr(site, "occasion", OPEN_CALLS)
        """Empty while there is nothing to observe: others matter only while a call, or its body, is open."""
        self._site = site
        self.switch_on()

    def switch_on(self) -> None:
        self.active = True
        if isinstance(self._site, Submit):
            self.carry = guarded(self._site.carry, "carry the context of a call into a thread")
        elif isinstance(self._site, Muted):
            self.answer = guarded(_answer(self._site), "mute what a library tells itself")
        else:
            self.open = self._site.open

    def switch_off(self) -> None:
        self.active, self.open, self.carry, self.answer = False, _nothing, _nothing, _nothing

    def take_over(self, patch: Patch) -> Callable[[], None] | None:
        """Serve a newer patch of the same target from where this one still stands under another's wrapper."""
        if self.active:
            return None
        self._site = patch._site
        self.switch_on()
        return self.switch_off

    def __reduce__(self) -> tuple[Callable[[str], Patch], tuple[str]]:
        # A class that is pickled by value, as Ray and Spark do, takes its wrapped methods along.
        return restored, (self.target,)

    @staticmethod
    def close(seen: Observation, result: Any, error: BaseException | None) -> None:
        """End what was observed."""
        try:
            if seen.token is not None:
                if type(error) is GeneratorExit:
                    leave(getattr(seen, "context", None), seen.token)
                else:
                    context.detach(seen.token)
            seen.close(result, error)
        except Exception as failed:
            _CLOSING.contain(failed)


def restored(target: str) -> Patch:
    """The patch of the process that unpickles a wrapped function; one that does nothing where there is none."""
    from otel_embed.patching import active_patch

    return active_patch(target) or _inert(target)


def _inert(target: str) -> Patch:
    patch = Patch(target, NOTHING)
    patch.switch_off()
    return patch


def _nothing(*_: Any) -> None:
    return None


class _Nothing:
    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        return None


NOTHING = _Nothing()


def put(owner: Any, name: str, patch: Patch) -> Callable[[], None] | None:
    """Wrap ``owner.name``; returns what undoes that, or None where an active one is there already."""
    inherited = name not in vars(owner)
    raw = inspect.getattr_static(owner, name)
    inner = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
    if getattr(inner, "__isabstractmethod__", False) or not (callable(inner) or hasattr(inner, "__get__")):
        return None
    method = inspect.isclass(owner) and not isinstance(raw, staticmethod)
    if method and not hasattr(type(inner), "__get__"):
        return None  # no method: it is not given the object
    already: Patch | None = getattr(inner, _MARK, None)
    if already is not None and not _overrides(owner, name, inner):
        return already.take_over(patch)
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


def _overrides(owner: Any, name: str, inner: Any) -> bool:
    """Whether a function that was made with ``functools.wraps``, and so has our mark, is of a base class's method."""
    bases = owner.__mro__[1:] if inspect.isclass(owner) else ()
    return any(vars(base).get(name) is getattr(inner, "__wrapped__", None) for base in bases if name in vars(base))


def _wrapped(original: Any, patch: Patch, method: bool) -> Callable[..., Any]:
    call = original
    if method and type(original) is not FunctionType:  # another instrumentation's proxy: it wants to be bound

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return original.__get__(self, type(self))(*args, **kwargs)

    elif patch.subclasses and type(original) is FunctionType and "IPython" in sys.modules:

        def call(*args: Any, **kwargs: Any) -> Any:
            return _reloaded(original, getattr(wrapped, "__wrapped__", original))(*args, **kwargs)

    if patch.submits:
        return _like(original, _carrying(call, patch))
    if patch.mutes:
        return _like(original, _muted(call, patch))
    make = _around_async if inspect.iscoroutinefunction(original) else _around
    around = make(call, patch, method)
    if call is not original and not isinstance(original, FunctionType):
        return Decorated(original, around)
    wrapped = _like(original, _unless_compiling(call, around) if patch.torch else around)
    return wrapped


def _like(original: Any, around: Callable[..., Any]) -> Callable[..., Any]:
    """To whoever asks what it takes, the original: ``inspect.getfullargspec`` does not ask what is wrapped."""
    made = functools.wraps(original)(around)
    with suppress(Exception):  # some functions of C tell of no signature
        setattr(made, "__signature__", inspect.signature(original))
    return made


def _reloaded(original: Any, newest: Any) -> Any:
    """What we wrapped, as it is now.

    IPython's autoreload hands the code and the attributes of a new function to the one that stands already. Those are
    our wrappers: the application's own new function is what the newer of them wraps.
    """
    if newest is not original and type(newest) is FunctionType and newest.__code__ is not original.__code__:
        try:
            original.__code__ = newest.__code__
        except ValueError:  # it refers to other names around it
            return newest
        original.__defaults__, original.__kwdefaults__ = newest.__defaults__, newest.__kwdefaults__
    return original


def _unless_compiling(original: Callable[..., Any], observed: Callable[..., Any]) -> Callable[..., Any]:
    """For what torch.compile may trace: it takes the question for a constant, and sees the original alone."""
    compiler = getattr(sys.modules.get("torch"), "compiler", None)
    is_compiling = getattr(compiler, "is_compiling", None)
    if is_compiling is None:  # a torch older than 2.1
        return observed

    def around(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs) if is_compiling() else observed(*args, **kwargs)

    return around


def _around(original: Callable[..., Any], patch: Patch, method: bool) -> Callable[..., Any]:
    def around(*args: Any, **kwargs: Any) -> Any:
        if not patch.occasion:
            return original(*args, **kwargs)
        seen = None
        try:
            seen = patch.open(args[0], args[1:], kwargs) if method and args else patch.open(None, args, kwargs)
        except BudgetExceeded:
            raise  # the application asked for it
        except Exception as error:
            patch.opening.contain(error)
        if seen is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            patch.close(seen, None, error)
            raise
        if type(result) is CoroutineType:
            return _awaited(result, patch, seen)
        patch.close(seen, result, None)
        return result

    return around


def _awaited(coroutine: Any, patch: Patch, seen: Any) -> Any:
    """What a plain function returned that works only once it is awaited."""
    call = OPEN_CALLS.pop(id(seen), None)  # it rests: until then nothing belongs to it
    if seen.token is not None:
        context.detach(seen.token)
        seen.token = None

    async def awaited() -> Any:
        if call is not None:
            OPEN_CALLS[id(call)] = call
            seen.token = context.attach(call.context)
        try:
            result = await coroutine
        except BaseException as error:
            patch.close(seen, None, error)
            raise
        patch.close(seen, result, None)
        return result

    return awaited()


def _around_async(original: Callable[..., Any], patch: Patch, method: bool) -> Callable[..., Any]:
    async def around(*args: Any, **kwargs: Any) -> Any:
        if not patch.occasion:
            return await original(*args, **kwargs)
        seen = None
        try:
            seen = patch.open(args[0], args[1:], kwargs) if method and args else patch.open(None, args, kwargs)
        except BudgetExceeded:
            raise  # the application asked for it
        except Exception as error:
            patch.opening.contain(error)
        if seen is None:
            return await original(*args, **kwargs)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            patch.close(seen, None, error)
            raise
        patch.close(seen, result, None)
        return result

    return around


def _answer(muted: Muted) -> Callable[..., tuple[Any] | None]:
    def answer(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any] | None:
        """What to return in place of the function's own result; None where it is to run."""
        return None if open_call() is None else (muted.instead(Arguments(None, args, kwargs)),)

    return answer


def _muted(original: Callable[..., Any], patch: Patch) -> Callable[..., Any]:
    def muted(*args: Any, **kwargs: Any) -> Any:
        answer = patch.answer(args, kwargs) if patch.occasion else None
        return original(*args, **kwargs) if answer is None else answer[0]

    return muted


def _carrying(original: Callable[..., Any], patch: Patch) -> Callable[..., Any]:
    def submit(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if patch.occasion:
            if len(args) > patch.place:
                before, function, after = args[: patch.place], args[patch.place], args[patch.place + 1 :]
                args = (*before, patch.carry(function) or function, *after)
            for name in patch.also:
                if kwargs.get(name) is not None:
                    kwargs[name] = patch.carry(kwargs[name]) or kwargs[name]
        return original(self, *args, **kwargs)

    return submit
