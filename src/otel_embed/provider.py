"""The vocabulary in which a library is declared.

A ``Call`` is a function whose every run is one embedding call. A ``Timed`` function adds a stage to
the innermost open call and does nothing outside one. A ``Transport`` is a function whose every run
is one HTTP exchange. A target is written ``package.module:Class.method``; with ``subclasses=True``
the method is observed on every subclass of the class, those that do not exist yet included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from otel_embed.record import CacheOutcome, Component, Reply, Request, Stage


class Arguments(NamedTuple):
    """What a wrapped function was called with; ``instance`` is None for a plain function."""

    instance: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def get(self, name: str, position: int | None = None) -> Any:
        """The argument by keyword or, where a position is given, by place; None when absent."""
        if position is not None and position < len(self.args):
            return self.args[position]
        return self.kwargs.get(name)


def no_reply(_: Any) -> Reply:
    return Reply()


class Call(NamedTuple):
    """A function whose every call is one embedding call."""

    target: str
    request: Callable[[Arguments], Request]
    reply: Callable[[Any], Reply] = no_reply
    component: Callable[[Arguments], Component] | None = None
    """For a framework's function: which class of it. Its own ``self.method()`` calls belong to the same call."""
    local: bool = False
    """True for a model that runs in this process."""
    subclasses: bool = False


class Timed(NamedTuple):
    """A function whose time belongs to a stage of the embedding call around it."""

    target: str
    stage: Stage
    cache: Callable[[Arguments, Any, Any], CacheOutcome | None] | None = None
    """Reads (arguments, result, the open call's instance): what the cache knew; None where this is no cache of that call."""
    subclasses: bool = False


class Provider(NamedTuple):
    """Everything otel_embed knows of one library."""

    name: str
    requires: str
    """The distribution and its supported versions, as a requirement: ``openai>=1.0,<4``."""
    calls: tuple[Call, ...] = ()
    timed: tuple[Timed, ...] = ()


Runtime = Literal["sync", "async"]
