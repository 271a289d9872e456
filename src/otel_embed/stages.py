"""Time spent in one stage of the innermost open call; nothing at all outside one."""

from __future__ import annotations

import time
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from otel_embed.guard import Guard
from otel_embed.observe import CallSite, OpenCall, Recorder, open_call
from otel_embed.provider import Arguments, Call, Observation, Timed
from otel_embed.record import STAGES, Stage
from otel_embed.seen import see
from otel_embed.timeline import Lane

_asked: ContextVar[Any] = ContextVar("otel-embed-asked", default=None)
"""The cache whose answer is awaited: one that calls its own method for it is asked once."""


class StageSite:
    """A wrapped function whose time belongs to a stage of the call around it."""

    def __init__(self, timed: Timed) -> None:
        self.timed = timed
        self.reading = Guard(f"read the outcome of a {timed.stage}")

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenStage | None:
        call = open_call()
        if call is None or (self.timed.lookup is not None and instance is not None and _asked.get() is instance):
            return None
        return OpenStage(self, call, Arguments(instance, args, kwargs))


class LookupSite:
    """A cache's function: a stage of the call around it, and a call of its own, which embeds nothing, outside one."""

    always = True
    _opening = Guard("time what a cache does")

    def __init__(self, recorder: Recorder, provider: str, timed: Timed, alone: Call) -> None:
        self._calls, self._stages = CallSite(recorder, provider, alone), StageSite(timed)
        self._calls.billable = False

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Observation | None:
        if open_call() is not None:
            return self._stages.open(instance, args, kwargs)
        call = self._calls.open(instance, args, kwargs)
        if call is None:
            return None
        call.delegated = True
        with self._opening:  # the call's context is attached by now, and is given back by whatever is returned
            return OpenLookup(call, OpenStage(self._stages, call, Arguments(instance, args, kwargs)))
        return call


class OpenLookup:
    """A cache's function in flight, outside of any embedding call."""

    __slots__ = ("_call", "_stage", "token")

    _closing = Guard("end what a cache does")

    def __init__(self, call: OpenCall, stage: OpenStage) -> None:
        self._call, self._stage, self.token = call, stage, call.token

    def close(self, result: Any, error: BaseException | None) -> None:
        with self._closing:
            self._stage.close(result, error)
        self._call.close(result, error)


class OpenStage:
    """A wrapped function's stage in flight."""

    token = None
    __slots__ = ("_arguments", "_before", "_call", "_lane", "_site")

    def __init__(self, site: StageSite, call: OpenCall, arguments: Arguments) -> None:
        self._site, self._call, self._arguments = site, call, arguments
        self._lane = Lane(time.perf_counter_ns(), site.timed.stage)
        call.add(self._lane)
        if site.timed.lookup is not None:
            self._before = _asked.get()
            _asked.set(arguments.instance)

    def close(self, result: Any, error: BaseException | None) -> None:
        self._lane.end = time.perf_counter_ns()
        read = self._site.timed.lookup
        if read is not None:
            _asked.set(self._before)
        if error is None and read is not None:
            with self._site.reading:
                lookup = read(self._arguments, result, self._call.instance)
                if lookup is not None:
                    self._call.looked_up(lookup)
                    see(self._arguments.instance, lookup.store)


class stage:
    """Time a block of the application's own code as a stage of the embedding call around it.

    Outside an embedding call the block just runs. ``name`` is one of ``otel_embed.record.STAGES``;
    another name raises ``ValueError`` when the block is declared, never while a call runs.
    """

    __slots__ = ("_name",)
    _guard = Guard("time a stage of the application's own")
    _entered: ContextVar[tuple[tuple[stage, Lane], ...]] = ContextVar("otel-embed-stages", default=())
    """Those of this thread or task that go on: one object may be used by many, and within itself."""

    def __init__(self, name: Stage) -> None:
        if name not in STAGES:
            raise ValueError(f"stage must be one of {', '.join(STAGES)}; got {name!r}")
        self._name: Stage = name

    def __enter__(self) -> None:
        with self._guard:
            call = open_call()
            if call is not None:
                lane = Lane(time.perf_counter_ns(), self._name)
                call.add(lane)
                self._entered.set((*self._entered.get(), (self, lane)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entered = self._entered.get()
        if entered and entered[-1][0] is self:
            entered[-1][1].end = time.perf_counter_ns()
            self._entered.set(entered[:-1])
