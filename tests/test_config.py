"""Bad settings give one clear warning each, and the application runs."""

from __future__ import annotations

import os
import subprocess
import sys
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
        *(
            ("OTEL_EMBED_DAILY_BUDGET_USD", value, "a number of dollars from 0 to 1,000,000")
            for value in ("-3", "1e308", "1e400", "inf", "-inf", "nan", "$5", "5,00", "0x10", "1000000.01", "-1e-320")
        ),
        ("OTEL_EMBED_MONTHLY_BUDGET_USD", "1e300", "a number of dollars from 0 to 1,000,000"),
        ("OTEL_EMBED_SLOW_CALL_MS", "fast", "a number of milliseconds, 0 or more"),
        ("OTEL_EMBED_TOKEN_FETCH_TIMEOUT", "1e10", "a number of seconds from 0 to 86,400"),
        ("OTEL_EMBED_MAX_OVERHEAD", "5", "a number from 0 to 1"),
        ("OTEL_EMBED_STAGE_SPANS", "often", "slow, always, never"),
        ("OTEL_EMBED_TOKEN_COUNTING", "exact", "auto, tiktoken, estimate, off"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: str, allowed: str) -> None:
    warnings: list[str] = []
    assert Config.from_environment(warnings.append, {name: value}) == Config()
    (warning,) = warnings
    assert name in warning and repr(value) in warning and allowed in warning


ADDRESS = "OTEL_EMBED_ALERT_WEBHOOK='...' is not valid: it must be an http:// or https:// address with a host"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_EMBED_DISABLED_PROVIDERS", "opnai,cohere", "='opnai' is not valid: it must be names among httpx, httpx2,"),
        ("OTEL_EMBED_BUDGET_TIMEZONE", "Mars/Base", "='Mars/Base' is not valid: it must be a time zone of the IANA"),
        ("OTEL_EMBED_THRESHOLDS", "nothere.toml", ": nothere.toml: there is no such file. The default thresholds"),
        ("OTEL_EMBED_BAGGAGE_ATTRIBUTES", ",".join(f"k{n}" for n in range(21)), "='k20' is not valid: it must be at most 20"),
        ("OTEL_EMBED_ALERT_WEBHOOK", "http://", ADDRESS),
        ("OTEL_EMBED_ALERT_WEBHOOK", "http://host/a b", ADDRESS),
        ("OTEL_EMBED_ALERT_WEBHOOK", "http://[::1/secret", ADDRESS),
        ("OTEL_EMBED_ALERT_WEBHOOK", "https://host:port/secret", ADDRESS),
    ],
)
@pytest.mark.parametrize("alerts", ["on", "auto", "off"])
def test_a_value_that_nothing_else_would_look_at_is_one_line_of_a_program(
    name: str, value: str, said: str, alerts: str, tmp_path: Path
) -> None:
    program = "import otel_embed; otel_embed.instrument(); print('ran')"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=kept | {name: value, "OTEL_EMBED_ALERTS": alerts},
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    (line,) = done.stderr.splitlines()
    assert done.stdout == "ran\n"
    assert line.startswith(name) and said in line and "secret" not in line


@pytest.mark.parametrize(("logging", "seen"), [("", ""), ("import logging; logging.basicConfig(level='INFO')", "INFO")])
def test_the_lines_of_calls_are_seen_where_logging_is_at_info(logging: str, seen: str) -> None:
    program = (
        f"{logging}\nimport otel_embed; otel_embed.instrument(); from langchain_core.embeddings import Embeddings\n"
        "class Own(Embeddings):\n"
        "    def embed_documents(self, texts): return [[1.0] for _ in texts]\n"
        "    def embed_query(self, text): return [1.0]\n"
        "Own().embed_query('x')\n"
        "otel_embed.summary()\n"
    )
    env = os.environ | {"OTEL_EMBED_LOG": "text"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.startswith(f"{seen}:otel_embed.calls:embed_query Own" if seen else "")
    assert bool(done.stderr) == bool(seen)


def test_logging_that_is_configured_after_us_switches_none_of_our_lines_off(server: OpenAIServer) -> None:
    """By default ``logging.config`` disables all loggers that exist, as those of what is imported first."""
    program = (
        "import otel_embed; otel_embed.instrument()\n"
        "import logging.config, sys, openai\n"
        "shown = {'class': 'logging.StreamHandler', 'formatter': 'short'}\n"
        "logging.config.dictConfig({'version': 1, 'root': {'level': 'INFO', 'handlers': ['shown']},\n"
        "    'handlers': {'shown': shown}, 'formatters': {'short': {'format': '%(name)s %(filename)s'}}})\n"
        "client = openai.OpenAI(base_url=sys.argv[1], api_key='x')\n"
        "client.embeddings.create(model='text-embedding-3-small', input='x ' * 1000)\n"
    )
    env = os.environ | {"OTEL_EMBED_LOG": "text", "OTEL_EMBED_DAILY_BUDGET_USD": "0.000001"}
    command = [sys.executable, "-c", program, server.url]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    ours = [line for line in done.stderr.splitlines() if line.startswith("otel_embed")]
    assert ours == ["otel_embed.budget alerts.py", "otel_embed.calls log.py"]


def test_an_address_of_ones_own_is_taken() -> None:
    for address in ("https://hooks.slack.com/services/T0/B0/x", "HTTP://[::1]:8080/", "http://me:pw@host/?a=b#c"):
        assert Config.from_environment(pytest.fail, {"OTEL_EMBED_ALERT_WEBHOOK": address}).alert_webhook == address


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="no setting colour"):
        Config().with_options({"colour": "blue"}, pytest.fail)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        *(
            ("daily_budget_usd", value, "a number of dollars from 0 to 1,000,000")
            for value in ("5", nan, inf, -1, True, Decimal("nan"), 10**400, 1e308, 1_000_001)
        ),
        ("monthly_budget_usd", -0.01, "a number of dollars from 0 to 1,000,000"),
        ("slow_call_ms", "fast", "a number of milliseconds, 0 or more"),
        ("token_fetch_timeout", [1], "a number of seconds from 0 to 86,400"),
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
        for address in ("hooks.slack.com/secret", "http://host/a secret", "http://[::1/secret", "http://"):
            assert before.with_options({"alert_webhook": address}, warnings.append) == before
    allowed = "an http:// or https:// address with a host and without blanks"
    said = f"instrument(alert_webhook='...') is not valid: it must be {allowed}. It stays"
    assert warnings == [f"{said} not set."] * 4 + [f"{said} what it was."] * 4


def test_with_a_bad_option_all_else_is_observed(
    telemetry: Telemetry, server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry.instrument(daily_budget_usd=nan, budget_action="block")
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        client.embeddings.create(model="text-embedding-3-small", input="x")
    assert len(telemetry.spans()) == 1
    (message,) = caplog.messages
    assert message.startswith("instrument(daily_budget_usd=nan) is not valid: it must be a number of dollars from 0 to 1,000,000.")


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
