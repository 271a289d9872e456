"""One total for all processes, in Redis.

Each process sends what it spent and learns what all have, about once a second and on a thread of its own. An amount has
a number, by which Redis takes it once: what was sent and not confirmed is sent again as it was, and the total is exact.
"""

from __future__ import annotations

import secrets
import threading
import time
from importlib import import_module
from typing import Any
from urllib.parse import quote

from opentelemetry import context

from otel_embed.guard import Guard
from otel_embed.late_logger import LateLogger
from otel_embed.report.budgets.accounts import Account, Accounts, Standing
from otel_embed.report.budgets.alerts import Alerts
from otel_embed.report.budgets.periods import Period

_logger = LateLogger("otel_embed.budget")
_SYNCING = Guard("share a budget")
EVERY_SECONDS = 1.0
_TIMEOUT, _EXIT_SECONDS, _QUIET_SECONDS = 1.0, 2.0, 600.0
_KEPT_SECONDS = 7 * 24 * 3600
# No number goes through Lua's arithmetic, whose doubles are exact up to $9,007 only; INCRBY counts in 64 bits.
_SPEND = """
if tonumber(ARGV[2]) > tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0') then
  redis.call('INCRBY', KEYS[1], ARGV[3])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('EXPIREAT', KEYS[1], ARGV[4])
end
if redis.call('HSETNX', KEYS[2], 'since', ARGV[5]) == 1 or ARGV[2] ~= '0' then
  redis.call('EXPIREAT', KEYS[2], ARGV[4])
end
return {redis.call('GET', KEYS[1]) or '0', redis.call('HGET', KEYS[2], 'since')}
"""
_Sent = tuple[Account, Period, int, int]
"""An amount of an account and period with its number; both are 0 where it is only asked what the total is."""


class SharedStore:
    def __init__(self, url: str, accounts: Accounts, alerts: Alerts) -> None:
        self._url, self._accounts, self._alerts = url, accounts, alerts
        self._redis: Any = import_module("redis")
        self._redis.Redis.from_url(url)  # an address that cannot be one is found now
        self._silent_until = 0.0
        self.clear()

    def clear(self) -> None:
        """Begin anew, as in a forked child."""
        self._process = secrets.token_hex(8)
        self._client: Any = None
        self._syncing = threading.Lock()
        self._passed: list[Standing] = []
        self._gone = False
        self._stop = threading.Event()

    def start(self) -> None:
        self._stop = threading.Event()
        work = (self._stop,)
        threading.Thread(target=self._work, args=work, name="otel-embed-budget", daemon=True).start()

    def tell(self, standing: Standing) -> None:
        """This process saw a mark being passed: the first one that says so in Redis tells the world."""
        self._passed.append(standing)

    def finish(self) -> None:
        """The process ends: what is unsent is sent, in a second or two."""
        self._stop.set()
        if self._waits():
            self.sync()
        if self._waits() and not self._gone:  # what was spent while another amount waited to be confirmed
            self.sync()
        if self._waits():
            _logger.warning("The Redis of the budgets does not answer at the end: what was spent last is not counted.")

    def _waits(self) -> bool:
        with self._accounts.lock:
            accounts = self._accounts.all()
            return bool(self._passed) or any(each.unsent or each.sending or each.late for each in accounts)

    def _work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.sync()
            stop.wait(EVERY_SECONDS)

    def sync(self) -> None:
        """Send what is unsent and learn the totals."""
        if not self._syncing.acquire(timeout=_EXIT_SECONDS):
            return
        token = context.attach(context.set_value("suppress_instrumentation", True))
        try:
            with _SYNCING:
                self._sync()
        finally:
            context.detach(token)
            self._syncing.release()

    def _sync(self) -> None:
        sent = self._unsent()
        try:
            answers = self._exchange(sent)
            for standing in self._learned(sent, answers):
                self.tell(standing)
            while self._passed:
                if self._is_first(self._passed[0]):
                    self._alerts.tell(self._passed[0])
                self._passed.pop(0)
        except (self._redis.RedisError, OSError) as error:
            self._lost(error)
        else:
            if self._gone:
                self._gone = False
                _logger.info("The Redis of the budgets answers again; what was spent meanwhile is counted.")

    def _unsent(self) -> list[_Sent]:
        with self._accounts.lock:
            return [sent for account in self._accounts.all() for sent in _of(account)]

    def _exchange(self, sent: list[_Sent]) -> list[Any]:
        if self._client is None:
            retry = import_module("redis.retry").Retry(import_module("redis.backoff").NoBackoff(), 0)
            self._client = self._redis.Redis.from_url(
                self._url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=retry
            )
        pipeline = self._client.pipeline(transaction=False)
        for account, period, number, amount in sent:
            key, ends = _key(account.rule.name, account.value, period), period.end_ns // 10**9 + _KEPT_SECONDS
            since = account.since_ns if period == account.period else period.start_ns
            pipeline.eval(_SPEND, 2, key, f"{key}:seen", self._process, number, amount, ends, since)
        answers: list[Any] = pipeline.execute()
        return answers

    def _learned(self, sent: list[_Sent], answers: list[Any]) -> list[Standing]:
        """Take in the totals; returns the budgets that passed a mark by what others spent."""
        passed = []
        with self._accounts.lock:
            for (account, period, number, _), (total, since) in zip(sent, answers):
                if number:
                    account.sending.pop(period, None)
                if period == account.period:
                    account.known = int(total)
                    account.since_ns = max(period.start_ns, int(since))
                    standing = self._accounts.passed(account)
                    passed += [standing] if standing is not None else []
        return passed

    def _is_first(self, standing: Standing) -> bool:
        key = f"{_key(standing.rule.name, standing.value, standing.period)}:told:{standing.warned}"
        lasts = max(1, standing.period.end_ns // 10**9 + _KEPT_SECONDS - int(time.time()))
        return bool(self._client.set(key, self._process, nx=True, ex=lasts))

    def _lost(self, error: Exception) -> None:
        """Redis is gone: say so once, and decide by what is known here."""
        now = time.monotonic()
        if not self._gone and now >= self._silent_until:
            self._silent_until = now + _QUIET_SECONDS
            _logger.warning(
                "The Redis of the budgets does not answer (%s). Calls go on, and budgets are judged by what this"
                " process knows; what it spends is added when Redis is back.", type(error).__name__,
            )  # fmt: skip
        self._gone = True
        while self._passed:
            self._alerts.tell(self._passed.pop(0))


def _of(account: Account) -> list[_Sent]:
    """What is to be sent of an account, each with the number that it had when it was first sent."""
    waiting = dict(account.late)
    if account.unsent:
        waiting[account.period] = account.unsent
    for period, amount in waiting.items():
        if period not in account.sending:
            account.sequence += 1
            account.sending[period] = (account.sequence, amount)
            if period == account.period:
                account.unsent = 0
            else:
                del account.late[period]
    sent = [(account, period, number, amount) for period, (number, amount) in account.sending.items()]
    return sent if account.period in account.sending else [*sent, (account, account.period, 0, 0)]


def _key(name: str, value: str, period: Period) -> str:
    """In braces, what one node of a cluster has to hold together."""
    whose = quote(f"{name}={value}" if value else name, safe="")
    return f"otel-embed:budget:{{{whose}:{period.key}}}"
