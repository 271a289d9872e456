"""Five hundred calls for three tenants and two models: who spent what, what the cache saved, how the budgets stand."""

from __future__ import annotations

import json
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import openai
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings
from opentelemetry import baggage, context

import otel_embed
from conftest import Telemetry
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.cli import report_html, report_text
from otel_embed.cli.document import load, merge
from otel_embed.cli.report_json import to_dict
from otel_embed.demo.vectors import tokenize

SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"
PICODOLLARS = {SMALL: 20_000, LARGE: 130_000}
TENANTS, MODELS, CALLS = ("acme", "globex", "initech"), (SMALL, LARGE), 500
BUDGETS = """
[[budget]]
name = "tenants"
period = "month"
usd = 0.01
each = "tenant"

[[budget]]
name = "large"
period = "day"
usd = 0.003
model = "text-embedding-3-large"
"""


class Bill:
    """What the server bills for each request, by who asks at that time; calls are made one at a time."""

    def __init__(self, server: OpenAIServer) -> None:
        self._server = server
        self.tokens: Counter[tuple[str, str]] = Counter()
        self.saved: Counter[tuple[str, str]] = Counter()
        """What would have been billed for what the cache knew."""
        self._before = self._now()

    def _now(self) -> dict[str, int]:
        return {model: bill.tokens for model, bill in self._server.billed.by_model.items()}

    def charge(self, tenant: str) -> None:
        now = self._now()
        for model, tokens in now.items():
            self.tokens[tenant, model] += tokens - self._before.get(model, 0)
        self._before = now

    def picodollars(self, tenant: str | None = None, model: str | None = None) -> int:
        return sum(tokens * PICODOLLARS[which] for (who, which), tokens in self.tokens.items()
                   if tenant in (None, who) and model in (None, which))  # fmt: skip

    def tokens_of(self, tenant: str) -> int:
        return sum(tokens for (who, _), tokens in self.tokens.items() if who == tenant)


def embed(server: OpenAIServer, model: str) -> tuple[OpenAIEmbeddings, CacheBackedEmbeddings]:
    plain = OpenAIEmbeddings(
        model=model, base_url=server.url, api_key="x", dimensions=4, check_embedding_ctx_length=False, max_retries=2
    )
    cached = CacheBackedEmbeddings.from_bytes_store(
        plain, InMemoryByteStore(), namespace=model, key_encoder="sha256"
    )
    return plain, cached


def work(server: OpenAIServer, bill: Bill) -> None:
    embedders = {model: embed(server, model) for model in MODELS}
    known: set[tuple[str, str]] = set()
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=2) as client:
        for number in range(CALLS):
            tenant, model = TENANTS[number % 3], MODELS[number // 3 % 2]
            plain, cached = embedders[model]
            texts = [f"chunk {number % 29} of the document", f"chunk {number % 7} of it, four letters word"]
            token = context.attach(baggage.set_baggage("tenant", tenant))
            try:
                if number % 11 == 0:
                    server.script([Fault(status=429, retry_after=0.001)])
                if number % 4 == 0:
                    client.embeddings.create(model=model, input=texts, dimensions=4)
                elif number % 4 == 1:
                    plain.embed_query(texts[0])
                else:
                    text = texts[number % 4 - 2]
                    cached.embed_documents([text])
                    bill.saved[tenant, model] += len(tokenize(text)) if (model, text) in known else 0
                    known.add((model, text))
            finally:
                context.detach(token)
            bill.charge(tenant)


def test_cost_savings_and_budgets_are_exact(telemetry: Telemetry, server: OpenAIServer, tmp_path: Path) -> None:
    (tmp_path / "budgets.toml").write_text(BUDGETS)
    telemetry.instrument(
        baggage_attributes=("tenant",), budgets=str(tmp_path / "budgets.toml"), daily_budget_usd=0.02
    )
    bill = Bill(server)
    work(server, bill)
    assert sum(bill.tokens.values()) == server.billed.tokens and bill.picodollars() > 0
    summary = otel_embed.summary()
    for tenant, each in summary.attributed["tenant"].items():
        assert (each.picodollars, each.tokens) == (bill.picodollars(tenant), bill.tokens_of(tenant)), tenant
        for model in MODELS:
            cost = telemetry.total("otel_embed.cost", tenant=tenant, gen_ai__request__model=model)
            assert round(cost * 1e12) == bill.picodollars(tenant, model)
        saved = {model: bill.saved[tenant, model] for model in MODELS}
        assert (each.saved_tokens, each.saved_picodollars) == (sum(saved.values()), dollars(saved)), tenant
    for model, money in summary.cached_models.items():
        paid, saved = bill.picodollars(model=model), sum(bill.saved[tenant, model] for tenant in TENANTS)
        assert (round(money.paid_usd * 1e12), round(money.saved_usd * 1e12)) == (paid, saved * PICODOLLARS[model])
    (store,) = summary.caches.values()
    assert store.saved_tokens == summary.saved_tokens == sum(bill.saved.values()) > 0
    assert list(summary.attributed) == ["tenant"] and set(summary.attributed["tenant"]) == set(TENANTS)
    spent = {(row["budget"], row["value"]): round(row["spent_usd"] * 1e12) for row in summary.document["budgets"]}
    assert spent == {
        ("daily", None): bill.picodollars(),
        ("large", None): bill.picodollars(model=LARGE),
        **{("tenants", tenant): bill.picodollars(tenant) for tenant in TENANTS},
    }
    daily = telemetry.total("otel_embed.budget.spent", otel_embed__budget__name="daily")
    assert round(daily * 1e12) == bill.picodollars()


def dollars(tokens: dict[str, int]) -> int:
    return sum(number * PICODOLLARS[model] for model, number in tokens.items())


def test_the_reports_have_it(telemetry: Telemetry, server: OpenAIServer, tmp_path: Path) -> None:
    (tmp_path / "budgets.toml").write_text(BUDGETS)
    telemetry.instrument(baggage_attributes=("tenant",), budgets=str(tmp_path / "budgets.toml"))
    work(server, Bill(server))
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(otel_embed.summary().document))
    summary = merge([load(path)])
    shown = StringIO()
    report_text.write(summary, shown)
    page, document = report_html.page(summary), to_dict(summary)
    for title in ("Budgets", "Cost by attribute", "With and without cache"):
        assert title in shown.getvalue() and title in page
    path.write_text(json.dumps(document))
    assert to_dict(merge([load(path)])) == document
    twice: Any = to_dict(merge([load(path), load(path)]))
    assert twice["budgets"][0]["spent_usd"] == 2 * document["budgets"][0]["spent_usd"], "each process counts its own"
