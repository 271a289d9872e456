"""Put the observers around the declared targets when their modules are imported, and take them off again.

Nothing is imported early: a hook waits for each module. The hook is registered once a process, also
where otel_embed is switched on and off many times.
"""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from types import ModuleType
from typing import Any, cast

import wrapt
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from otel_embed.guard import Guard
from otel_embed.observe import CallSite, Recorder
from otel_embed.provider import Call, Provider, Site, Submit, Target, Timed
from otel_embed.stages import StageSite
from otel_embed.wrapping import Patch, put

_logger = logging.getLogger("otel_embed")
_watched: set[str] = set()
_installed: list[Patches] = []


class Patches:
    """Everything wrapped on behalf of one recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._undo: list[Callable[[], None]] = []
        self._patches: dict[str, list[tuple[Provider, Patch]]] = {}
        self._checked: dict[str, str | None] = {}
        self._subclass_patches: dict[type, list[Patch]] = {}
        self.skipped: dict[str, str] = {}
        """Why a target or a library is not observed."""

    def install(self, providers: Iterable[Provider]) -> None:
        """Wrap the targets of these providers: now where a module is imported, else when it is."""
        for provider in providers:
            for target in provider.targets:
                patch = Patch(target.target, self._site(provider, target), getattr(target, "subclasses", False))
                patch.versions = target.versions
                self._patches.setdefault(patch.module, []).append((provider, patch))
        _installed.append(self)
        for name in self._patches:
            _watch(name)

    def _site(self, provider: Provider, target: Target) -> Site | Submit:
        if isinstance(target, Call):
            return CallSite(self._recorder, provider.name, target)
        if isinstance(target, Timed):
            return StageSite(target)
        return target if isinstance(target, Submit) else target.site

    def bind(self, name: str, module: ModuleType) -> None:
        """Wrap what is declared in a module that was just imported."""
        for provider, patch in self._patches.get(name, ()):
            with Guard(f"instrument {patch.target}"):
                if self._is_supported(provider) and _has(provider, patch.versions):
                    self._bind(module, patch)

    def _bind(self, module: ModuleType, patch: Patch) -> None:
        try:
            owner, name, _ = wrapt.resolve_path(module, patch.path)
        except AttributeError:
            self.skipped[patch.target] = "the installed library has no such function"
            _logger.warning("otel_embed cannot observe %s: %s", patch.target, self.skipped[patch.target])
            return
        if patch.subclasses:
            self._bind_subclasses(cast(type, owner), patch)
        else:
            self._put(owner, name, patch)

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

    def _is_supported(self, provider: Provider) -> bool:
        if provider.requires not in self._checked:
            self._checked[provider.requires] = reason = _unsupported(provider.requires)
            if reason is not None:
                self.skipped[provider.name] = reason
                _logger.warning("otel_embed does not observe %s: %s", provider.name, reason)
        return self._checked[provider.requires] is None

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


def _has(provider: Provider, versions: str) -> bool:
    """Whether the installed version of a library is one of these; True where nobody knows which it is."""
    if not versions or not provider.requires:
        return True
    try:
        return SpecifierSet(versions).contains(metadata.version(Requirement(provider.requires).name), prereleases=True)
    except metadata.PackageNotFoundError:
        return True


def _unsupported(requires: str) -> str | None:
    """Why an installed version is not observed; a newer one than was tested is, and the log says so."""
    if not requires:
        return None
    requirement = Requirement(requires)
    try:
        version = Version(metadata.version(requirement.name))
    except metadata.PackageNotFoundError:
        return None  # vendored, or a path on PYTHONPATH: the targets decide
    if requirement.specifier.contains(version, prereleases=True):
        return None
    oldest = min(Version(bound.version) for bound in requirement.specifier if bound.operator == ">=")
    if version < oldest:
        return f"{requirement.name} {version} is older than {oldest}, the oldest that is supported"
    _logger.warning("otel_embed was not tested with %s %s, only with %s", requirement.name, version, requires)
    return None


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
