"""What a local call adds up, without a library and without a device."""

from __future__ import annotations

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from otel_embed.local import DevicePass, _embedded, device_pass
from otel_embed.reading import model_name
from otel_embed.record import Batch
from otel_embed.timeline import MAX_TIMINGS, Lane, partition

MS = 1_000_000


class Clock:
    """A device's own time, in ms, and how far it has come."""

    now = 0.0
    done = 0.0

    def event(self) -> Mark:
        return Mark(self)


class Mark:
    """An event of that device, as CUDA's are."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.at = clock, float("inf")

    def record(self, stream: object) -> None:
        assert stream == "stream"
        self.at = self.clock.now

    def query(self) -> bool:
        return self.clock.done >= self.at

    def elapsed_time(self, end: Mark) -> float:
        return end.at - self.at


def launched(took: float) -> tuple[Clock, Lane, DevicePass]:
    """A pass of so many ms that was launched in no time, ten seconds ago."""
    clock, start = Clock(), time.perf_counter_ns() - 10_000 * MS
    lane = Lane(start, "forward")
    begun = DevicePass(lane, "stream", clock.event)
    lane.end, clock.now = start + MS, took
    begun.launched()
    return clock, lane, begun


def test_a_pass_that_the_device_is_at_is_not_waited_for() -> None:
    _, lane, begun = launched(took=80.0)
    assert begun.read() is None and lane.end == lane.start + MS


def test_a_stage_lasts_as_long_as_the_device_worked() -> None:
    clock, lane, begun = launched(took=80.0)
    clock.done = 80.0
    assert begun.read() == 80 * MS and lane.end == lane.start + 80 * MS


def test_a_stage_never_lasts_beyond_now_and_never_less_than_its_launch() -> None:
    for took, expected in ((60_000.0, None), (0.5, 1 * MS)):
        clock, lane, begun = launched(took)
        clock.done = took
        assert begun.read() == took * MS
        assert lane.end is not None and lane.end <= time.perf_counter_ns()
        assert expected is None or lane.end == lane.start + expected


def test_other_devices_have_no_events() -> None:
    assert [device_pass(Lane(0, "forward"), device) for device in (None, "cpu", "mps", "xpu:0")] == [None] * 4


BATCHES = st.lists(st.builds(Batch, st.integers(1, 9), st.integers(0, 99)), max_size=9)


@given(BATCHES, BATCHES)
def test_what_was_tried_before_is_not_counted(tried: list[Batch], embedded: list[Batch]) -> None:
    inputs = sum(batch.inputs for batch in embedded)
    assert list(_embedded([*tried, *embedded], inputs)) == embedded
    assert not _embedded([*tried, *embedded], inputs + sum(batch.inputs for batch in tried) + 1), "some went unseen"
    assert list(_embedded(embedded, None)) == embedded


@given(st.integers(1, 3 * MAX_TIMINGS), st.booleans())
def test_the_timings_of_very_many_lanes_are_summed(lanes: int, nested: bool) -> None:
    found, at = [], 0
    for n in range(lanes):
        lane = Lane(at + 1, ("tokenize", "forward")[n % 2])
        lane.end = at = at + 4 + nested
        found.append(lane)
        if nested:
            inner = Lane(at - 2, "pool")
            inner.end = at - 1
            found.append(inner)
    timings = partition(0, at + 7, found, 0)
    assert len(timings) <= MAX_TIMINGS + 4
    assert timings[0].start_ns == 0 and timings[-1].end_ns == at + 7
    assert all(before.end_ns == after.start_ns for before, after in pairwise(timings))
    for stage, expected in (("tokenize", 3 * -(-lanes // 2)), ("forward", 3 * (lanes // 2))):
        assert sum(timing.end_ns - timing.start_ns for timing in timings if timing.stage == stage) == expected


def test_a_model_is_called_by_its_name_and_never_by_a_path() -> None:
    names = {
        "org/name": "org/name",
        "name": "name",
        "/srv/models/name/": "name",
        "./name": "name",
        "../models/name.gguf": "name.gguf",
        "C:\\models\\name": "name",
        "/home/me/.cache/hub/models--org--name/snapshots/0a1b": "org/name",
        "": None,
        "/": None,
    }
    assert {path: model_name(path) for path in names} == names
    assert [model_name(value) for value in (None, 7, object())] == [None] * 3
