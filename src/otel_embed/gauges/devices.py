"""Which GPUs a process can see: those of the machine or container, less what CUDA_VISIBLE_DEVICES hides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from otel_embed.guard import Guard
from otel_embed.report import names

_LOOKING = Guard("look at a GPU")


class Device(NamedTuple):
    """A GPU, or one instance of a GPU in MIG mode."""

    handle: Any
    number: int
    """That of the GPU, as nvidia-smi has it."""
    uuid: str
    parent: str | None
    """Of an instance: the UUID of its GPU."""
    name: str
    model: str

    @property
    def attributes(self) -> dict[str, str]:
        """By the semantic conventions for hardware."""
        found = {
            names.HW_ID: self.uuid,
            names.HW_TYPE: names.GPU,
            names.HW_NAME: self.name,
            names.HW_MODEL: self.model,
            names.HW_VENDOR: names.NVIDIA,
        }
        return found if self.parent is None else {**found, names.HW_PARENT: self.parent}

    def answers_to(self, name: str) -> bool:
        """Whether an entry of CUDA_VISIBLE_DEVICES means this one: a number, or the beginning of a UUID."""
        if name.isdecimal():
            return self.number == int(name)
        return bool(name) and any(uuid.startswith(name) for uuid in (self.uuid, self.parent or self.uuid))


def visible(nvml: Any, environ: Mapping[str, str]) -> list[Device]:
    """``nvml`` is pynvml, initialised."""
    devices = list(_devices(nvml))
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or _is_ambiguous(devices, chosen, environ):
        return devices
    found: list[Device] = []
    for name in map(str.strip, chosen.split(",")):
        meant = [device for device in devices if device.answers_to(name)]
        if not meant:
            break  # CUDA sees nothing behind an entry that is none
        found += [device for device in meant if device not in found]
    return found


def _is_ambiguous(devices: list[Device], chosen: str, environ: Mapping[str, str]) -> bool:
    """Among unlike GPUs, CUDA numbers the fastest first, unless it is told not to; NVML goes by the PCI bus."""
    by_number = any(name.strip().isdecimal() for name in chosen.split(","))
    alike = len({device.model for device in devices if device.parent is None}) <= 1
    return by_number and not alike and environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID"


def _devices(nvml: Any) -> Iterator[Device]:
    for number in range(nvml.nvmlDeviceGetCount()):
        with _LOOKING:  # one that fell off the bus must not hide the others
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(number)
            except (nvml.NVMLError_NoPermission, nvml.NVMLError_OperatingSystem):
                continue  # another container's, or another job's
            uuid = nvml.nvmlDeviceGetUUID(handle)
            if _has_instances(nvml, handle):
                yield from _instances(nvml, handle, number, uuid)
            else:
                yield Device(handle, number, uuid, None, f"GPU {number}", nvml.nvmlDeviceGetName(handle))


def _has_instances(nvml: Any, handle: Any) -> bool:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
        return False
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)


def _instances(nvml: Any, gpu: Any, number: int, parent: str) -> Iterator[Device]:
    for instance in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, instance)
        except nvml.NVMLError_NotFound:
            continue
        uuid, model = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
        yield Device(handle, number, uuid, parent, f"GPU {number} MIG {instance}", model)
