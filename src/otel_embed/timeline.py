"""How a call's wall time is divided into stages.

Whatever happened inside a call left a ``Lane``: an HTTP exchange with the moments at which its stage
changed, a timed function, a call further down. Lanes may nest and overlap. ``partition`` makes one
sequence of them, without gaps or overlaps: at each moment the lane that began last is what the call
was doing, and time that no lane covers is named by where it lies between the exchanges.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from operator import attrgetter

from otel_embed.record import Stage, StageTiming


class Lane:
    """A stretch of time with its stages; all times are readings of one monotonic clock, in ns."""

    __slots__ = ("end", "marks", "own", "start")

    def __init__(self, start: int, stage: Stage, own: bool = True) -> None:
        self.start = start
        self.end: int | None = None
        self.marks: list[tuple[int, Stage]] = [(start, stage)]
        self.own = own

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

    __slots__ = ("failed",)

    def __init__(self, start: int) -> None:
        super().__init__(start, "acquire")
        self.failed = False


def partition(start: int, end: int, lanes: Sequence[Lane]) -> tuple[StageTiming, ...]:
    """Divide [start, end] into stages, as offsets from start; the durations add up to end - start exactly."""
    if any(map(_disordered, lanes, lanes[1:])):
        lanes = sorted(lanes, key=attrgetter("start"))
    exchanges = [lane for lane in lanes if isinstance(lane, Exchange)]
    covered = _in_sequence(start, end, lanes)
    if covered is None:
        covered = _swept(start, end, lanes)
    return _joined(start, end, covered, exchanges)


_Segment = tuple[int, int, Stage, bool]


def _disordered(first: Lane, second: Lane) -> bool:
    return second.start < first.start


def _in_sequence(start: int, end: int, lanes: Sequence[Lane]) -> list[_Segment] | None:
    """The lanes' segments where no lane begins before the last one ended, which is nearly always so."""
    segments: list[_Segment] = []
    free = start
    for lane in lanes:
        if lane.start < free:
            return None
        segments += [(*segment, lane.own) for segment in lane.segments(start, end)]
        free = end if lane.end is None else lane.end
    return segments


def _swept(start: int, end: int, lanes: Sequence[Lane]) -> list[_Segment]:
    """The lanes' segments where lanes overlap: at each moment the lane that began last prevails."""
    pending = sorted(
        (begin, finish, order, stage, lane.own)
        for order, lane in enumerate(lanes)
        for begin, finish, stage in lane.segments(start, end)
    )
    moments = sorted({moment for segment in pending for moment in segment[:2]})
    active: list[tuple[int, int, Stage, bool]] = []  # a heap: the youngest lane first
    segments: list[_Segment] = []
    upcoming = iter(pending)
    following = next(upcoming, None)
    for now, then in zip(moments, moments[1:]):
        while following is not None and following[0] == now:
            _, finish, order, stage, own = following
            heappush(active, (-order, finish, stage, own))
            following = next(upcoming, None)
        while active and active[0][1] <= now:
            heappop(active)
        if active:
            segments.append((now, then, active[0][2], active[0][3]))
    return segments


def _joined(
    start: int, end: int, segments: Sequence[_Segment], exchanges: Sequence[Exchange]
) -> tuple[StageTiming, ...]:
    """Fill the gaps, join neighbours of one stage, and count from the call's start."""
    joined: list[StageTiming] = []
    gap = _Gaps(end, exchanges)
    last = start

    def add(begin: int, finish: int, stage: Stage, own: bool) -> None:
        if joined and joined[-1].stage == stage and joined[-1].own == own:
            joined[-1] = StageTiming(stage, joined[-1].start_ns, finish - start, own)
        else:
            joined.append(StageTiming(stage, begin - start, finish - start, own))

    for begin, finish, stage, own in segments:
        if begin > last:
            add(last, begin, gap.stage(last), True)
        add(begin, finish, stage, own)
        last = finish
    if end > last or not joined:
        add(last, end, gap.stage(last), True)
    return tuple(joined)


class _Gaps:
    """What a call does while no lane is open: it depends on which exchanges are over."""

    def __init__(self, end: int, exchanges: Sequence[Exchange]) -> None:
        over = sorted((end if exchange.end is None else exchange.end, exchange.failed) for exchange in exchanges)
        self._ends = [moment for moment, _ in over]
        self._failed = [failed for _, failed in over]

    def stage(self, at: int) -> Stage:
        if not self._ends:
            return "other"
        over = bisect_right(self._ends, at)
        if over == 0:
            return "serialize"
        if over == len(self._ends):
            return "deserialize"
        return "backoff" if self._failed[over - 1] else "other"
