"""Stages partition a call's wall time, whatever happened in it."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_embed.record import STAGES
from otel_embed.timeline import Exchange, Lane, _in_sequence, _nested, _swept, partition

moments = st.integers(min_value=-50, max_value=1_100)
stages = st.sampled_from(STAGES)


@st.composite
def lanes(draw: st.DrawFn) -> Lane:
    start = draw(moments)
    lane: Lane = Exchange(start) if draw(st.booleans()) else Lane(start, draw(stages))
    if isinstance(lane, Exchange):
        lane.failed = draw(st.booleans())
    at = start
    for step, stage in draw(st.lists(st.tuples(st.integers(0, 200), stages), max_size=4)):
        at += step
        lane.marks.append((at, stage))
    lane.end = None if draw(st.booleans()) else at + draw(st.integers(0, 300))
    return lane


@settings(max_examples=600)
@given(st.lists(lanes(), max_size=8), st.integers(0, 1000))
def test_any_nesting_overlap_and_unfinished_lane_gives_a_partition(found: list[Lane], length: int) -> None:
    timings = partition(0, length, found, sum(isinstance(lane, Exchange) for lane in found))
    assert timings[0].start_ns == 0 and timings[-1].end_ns == length
    assert all(before.end_ns == after.start_ns for before, after in itertools.pairwise(timings))
    assert sum(timing.end_ns - timing.start_ns for timing in timings) == length


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50), st.booleans(), st.booleans()), max_size=8))
def test_the_quick_way_for_lanes_in_sequence_says_what_the_general_way_says(
    steps: list[tuple[int, int, bool, bool]],
) -> None:
    found: list[Lane] = []
    now = 10
    for gap, length, exchange, failed in steps:
        lane: Lane = Exchange(now + gap) if exchange else Lane(now + gap, "tokenize")
        if isinstance(lane, Exchange):
            lane.failed = failed
        now = lane.end = now + gap + length
        found.append(lane)
    count = sum(isinstance(lane, Exchange) for lane in found)
    quick, general = _in_sequence(10, now + 5, found, count), _swept(10, now + 5, found)
    assert quick is not None
    assert _by_stage(quick) == _by_stage(general)


@st.composite
def nests(draw: st.DrawFn) -> list[Lane]:
    """Lanes that hold one another, in the order in which they began."""
    found: list[Lane] = []
    open_lanes: list[Lane] = []
    now = 10
    for step in draw(st.lists(st.integers(0, 20), max_size=24)):
        now += step // 2
        if step % 2 and open_lanes:
            open_lanes.pop().end = now
        else:
            open_lanes.append(Lane(now, draw(stages)))
            found.append(open_lanes[-1])
    while open_lanes:
        open_lanes.pop().end = now
    return found


@settings(max_examples=400)
@given(nests())
def test_the_quick_way_for_lanes_in_lanes_says_what_the_general_way_says(found: list[Lane]) -> None:
    end = max([lane.end or 0 for lane in found], default=10) + 3
    quick, general = _nested(10, end, found), _swept(10, end, found)
    assert quick is not None
    assert _by_stage(quick) == _by_stage(general)
    assert sum(timing.end_ns - timing.start_ns for timing in quick) == end - 10


@settings(max_examples=400)
@given(st.lists(lanes(), max_size=6), st.integers(0, 1000))
def test_the_quick_way_takes_nothing_that_it_cannot_do(found: list[Lane], length: int) -> None:
    found = [lane for lane in found if not isinstance(lane, Exchange)]
    quick = _nested(0, length, found)
    assert quick is None or _by_stage(quick) == _by_stage(_swept(0, length, found))


def _by_stage(timings: tuple) -> list:  # type: ignore[type-arg]
    joined: list[list[object]] = []
    for stage, start, end, _ in timings:
        if joined and joined[-1][0] == stage:
            joined[-1][2] = end
        else:
            joined.append([stage, start, end])
    return joined


def test_time_around_exchanges_is_named_by_where_it_lies() -> None:
    failed, good = Exchange(10), Exchange(50)
    failed.failed, failed.end, good.end = True, 20, 60
    found = [timing.stage for timing in partition(0, 100, [failed, good], 2)]
    assert found == ["serialize", "acquire", "backoff", "acquire", "deserialize"]


def test_the_innermost_stage_prevails() -> None:
    outer, inner = Lane(0, "pool"), Lane(20, "forward")
    outer.end, inner.end = 100, 80
    found = [(timing.stage, timing.start_ns, timing.end_ns) for timing in partition(0, 100, [outer, inner], 0)]
    assert found == [("pool", 0, 20), ("forward", 20, 80), ("pool", 80, 100)]
