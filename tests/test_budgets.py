"""What may be spent, what is spent, who is told and what is stopped."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openai
import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.embeddings import Embeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings

import otel_embed
from conftest import Telemetry
from documents import ROOT, blocks
from fakes.openai_server import OpenAIServer
from otel_embed.config import Config
from otel_embed.report.attribution import MAX_CHARACTERS, MAX_VALUES
from otel_embed.report.budgets import webhook
from otel_embed.report.budgets.accounts import Accounts
from otel_embed.report.budgets.periods import Calendar
from otel_embed.report.budgets.rules import MAX_RULES, Rule, rules

SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"
PICODOLLARS = {SMALL: 20_000, LARGE: 130_000}
HUNDRED = " ".join(["word"] * 100)
"""Its hundred tokens are 2e-6 dollars of the small model."""
COST = 2e-6


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, model: str = SMALL) -> Any:
    return client.embeddings.create(model=model, input=HUNDRED, dimensions=4)


def at(zone: str, *moment: int) -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp()) * 10**9  # type: ignore[misc, arg-type]


@contextmanager
def receiver(statuses: list[int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes JSON, and all that was posted to it; it answers with these statuses, and then with 200."""
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/services/secret", posted
        listening.shutdown()
        thread.join()


def wait_for(condition: Any, seconds: float = 10.0) -> None:
    ends = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        ends.wait(0.02)
    raise AssertionError("it did not come to that")


def test_a_sum_below_a_millionth_of_a_dollar_is_not_told_as_none(
    telemetry: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry.instrument(daily_budget_usd=0)
    client.embeddings.create(model="text-embedding-3-small", input="one two three", dimensions=4)
    assert caplog.messages[-1].endswith("is spent: $0.00000006 of $0.")


def test_each_mark_is_told_once_in_the_log_a_metric_and_on_the_span_that_passed_it(
    telemetry: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry.instrument(daily_budget_usd=10 * COST)
    for _ in range(12):
        ask(client)
    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    assert caplog.messages == [
        f"50 % of budget daily (day {today}) is spent: $0.000010 of $0.000020.",
        f"80 % of budget daily (day {today}) is spent: $0.000016 of $0.000020.",
        f"100 % of budget daily (day {today}) is spent: $0.000020 of $0.000020.",
    ]
    told = {number: span.events for number, span in enumerate(telemetry.spans(), 1) if span.events}
    assert list(told) == [5, 8, 10]
    (event,) = told[8]
    assert event.name == "otel_embed.budget.threshold_passed"
    assert dict(event.attributes) == {
        "otel_embed.budget.name": "daily", "otel_embed.budget.period": "day", "otel_embed.budget.threshold": 80,
        "otel_embed.budget.limit": 20e-6, "otel_embed.budget.spent": 16e-6,
    }  # fmt: skip
    points = telemetry.metrics()
    about = {"otel_embed.budget.name": "daily", "otel_embed.budget.period": "day"}
    for name, value in (("limit", 10 * COST), ("spent", 12 * COST), ("remaining", 0.0)):
        (point,) = points[f"otel_embed.budget.{name}"]
        assert point.value == pytest.approx(value, abs=1e-12)
        assert dict(point.attributes) == {**about, "otel_embed.budget.scope": "process"}
    alerts = points["otel_embed.budget.alerts"]
    assert {each.attributes["otel_embed.budget.threshold"]: each.value for each in alerts} == {50: 1, 80: 1, 100: 1}


def test_a_jump_over_several_marks_tells_the_highest(
    telemetry: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry.instrument(monthly_budget_usd=COST)
    ask(client)
    (message,) = caplog.messages
    assert message.startswith("100 % of budget monthly (month ")


def test_switched_on_again_with_another_limit_what_is_spent_stays_spent(
    telemetry: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry.instrument(daily_budget_usd=2 * COST)
    ask(client)
    for limit in (COST, 2 * COST):
        telemetry.instrument(daily_budget_usd=limit, budget_action="block")
        (budget,) = otel_embed.summary().document["budgets"]
        assert (budget["spent_usd"], budget["limit_usd"]) == (COST, limit)
    telemetry.instrument(daily_budget_usd=COST, budget_action="block")
    with pytest.raises(otel_embed.BudgetExceeded):
        ask(client)
    (message,) = caplog.messages
    assert message.startswith("50 % of budget daily")
    (alerts,) = telemetry.metrics()["otel_embed.budget.alerts"]
    assert alerts.value == 1, "a sum never begins anew"


def test_without_a_budget_nothing_is_watched(telemetry: Telemetry, client: openai.OpenAI) -> None:
    ask(client)
    recorder = otel_embed.instrumentor.EmbeddingInstrumentor().recorder
    assert recorder._spend is None and recorder.refuse is None
    assert "otel_embed.budget.limit" not in telemetry.metrics()


FILE = """
[[budget]]
name = "large"
period = "month"
usd = 0.001
model = "text-embedding-3-large"

[[budget]]
name = "acme"
period = "day"
usd = 0.00001
attributes = { tenant = "acme" }

[[budget]]
period = "day"
usd = 0.5
each = "tenant"
"""


def test_models_and_tenants_have_budgets_of_their_own(
    telemetry: Telemetry, client: openai.OpenAI, tmp_path: Path
) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(FILE)
    telemetry.instrument(budgets=str(file))
    for tenant, model in (("acme", SMALL), ("globex", LARGE), ("acme", LARGE)):
        with otel_embed.attribute(tenant=tenant):
            ask(client, model)
    ask(client)
    spent = {
        (point.attributes["otel_embed.budget.name"], point.attributes.get("tenant")): round(point.value * 1e12)
        for point in telemetry.metrics()["otel_embed.budget.spent"]
    }
    small, large = (100 * PICODOLLARS[model] for model in (SMALL, LARGE))
    assert spent == {
        ("large", None): 2 * large,
        ("acme", None): small + large,
        ("each tenant day", "acme"): small + large,
        ("each tenant day", "globex"): large,
    }
    assert telemetry.spans()[0].attributes["tenant"] == "acme", "a budget that names an attribute has it read"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[[budget]]\nperiod = "week"\nusd = 1', "row 1: period is 'week', not day or month"),
        ("[[budget]]\nusd = 1", "row 1: period is missing"),
        ('[[budget]]\nperiod = "day"\nusd = -1', "row 1: usd is -1, not a number of dollars from 0 to 1,000,000"),
        ('[[budget]]\nperiod = "day"\nusd = "5"', "row 1: usd is '5', not a number"),
        ('[[budget]]\nperiod = "day"\nusd = 1\nmodle = "x"', "row 1: unknown key 'modle'"),
        ('[[budget]]\nperiod = "day"\nusd = 1\naction = "stop"', "row 1: action is 'stop', not warn or block"),
        ('[[budget]]\nperiod = "day"\nusd = 1\nattributes = "acme"', "row 1: attributes is 'acme', not a table"),
        ('[[budget]]\nperiod = "day"\nusd = 1\nname = "daily"', "there is a budget 'daily' already"),
        ('[[budget]]\nperiod = "day"\nusd = 1\nname = "a"\n[[budgets]]', "unknown key 'budgets'"),
        ("budget = 3", "it has no [[budget]]"),
        ("[[budget", "Expected"),
        ("x = " + "[" * 5_000, "OTEL_EMBED_BUDGETS"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_warning_and_the_other_budgets_count(
    text: str, wrong: str, tmp_path: Path
) -> None:
    file = tmp_path / "budgets.toml"
    good = '\n[[budget]]\nname = "good"\nperiod = "day"\nusd = 1\n'
    file.write_text(text + good if text.startswith("[[budget]]") else text)
    warnings: list[str] = []
    found = rules(Config(budgets=str(file), daily_budget_usd=2.0), warnings.append)
    (warning,) = warnings
    assert "OTEL_EMBED_BUDGETS" in warning and wrong in warning and "A row is a [[budget]] with period" in warning
    assert {rule.name for rule in found} - {"a"} == {"daily", *(["good"] if text.startswith("[[budget]]") else [])}


def test_rows_beyond_the_most_there_can_be_are_said_to_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text("".join(f'[[budget]]\nname = "{n}"\nperiod = "day"\nusd = 1\n' for n in range(MAX_RULES + 1)))
    warnings: list[str] = []
    assert len(rules(Config(budgets=str(file)), warnings.append)) == MAX_RULES
    (warning,) = warnings
    assert f"it has {MAX_RULES + 1} rows, and those after row {MAX_RULES} are not in force" in warning


LONG = "x" * (MAX_CHARACTERS + 1)


@pytest.mark.parametrize(
    "whose",
    [
        'provider = "OpenAI"',
        'provider = "Azure"',
        'provider = "azure_openai"',
        'model = "Text-Embedding-3-SMALL"',
        f'attributes = {{ tenant = "{LONG}" }}',
    ],
)
def test_a_budget_finds_its_calls_however_it_spells_them(
    whose: str, telemetry: Telemetry, client: openai.OpenAI, server: OpenAIServer, tmp_path: Path
) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(f'[[budget]]\nperiod = "day"\nusd = 0\naction = "block"\n{whose}\n')
    telemetry.instrument(budgets=str(file))
    where = server.url.removesuffix("/v1")
    azure = openai.AzureOpenAI(azure_endpoint=where, api_key="x", api_version="2024-10-21", max_retries=0)
    with azure, otel_embed.attribute(tenant=LONG), pytest.raises(otel_embed.BudgetExceeded):
        ask(azure if "azure" in whose.lower() else client)


@pytest.mark.parametrize(
    ("environ", "allowed"),
    [
        ({"OTEL_EMBED_MONTHLY_BUDGET_USD": "much"}, "a number of dollars from 0 to 1,000,000"),
        ({"OTEL_EMBED_BUDGET_ACTION": "stop"}, "one of warn, block"),
        ({"OTEL_EMBED_ALERT_WEBHOOK": "hooks.slack.com/secret"}, "an http:// or https:// address"),
    ],
)
def test_a_bad_setting_is_one_warning_without_a_secret(environ: dict[str, str], allowed: str) -> None:
    warnings: list[str] = []
    assert Config.from_environment(warnings.append, environ) == Config()
    (warning,) = warnings
    assert next(iter(environ)) in warning and allowed in warning and "secret" not in warning


def test_whom_a_budget_names_is_told_from_others_though_he_was_one_of_them_before(
    telemetry: Telemetry, client: openai.OpenAI, tmp_path: Path
) -> None:
    telemetry.instrument(baggage_attributes=("tenant",))
    late = f"t{MAX_VALUES}"
    for number in range(MAX_VALUES + 1):
        with otel_embed.attribute(tenant=f"t{number}"):
            ask(client)
    assert telemetry.spans()[-1].attributes["tenant"] == "_overflow"
    file = tmp_path / "budgets.toml"
    file.write_text(f'[[budget]]\nperiod = "day"\nusd = 0\naction = "block"\nattributes = {{ tenant = "{late}" }}\n')
    telemetry.instrument(budgets=str(file))
    with otel_embed.attribute(tenant=late), pytest.raises(otel_embed.BudgetExceeded):
        ask(client)


class TestPeriods:
    @pytest.mark.parametrize(
        ("zone", "moment", "key", "hours"),
        [
            ("UTC", (2026, 11, 25, 23, 59), "2026-11-25", 24),
            ("Europe/Berlin", (2026, 3, 29, 1, 0), "2026-03-29", 23),
            ("Europe/Berlin", (2026, 10, 25, 12, 0), "2026-10-25", 25),
            ("Asia/Kolkata", (2026, 2, 28, 0, 0), "2026-02-28", 24),
            ("Africa/Cairo", (2026, 4, 24, 12, 0), "2026-04-24", 23),  # its clocks skip midnight itself
            ("America/Havana", (2026, 11, 1, 0, 30), "2026-11-01", 25),  # and there midnight comes twice
        ],
    )
    def test_a_day_is_as_long_as_clocks_have_it(self, zone: str, moment: tuple[int, ...], key: str, hours: int) -> None:
        now = at(zone, *moment)
        period = Calendar(ZoneInfo(zone)).period("day", now)
        assert (period.key, period.end_ns - period.start_ns) == (key, hours * 3600 * 10**9)
        assert period.start_ns <= now < period.end_ns

    def test_days_follow_each_other_without_a_gap_for_years(self) -> None:
        for zone in ("Europe/Berlin", "America/Havana", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia"):
            for kind in ("day", "month"):
                calendar = Calendar(ZoneInfo(zone))
                period = calendar.period(kind, at("UTC", 2026, 1, 1))  # type: ignore[arg-type]
                while period.start_ns < at("UTC", 2028, 1, 1):
                    following = calendar.period(kind, period.end_ns)  # type: ignore[arg-type]
                    assert following.start_ns == period.end_ns and following.key > period.key
                    assert calendar.period(kind, period.end_ns - 1) == period  # type: ignore[arg-type]
                    period = following

    def test_a_month(self) -> None:
        period = Calendar(ZoneInfo("Europe/Berlin")).period("month", at("Europe/Berlin", 2026, 12, 31, 23, 59))
        assert period == ("month", "2026-12", at("Europe/Berlin", 2026, 12, 1), at("Europe/Berlin", 2027, 1, 1))

    @pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "Europe", ""])
    def test_an_unknown_zone_is_one_warning_and_utc(self, name: str) -> None:
        warnings: list[str] = []
        assert Calendar.named(name, warnings.append).zone is timezone.utc
        (warning,) = warnings
        assert "OTEL_EMBED_BUDGET_TIMEZONE" in warning and repr(name) in warning and "Europe/Berlin" in warning


class TestAccounts:
    RULE = Rule("daily", "day", 100)

    def accounts(self, now: list[int], keeps: bool = False) -> Accounts:
        return Accounts([self.RULE], Calendar(ZoneInfo("Europe/Berlin")), keeps, lambda: now[0])

    def test_a_new_day_begins_at_nothing_and_warns_anew(self) -> None:
        now = [at("Europe/Berlin", 2026, 11, 25, 23, 0)]
        accounts = self.accounts(now)
        assert [standing.warned for standing in accounts.spend("openai", SMALL, (), 80, now[0])] == [80]
        now[0] = at("Europe/Berlin", 2026, 11, 26, 0, 0)
        (standing,) = accounts.standings()
        assert (standing.spent, standing.remaining, standing.period.key) == (0, 100, "2026-11-26")
        assert [standing.warned for standing in accounts.spend("openai", SMALL, (), 80, now[0])] == [80]

    def test_a_mark_between_two_amounts_is_not_reached_by_the_lower(self) -> None:
        now = [at("UTC", 2026, 1, 1)]
        accounts = Accounts([Rule("daily", "day", 3)], Calendar(), False, lambda: now[0])
        told = [[standing.warned for standing in accounts.spend("openai", SMALL, (), 1, now[0])] for _ in range(3)]
        assert told == [[], [50], [100]]

    def test_a_call_of_yesterday_is_counted_yesterday(self) -> None:
        now = [at("Europe/Berlin", 2026, 11, 26, 0, 0)]
        accounts = self.accounts(now, keeps=True)
        assert accounts.spend("openai", SMALL, (), 70, now[0] - 1) == []
        assert accounts.standings()[0].spent == 0
        with accounts.lock:
            (account,) = accounts.all()
        assert {period.key: amount for period, amount in account.late.items()} == {"2026-11-25": 70}

    def test_the_projection_is_linear_from_when_counting_began(self) -> None:
        midnight = at("Europe/Berlin", 2026, 11, 25)
        hour = 3600 * 10**9
        now = [midnight + 6 * hour]
        accounts = self.accounts(now)
        accounts.spend("openai", SMALL, (), 10, now[0])
        assert accounts.standings()[0].projected is None, "a moment is no rate"
        now[0] += 2 * hour
        assert accounts.standings()[0].projected == 10 + 10 * 16 // 2
        now[0] = midnight + 26 * hour
        accounts.spend("openai", SMALL, (), 10, now[0])
        assert accounts.standings()[0].projected == 10 + 10 * 22 // 2, "a day after the first is counted from its start"

    def test_values_are_bounded(self) -> None:
        each = Accounts([Rule("each", "day", 100, each="model")], Calendar(), False, lambda: at("UTC", 2026, 1, 1))
        for number in range(300):
            each.spend("openai", f"m{number}", (), 1, at("UTC", 2026, 1, 1))
        standings = each.standings()
        assert len(standings) == 201 and sum(standing.spent for standing in standings) == 300

    def test_what_is_spent_stays_spent_where_only_amounts_and_other_budgets_change(self) -> None:
        now = [at("UTC", 2026, 1, 1)]
        whole, each = Rule("daily", "day", 100), Rule("each", "month", 100, each="model")

        def accounts(*rules: Rule, zone: str = "UTC", keeps: bool = False) -> Accounts:
            return Accounts(rules, Calendar(ZoneInfo(zone)), keeps, lambda: now[0])

        before = accounts(whole, each)
        assert [standing.warned for standing in before.spend("openai", SMALL, (), 60, now[0])] == [50, 50]
        now[0] += 600 * 10**9
        after = accounts(Rule("new", "day", 5), each, whole._replace(picodollars=200, blocks=True))
        after.go_on(before)
        found = {standing.name: (standing.spent, standing.projected, standing.warned) for standing in after.standings()}
        assert found == {
            "new": (0, None, 0),
            "daily": (60, 60 + 60 * (24 * 6 - 1), 0),
            f"each {SMALL}": (60, 60 + 60 * (31 * 24 * 6 - 1), 50),
        }
        told = {standing.name: standing.warned for standing in after.spend("openai", SMALL, (), 40, now[0])}
        assert told == {"new": 100, "daily": 50, f"each {SMALL}": 100}, "not the 50 of each again"
        for other in (accounts(whole, zone="Europe/Berlin"), accounts(whole._replace(period="month"))):
            other.go_on(before)
            assert [standing.spent for standing in other.standings()] == [0]
        shared = accounts(whole)
        shared.go_on(accounts(whole, keeps=True))
        assert [standing.spent for standing in shared.standings()] == [0]

    def test_threads_lose_nothing(self) -> None:
        accounts = Accounts([Rule("d", "day", 1), Rule("m", "month", 1)], Calendar(), False)
        now = accounts.standings()[0].period.start_ns

        def spend() -> None:
            for _ in range(2000):
                accounts.spend("p", "m", (), 3, now)

        work = [threading.Thread(target=spend) for _ in range(4)]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        assert [standing.spent for standing in accounts.standings()] == [24_000, 24_000]


class TestWebhook:
    def test_it_gets_what_slack_reads_and_the_same_as_data(self, telemetry: Telemetry, client: openai.OpenAI) -> None:
        with receiver([]) as (url, posted):
            telemetry.instrument(daily_budget_usd=2 * COST, alert_webhook=url)
            ask(client)
            wait_for(lambda: posted)
            ask(client)
            wait_for(lambda: len(posted) == 2)
        today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
        assert posted[0] == {
            "text": f"otel-embed: 50 % of budget daily (day {today}) is spent: $0.000002 of $0.000004.",
            "budget": "daily", "value": None, "period": "day", "period_key": today, "threshold_percent": 50,
            "limit_usd": 2 * COST, "spent_usd": COST, "remaining_usd": COST, "projected_usd": None, "action": "warn",
        }  # fmt: skip
        assert posted[1]["threshold_percent"] == 100
        assert {span.name for span in telemetry.spans()} == {f"embeddings {SMALL}"}, "our own request is not observed"

    def test_it_is_tried_again(
        self, telemetry: Telemetry, client: openai.OpenAI, monkeypatch: Any, caplog: Any
    ) -> None:
        monkeypatch.setattr(webhook, "_PAUSES", (0.01, 0.01, 0.01))
        with receiver([503, 429]) as (url, posted):
            telemetry.instrument(daily_budget_usd=COST, alert_webhook=url)
            ask(client)
            wait_for(lambda: len(posted) == 3)
            otel_embed.uninstrument()
        assert posted[0] == posted[1] == posted[2] and len(caplog.messages) == 1

    @pytest.mark.parametrize(("statuses", "times"), [([404], 1), ([500] * 9, 4)])
    def test_it_is_given_up_with_a_warning_that_holds_no_secret(
        self, statuses: list[int], times: int, telemetry: Telemetry, client: openai.OpenAI, monkeypatch: Any,
        caplog: Any,
    ) -> None:
        monkeypatch.setattr(webhook, "_PAUSES", (0.01, 0.01, 0.01))
        status = statuses[0]
        with receiver(statuses) as (url, posted):
            telemetry.instrument(daily_budget_usd=COST, alert_webhook=url)
            ask(client)
            wait_for(lambda: len(caplog.messages) == 2)
        assert len(posted) == times
        assert caplog.messages[1] == f"An alert could not be posted to the webhook: status {status}"

    def test_one_that_nobody_answers_holds_neither_a_call_nor_the_end(
        self, telemetry: Telemetry, client: openai.OpenAI, caplog: Any
    ) -> None:
        telemetry.instrument(daily_budget_usd=COST, alert_webhook="http://127.0.0.1:9/none")
        with otel_embed.track() as usage:
            ask(client)
        assert usage.seconds < 1
        with otel_embed.track() as usage:
            otel_embed.uninstrument()
        assert usage.seconds < 3
        wait_for(lambda: any(message.endswith("webhook: Connection refused") for message in caplog.messages))

    def test_an_address_that_http_cannot_send_is_a_warning_without_it(
        self, telemetry: Telemetry, client: openai.OpenAI, caplog: Any
    ) -> None:
        telemetry.instrument(daily_budget_usd=COST, alert_webhook="http://127.0.0.1:9/sécret")
        ask(client)
        wait_for(lambda: len(caplog.messages) == 2)
        assert caplog.messages[1] == "An alert could not be posted to the webhook: its address is not valid"

    def test_an_answer_that_is_no_http_is_a_warning(
        self, telemetry: Telemetry, client: openai.OpenAI, monkeypatch: Any, caplog: Any
    ) -> None:
        monkeypatch.setattr(webhook, "_PAUSES", ())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            telemetry.instrument(daily_budget_usd=COST, alert_webhook=f"http://127.0.0.1:{listener.getsockname()[1]}")
            ask(client)
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0\r\n\r\n")
                wait_for(lambda: len(caplog.messages) == 2)
        assert caplog.messages[1].endswith("webhook: its answer is no HTTP (BadStatusLine)")


class Own(Embeddings):
    """An embedder of the application's own, whose requests nobody sees."""

    model = SMALL
    calls = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls += 1
        return [[1.0] for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class TestBlocking:
    def test_a_call_beyond_the_budget_is_not_made(
        self, telemetry: Telemetry, server: OpenAIServer, client: openai.OpenAI
    ) -> None:
        telemetry.instrument(daily_budget_usd=2 * COST, budget_action="block")
        ask(client), ask(client)
        before = server.billed.requests
        with pytest.raises(otel_embed.BudgetExceeded, match="budget daily is spent") as raised:
            ask(client)
        assert server.billed.requests == before == 2
        error = raised.value
        assert (error.budget, error.period, error.limit_usd, error.spent_usd) == ("daily", "day", 2 * COST, 2 * COST)
        assert error.resets_at.hour == error.resets_at.minute == 0 and error.resets_at > datetime.now(timezone.utc)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
        span = telemetry.spans()[-1]
        assert span.attributes["error.type"] == "otel_embed.BudgetExceeded"
        assert span.attributes["otel_embed.error.cause"] == "quota_exhausted" and not span.status.is_ok
        assert telemetry.total("otel_embed.errors", otel_embed__error__cause="quota_exhausted") == 1
        assert otel_embed.summary().unpriced_calls == 0

    def test_an_asynchronous_call_too(self, telemetry: Telemetry, server: OpenAIServer) -> None:
        telemetry.instrument(daily_budget_usd=0.0, budget_action="block")

        async def main() -> None:
            async with openai.AsyncOpenAI(base_url=server.url, api_key="x") as client:
                with pytest.raises(otel_embed.BudgetExceeded):
                    await client.embeddings.create(model=SMALL, input="one")

        asyncio.run(main())
        assert server.billed.requests == 0

    def test_through_a_framework_it_arrives_as_it_is_and_what_the_cache_knows_is_not_stopped(
        self, telemetry: Telemetry, server: OpenAIServer
    ) -> None:
        telemetry.instrument(daily_budget_usd=COST, budget_action="block")
        embedder = OpenAIEmbeddings(
            model=SMALL, base_url=server.url, api_key="x", dimensions=4, check_embedding_ctx_length=False
        )
        cached = CacheBackedEmbeddings.from_bytes_store(embedder, InMemoryByteStore(), key_encoder="sha256")
        known = cached.embed_documents([HUNDRED])
        assert cached.embed_documents([HUNDRED]) == known
        with pytest.raises(otel_embed.BudgetExceeded):
            embedder.embed_query("one")
        with pytest.raises(otel_embed.BudgetExceeded):
            cached.embed_documents([HUNDRED, "new"])
        assert cached.embed_documents([HUNDRED]) == known
        assert server.billed.requests == 1

    def test_an_embedder_that_asks_the_provider_itself_is_stopped_from_its_second_call_on(
        self, telemetry: Telemetry
    ) -> None:
        telemetry.instrument(daily_budget_usd=1e-9, budget_action="block")
        own = Own()
        Own.__module__ = "langchain_openai.own"
        own.embed_query(HUNDRED)
        with pytest.raises(otel_embed.BudgetExceeded):
            own.embed_documents([HUNDRED])
        assert own.calls == 1

    def test_only_the_calls_that_a_budget_is_for_are_stopped(
        self, telemetry: Telemetry, client: openai.OpenAI, tmp_path: Path
    ) -> None:
        file = tmp_path / "budgets.toml"
        file.write_text('[[budget]]\nperiod = "month"\nusd = 0\nattributes = { tenant = "acme" }\naction = "block"\n')
        telemetry.instrument(budgets=str(file))
        with otel_embed.attribute(tenant="globex"):
            ask(client)
        with otel_embed.attribute(tenant="acme"), pytest.raises(otel_embed.BudgetExceeded, match="tenant=acme month"):
            ask(client)

    def test_the_context_and_the_next_calls_are_as_if_it_had_not_been(
        self, telemetry: Telemetry, client: openai.OpenAI
    ) -> None:
        from opentelemetry.context import get_current

        telemetry.instrument(daily_budget_usd=0.0, budget_action="block")
        with pytest.raises(otel_embed.BudgetExceeded):
            ask(client)
        assert not get_current()
        telemetry.instrument()
        ask(client)
        assert telemetry.spans()[-1].parent is None


def test_the_log_of_a_budget_is_at_warning(caplog: pytest.LogCaptureFixture, telemetry: Telemetry, client: Any) -> None:
    telemetry.instrument(daily_budget_usd=COST)
    ask(client)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("otel_embed.budget", logging.WARNING)


def test_the_examples_in_the_docs(
    telemetry: Telemetry, client: openai.OpenAI, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "budgets.md").read_text()
    (file,), (example,) = blocks(page, "toml"), blocks(page, "python")
    (tmp_path / "budgets.toml").write_text(file)
    warnings: list[str] = []
    found = rules(Config(budgets=str(tmp_path / "budgets.toml")), warnings.append)
    assert [rule.name for rule in found] == ["text-embedding-3-large month", "acme", "each tenant day"] and not warnings
    otel_embed.uninstrument()

    def index_documents() -> None:
        ask(client)
        otel_embed.instrumentor.EmbeddingInstrumentor().recorder.budget._accounts.spend("p", None, (), 5 * 10**12, now)
        ask(client)

    telemetry.instrument(daily_budget_usd=5, budget_action="block")
    now = otel_embed.instrumentor.EmbeddingInstrumentor().recorder.budget.standings()[0].period.start_ns
    exec(example.replace("otel_embed.instrument(daily", "dict(daily"), {"index_documents": index_documents})
    assert capsys.readouterr().out.startswith("daily 5.00000")
