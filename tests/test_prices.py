"""The table of prices is sane, and unknown stays unknown."""

from __future__ import annotations

import datetime

import pytest

from otel_embed.pricing.prices import MOST_USD_PER_MILLION, Prices

PRICES = Prices.load(None, pytest.fail)


def test_every_row_says_where_and_when_and_is_whole_picodollars() -> None:
    for row in PRICES.rows():
        assert row.price.url.startswith("https://"), row
        assert datetime.date.fromisoformat(row.price.checked) <= datetime.date(2026, 12, 31)
        assert 0 <= row.price.usd_per_million <= MOST_USD_PER_MILLION
        if row.price.unit == "tokens":
            picodollars = row.price.usd_per_million * 1e6
            assert abs(picodollars - round(picodollars)) < 1e-6, row


def test_every_provider_of_the_contract_has_prices() -> None:
    assert {row.provider for row in PRICES.rows()} >= {
        "openai", "azure.ai.openai", "cohere", "voyage", "mistral_ai", "gcp.gemini", "gcp.vertex_ai", "aws.bedrock",
        "jina", "nomic", "together", "fireworks",
    }  # fmt: skip


def test_a_name_means_one_model_of_a_provider() -> None:
    names = [(row.provider, name.lower()) for row in PRICES.rows() for name in (row.model, *row.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("provider", "model", "usd"),
    [
        ("openai", "text-embedding-3-small", 0.02),
        ("openai", "text-embedding-3-large", 0.13),
        ("openai", "text-embedding-ada-002-v2", 0.1),
        ("azure.ai.openai", "ada", 0.1),
        ("cohere", "embed-v4.0", 0.12),
        ("mistral_ai", "mistral-embed", 0.1),
        ("gcp.gemini", "models/gemini-embedding-001", 0.15),
    ],
)
def test_a_model_is_found_under_the_names_it_goes_by(provider: str, model: str, usd: float) -> None:
    price = PRICES.find(provider, model)
    assert price is not None and price.usd_per_million == usd


def test_nobody_elses_price_is_taken_for_an_unknown_provider() -> None:
    assert PRICES.find("vllm", "text-embedding-3-small") is None
    assert PRICES.find("openai", "text-embedding-of-tomorrow", None) is None
