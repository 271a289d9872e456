"""The settings of otel_embed, read once, from the environment and from ``instrument(...)``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar, get_args

from otel_embed import environment_variables as env
from otel_embed.options import AN_ADDRESS, DOLLARS, MILLISECONDS, SECONDS, SHARE, Amount, accepted, is_address

Semconv = Literal["latest", "legacy", "both"]
StageSpans = Literal["slow", "always", "never"]
TokenCounting = Literal["auto", "tiktoken", "estimate", "off"]
CallLog = Literal["off", "text", "json"]
Switch = Literal["on", "off"]
LangChainChat = Literal["auto", "on", "off"]
BudgetAction = Literal["warn", "block"]
Alerts = Literal["auto", "on", "off"]
T = TypeVar("T")
Warn = Callable[[str], None]

CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""OpenTelemetry's own variable: with ``SPAN_ONLY`` or ``SPAN_AND_EVENT`` spans hold input texts, cut short."""


MAX_ATTRIBUTES = 20
RESERVED = ("error.", "gen_ai.", "http.", "hw.", "otel_embed.", "server.")


def is_reserved(name: str) -> bool:
    """True for a name that OpenTelemetry or otel_embed gives a meaning: another value there would be a lie."""
    return name.startswith(RESERVED)


@dataclass(frozen=True)
class Config:
    semconv: Semconv = "latest"
    stage_spans: StageSpans = "slow"
    slow_call_ms: float = 500.0
    token_counting: TokenCounting = "auto"
    token_fetch: bool = False
    token_fetch_timeout: float = 10.0
    prices: str | None = None
    daily_budget_usd: float | None = None
    thresholds: str | None = None
    monthly_budget_usd: float | None = None
    budgets: str | None = None
    budget_timezone: str | None = None
    budget_action: BudgetAction = "warn"
    budget_redis_url: str | None = None
    alert_webhook: str | None = None
    alerts: Alerts = "auto"
    max_overhead: float | None = None
    log: CallLog = "off"
    disabled_providers: frozenset[str] = frozenset()
    report_dir: str | None = None
    capture_content: bool = False
    langchain_chat: LangChainChat = "auto"
    checks: Switch = "on"
    baggage_attributes: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, warn: Warn, environ: Mapping[str, str] = os.environ) -> Config:
        """Read the environment. A bad value gives one warning that names the variable, the value and what is
        allowed, and the default stays in force: the application starts all the same."""
        read = _Reader(environ, warn)
        return cls(
            semconv=read.choice(env.OTEL_EMBED_SEMCONV, get_args(Semconv), cls.semconv),
            stage_spans=read.choice(env.OTEL_EMBED_STAGE_SPANS, get_args(StageSpans), cls.stage_spans),
            slow_call_ms=read.number(env.OTEL_EMBED_SLOW_CALL_MS, MILLISECONDS, cls.slow_call_ms),
            token_counting=read.choice(env.OTEL_EMBED_TOKEN_COUNTING, get_args(TokenCounting), cls.token_counting),
            token_fetch=read.switch(env.OTEL_EMBED_TOKEN_FETCH),
            token_fetch_timeout=read.number(env.OTEL_EMBED_TOKEN_FETCH_TIMEOUT, SECONDS, cls.token_fetch_timeout),
            prices=read.text(env.OTEL_EMBED_PRICES),
            daily_budget_usd=read.number(env.OTEL_EMBED_DAILY_BUDGET_USD, DOLLARS, None),
            thresholds=read.text(env.OTEL_EMBED_THRESHOLDS),
            monthly_budget_usd=read.number(env.OTEL_EMBED_MONTHLY_BUDGET_USD, DOLLARS, None),
            budgets=read.text(env.OTEL_EMBED_BUDGETS),
            budget_timezone=read.text(env.OTEL_EMBED_BUDGET_TIMEZONE),
            budget_action=read.choice(env.OTEL_EMBED_BUDGET_ACTION, get_args(BudgetAction), cls.budget_action),
            budget_redis_url=read.text(env.OTEL_EMBED_BUDGET_REDIS_URL),
            alert_webhook=read.address(env.OTEL_EMBED_ALERT_WEBHOOK),
            alerts=read.choice(env.OTEL_EMBED_ALERTS, get_args(Alerts), cls.alerts),
            max_overhead=read.number(env.OTEL_EMBED_MAX_OVERHEAD, SHARE, None),
            log=read.choice(env.OTEL_EMBED_LOG, get_args(CallLog), cls.log),
            disabled_providers=read.names(env.OTEL_EMBED_DISABLED_PROVIDERS),
            report_dir=read.text(env.OTEL_EMBED_REPORT_DIR),
            capture_content=read.captures(),
            checks=read.choice(env.OTEL_EMBED_CHECKS, get_args(Switch), cls.checks),
            langchain_chat=read.choice(env.OTEL_EMBED_LANGCHAIN_CHAT, get_args(LangChainChat), cls.langchain_chat),
            baggage_attributes=read.attributes(env.OTEL_EMBED_BAGGAGE_ATTRIBUTES),
        )

    def with_options(self, options: Mapping[str, Any], warn: Warn) -> Config:
        """The settings with those given to ``instrument(...)``; an unknown name raises ``TypeError``. A bad value gives
        one warning, as in the environment, and the setting stays what it was."""
        known = {field.name for field in fields(self)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise TypeError(f"otel_embed has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        given = {name: value for name, value in options.items() if value is not None}
        return replace(self, **accepted(given, _CHOICES, self, warn))


_CHOICES = {
    "semconv": get_args(Semconv),
    "stage_spans": get_args(StageSpans),
    "token_counting": get_args(TokenCounting),
    "budget_action": get_args(BudgetAction),
    "alerts": get_args(Alerts),
    "log": get_args(CallLog),
    "checks": get_args(Switch),
    "langchain_chat": get_args(LangChainChat),
}


class _Reader:
    def __init__(self, environ: Mapping[str, str], warn: Warn) -> None:
        self._environ = environ
        self._warn = warn

    def text(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None

    def choice(self, name: str, allowed: tuple[Any, ...], default: T) -> T:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() in allowed:
            return value.lower()  # type: ignore[return-value]
        return self._refused(name, value, f"one of {', '.join(allowed)}", default)

    def number(self, name: str, amount: Amount, default: T) -> float | T:
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        return number if amount.has(number) else self._refused(name, value, amount.allowed, default)

    def switch(self, name: str) -> bool:
        return self.choice(name, ("true", "false"), "false") == "true"

    def names(self, name: str) -> frozenset[str]:
        return frozenset(part.strip().lower() for part in (self.text(name) or "").split(",") if part.strip())

    def address(self, name: str) -> str | None:
        """An address, which may hold a secret and is not shown."""
        value = self.text(name)
        if value is None or is_address(value):
            return value
        return self._refused(name, "...", AN_ADDRESS, None)

    def attributes(self, name: str) -> tuple[str, ...]:
        """Names that attributes of the application's own may have, each once and in order."""
        asked = dict.fromkeys(part.strip() for part in (self.text(name) or "").split(",") if part.strip())
        taken = [key for key in asked if is_reserved(key)]
        if taken:
            allowed = f"names of your own, without {', '.join(sorted(RESERVED))}"
            self._refused(name, ",".join(taken), allowed, "without them")
        found = [key for key in asked if key not in taken]
        if beyond := found[MAX_ATTRIBUTES:]:
            self._refused(name, ",".join(beyond), f"at most {MAX_ATTRIBUTES} names", "without these")
        return tuple(found[:MAX_ATTRIBUTES])

    def captures(self) -> bool:
        return (self.text(CAPTURE_CONTENT) or "").upper() in ("SPAN_ONLY", "SPAN_AND_EVENT")

    def _refused(self, name: str, value: str, allowed: str, default: T) -> T:
        shown = "not set" if default is None else default
        self._warn(f"{name}={value!r} is not valid: it must be {allowed}. It stays {shown}.")
        return default
