"""Budgets as the recorder and the metrics see them."""

from __future__ import annotations

import atexit
import sys
from typing import Any

from otel_embed.config import Config
from otel_embed.exceeded import BudgetExceeded
from otel_embed.late_logger import LateLogger
from otel_embed.observe import OpenCall
from otel_embed.record import Component, EmbeddingCall
from otel_embed.report import names
from otel_embed.report.budgets.accounts import Accounts, Standing
from otel_embed.report.budgets.alerts import Alerts
from otel_embed.report.budgets.periods import Calendar
from otel_embed.report.budgets.rules import Rule, rules
from otel_embed.report.budgets.shared import SharedStore
from otel_embed.report.budgets.webhook import Webhook
from otel_embed.report.totals import PICODOLLARS
from otel_embed.run_record import ChatCall

_logger = LateLogger("otel_embed.budget")
_MAX_ALONE = 1000
_NONE: tuple[Rule, ...] = ()


class Budget:
    """What is spent, who is told, which calls are stopped."""

    def __init__(self) -> None:
        self._accounts = Accounts(_NONE, Calendar(), False)
        self._alerts = Alerts(None)
        self._store: SharedStore | None = None
        self._asked: tuple[object, ...] = ()
        self._alone: set[tuple[str, str, str | None]] = set()
        """Frameworks' classes that did a provider's work themselves, by class, provider and model."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self._accounts.rules

    @property
    def blocks(self) -> bool:
        """Whether any call can be stopped."""
        return any(rule.blocks for rule in self.rules)

    @property
    def scope(self) -> str:
        """Whose spending is counted: that of this ``process``, or ``shared`` by all."""
        return "process" if self._store is None else "shared"

    @property
    def told(self) -> dict[tuple[str, str, int], int]:
        """How often a mark was told of, by budget, kind of period and mark."""
        return dict(self._alerts.told)

    def configure(self, config: Config) -> None:
        """Budgets as these settings say; what is spent of those that were in force before stays spent."""
        found = rules(config, _logger.warning)
        asked = (found, config.budget_timezone, config.budget_redis_url, config.alert_webhook)
        if asked != self._asked:
            if found and not self.rules:
                atexit.register(self.finish)
            self._asked = asked
            self._begin(found, config)
        if self._store is not None:
            self._store.start()

    def _begin(self, found: tuple[Rule, ...], config: Config) -> None:
        earlier, told = self._accounts, self._alerts.told
        calendar = Calendar.named(config.budget_timezone, _logger.warning)
        self._alerts = Alerts(Webhook(config.alert_webhook) if config.alert_webhook else None)
        self._alerts.told.update(told)
        self._accounts = Accounts(found, calendar, bool(found and config.budget_redis_url))
        self._accounts.go_on(earlier)
        self._store = _store(config.budget_redis_url, self._accounts, self._alerts) if found else None

    def spend(self, call: EmbeddingCall | ChatCall, span: Any) -> None:
        """Count the cost of a call, on the day on which it ended; ``span`` is still open, or None."""
        if call.cost is None or not call.cost.usd:
            return
        amount, end = round(call.cost.usd * PICODOLLARS), call.start_unix_ns + call.duration_ns
        for standing in self._accounts.spend(call.provider, call.model, call.attribution, amount, end):
            (self._alerts if self._store is None else self._store).tell(standing)
            if span is not None:
                span.add_event(names.BUDGET_THRESHOLD_EVENT, _event(standing))
        if isinstance(call, EmbeddingCall) and call.component is not None:
            self._learn(call, call.component)

    def _learn(self, call: EmbeddingCall, component: Component) -> None:
        if call.is_leaf and call.cache is None and len(self._alone) < _MAX_ALONE:
            self._alone.add((component.name, call.provider, call.request_model))

    def exceeded(self, call: OpenCall) -> BudgetExceeded | None:
        """Why a call that begins must not be made; None for one that may be, or that nobody bills."""
        if call.site.call.local or not call.site.billable or not call.request.metered:
            return None
        model, component = call.request.model, call.component
        if component is not None:
            if (component.name, call.provider, model) not in self._alone:
                return None  # the provider's call inside it is asked, if its cache does not know the answer
        elif call.parent is not None and call.parent.component is None:
            return None  # a part of a call that has begun
        standing = self._accounts.blocked(call.provider, model, call.attribution)
        if standing is None:
            return None
        period, resets = standing.period, self._accounts.calendar.at(standing.period.end_ns)
        limit, spent = standing.rule.picodollars / PICODOLLARS, standing.spent / PICODOLLARS
        return BudgetExceeded(standing.name, period.kind, limit, spent, resets)

    def standings(self) -> list[Standing]:
        return self._accounts.standings()

    def finish(self) -> None:
        """The process ends, or otel_embed is switched off: send what is unsent, within a few seconds."""
        if self._store is not None:
            self._store.finish()
        self._alerts.finish()

    def clear(self) -> None:
        """In a forked child: what its parent spent is the parent's."""
        self._accounts.clear()
        self._alerts.clear()
        if self._store is not None:
            self._store.clear()
            self._store.start()
        if self.rules and "multiprocessing.util" in sys.modules:
            from multiprocessing.util import register_after_fork

            register_after_fork(self, Budget._finish_as_a_worker)  # which comes after this, and forgets what is set now

    def _finish_as_a_worker(self) -> None:
        """A worker of multiprocessing ends without running exit handlers."""
        from multiprocessing.util import Finalize

        Finalize(None, self.finish, exitpriority=10)


def _store(url: str | None, accounts: Accounts, alerts: Alerts) -> SharedStore | None:
    if url is None:
        return None
    try:
        return SharedStore(url, accounts, alerts)
    except ImportError:
        wrong = "the package redis is missing: pip install 'otel-embed[redis]'"
    except ValueError:
        wrong = "it is no address such as redis://host:6379/0"
    _logger.warning("OTEL_EMBED_BUDGET_REDIS_URL: %s. Budgets count what this process spends.", wrong)
    accounts.keeps = False
    return None


def _event(standing: Standing) -> dict[str, str | float]:
    return {
        names.BUDGET: standing.name,
        names.PERIOD: standing.period.kind,
        names.THRESHOLD: standing.warned,
        names.BUDGET_LIMIT.name: standing.rule.picodollars / PICODOLLARS,
        names.BUDGET_SPENT.name: standing.spent / PICODOLLARS,
    }
