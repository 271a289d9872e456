"""Models that are loaded into this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import Token
from typing import Any, Protocol

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed.failure import qualified_name
from otel_embed.guard import guarded
from otel_embed.observe import SUPPRESSED
from otel_embed.provider import Arguments, Load
from otel_embed.record import ModelLoad


class LoadRecorder(Protocol):
    """Where loads go."""

    begin_load: Callable[[OpenLoad, Context], Context | None]
    """A load begins: return the context in which it runs."""
    finish_load: Callable[[OpenLoad, ModelLoad], None]
    """A load is over."""


class LoadSite:
    """A wrapped function whose every run loads a model."""

    always = True

    def __init__(self, recorder: LoadRecorder, provider: str, load: Load) -> None:
        self.recorder = recorder
        self.provider = provider
        self.read_model = guarded(load.model, f"read which model {provider} loads")
        self.read_device = guarded(load.device, f"read where {provider} loads a model")
        self.wanted = guarded(load.when, f"look at what {provider} loads", False) if load.when else None

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenLoad | None:
        around = context.get_current()
        arguments = Arguments(instance, args, kwargs)
        if around.get(SUPPRESSED) or (self.wanted is not None and not self.wanted(arguments)):
            return None
        return OpenLoad(self, arguments, around)


class OpenLoad:
    """A model that is being loaded."""

    span: Any = None
    """The span that records it, where one does."""
    token: Token[Context] | None = None

    def __init__(self, site: LoadSite, arguments: Arguments, around: Context) -> None:
        self.start_unix_ns, self._start = time.time_ns(), time.perf_counter_ns()
        self._site, self._arguments = site, arguments
        self.provider, self.model = site.provider, site.read_model(arguments)
        within = site.recorder.begin_load(self, around)
        if within is not None:
            self.token = context.attach(within)

    def close(self, result: Any, error: BaseException | None) -> None:
        duration = time.perf_counter_ns() - self._start
        device = self._site.read_device(self._arguments, result) if error is None else None
        failed = None if error is None else qualified_name(error)
        load = ModelLoad(self.provider, self.model, device, self.start_unix_ns, duration, failed)
        self._site.recorder.finish_load(self, load)
