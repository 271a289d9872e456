"""The settings of otel_embed, and what the files that they name hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from otel_embed import environment_variables
from otel_embed.cli.checks import secrets
from otel_embed.cli.checks.findings import Finding
from otel_embed.cli.checks.reach import TIMEOUT
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


def check(config: Config, warnings: list[str], environ: Mapping[str, str], *, connect: bool) -> list[Finding]:
    """``warnings`` are those of ``Config.from_environment``; ``connect``: ask the Redis of the budgets for an answer."""
    found = [Finding("warning", warning) for warning in warnings]
    found += _unknown_variables(environ)
    found += _unknown_providers(config.disabled_providers)
    found += _prices(config.prices)
    found += _thresholds(config.thresholds)
    found += _budgets(config, connect)
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


def _budgets(config: Config, connect: bool) -> Iterator[Finding]:
    warnings: list[str] = []
    found = rules(config, warnings.append)
    Calendar.named(config.budget_timezone, warnings.append)
    yield from (Finding("warning", warning) for warning in warnings)
    if not found:
        return
    alone = None if config.budget_redis_url is None else _not_shared(config.budget_redis_url, connect)
    if alone is not None:
        yield alone
    names = [rule.name for rule in found]
    shared = config.budget_redis_url is not None and alone is None
    scope = "shared through Redis" if shared else "each process counts its own"
    yield Finding("ok", f"{plural(len(found), 'budget')} in force, {scope}: {', '.join(names)}", facts={"budgets": names})


def _not_shared(url: str, connect: bool) -> Finding | None:
    """Why processes do not count together in the Redis of this address; None where nothing is known to be wrong."""
    if find_spec("redis") is None:
        said = f"{OTEL_EMBED_BUDGET_REDIS_URL} is set, and the package redis is missing"
        return Finding("warning", said, "pip install 'otel-embed[redis]'")
    redis: Any = import_module("redis")
    retry = import_module("redis.retry").Retry(import_module("redis.backoff").NoBackoff(), 0)
    try:
        client = redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=retry)
    except ValueError:
        said = f"{OTEL_EMBED_BUDGET_REDIS_URL} is no address such as redis://host:6379/0"
        return Finding("warning", said, "Write it like redis://:password@host:6379/0, or rediss:// for TLS.")
    try:
        if connect:
            client.ping()
    except (redis.RedisError, OSError) as error:
        said = f"{OTEL_EMBED_BUDGET_REDIS_URL}: {secrets.url(url)} does not answer ({type(error).__name__})"
        return Finding("warning", said, "Start a Redis there, or see that its password and its port are right.")
    return None


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
