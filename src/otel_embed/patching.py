"""Put the observers around the declared targets when their modules are imported, and take them off again.

Nothing is imported early: a hook waits for each module. The hook is registered once a process, also
where otel_embed is switched on and off many times.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, Protocol, cast

import wrapt

from otel_embed.answers import AnswerCacheSite
from otel_embed.guard import Guard
from otel_embed.late_logger import LateLogger
from otel_embed.loads import LoadRecorder, LoadSite
from otel_embed.local import LocalCall, LocalStageSite
from otel_embed.observe import CallSite, Recorder
from otel_embed.operations import OperationSite
from otel_embed.provider import (
    Cached,
    Call,
    Hook,
    Load,
    Muted,
    Operation,
    Provider,
    Silent,
    Site,
    Submit,
    Target,
    Timed,
)
from otel_embed.reloads import AgainFinder
from otel_embed.runs import Runs
from otel_embed.silence import SilentSite
from otel_embed.stages import LookupSite, StageSite
from otel_embed.support import Support, support
from otel_embed.wrapping import NOTHING, Patch, put

_logger = LateLogger("otel_embed")
_watched: set[str] = set()
_installed: list[Patches] = []


class FullRecorder(Recorder, LoadRecorder, Protocol):
    """Where calls, loads and runs go."""

    runs: Runs


class Patches:
    """Everything wrapped on behalf of one recorder."""

    def __init__(self, recorder: FullRecorder, runs: Runs) -> None:
        self._recorder = recorder
        self._runs = runs
        self._hooks: dict[str, Hook] = {}
        self._undo: list[Callable[[], None]] = []
        self._patches: dict[str, list[tuple[Provider, Patch]]] = {}
        self._supports: dict[str, Support] = {}
        self._subclass_patches: dict[type, list[Patch]] = {}
        self.skipped: dict[str, str] = {}
        """Why a target or a library is not observed."""
        self.bound: set[str] = set()
        """The targets that are observed."""

    def install(self, providers: Iterable[Provider]) -> None:
        """Wrap the targets of these providers: now where a module is imported, else when it is."""
        for provider in providers:
            for target in provider.targets:
                site, torch = self._site(provider, target), isinstance(target, Timed) and target.torch
                patch = Patch(target.target, site, getattr(target, "subclasses", False), torch)
                if isinstance(target, Hook):
                    self._hooks[target.target] = target
                patch.versions = target.versions
                patch.base = not patch.subclasses or getattr(target, "base", False)
                self._patches.setdefault(patch.module, []).append((provider, patch))
        _installed.append(self)
        for name in self._patches:
            _watch(name)

    def _site(self, provider: Provider, target: Target) -> Site | Submit | Muted:
        if isinstance(target, Call):
            return CallSite(self._recorder, provider.name, target, LocalCall if target.local else None)
        if isinstance(target, Operation):
            return OperationSite(self._recorder.operations, target)
        if isinstance(target, Timed):
            if target.alone is not None:
                return LookupSite(self._recorder, provider.name, target, target.alone)
            local = target.batch or target.then or target.torch
            return LocalStageSite(target) if local else StageSite(target)
        if isinstance(target, Load):
            return LoadSite(self._recorder, provider.name, target)
        if isinstance(target, Silent):
            return SilentSite()
        if isinstance(target, Cached):
            return AnswerCacheSite(self._runs, target)
        if isinstance(target, Hook):
            return NOTHING
        return target if isinstance(target, (Submit, Muted)) else target.site

    def bind(self, name: str, module: ModuleType) -> None:
        """Wrap what is declared in a module that was just imported."""
        for provider, patch in self._patches.get(name, ()):
            with Guard(f"instrument {patch.target}"):
                found = self._support(provider)
                if found.reason is None and found.has(patch.versions):
                    self._bind(module, patch)

    def _bind(self, module: ModuleType, patch: Patch) -> None:
        try:
            owner, name, _ = wrapt.resolve_path(module, patch.path)
        except AttributeError:
            self.skipped[patch.target] = "the installed library has no such function"
            _logger.warning("otel_embed cannot observe %s: %s", patch.target, self.skipped[patch.target])
            return
        hook = self._hooks.get(patch.target)
        if hook is not None:
            self._undo.append(hook.register(getattr(owner, name), self._runs))
        elif patch.subclasses:
            self._bind_subclasses(cast(type, owner), patch)
        if hook is None and patch.base:
            self._put(owner, name, patch)
        self.bound.add(patch.target)

    def _put(self, owner: Any, name: str, patch: Patch) -> None:
        undo = put(owner, name, patch)
        if undo is not None:
            self._undo.append(undo)

    def _bind_subclasses(self, base: type, patch: Patch) -> None:
        if base not in self._subclass_patches:
            self._subclass_patches[base] = []
            self._undo.append(_on_subclass(base, lambda cls: self._put_on(cls, self._subclass_patches[base])))
        self._subclass_patches[base].append(patch)
        for cls in _descendants(base):
            self._put_on(cls, [patch])

    def _put_on(self, cls: type, patches: Iterable[Patch]) -> None:
        for patch in patches:
            if patch.name in vars(cls):
                self._put(cls, patch.name, patch)

    def _support(self, provider: Provider) -> Support:
        """Of the installed version; a newer one than was tested is observed all the same, and the log says so."""
        found = self._supports.get(provider.requires)
        if found is None:
            found = self._supports[provider.requires] = support(provider.requires)
            if found.reason is not None:
                self.skipped[provider.name] = found.reason
                _logger.warning("otel_embed does not observe %s: %s", provider.name, found.reason)
            elif found.verdict == "untested":
                _logger.warning(
                    "otel_embed was not tested with %s %s, only with %s", found.library, found.installed, found.tested
                )
        return found

    def remove(self) -> None:
        """Put every original back where ours is still the outermost, and let ours do nothing elsewhere."""
        if self in _installed:
            _installed.remove(self)
        for bound in self._patches.values():
            for _, patch in bound:
                patch.switch_off()
        while self._undo:
            with Guard("take a wrapper off"):
                self._undo.pop()()


def active_patch(target: str) -> Patch | None:
    """The patch of a target in this process, for a wrapped function that another process pickled."""
    for patches in _installed:
        for _, patch in patches._patches.get(target.partition(":")[0], ()):
            if patch.target == target:
                return patch
    return None


def _watch(name: str) -> None:
    if name in _watched:
        if name in sys.modules:
            _imported(name, sys.modules[name])
        return
    _watched.add(name)
    wrapt.register_post_import_hook(lambda module: _imported(name, module), name)


def _imported(name: str, module: ModuleType) -> None:
    # wrapt lets a failing hook fail the application's import, so this must not raise.
    with Guard(f"see the import of {name}"):
        for patches in tuple(_installed):
            patches.bind(name, module)
        _AGAIN.watch(name)


_AGAIN = AgainFinder(_imported)


def _descendants(base: type) -> Iterator[type]:
    subclasses: list[type] = type.__subclasses__(base)
    for cls in subclasses:
        yield cls
        yield from _descendants(cls)


def _on_subclass(base: type, then: Callable[[type], None]) -> Callable[[], None]:
    """Call ``then`` with every subclass that is defined from now on; returns what undoes that."""
    before = vars(base).get("__init_subclass__")
    seeing = Guard(f"see a new subclass of {base.__name__}")

    def init_subclass(cls: Any, /, **options: Any) -> Any:
        if before is None:
            cast(Any, super(base, cls)).__init_subclass__(**options)
        else:
            before.__get__(None, cls)(**options)
        with seeing:
            then(cls)

    ours: Any = classmethod(init_subclass)
    cast(Any, base).__init_subclass__ = ours
    held = weakref.ref(base)

    def undo() -> None:
        cls: Any = held()
        if cls is not None and vars(cls).get("__init_subclass__") is ours:
            if before is None:
                del cls.__init_subclass__
            else:
                cls.__init_subclass__ = before

    return undo
