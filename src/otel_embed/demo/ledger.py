"""What a provider books: bills by model, and what is left of a rate limit."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple


class Bill(NamedTuple):
    requests: int = 0
    inputs: int = 0
    tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """How many of ``tokens`` were read from the provider's cache."""

    def plus(self, other: Bill) -> Bill:
        return Bill(*[mine + theirs for mine, theirs in zip(self, other)])


class Ledger:
    """What was billed, by model: successful answers only. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_model: dict[str, Bill] = {}

    def charge(self, model: str, bill: Bill) -> None:
        with self._lock:
            self._by_model[model] = self._by_model.get(model, Bill()).plus(bill)

    @property
    def by_model(self) -> dict[str, Bill]:
        """A copy: it does not change with later requests."""
        with self._lock:
            return dict(self._by_model)

    @property
    def requests(self) -> int:
        return sum(bill.requests for bill in self.by_model.values())

    @property
    def inputs(self) -> int:
        return sum(bill.inputs for bill in self.by_model.values())

    @property
    def tokens(self) -> int:
        return sum(bill.tokens for bill in self.by_model.values())


class Allowance:
    """What is left of a limit per minute; minutes count from the first use. Told to clients, never enforced."""

    def __init__(self, kind: str, limit: int) -> None:
        self._kind, self._limit = kind, limit
        self._lock = threading.Lock()
        self._used, self._ends = 0, 0.0

    def use(self, amount: int) -> dict[str, str]:
        """Take ``amount`` and give the headers that say what remains."""
        with self._lock:
            now = time.monotonic()
            if now >= self._ends:
                self._used, self._ends = 0, now + 60
            self._used += amount
            remaining, seconds = max(0, self._limit - self._used), self._ends - now
        return {
            f"x-ratelimit-limit-{self._kind}": str(self._limit),
            f"x-ratelimit-remaining-{self._kind}": str(remaining),
            f"x-ratelimit-reset-{self._kind}": f"{seconds:.3f}s",
        }
