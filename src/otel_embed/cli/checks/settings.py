"""The settings of otel_embed, and what the files that they name hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from importlib.util import find_spec

from otel_embed import environment_variables
from otel_embed.cli.checks.findings import Finding
from otel_embed.cli.known_prices import KnownPrices
from otel_embed.cli.units import plural
from otel_embed.config import CAPTURE_CONTENT, Config
from otel_embed.environment_variables import (
    OTEL_EMBED_BUDGET_REDIS_URL,
    OTEL_EMBED_DISABLED_PROVIDERS,
    OTEL_EMBED_PRICES,
    OTEL_EMBED_THRESHOLDS,
)
from otel_embed.gauges import gpu, stores
from otel_embed.instrumentor import declared
from otel_embed.pricing.tokens import MODELS, locate
from otel_embed.report.budgets.periods import Calendar
from otel_embed.report.budgets.rules import rules
from otel_embed.thresholds import Thresholds

_PREFIX = "OTEL_EMBED_"
_KNOWN = sorted(name for name in vars(environment_variables) if name.startswith(_PREFIX))


def check(config: Config, warnings: list[str], environ: Mapping[str, str]) -> list[Finding]:
    """``warnings`` are those of ``Config.from_environment``."""
    found = [Finding("warning", warning) for warning in warnings]
    found += _unknown_variables(environ)
    found += _unknown_providers(config.disabled_providers)
    found += _prices(config.prices)
    found += _thresholds(config.thresholds)
    found += _budgets(config)
    found += _tokens(config)
    if config.capture_content:
        found.append(Finding("note", f"{CAPTURE_CONTENT} is on: spans hold the texts that are embedded"))
    if not any(finding.status == "warning" for finding in found):
        set_here = sorted(name for name in environ if name in _KNOWN)
        said = f"set and valid: {', '.join(set_here)}" if set_here else "all at their defaults"
        found.insert(0, Finding("ok", said, facts={"set": set_here}))
    return found


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in _KNOWN:
            yield Finding("warning", f"{name} is no setting of otel-embed", _meant(name, _KNOWN))


def _unknown_providers(disabled: Collection[str]) -> Iterator[Finding]:
    known = [*dict.fromkeys(provider.name for provider in declared()), gpu.NAME, stores.NAME]
    for name in sorted(set(disabled).difference(known)):
        said = f"{OTEL_EMBED_DISABLED_PROVIDERS}: otel-embed knows no {name!r}"
        yield Finding("warning", said, f"{_meant(name, known) or ''} It knows {', '.join(known)}.".strip())


def _meant(name: str, known: Collection[str]) -> str | None:
    near = get_close_matches(name, list(known), 1, 0.7)
    return f"Did you mean {near[0]}?" if near else None


def _prices(path: str | None) -> Iterator[Finding]:
    if path is None:
        return
    warnings: list[str] = []
    rows = [row for row in KnownPrices(path, warnings).rows() if any(price.source == "user" for price in row.prices)]
    yield from (Finding("warning", warning) for warning in warnings)
    if rows:
        said = f"{OTEL_EMBED_PRICES}: {plural(len(rows), 'row')} of your own in force"
        yield Finding("ok", said, facts={"rows": [f"{row.provider} {row.model}" for row in rows]})


def _thresholds(path: str | None) -> Iterator[Finding]:
    if path is None:
        return
    warnings: list[str] = []
    ours, found = Thresholds.load(None, warnings.append), Thresholds.load(path, warnings.append)
    yield from (Finding("warning", warning) for warning in warnings)
    changed = [name for name in found if found[name] != ours[name]]
    if changed:
        said = f"{OTEL_EMBED_THRESHOLDS}: {plural(len(changed), 'threshold')} of your own in force"
        yield Finding("ok", said, facts={"thresholds": changed})


def _budgets(config: Config) -> Iterator[Finding]:
    warnings: list[str] = []
    found = rules(config, warnings.append)
    Calendar.named(config.budget_timezone, warnings.append)
    yield from (Finding("warning", warning) for warning in warnings)
    if found:
        names = [rule.name for rule in found]
        scope = "each process counts its own" if config.budget_redis_url is None else "shared through Redis"
        yield Finding("ok", f"{plural(len(found), 'budget')} in force, {scope}: {', '.join(names)}", facts={"budgets": names})
    if found and config.budget_redis_url is not None and find_spec("redis") is None:
        said = f"{OTEL_EMBED_BUDGET_REDIS_URL} is set, and the package redis is missing: each process counts its own"
        yield Finding("warning", said, "pip install 'otel-embed[redis]'")


def _tokens(config: Config) -> Iterator[Finding]:
    if config.token_counting in ("estimate", "off"):
        return
    missing = [name for name in dict.fromkeys(MODELS.values()) if not _is_here(name)]
    if not missing:
        yield Finding("ok", "tiktoken's encoding is on this machine: tokens that nobody reports are counted")
        return
    said = "tiktoken's encoding is not on this machine: tokens that a provider does not report are estimated"
    yield Finding("note", said, f"To have them counted: otel-embed tokens fetch {' '.join(missing)}")


def _is_here(encoding: str) -> bool:
    try:
        return locate(encoding) is not None
    except (ImportError, ValueError):
        return False
