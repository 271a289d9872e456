"""How often to look on: once a second, or as seldom as keeps it below a share of the CPU time of what is looked at."""

from __future__ import annotations

SHARE = 0.004
"""Of the job's CPU time, for each of the two sides: the thread in the job that writes, the process that shows."""
LEAST, MOST = 1.0, 5.0
SETTLING = 10.0
"""Seconds in which it is once a second in any case."""


class Pace:
    """Takes the totals so far of CPU seconds, its own and the job's, at a time of any clock that only goes forward."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._before = (0.0, 0.0, now)

    def wait(self, own: float, job: float, now: float) -> float:
        """How many seconds to wait until the next look."""
        own_before, job_before, before = self._before
        self._before = own, job, now
        if now - self._began < SETTLING:
            return LEAST
        rate = (job - job_before) / (now - before) if now > before else 0.0
        cost = own - own_before
        return min(MOST, max(LEAST, cost / (SHARE * rate))) if rate > 0 else MOST
