"""What may be spent: from the environment, and from a file of budgets."""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from otel_embed.config import Config
from otel_embed.environment_variables import OTEL_EMBED_BUDGETS
from otel_embed.options import DOLLARS
from otel_embed.pricing.documents import Refused, named, quoted, read_document
from otel_embed.pricing.spellings import spelled
from otel_embed.record import Attribution
from otel_embed.report.attribution import MAX_CHARACTERS
from otel_embed.report.budgets.periods import PeriodKind
from otel_embed.report.totals import PICODOLLARS

MAX_RULES = 500
_KEYS = ("name", "period", "usd", "provider", "model", "attributes", "each", "action")
_FORM = (
    'A row is a [[budget]] with period ("day" or "month") and usd; it may have name, provider, model,'
    ' attributes = { tenant = "acme" }, each = "tenant" and action ("warn" or "block").'
)


class Rule(NamedTuple):
    """A budget: a sum of money for a period, for all calls or for those it names."""

    name: str
    period: PeriodKind
    picodollars: int
    blocks: bool = False
    provider: str | None = None
    """As the price tables spell it."""
    model: str | None = None
    """In lower case."""
    attributes: Attribution = ()
    each: str | None = None
    """``model``, ``provider`` or an attribute, each of whose values has a budget of this size."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The attributes that it looks at."""
        each = () if self.each in (None, "model", "provider") else (self.each,)
        return (*(key for key, _ in self.attributes), *(key for key in each if key))

    def value(self, provider: str, model: str | None, attribution: Attribution) -> str | None:
        """Whose account a call is on: empty where the budget is one; None where the call is none of its."""
        if self.provider is not None and self.provider != spelled(provider):
            return None
        if self.model is not None and self.model != (model or "").lower():
            return None
        whose = dict(attribution)
        if any(whose.get(key) != value for key, value in self.attributes):
            return None
        if self.each is None:
            return ""
        return {**whose, "provider": provider, "model": model or ""}.get(self.each) or None


def rules(config: Config, warn: Callable[[str], None]) -> tuple[Rule, ...]:
    """Every budget there is; what is wrong with the file is one warning, and its other rows count."""
    found = []
    blocks = config.budget_action == "block"
    if config.daily_budget_usd is not None:
        found.append(Rule("daily", "day", round(config.daily_budget_usd * PICODOLLARS), blocks))
    if config.monthly_budget_usd is not None:
        found.append(Rule("monthly", "month", round(config.monthly_budget_usd * PICODOLLARS), blocks))
    if config.budgets is not None:
        found += _from_file(os.path.expanduser(config.budgets), blocks, warn)
    return tuple(found)


def _from_file(path: str, blocks: bool, warn: Callable[[str], None]) -> list[Rule]:
    found: dict[str, Rule] = {}
    rows, problems = _rows(path)
    for number, entry in enumerate(rows[:MAX_RULES], 1):
        try:
            rule = _rule(entry, blocks)
            if rule.name in found or rule.name in ("daily", "monthly"):
                raise Refused(f"there is a budget {quoted(rule.name)} already; give this one another name")
            found[rule.name] = rule
        except Refused as refused:
            problems.append(f"row {number}: {refused}")
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        warn(f"{OTEL_EMBED_BUDGETS}: {path}: {'; '.join(problems[:3])}{more}. {_FORM} All other budgets are in force.")
    return list(found.values())


def _rows(path: str) -> tuple[list[Any], list[str]]:
    """The rows of a file, and what is wrong with the file itself."""
    try:
        document = read_document(path)
    except (OSError, ValueError, RecursionError) as error:
        return [], [str(error) or type(error).__name__]
    rows = document.pop("budget", [])
    problems = [f"unknown key {quoted(key)}" for key in document]
    if not isinstance(rows, list) or not rows:
        return [], [*problems, "it has no [[budget]]"]
    if len(rows) > MAX_RULES:
        problems.append(f"it has {len(rows)} rows, and those after row {MAX_RULES} are not in force")
    return rows, problems


def _rule(entry: Any, blocks: bool) -> Rule:
    if not isinstance(entry, dict):
        raise Refused(f"{quoted(entry)} is no row")
    unknown = [key for key in entry if key not in _KEYS]
    if unknown:
        raise Refused(f"unknown key {quoted(unknown[0])}")
    period: Any = _choice(entry, "period", ("day", "month"))
    action = _choice(entry, "action", ("warn", "block"), "block" if blocks else "warn")
    attributes = entry.get("attributes", {})
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise Refused(f"attributes is {quoted(attributes)}, not a table of names and texts")
    provider, model, each = (named(entry, key, "") or None for key in ("provider", "model", "each"))
    whose = tuple((key, value[:MAX_CHARACTERS]) for key, value in attributes.items())
    parts = [provider, model, *(f"{key}={value}" for key, value in whose), each and f"each {each}", period]
    name = named(entry, "name", "") or " ".join(part for part in parts if part)
    usd, by = _picodollars(entry.get("usd")), provider and spelled(provider)
    return Rule(name, period, usd, action == "block", by, model and model.lower(), whose, each)


def _choice(entry: dict[str, Any], key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
    value = entry.get(key, default)
    if value not in allowed:
        raise Refused(f"{key} is {quoted(value)}, not {' or '.join(allowed)}" if value else f"{key} is missing")
    return str(value)


def _picodollars(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise Refused("usd is missing" if value is None else f"usd is {quoted(value)}, not a number")
    amount = Decimal(value)
    if not amount.is_finite() or not DOLLARS.has(float(amount)):
        raise Refused(f"usd is {quoted(value)}, not {DOLLARS.allowed}")
    return int(amount * PICODOLLARS)
