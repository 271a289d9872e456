"""Calls of models that run in this process: what they were given, and how long a device took.

Nothing here imports torch or waits for a device. A CUDA device is timed by two events on its own
stream, which are read when the device has passed them anyway.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from opentelemetry.context import Context

from otel_embed.guard import Guard
from otel_embed.observe import CallSite, OpenCall, open_call
from otel_embed.provider import Arguments, Timed
from otel_embed.record import Batch, LocalWork, Stage
from otel_embed.stages import OpenStage, StageSite
from otel_embed.timeline import Lane

_ADDING_UP = Guard("add up what a local model was given")


class LocalCall(OpenCall):
    """A call of a local model, which knows its batches."""

    def __init__(self, site: CallSite, arguments: Arguments, parent: OpenCall | None, around: Context) -> None:
        self.batches: list[Batch] = []
        self._trailing: Lane | None = None
        self._passes: list[DevicePass] = []
        self._device_ns: int | None = None
        super().__init__(site, arguments, parent, around)

    def add(self, lane: Lane) -> None:
        if self._trailing is not None:
            self._trailing.end, self._trailing = lane.start, None
        self.lanes.append(lane)

    def trail(self, stage: Stage) -> None:
        """From now on the call is in this stage, until a function with one of its own begins."""
        lane = Lane(time.perf_counter_ns(), stage)
        self.add(lane)
        self._trailing = lane

    def passes(self, lane: Lane) -> DevicePass | None:
        """A model's pass begins; the device that it runs on is timed where it can be."""
        self._read_passes()
        begun = device_pass(lane, self.request.device)
        if begun is not None:
            self._passes.append(begun)
        return begun

    def _read_passes(self) -> None:
        self._passes = [each for each in self._passes if not self._has_read(each)]

    def _has_read(self, begun: DevicePass) -> bool:
        took = begun.read()
        if took is not None:
            self._device_ns = took + (self._device_ns or 0)
        return took is not None

    def finish(self, result: Any, error: BaseException | None, end: int) -> None:
        if not self.end:
            with _ADDING_UP:
                if self._trailing is not None:
                    self._trailing.end = end
                self._add_up()
        super().finish(result, error, end)

    def _add_up(self) -> None:
        if self._passes:
            self._read_passes()
        device_seconds = None if self._passes or self._device_ns is None else self._device_ns / 1e9
        embedded = _embedded(self.batches, self.request.inputs)
        if embedded:
            self.counted = sum(batch.tokens for batch in embedded)
        self.work = LocalWork(
            self.request.device,
            _sum([batch.padding for batch in embedded]),
            _sum([batch.truncated for batch in embedded]),
            device_seconds,
        )


def _embedded(batches: Sequence[Batch], inputs: int | None) -> Sequence[Batch]:
    """The last batches that make up the inputs; none where some of the inputs were not seen.

    Before them, a prompt may have been tokenized for its length, or a batch tried for its memory.
    """
    if inputs is None:
        return batches
    first = len(batches)
    while inputs > 0 and first:
        first -= 1
        inputs -= batches[first].inputs
    return batches[first:] if inputs <= 0 else ()


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


class LocalStageSite(StageSite):
    """A function of a local model: besides its time, it may tell a batch or run on a device."""

    def __init__(self, timed: Timed) -> None:
        super().__init__(timed)
        self.reading_batch = Guard(f"read a batch of {timed.target}")

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenStage | None:
        call = open_call()
        if call is None:
            return None
        arguments = Arguments(instance, args, kwargs)
        return LocalStage(self, call, arguments) if isinstance(call, LocalCall) else OpenStage(self, call, arguments)


class LocalStage(OpenStage):
    """A local model's stage in flight."""

    __slots__ = ("_pass",)
    _site: LocalStageSite
    _call: LocalCall

    def __init__(self, site: LocalStageSite, call: LocalCall, arguments: Arguments) -> None:
        super().__init__(site, call, arguments)
        self._pass = call.passes(self._lane) if site.timed.torch else None

    def close(self, result: Any, error: BaseException | None) -> None:
        timed = self._site.timed
        self._lane.end = time.perf_counter_ns()
        if error is None and timed.then is not None:
            self._call.trail(timed.then)
        if self._pass is not None:
            self._pass.launched()
        if error is None and timed.batch is not None:
            with self._site.reading_batch:
                batch = timed.batch(self._arguments, result)
                if batch is not None:
                    self._call.batches.append(batch)


class Event(Protocol):
    """The part of ``torch.cuda.Event`` that is needed here."""

    def record(self, stream: Any) -> None: ...
    def query(self) -> bool: ...
    def elapsed_time(self, end: Any) -> float: ...


class DevicePass:
    """A model's pass on a device that works on while the program goes on."""

    def __init__(self, lane: Lane, stream: Any, event: Callable[[], Event]) -> None:
        self._lane, self._stream = lane, stream
        self._begin, self._end = event(), event()
        self._begin.record(stream)

    def launched(self) -> None:
        """The pass is on its way to the device."""
        self._end.record(self._stream)

    def read(self) -> int | None:
        """How long the device took, in ns, which then is the stage's time too; None while it is at work."""
        lane = self._lane
        if lane.end is None or not self._end.query():
            return None
        took = round(self._begin.elapsed_time(self._end) * 1e6)
        lane.end = max(lane.end, min(lane.start + took, time.perf_counter_ns()))
        return took


def device_pass(lane: Lane, device: str | None) -> DevicePass | None:
    """Begin to time a pass on a CUDA device; None on any other, and while a CUDA graph is captured."""
    if device is None or not device.startswith("cuda") or "torch" not in sys.modules:
        return None
    cuda = sys.modules["torch"].cuda
    if not cuda.is_initialized() or cuda.is_current_stream_capturing():
        return None
    return DevicePass(lane, cuda.current_stream(device), lambda: cuda.Event(enable_timing=True))
