"""How a call's wall time is divided into stages.

Whatever happened inside a call left a ``Lane``: an HTTP exchange with the moments at which its stage
changed, a timed function, a call further down. Lanes may nest and overlap. ``partition`` makes one
sequence of them, without gaps or overlaps: at each moment the lane that began last is what the call
was doing, and time that no lane covers is named by where it lies between the exchanges.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from heapq import heappop, heappush
from operator import attrgetter

from otel_embed.record import Stage, StageTiming

MAX_TIMINGS = 512
"""A local model's call has four for each batch, and one over a million texts a hundred thousand."""
# What the class's own constructor does, without a Python frame for it.
_timing: Callable[[tuple[Stage, int, int, bool]], StageTiming] = partial(tuple.__new__, StageTiming)


class Lane:
    """A stretch of time with its stages; all times are readings of one monotonic clock, in ns."""

    end: int | None = None
    own = True
    marks: list[tuple[int, Stage]]

    def __init__(self, start: int, stage: Stage, own: bool = True) -> None:
        self.start = start
        self.marks = [(start, stage)]
        if not own:
            self.own = False

    def segments(self, start: int, end: int) -> Iterator[tuple[int, int, Stage]]:
        """The stages of this lane between two moments; an unfinished lane lasts to the end."""
        last = end if self.end is None else min(self.end, end)
        begins, stage = self.marks[0]
        for at, following in self.marks[1:]:
            if (cut := min(at, last)) > (from_ := max(begins, start)):
                yield from_, cut, stage
            begins, stage = at, following
        if last > (from_ := max(begins, start)):
            yield from_, last, stage


class Exchange(Lane):
    """The lane of one HTTP exchange; a failed one is followed by a retry or by nothing."""

    failed = False

    def __init__(self, start: int) -> None:
        super().__init__(start, "acquire")


def partition(start: int, end: int, lanes: list[Lane], exchanges: int) -> tuple[StageTiming, ...]:
    """Divide [start, end] into stages, as offsets from start; the durations add up to end - start exactly.

    ``exchanges`` is how many of the lanes are exchanges.
    """
    timings = _in_sequence(start, end, lanes, exchanges) or (None if exchanges else _nested(start, end, lanes))
    timings = timings or _swept(start, end, lanes)
    return timings if len(timings) <= MAX_TIMINGS else _condensed(timings)


def _condensed(timings: tuple[StageTiming, ...]) -> tuple[StageTiming, ...]:
    """The first timings as they were, and of the many others the sum of each stage, one after another."""
    kept, others = timings[:MAX_TIMINGS], timings[MAX_TIMINGS:]
    sums: dict[tuple[Stage, bool], int] = {}
    for stage, start, end, own in others:
        sums[stage, own] = sums.get((stage, own), 0) + end - start
    at = others[0].start_ns
    ends = itertools.accumulate(sums.values(), initial=at)
    summed = [_timing((stage, *between, own)) for (stage, own), between in zip(sums, itertools.pairwise(ends))]
    return (*kept, *summed)


def _in_sequence(start: int, end: int, lanes: list[Lane], exchanges: int) -> tuple[StageTiming, ...] | None:
    """The stages where no lane begins before the last one ended, which is nearly always so; else None."""
    timings: list[StageTiming] = []
    now, over, owned = start, 0, True
    stage: Stage = "serialize" if exchanges else "other"
    gap = stage
    for lane in lanes:
        last, own = lane.end, lane.own
        if last is None or last > end:
            return None
        if isinstance(lane, Exchange):
            over += 1
            gap = "deserialize" if over == exchanges else "backoff" if lane.failed else "other"
        for at, following in (*lane.marks, (last, gap)):
            if at > now:
                timings.append(_timing((stage, now - start, at - start, owned)))
                now = at
            elif at < now:
                return None
            stage, owned = following, own
        owned = True
    if end > now or not timings:
        timings.append(_timing((stage, now - start, end - start, True)))
    return tuple(timings)


def _nested(start: int, end: int, lanes: list[Lane]) -> tuple[StageTiming, ...] | None:
    """The stages where lanes of one stage each hold one another or follow, as those of a local model do; else None."""
    timings: list[StageTiming] = []
    around = [(end, Lane(start, "other"))]
    now = start
    for lane in lanes:
        begins, last = lane.start, lane.end
        while around[-1][0] <= begins and len(around) > 1:
            over, inner = around.pop()
            _spend(timings, inner, now - start, over - start)
            now = over
        over, outer = around[-1]
        if last is None or last > over or begins < now or len(lane.marks) > 1:
            return None
        _spend(timings, outer, now - start, begins - start)
        now = begins
        around.append((last, lane))
    for over, lane in reversed(around):
        _spend(timings, lane, now - start, over - start)
        now = over
    return tuple(timings) or (StageTiming("other", 0, end - start),)


def _spend(timings: list[StageTiming], lane: Lane, begin: int, end: int) -> None:
    if end > begin:
        _extend(timings, _timing((lane.marks[0][1], begin, end, lane.own)))


def _gap(over: int, exchanges: int, failed: bool) -> Stage:
    """What a call does while no lane is open: it depends on how many of its exchanges are over."""
    if not exchanges:
        return "other"
    if not over:
        return "serialize"
    if over == exchanges:
        return "deserialize"
    return "backoff" if failed else "other"


def _swept(start: int, end: int, lanes: list[Lane]) -> tuple[StageTiming, ...]:
    """The stages where lanes overlap or outlast the call: at each moment the lane that began last prevails."""
    ordered = sorted(lanes, key=attrgetter("start"))
    pending = sorted(
        (begin, finish, order, stage, lane.own)
        for order, lane in enumerate(ordered)
        for begin, finish, stage in lane.segments(start, end)
    )
    ends = sorted((end if lane.end is None else lane.end, lane.failed) for lane in lanes if isinstance(lane, Exchange))
    moments = sorted({start, end, *(moment for segment in pending for moment in segment[:2])})
    active: list[tuple[int, int, Stage, bool]] = []  # a heap: the youngest lane first
    timings: list[StageTiming] = []
    upcoming, over = 0, 0
    for now, then in itertools.pairwise(moments):
        while upcoming < len(pending) and pending[upcoming][0] == now:
            _, finish, order, stage, own = pending[upcoming]
            heappush(active, (-order, finish, stage, own))
            upcoming += 1
        while active and active[0][1] <= now:
            heappop(active)
        while over < len(ends) and ends[over][0] <= now:
            over += 1
        if active:
            _, _, stage, own = active[0]
        else:
            stage, own = _gap(over, len(ends), over > 0 and ends[over - 1][1]), True
        _extend(timings, _timing((stage, now - start, then - start, own)))
    return tuple(timings) or (StageTiming("other", 0, end - start),)


def _extend(timings: list[StageTiming], timing: StageTiming) -> None:
    """Append, joining neighbours of one stage."""
    last = timings[-1] if timings else None
    if last is not None and last.stage == timing.stage and last.own == timing.own:
        timings[-1] = last._replace(end_ns=timing.end_ns)
    else:
        timings.append(timing)
