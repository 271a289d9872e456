"""What is spent of each budget, in whole picodollars."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from otel_embed.record import Attribution
from otel_embed.report.budgets.periods import Calendar, Period
from otel_embed.report.budgets.rules import Rule
from otel_embed.report.totals import OVERFLOW

MARKS = (50, 80, 100)
"""Percent of a budget, each of which is told once a period."""
MAX_VALUES, _MAX_KNOWN, _NEVER = 200, 10_000, 2**63
_SETTLED_NS = 300 * 10**9
"""No rate is known before this: a second's spending says nothing of a month's."""


class Account:
    """One budget in its current period; its ledger's lock guards it."""

    def __init__(self, rule: Rule, value: str, period: Period, now_ns: int) -> None:
        self.rule, self.value = rule, value
        self.sequence = 0
        """How many amounts were sent to the store."""
        self.sending: dict[Period, tuple[int, int]] = {}
        """Sent with this number and not known to have arrived: to be sent again as it is."""
        self.late: dict[Period, int] = {}
        """Spent in periods that are over, and not sent yet."""
        self._begin(period, now_ns)

    def _begin(self, period: Period, now_ns: int) -> None:
        self.period, self.since_ns = period, max(period.start_ns, min(now_ns, period.end_ns))
        self.known = self.unsent = self.warned = 0
        self._next = self._at(MARKS[0])

    def go_on(self, earlier: Account) -> None:
        """Begin with what an account of the same budget has; a mark of another amount is told of anew."""
        self.period, self.since_ns, self.unsent = earlier.period, earlier.since_ns, self.unsent + earlier.unsent
        if self.rule.picodollars == earlier.rule.picodollars:
            self.warned, self._next = earlier.warned, earlier._next

    @property
    def spent(self) -> int:
        """What the store last said, and what it has not been told yet."""
        spent = self.known + self.unsent
        return spent + self.sending.get(self.period, (0, 0))[1] if self.sending else spent

    def turn(self, period: Period, keeps: bool) -> None:
        """Another period has begun; what is unsent of the last one is kept for the store."""
        if keeps and self.unsent:
            self.late[self.period] = self.late.get(self.period, 0) + self.unsent
        self._begin(period, period.start_ns)

    def passed(self) -> int:
        """The highest mark that was passed since it was last asked; 0 for none."""
        spent = self.spent
        if spent < self._next or not spent:
            return 0
        self.warned = max(mark for mark in MARKS if spent >= self._at(mark))
        self._next = next((self._at(mark) for mark in MARKS if mark > self.warned), _NEVER)
        return self.warned

    def _at(self, mark: int) -> int:
        return -(-mark * self.rule.picodollars // 100)


class Standing(NamedTuple):
    """A budget as it stands at a moment, in picodollars."""

    rule: Rule
    value: str
    period: Period
    spent: int
    projected: int | None
    """By the end of the period, at the rate so far; None while that is not known."""
    warned: int

    @property
    def remaining(self) -> int:
        return max(0, self.rule.picodollars - self.spent)

    @property
    def name(self) -> str:
        return f"{self.rule.name} {self.value}" if self.value else self.rule.name


class Accounts:
    """All of them. ``keeps`` is True where a store is to hear of what was spent."""

    def __init__(self, rules: Iterable[Rule], calendar: Calendar, keeps: bool, clock: Callable[[], int] = time.time_ns):
        self.rules, self.calendar, self.keeps, self._clock = tuple(rules), calendar, keeps, clock
        self.clear()

    def clear(self) -> None:
        """Begin anew, as in a forked child: what its parent spent is the parent's."""
        self.lock = threading.Lock()
        self._accounts: dict[tuple[int, str], Account] = {}
        self._known: dict[tuple[str, str | None, Attribution], tuple[Account, ...]] = {}
        for number, rule in enumerate(self.rules):
            if rule.each is None:
                self._account(number, "")

    def go_on(self, earlier: Accounts) -> None:
        """Budgets are in force anew: what is spent of those that were before stays spent, whatever their amount is now.
        What a store was told of, it tells itself."""
        if earlier.keeps or earlier.calendar.zone != self.calendar.zone:
            return
        numbers = {_kind(rule): number for number, rule in enumerate(self.rules)}
        with earlier.lock, self.lock:
            for account in earlier._accounts.values():
                number = numbers.get(_kind(account.rule))
                if number is not None:
                    self._account(number, account.value).go_on(account)

    def all(self) -> list[Account]:
        """Those there are, in the periods that are current; the lock must be held."""
        now = self._clock()
        for account in self._accounts.values():
            self._turn(account, now)
        return list(self._accounts.values())

    def spend(
        self, provider: str, model: str | None, attribution: Attribution, amount: int, end_ns: int
    ) -> list[Standing]:
        """Count an amount in the periods in which its call ended; returns the budgets that passed a mark with it."""
        told = []
        with self.lock:
            for account in self._of(provider, model, attribution):
                if self._add(account, amount, end_ns) and account.passed():
                    told.append(self._standing(account, end_ns))
        return told

    def blocked(self, provider: str, model: str | None, attribution: Attribution) -> Standing | None:
        """The budget that stops a call that would begin now."""
        now = self._clock()
        with self.lock:
            for account in self._of(provider, model, attribution):
                if account.rule.blocks:
                    self._turn(account, now)
                    if account.spent >= account.rule.picodollars:
                        return self._standing(account, now)
        return None

    def standings(self) -> list[Standing]:
        with self.lock:
            now = self._clock()
            return [self._standing(account, now) for account in self.all()]

    def passed(self, account: Account) -> Standing | None:
        """The account, if what the store said took it past a mark; the lock must be held."""
        return self._standing(account, self._clock()) if account.passed() else None

    def _of(self, provider: str, model: str | None, attribution: Attribution) -> tuple[Account, ...]:
        key = (provider, model, attribution)
        found = self._known.get(key)
        if found is None:
            whose = [(number, rule.value(*key)) for number, rule in enumerate(self.rules)]
            found = tuple(self._account(number, value) for number, value in whose if value is not None)
            if len(self._known) < _MAX_KNOWN:
                self._known[key] = found
        return found

    def _account(self, number: int, value: str) -> Account:
        place = (number, value)
        if place not in self._accounts:
            if sum(1 for other, _ in self._accounts if other == number) >= MAX_VALUES:
                place = (number, OVERFLOW)
            rule, now = self.rules[number], self._clock()
            self._accounts.setdefault(place, Account(rule, place[1], self.calendar.period(rule.period, now), now))
        return self._accounts[place]

    def _add(self, account: Account, amount: int, end_ns: int) -> bool:
        """False for a call of a period that is over, which is counted there."""
        self._turn(account, end_ns)
        if end_ns >= account.period.start_ns:
            account.unsent += amount
            return True
        if self.keeps:
            period = self.calendar.period(account.rule.period, end_ns)
            account.late[period] = account.late.get(period, 0) + amount
        return False

    def _turn(self, account: Account, now_ns: int) -> None:
        if now_ns >= account.period.end_ns:
            account.turn(self.calendar.period(account.rule.period, now_ns), self.keeps)

    def _standing(self, account: Account, now_ns: int) -> Standing:
        period, spent = account.period, account.spent
        elapsed, left = now_ns - account.since_ns, max(0, period.end_ns - now_ns)
        projected = spent + spent * left // elapsed if elapsed >= _SETTLED_NS else None
        return Standing(account.rule, account.value, period, spent, projected, account.warned)


def _kind(rule: Rule) -> Rule:
    """What makes a budget the one that it is, whatever may be spent of it."""
    return rule._replace(picodollars=0, blocks=False)
