"""Tokens and prices: what is counted where nobody reports it, and what it costs."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 as it sets up what a fork does, which an import during one must not
import os
import threading
from functools import cache
from importlib import import_module
from types import ModuleType

_FORK_WAITS = 2.0
_importing = threading.Lock()
_waited = False


def import_aside(name: str) -> ModuleType:
    """Import a module on a thread of ours; a fork by another thread waits until that is done, up to two seconds.

    A child that is forked in the middle of an import has the module locked by a thread that it does not have, and
    hangs when it imports that module itself.
    """
    _hold_forks()
    with _importing:
        return import_module(name)


@cache
def _hold_forks() -> None:
    # At the first need and not before: what is registered last runs first. With the lock of logging held by its own
    # hook, a fork would wait for an import that waits for that lock.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_forked)


def _before_fork() -> None:
    global _waited
    _waited = _importing.acquire(timeout=_FORK_WAITS)


def _after_fork() -> None:
    if _waited:
        _importing.release()


def _forked() -> None:
    global _importing
    _importing = threading.Lock()
