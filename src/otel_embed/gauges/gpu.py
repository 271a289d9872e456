"""NVIDIA GPUs by NVML: how busy they are, and their memory.

On wherever nvidia-ml-py is installed (``pip install 'otel-embed[gpu]'``), in a process with remote
calls alone too: the embedding server may run on the same machine. ``OTEL_EMBED_DISABLED_PROVIDERS=gpu``
switches it off. NVML is loaded when the SDK first collects, and asked at most once a second. Without a
GPU or a driver there are no observations.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel_embed.gauges.devices import Device, visible
from otel_embed.guard import Guard
from otel_embed.report import names
from otel_embed.report.names import Instrument

NAME = "gpu"
"""By which ``OTEL_EMBED_DISABLED_PROVIDERS`` switches these gauges off."""
_FRESH_SECONDS = 1.0
_FORK_WAITS = 2.0
_STARTING, _READING = Guard("start NVML"), Guard("read a GPU")
_lock = threading.Lock()


class Reading(NamedTuple):
    """What one GPU, or one MIG instance, said. A value that it does not know is None."""

    attributes: dict[str, str]
    busy: float | None = None
    """From 0 to 1, over its last sampling period of at most a second."""
    used: int | None = None
    size: int | None = None


class Gpus:
    """The GPUs that this process can see."""

    def __init__(self, *, usable: bool = True) -> None:
        self._usable = usable
        self._nvml: Any = None
        self._devices: list[Device] = []
        self._readings: list[Reading] = []
        self._read_at = float("-inf")

    def readings(self) -> list[Reading]:
        """Not older than a second."""
        with _lock:
            if self._usable and time.monotonic() - self._read_at >= _FRESH_SECONDS:
                if self._nvml is None:
                    self._start()
                readings = [self._read(device) for device in self._devices]
                self._readings = [reading for reading in readings if reading is not None]
                if len(self._readings) < len(readings):
                    self._nvml = None  # a GPU is lost, or somebody shut NVML down: look again next time
                self._read_at = time.monotonic()
            return self._readings

    def _start(self) -> None:
        """Without a driver, or with one that fails, there is nothing to ask in this process any more."""
        self._usable, self._devices = False, []
        with _STARTING:
            nvml: Any = import_module("pynvml")
            try:
                nvml.nvmlInit()
            except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded):
                return
            self._devices = visible(nvml, os.environ)
            self._nvml, self._usable = nvml, True

    def _read(self, device: Device) -> Reading | None:
        nvml = self._nvml
        with _READING:
            load = _or_none(nvml, nvml.nvmlDeviceGetUtilizationRates, device.handle)
            memory = _or_none(nvml, nvml.nvmlDeviceGetMemoryInfo, device.handle)
            reading = Reading(device.attributes, None if load is None else load.gpu / 100)
            if memory is not None:
                reading = reading._replace(used=memory.used, size=memory.total)
            return reading
        return None


def _or_none(nvml: Any, ask: Callable[[Any], Any], handle: Any) -> Any:
    try:
        return ask(handle)
    except nvml.NVMLError_NotSupported:  # the load of a MIG instance, say
        return None


_gpus = Gpus()


def busy() -> list[tuple[str, float]]:
    """Each GPU's id and the share of the time in which it works, as far as they are known."""
    if find_spec("pynvml") is None:
        return []
    known = ((gpu.attributes[names.HW_ID], gpu.busy) for gpu in _gpus.readings())
    return [(name, share) for name, share in known if share is not None]


_on = False


def switch(on: bool) -> None:
    """Whether GPUs are looked at from now on."""
    global _on
    _on = on


def observe(meter: Meter) -> None:
    """Have a meter observe the GPUs while they are switched on, where nvidia-ml-py is installed. Once a meter."""
    with Guard("set up the GPU gauges"):
        if find_spec("pynvml") is None:
            return
        _hold_forks()
        task = {names.GPU_TASK: names.GENERAL}
        _create(meter.create_observable_gauge, names.GPU_UTILIZATION, lambda gpu: gpu.busy, task)
        _create(meter.create_observable_up_down_counter, names.GPU_MEMORY_USAGE, lambda gpu: gpu.used)
        _create(meter.create_observable_up_down_counter, names.GPU_MEMORY_LIMIT, lambda gpu: gpu.size)


def _create(
    create: Callable[..., object],
    instrument: Instrument,
    read: Callable[[Reading], float | None],
    more: dict[str, str] | None = None,
) -> None:
    def observed(_: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(value, {**gpu.attributes, **(more or {})})
            for gpu in (_gpus.readings() if _on else ())
            if (value := read(gpu)) is not None
        ]

    create(instrument.name, [observed], instrument.unit, instrument.description)


_holding = False


def _hold_forks() -> None:
    """Let a fork wait while NVML is asked: a child would have its locks taken by a thread that it does not have."""
    global _holding
    if not _holding and hasattr(os, "register_at_fork"):
        _holding = True
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_forked)


_waited = False


def _before_fork() -> None:
    global _waited
    _waited = _lock.acquire(timeout=_FORK_WAITS)


def _after_fork() -> None:
    if _waited:
        _lock.release()


def _forked() -> None:
    # NVML is started anew. It is not shut down first: that would close what the parent has open.
    global _lock, _gpus
    _lock = threading.Lock()
    _gpus = Gpus(usable=_waited)
