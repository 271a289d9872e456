"""Modules that are reloaded, or removed and imported again: wrapt's hooks see the first import of each alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from types import ModuleType
from typing import Any

from otel_embed.guard import Guard

_LOOKING = Guard("see to a module that is imported again")


class AgainFinder(MetaPathFinder):
    """Asks the other finders, and has ``imported`` called after each run of a module that it was told to watch."""

    def __init__(self, imported: Callable[[str, ModuleType], None]) -> None:
        self._imported = imported
        self._watched: set[str] = set()

    def watch(self, name: str) -> None:
        """This module was imported; watch for the next time."""
        self._watched.add(name)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname in self._watched:
            with _LOOKING:
                return self._spec(fullname, path, target)
        return None

    def _spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in tuple(sys.meta_path):
            find: Any = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if finder is self or find is None else find(name, path, target)
            if spec is not None:
                # Only a loader that serves this one module may be changed.
                if type(spec.loader) in (SourceFileLoader, SourcelessFileLoader):
                    self._follow(name, spec.loader)
                return spec
        return None

    def _follow(self, name: str, loader: Any) -> None:
        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            loader.exec_module(module)
            self._imported(name, module)

        loader.exec_module = exec_module
