"""The tables about money that the terminal and the page share: budgets, cost by attribute, what caches are worth."""

from __future__ import annotations

from collections.abc import Iterator

from otel_embed.cli.cache_figures import cached_models
from otel_embed.cli.document import Summary
from otel_embed.cli.money_rows import AttributedTotals, BudgetTotals
from otel_embed.cli.units import count, dollars, percent, seconds
from otel_embed.cli.wording import cost
from otel_embed.cli.work_tables import WorkTable
from otel_embed.report.cache_worth import Money, Time


def money_tables(summary: Summary, most: int | None = None) -> Iterator[WorkTable]:
    """Those that have a row, with at most so many rows."""
    for table in (_worth(summary), _budgets(summary), _attributed(summary)):
        if table.rows:
            more = 0 if most is None else len(table.rows) - most
            note = f"{count(more)} more in --json and --html" if more > 0 else table.note
            yield table._replace(rows=table.rows[:most], note=note)


def _budgets(summary: Summary) -> WorkTable:
    shared = any(row.scope == "shared" for row in summary.budgets)
    note = "what all processes spent" if shared else "what this run spent"
    rows = [(row.name, _budget(row)) for row in summary.budgets]
    return WorkTable("Budgets", note, ("period", "spent", "of", "", "projected"), rows)


def _budget(row: BudgetTotals) -> list[str]:
    projected = "–" if row.projected_usd is None else dollars(row.projected_usd)
    return [row.period_key, dollars(row.spent_usd), dollars(row.limit_usd), percent(row.share), projected]


def _attributed(summary: Summary) -> WorkTable:
    rows = [(row.name, _spent(row)) for row in summary.attribution]
    return WorkTable("Cost by attribute", "", ("calls", "texts", "tokens", "saved", "cost"), rows)


def _spent(row: AttributedTotals) -> list[str]:
    """Calls and tokens are those of embedding and chat together."""
    calls, used = row.calls + row.chat_calls, row.tokens + row.input_tokens + row.output_tokens
    saved = dollars(row.saved_usd) if row.saved_usd else "–"
    return [count(calls), count(row.inputs), count(used), saved, cost(row.cost_usd, row.unpriced_calls)]


def _worth(summary: Summary) -> WorkTable:
    rows = [(f"model {model}", _money(money)) for model, money in cached_models(summary).items()]
    rows += [(row.name, _money(row.money, row.time)) for row in summary.caches]
    headers = ("with", "without", "saved", "time saved", "from rate")
    return WorkTable("With and without cache", "dollars, and time", headers, rows)


def _money(money: Money, time: Time | None = None) -> list[str]:
    """Dollars paid, dollars without a cache, the share saved; seconds saved, the hit rate from which on they are."""
    paid = "–" if money.paid_usd is None else dollars(money.paid_usd)
    without = "–" if money.without_usd is None else dollars(money.without_usd)
    spared = None if time is None else time.saved_seconds
    gained = "–" if spared is None else f"-{seconds(-spared)}" if spared < 0 else seconds(spared)
    even = None if time is None else time.break_even
    return [paid, without, percent(money.saved_ratio), gained, "never" if even is not None and even > 1 else percent(even)]
