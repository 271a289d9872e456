"""Bad settings give one clear warning each, and the application runs."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from pathlib import Path

import openai
import pytest

import otel_embed
from conftest import Telemetry
from fakes.openai_server import OpenAIServer
from otel_embed.config import Config
from otel_embed.pricing.prices import Prices


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("OTEL_EMBED_SEMCONV", "newest", "latest, legacy, both"),
        ("OTEL_EMBED_DAILY_BUDGET_USD", "-3", "a number, 0 or more"),
        ("OTEL_EMBED_SLOW_CALL_MS", "fast", "a number, 0 or more"),
        ("OTEL_EMBED_STAGE_SPANS", "often", "slow, always, never"),
        ("OTEL_EMBED_TOKEN_COUNTING", "exact", "auto, tiktoken, estimate, off"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: str, allowed: str) -> None:
    warnings: list[str] = []
    assert Config.from_environment(warnings.append, {name: value}) == Config()
    (warning,) = warnings
    assert name in warning and repr(value) in warning and allowed in warning


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="no setting colour"):
        Config().with_options({"colour": "blue"}, pytest.fail)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        *(("daily_budget_usd", value, "a number, 0 or more") for value in ("5", nan, inf, -1, True, Decimal("nan"), 10**400)),
        ("monthly_budget_usd", -0.01, "a number, 0 or more"),
        ("slow_call_ms", "fast", "a number, 0 or more"),
        ("token_fetch_timeout", [1], "a number, 0 or more"),
        ("max_overhead", 5, "a number from 0 to 1"),
        ("budget_action", "stop", "one of warn, block"),
        ("checks", True, "one of on, off"),
        ("baggage_attributes", "tenant", 'several names, as ("tenant", "team")'),
        ("disabled_providers", "openai", 'several names, as ("tenant", "team")'),
    ],
)
def test_a_bad_option_is_named_with_what_is_allowed_and_changes_nothing(name: str, value: object, allowed: str) -> None:
    warnings: list[str] = []
    before = Config(daily_budget_usd=3.0)
    assert before.with_options({name: value, "semconv": "BOTH"}, warnings.append) == replace(before, semconv="both")
    stays = getattr(before, name)
    shown = "not set" if stays in (None, (), frozenset()) else stays
    assert warnings == [f"instrument({name}={value!r}) is not valid: it must be {allowed}. It stays {shown}."]


def test_a_good_option_may_be_any_number() -> None:
    given = {"daily_budget_usd": Decimal("2.5"), "monthly_budget_usd": 5, "slow_call_ms": Fraction(1, 2), "max_overhead": 1}
    expected = Config(daily_budget_usd=2.5, monthly_budget_usd=5, slow_call_ms=0.5, max_overhead=1)
    assert Config().with_options(given, pytest.fail) == expected


def test_an_address_that_is_none_is_not_shown() -> None:
    warnings: list[str] = []
    for before in (Config(), Config(alert_webhook="https://hooks.slack.com/secret")):
        assert before.with_options({"alert_webhook": "hooks.slack.com/secret"}, warnings.append) == before
    said = "instrument(alert_webhook='...') is not valid: it must be an http:// or https:// address. It stays"
    assert warnings == [f"{said} not set.", f"{said} what it was."]


def test_with_a_bad_option_all_else_is_observed(
    telemetry: Telemetry, server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry.instrument(daily_budget_usd=nan, budget_action="block")
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        client.embeddings.create(model="text-embedding-3-small", input="x")
    assert len(telemetry.spans()) == 1
    (message,) = caplog.messages
    assert message.startswith("instrument(daily_budget_usd=nan) is not valid: it must be a number, 0 or more.")


def test_a_missing_price_file_is_one_warning_and_the_table_stays(tmp_path: Path) -> None:
    warnings: list[str] = []
    prices = Prices.load(str(tmp_path / "none.toml"), warnings.append)
    assert len(warnings) == 1 and "OTEL_EMBED_PRICES" in warnings[0] and "none.toml" in warnings[0]
    assert prices.find("openai", "text-embedding-3-small")


def test_a_malformed_row_is_left_out_and_the_others_count(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(
        '[[price]]\nprovider = "openai"\nmodel = "a"\nusd_per_million_tokens = -1\n'
        '[[price]]\nprovider = "openai"\nmodel = "text-embedding-3-small"\nusd_per_million_tokens = 0.01\n'
    )
    warnings: list[str] = []
    prices = Prices.load(str(file), warnings.append)
    (warning,) = warnings
    assert "OTEL_EMBED_PRICES" in warning and "row 1" in warning and "from 0 to 5" in warning
    price = prices.find("openai", "text-embedding-3-small")
    assert price is not None and (price.usd_per_million, price.source) == (0.01, "user")


def test_switching_on_what_is_on_is_silent_unless_options_would_be_lost(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    otel_embed.instrument()
    assert caplog.messages == []
    otel_embed.instrument(log="text")
    assert caplog.messages == ["Attempting to instrument while already instrumented"]
