"""A cache of chat models' answers: what it is asked, and what it keeps."""

from __future__ import annotations

import time
from contextvars import Token
from typing import Any

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed.guard import Guard
from otel_embed.provider import Arguments, Cached
from otel_embed.runs import Runs

_ASKING = context.create_key("otel-embed-asking")


class AnswerCacheSite:
    """A wrapped method of a cache. One that calls another of the same cache to do its work is one lookup."""

    always = True

    def __init__(self, runs: Runs, cached: Cached) -> None:
        self.runs = runs
        self.found, self.writes = cached.found, cached.writes
        self.reading = Guard("read what a cache of answers said")

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenLookup | None:
        around = context.get_current()
        if not self.runs.observed or around.get(_ASKING) is instance:
            return None
        return OpenLookup(self, Arguments(instance, args, kwargs), around)


class OpenLookup:
    """A lookup, or a write, in flight."""

    __slots__ = ("_arguments", "_site", "_started", "token")

    def __init__(self, site: AnswerCacheSite, arguments: Arguments, around: Context) -> None:
        self._site, self._arguments = site, arguments
        self._started = time.perf_counter_ns()
        self.token: Token[Context] | None = context.attach(context.set_value(_ASKING, arguments.instance, around))

    def close(self, result: Any, error: BaseException | None) -> None:
        with self._site.reading:
            if error is None:
                told = self._site.runs.kept if self._site.writes else self._site.runs.looked_up
                store = type(self._arguments.instance).__name__
                told(store, self._site.found(self._arguments, result), self._started)
