"""GPUs as the convention for hardware has them, by the real nvidia-ml-py over a small libnvidia-ml.so.1 of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMPILER = shutil.which("cc")
SOURCE = Path(__file__).parent / "fakes" / "nvml.c"
PROGRAM = """
import json, os, sys, threading, time
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
import otel_embed
from otel_embed import guard
from otel_embed.gauges import gpu
reader = InMemoryMetricReader()
otel_embed.instrument(meter_provider=MeterProvider(metric_readers=[reader], shutdown_on_exit=False))
def collect():
    data = reader.get_metrics_data()
    found = {}
    for scope in data.resource_metrics[0].scope_metrics if data else ():
        for metric in scope.metrics:
            if metric.name.startswith("hw."):
                kind = type(metric.data).__name__
                points = [(dict(point.attributes), point.value) for point in metric.data.data_points]
                found[metric.name] = (kind, metric.unit, points)
    return found
def busy():
    return [value for _, value in collect().get("hw.gpu.utilization", (0, 0, ()))[2]]
def ids(name="hw.gpu.memory.usage"):
    return [attributes["hw.id"] for attributes, _ in collect().get(name, (0, 0, ()))[2]]
def forked(work):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(work()).encode())
        os._exit(0)
    os.close(writing)
    said = os.read(reading, 100_000)
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(said)
"""

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("needs a C compiler, to build the fake libnvidia-ml.so.1")
    folder = tmp_path_factory.mktemp("nvml")
    command = [COMPILER, "-shared", "-fPIC", "-Wall", "-Werror", "-o", folder / "libnvidia-ml.so.1", SOURCE]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def run(library: Path) -> Run:
    """Runs a program on a machine with these GPUs, and gives what it printed and its log."""

    def run(gpus: str, program: str, first: str = "", **variables: str) -> Any:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CUDA_"))}
        env |= {"LD_LIBRARY_PATH": str(library), "FAKE_NVML": gpus, **variables}
        command = [sys.executable, "-W", "error", "-c", first + PROGRAM + program]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    return run


def test_two_gpus_are_what_the_convention_says(run: Run) -> None:
    found, log = run("whole whole", "print(json.dumps(collect()))")
    first = {
        "hw.id": "GPU-00000000-0000", "hw.type": "gpu", "hw.name": "GPU 0",
        "hw.model": "NVIDIA H100", "hw.vendor": "NVIDIA",
    }  # fmt: skip
    second = {**first, "hw.id": "GPU-10000000-0000", "hw.name": "GPU 1"}
    general = {"hw.gpu.task": "general"}
    assert found == {
        "hw.gpu.utilization": ["Gauge", "1", [[{**first, **general}, 0.01], [{**second, **general}, 0.01]]],
        "hw.gpu.memory.usage": ["Sum", "By", [[first, 1_000_000_000], [second, 2_000_000_000]]],
        "hw.gpu.memory.limit": ["Sum", "By", [[first, 80_000_000_000], [second, 80_000_000_000]]],
    }
    assert log == ""


def test_nvml_is_loaded_when_the_sdk_collects_and_asked_at_most_once_a_second(run: Run) -> None:
    program = """
before = "pynvml" in sys.modules
values = [busy(), busy(), (time.sleep(1.05), busy())[1]]
print(json.dumps([before, values]))
"""
    assert run("whole", program)[0] == [False, [[0.01], [0.01], [0.02]]]


def test_the_instances_of_a_gpu_in_mig_mode_have_memory_and_no_load(run: Run) -> None:
    (found, log) = run("mig whole", "print(json.dumps(collect()))")
    points = found["hw.gpu.memory.limit"][2]
    memory = [(point["hw.id"], point["hw.name"], point.get("hw.parent"), size) for point, size in points]
    assert memory == [
        ("MIG-00000000-0000", "GPU 0 MIG 0", "GPU-00000000-0000", 40_000_000_000),
        ("MIG-01000000-0000", "GPU 0 MIG 2", "GPU-00000000-0000", 40_000_000_000),
        ("GPU-10000000-0000", "GPU 1", None, 80_000_000_000),
    ]
    assert [point["hw.id"] for point, _ in found["hw.gpu.utilization"][2]] == ["GPU-10000000-0000"]
    assert log == ""


@pytest.mark.parametrize(
    ("gpus", "chosen", "order", "seen"),
    [
        ("whole whole whole", "1", "", ["GPU-1"]),
        ("whole whole whole", "2, 0", "", ["GPU-2", "GPU-0"]),
        ("whole whole", "", "", []),
        ("whole whole", "-1", "", []),
        ("whole whole", "1,7,0", "", ["GPU-1"]),
        ("whole whole", "GPU-10000000-0000", "", ["GPU-1"]),
        ("whole whole", "GPU-1", "", ["GPU-1"]),
        ("mig whole", "MIG-01000000-0000", "", ["MIG-0"]),
        ("mig whole", "0", "", ["MIG-0", "MIG-0"]),
        ("whole hidden whole", "0,2", "", ["GPU-0", "GPU-2"]),
        # CUDA numbers unlike GPUs by speed, so numbers say nothing to NVML and all are shown
        ("whole other", "1", "", ["GPU-0", "GPU-1"]),
        ("whole other", "1", "PCI_BUS_ID", ["GPU-1"]),
    ],
)
def test_only_what_cuda_visible_devices_leaves_is_seen(
    gpus: str, chosen: str, order: str, seen: list[str], run: Run
) -> None:
    variables = {"CUDA_VISIBLE_DEVICES": chosen} | ({"CUDA_DEVICE_ORDER": order} if order else {})
    found, log = run(gpus, "print(json.dumps(ids()))", **variables)
    assert [uuid[:5] for uuid in found] == seen
    assert log == ""


@pytest.mark.parametrize("gpus", ["driver", "hidden"])
def test_without_a_driver_or_a_gpu_of_ones_own_there_is_nothing_and_nobody_hears_of_it(gpus: str, run: Run) -> None:
    assert run(gpus, "print(json.dumps([collect(), collect(), guard.dropped]))") == ([{}, {}, {}], "")


def test_without_the_library_there_is_nothing_and_nobody_hears_of_it(run: Run) -> None:
    program = "print(json.dumps([collect(), guard.dropped]))"
    assert run("whole", program, LD_LIBRARY_PATH="/nowhere") == ([{}, {}], "")


def test_a_driver_that_fails_is_counted_once(run: Run) -> None:
    program = "print(json.dumps([collect(), (time.sleep(1.05), collect())[1], guard.dropped]))"
    found, log = run("broken", program)
    assert found == [{}, {}, {"start NVML": 1}]
    assert log.count("otel_embed failed to start NVML") == 1


def test_a_gpu_that_is_lost_does_not_hide_the_others(run: Run) -> None:
    program = """
found = [ids()]
for _ in range(3):
    time.sleep(1.05)
    found.append(ids())
print(json.dumps([found, guard.dropped]))
"""
    found, log = run("lost whole", program)
    assert found == [[["GPU-10000000-0000"]] * 4, {"read a GPU": 1, "look at a GPU": 1}]
    assert log.count("otel_embed failed") == 2


def test_a_forked_child_starts_nvml_anew_and_the_parent_goes_on(run: Run) -> None:
    program = """
before = busy()
child = forked(lambda: [time.sleep(1.05), ids(), guard.dropped])
time.sleep(1.05)
print(json.dumps([before, child, busy(), guard.dropped]))
"""
    assert run("whole", program)[0] == [[0.01], [None, ["GPU-00000000-0000"], {}], [0.02], {}]


def test_a_fork_while_nvml_is_asked_waits_for_it(run: Run) -> None:
    program = """
asking = threading.Thread(target=collect)
asking.start()
time.sleep(0.25)
began = time.monotonic()
def work():
    global reader  # the one of the parent was collecting when the child was made, and is locked for good
    waited, reader = time.monotonic() - began, InMemoryMetricReader()
    gpu.observe(MeterProvider(metric_readers=[reader], shutdown_on_exit=False).get_meter("child"))
    return [waited, ids()]
child = forked(work)
asking.join()
print(json.dumps(child))
"""
    (waited, seen), _ = run("slow", program)
    assert 0.1 < waited < 2
    assert seen == ["GPU-00000000-0000"]


def test_it_is_switched_off_by_name(run: Run) -> None:
    program = "print(json.dumps([collect(), 'pynvml' in sys.modules]))"
    assert run("whole", program, OTEL_EMBED_DISABLED_PROVIDERS="openai,gpu")[0] == [{}, False]


def test_switching_on_and_off_observes_each_gpu_once(run: Run) -> None:
    program = """
provider = MeterProvider(metric_readers=[reader := InMemoryMetricReader()], shutdown_on_exit=False)
for _ in range(3):
    otel_embed.uninstrument()
    otel_embed.instrument(meter_provider=provider)
print(json.dumps(busy()))
"""
    found, log = run("whole", program)
    assert found == [0.01]
    assert log == ""


def test_without_nvidia_ml_py_there_is_nothing_and_nobody_hears_of_it(run: Run) -> None:
    program = "print(json.dumps([collect(), guard.dropped]))"
    assert run("whole", program, first="import sys; sys.modules['pynvml'] = None") == ([{}, {}], "")
