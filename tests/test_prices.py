"""Prices: the table itself, whose price a model has, and a user's file that may hold anything."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_embed.pricing import prices as module
from otel_embed.pricing.chat import ChatPrice, ChatPrices
from otel_embed.pricing.prices import Price, Prices
from otel_embed.record import Cost
from otel_embed.run_record import ChatUsage

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE = tomllib.loads(Path(module.__file__).with_name("prices.toml").read_text(), parse_float=Decimal)
ROWS: list[dict[str, Any]] = TABLE["price"]
PICODOLLARS = {
    "usd_per_million_tokens": 10**6,
    "usd_per_million_characters": 10**6,
    "usd_per_million_image_tokens": 10**6,
    "usd_per_million_pixels": 10**6,
    "usd_per_image": 10**12,
}


def no_warning(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture(scope="module")
def prices() -> Prices:
    return Prices.load(None, no_warning)


@pytest.fixture
def override(tmp_path: Path) -> Callable[[str | bytes], tuple[Prices, list[str]]]:
    def load(content: str | bytes) -> tuple[Prices, list[str]]:
        path = tmp_path / "mine.toml"
        path.write_bytes(content if isinstance(content, bytes) else dedent(content).encode())
        warnings: list[str] = []
        return Prices.load(str(path), warnings.append), warnings

    return load


# The table


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['provider']} {row['model']}")
def test_a_row_of_the_table_has_a_page_a_day_and_prices_that_are_exact_and_likely(row: dict[str, Any]) -> None:
    assert re.fullmatch(r"https://[\w.-]+/\S*", row["source"])
    assert date(2026, 1, 1) <= row["checked"] <= date.today()
    fields = PICODOLLARS.keys() & row.keys()
    assert fields
    assert row.keys() <= {"provider", "model", "aliases", "source", "checked", *PICODOLLARS}
    for field in fields:
        assert row[field] > 0
        assert row[field] * PICODOLLARS[field] % 1 == 0, "not a whole number of picodollars"
        assert row[field] <= (Decimal("0.01") if field == "usd_per_image" else 5)


def test_no_name_stands_twice_under_a_provider() -> None:
    names = Counter((row["provider"], name.lower()) for row in ROWS for name in (row["model"], *row.get("aliases", ())))
    assert [name for name, count in names.items() if count > 1] == []
    spellings = Counter(name for others in TABLE["providers"].values() for name in others)
    assert [name for name, count in spellings.items() if count > 1 or name in {row["provider"] for row in ROWS}] == []
    assert set(TABLE["providers"]) <= {row["provider"] for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['provider']} {row['model']}")
def test_every_name_of_a_row_finds_its_price(row: dict[str, Any], prices: Prices) -> None:
    field = "usd_per_million_tokens" if "usd_per_million_tokens" in row else "usd_per_million_characters"
    for name in (row["model"], *row.get("aliases", ())):
        price = prices.find(row["provider"], name.upper())
        assert price == Price(float(row[field]), price.unit, "table", row["source"], row["checked"].isoformat())
        assert field.endswith(price.unit)
        assert price.picodollars == row[field] * 10**6


@pytest.mark.parametrize(
    ("provider", "model", "usd"),
    [
        ("openai", "text-embedding-3-small", 0.02),
        ("openai", "text-embedding-3-large", 0.13),
        ("openai", "text-embedding-ada-002-v2", 0.10),
        ("azure.ai.openai", "ada", 0.10),
        ("cohere", "embed-multilingual-light-v3.0", 0.10),  # other tables have a thousand times that
        ("cohere", "embed-v4.0", 0.12),
        ("voyage", "voyage-3.5-lite", 0.02),
        ("mistral_ai", "mistral-embed", 0.10),
        ("gcp.gemini", "gemini-embedding-001", 0.15),
        ("aws.bedrock", "amazon.titan-embed-text-v2:0", 0.02),
        ("fireworks", "nomic-ai/nomic-embed-text-v1.5", 0.008),
        ("together", "intfloat/multilingual-e5-large-instruct", 0.02),
        ("jina", "jina-embeddings-v3", 0.05),
    ],
)
def test_well_known_prices(provider: str, model: str, usd: float, prices: Prices) -> None:
    price = prices.find(provider, model)
    assert price is not None
    assert (price.usd_per_million, price.unit, price.source) == (usd, "tokens", "table")


def test_what_is_billed_by_the_character_says_so(prices: Prices) -> None:
    price = prices.find("gcp.vertex_ai", "text-embedding-005")
    assert price is not None
    assert (price.usd_per_million, price.unit) == (0.025, "characters")


def test_images_have_their_own_price(prices: Prices) -> None:
    pixels = prices.find_media("pixels", "voyage", "voyage-multimodal-3.5")
    assert pixels is not None
    assert pixels.picodollars == 600
    image = prices.find_media("images", "aws.bedrock", "amazon.titan-embed-image-v1")
    assert image is not None
    assert (image.usd_per_million, image.picodollars) == (60.0, 60_000_000)
    assert prices.find_media("images", "openai", "text-embedding-3-small") is None


# Whose price


@pytest.mark.parametrize(
    ("provider", "name", "model"),
    [
        ("openai", "openai/text-embedding-3-small", "text-embedding-3-small"),
        ("openai", " Text-Embedding-3-Small ", "text-embedding-3-small"),
        ("gcp.gemini", "models/gemini-embedding-001", "gemini-embedding-001"),
        ("google", "gemini/gemini-embedding-001", "gemini-embedding-001"),
        ("gcp.vertex_ai", "projects/p/locations/l/publishers/google/models/text-embedding-005", "text-embedding-005"),
        ("gcp.vertex_ai", "google/text-embedding-005", "text-embedding-005"),
        ("gcp.vertex_ai", "text-embedding-005@default", "text-embedding-005"),
        ("aws.bedrock", "us.cohere.embed-v4:0", "cohere.embed-v4:0"),
        ("aws.bedrock", "bedrock/global.cohere.embed-v4:0", "cohere.embed-v4:0"),
        ("aws.bedrock", "arn:aws:bedrock:eu-west-1::foundation-model/cohere.embed-v4:0", "cohere.embed-v4:0"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/eu.cohere.embed-v4:0", "cohere.embed-v4:0"),
        ("fireworks", "fireworks_ai/accounts/fireworks/models/qwen3-embedding-8b", "qwen3-embedding-8b"),
        ("together_ai", "together_ai/BAAI/bge-base-en-v1.5", "BAAI/bge-base-en-v1.5"),
        ("voyageai", "voyage/voyage-4", "voyage-4"),
    ],
)
def test_what_clients_and_clouds_put_before_a_name_is_seen_through(
    provider: str, name: str, model: str, prices: Prices
) -> None:
    assert prices.find(provider, name) == prices.find(provider, model) is not None


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("vllm", "text-embedding-3-small"),
        ("ollama", "text-embedding-3-small"),
        ("litellm", "openai/text-embedding-3-small"),
        ("openrouter", "openai/text-embedding-3-small"),
        ("my-openai-proxy", "text-embedding-3-small"),
        ("", "text-embedding-3-small"),
        ("openai", "gemini-embedding-001"),
        ("openai", "azure/text-embedding-3-small"),
        ("openai", "text-embedding-3-small-finetuned"),
        ("cohere", "voyage-4"),
        ("aws.bedrock", "us-gov.cohere.embed-v4:0"),  # GovCloud has prices of its own
        ("aws.bedrock", "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.titan-embed-text-v2:0"),
        ("openai", ""),
    ],
)
def test_a_name_that_matches_elsewhere_has_no_price_here(provider: str, model: str, prices: Prices) -> None:
    assert prices.find(provider, model) is None


def test_the_first_model_with_a_price_counts(prices: Prices) -> None:
    small, large = prices.find("openai", "text-embedding-3-small"), prices.find("openai", "text-embedding-3-large")
    assert prices.find("openai", "text-embedding-3-large", "text-embedding-3-small") == large
    assert prices.find("openai", None, "text-embedding-3-small") == small
    assert prices.find("openai", "my-deployment", "text-embedding-3-small") == small
    assert prices.find("openai", None, None) is prices.find("openai") is None


def test_a_lookup_is_remembered_within_bounds(prices: Prices) -> None:
    first = prices.find("openai", "text-embedding-3-small")
    for number in range(10_000):
        assert prices.find("openai", f"model-{number}") is None
    assert len(vars(prices)["_found"]) <= 4096
    assert prices.find("openai", "text-embedding-3-small") is first


def test_rows_lists_what_is_in_force_and_explain_says_why(prices: Prices) -> None:
    rows = prices.rows()
    assert [(row.provider, row.model) for row in rows] == sorted((row["provider"], row["model"]) for row in ROWS)
    assert prices.explain("openai", "text-embedding-3-small") == (
        "openai text-embedding-3-small: 0.02 USD per million tokens "
        "(table, checked 2026-11-24, https://developers.openai.com/api/docs/pricing)"
    )
    assert prices.explain("openai", "text-embedding-4") == (
        "openai text-embedding-4: unknown; this provider has text-embedding-ada-002, text-embedding-3-small, "
        "text-embedding-3-large …; add one with OTEL_EMBED_PRICES"
    )
    assert prices.explain("vllm", "bge-m3") == (
        "vllm bge-m3: unknown; no price of this provider is known; add one with OTEL_EMBED_PRICES"
    )


names = st.one_of(
    st.none(), st.text(), st.sampled_from([row["model"] for row in ROWS]), st.integers(), st.lists(st.text())
)


@given(provider=names, models=st.lists(names, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_find_takes_anything(provider: Any, models: list[Any], prices: Prices) -> None:
    price = prices.find(provider, *models)
    assert price is None or price.picodollars > 0


# The user's own file


def test_a_users_row_wins_under_every_name_of_the_model(override: Callable[..., Any]) -> None:
    prices, warnings = override("""
        [[price]]
        provider = "OpenAI"
        model = "text-embedding-ada-002-v2"
        usd_per_million_tokens = 0.07
    """)
    mine = Price(0.07, "tokens", "user", "", "")
    assert warnings == []
    assert {prices.find("openai", f"text-embedding-{name}") for name in ("ada-002", "ada-002-v2", "ada")} == {mine}
    assert [row for row in prices.rows() if row.prices == (mine,)] == [
        ("openai", "text-embedding-ada-002-v2", ("text-embedding-ada", "text-embedding-ada-002"), (mine,))
    ]
    assert len(prices.rows()) == len(ROWS)


def test_a_users_row_for_the_name_in_the_request_goes_before_the_tables_for_that_in_the_answer(
    override: Callable[..., Any],
) -> None:
    prices, warnings = override("""
        [[price]]
        provider = "azure"
        model = "Embeddings-prod"
        usd_per_million_tokens = 0.022

        [[price]]
        provider = "azure"
        model = "text-embedding-3-large"
        usd_per_million_tokens = 0.1

        [[price]]
        provider = "azure"
        model = "pictures"
        usd_per_image = 0.01
    """)
    assert warnings == []

    def usd(*models: str) -> float | None:
        price = prices.find("azure.ai.openai", *models)
        return price and price.usd_per_million

    assert usd("text-embedding-3-small", "embeddings-prod") == 0.022
    assert usd("text-embedding-3-large", "embeddings-prod") == 0.1, "of two of the user's, that of the answer"
    assert usd("text-embedding-3-small", "pictures") == 0.02, "it has no price for text"
    assert usd("text-embedding-3-small", "other") == 0.02


def test_a_users_chat_row_for_the_name_in_the_request_goes_first_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[chat]]\nprovider = "openai"\nmodel = "openai/chat-prod"\ninput = 1\noutput = 2\n')
    chat = ChatPrices.load(str(file), no_warning, Prices.load(str(file), no_warning))
    for answered, asked, source in (("gpt-4o-2024-08-06", "chat-prod", "user"), ("gpt-4o", "other", "table")):
        price = chat.find("openai", answered, asked)
        assert price is not None and price.source == source


@pytest.mark.parametrize(
    ("provider", "written", "called", "another"),
    [
        ("openai", "openai/Text-Embedding-3-Small", "text-embedding-3-small", "text-embedding-3-large"),
        ("Azure", "azure/embeddings-prod", "embeddings-prod", "embeddings"),
        ("gemini", "models/gemini-embedding-001", "gemini-embedding-001", "embedding-001"),
        ("vertex_ai", "mistral/embed", "mistral/embed", "embed"),
        ("bedrock", "bedrock/us.cohere.embed-v4:0", "us.cohere.embed-v4:0", "cohere.embed-v4:0"),
    ],
)
def test_a_users_row_that_is_written_as_for_a_router_holds_for_the_name_alone(
    provider: str, written: str, called: str, another: str, override: Callable[..., Any]
) -> None:
    prices, warnings = override(f"""
        [[price]]
        provider = "{provider}"
        model = "mine"
        aliases = ["  {written} "]
        usd_per_million_tokens = 1
    """)
    assert warnings == []
    mine = Price(1.0, "tokens", "user", "", "")
    assert {prices.find(provider, name) for name in ("mine", written, called)} == {mine}
    assert prices.find(provider, another) != mine


def test_a_users_row_can_be_of_any_provider_and_free(override: Callable[..., Any]) -> None:
    prices, warnings = override("""
        price = [
          {provider = "vllm", model = "BAAI/bge-m3", aliases = ["m3"], usd_per_million_tokens = 0},
          {provider = "mistral", model = "mistral-embed", usd_per_million_tokens = 1, checked = "2026-10-01"},
        ]
    """)
    assert warnings == []
    assert prices.find("vllm", "M3") == Price(0.0, "tokens", "user", "", "")
    assert prices.find("mistral_ai", "mistral-embed-2312") == Price(1.0, "tokens", "user", "", "2026-10-01")


def test_a_users_row_replaces_the_prices_it_names_and_the_unit_of_text(override: Callable[..., Any]) -> None:
    prices, _ = override("""
        [[price]]
        provider = "voyage"
        model = "voyage-multimodal-3.5"
        usd_per_million_characters = 0.04
    """)
    assert prices.find("voyage", "voyage-multimodal-3.5") == Price(0.04, "characters", "user", "", "")
    pixels = prices.find_media("pixels", "voyage", "voyage-multimodal-3.5")
    assert pixels is not None
    assert (pixels.picodollars, pixels.source) == (600, "table")
    assert prices.find_media("tokens", "voyage", "voyage-multimodal-3.5") is None


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (ChatUsage(100, 10), 120e-6),
        (ChatUsage(100, 10, reasoning_tokens=9), 120e-6),
        (ChatUsage(100, 10, cached_tokens=0, cache_written_tokens=0), 120e-6),
        (ChatUsage(101, 10), None),
        (ChatUsage(100, 10, cached_tokens=1), None),
        (ChatUsage(100, 10, cache_written_tokens=1), None),
        (ChatUsage(100, None), None),
        (ChatUsage(None, 10), None),
    ],
)
def test_what_a_chat_models_row_does_not_tell_has_no_known_cost(usage: ChatUsage, dollars: float | None) -> None:
    row = ChatPrice(1.0, 2.0, None, None, None, up_to_input_tokens=100, source="user", url="", checked="")
    assert row.cost(usage) == (None if dollars is None else Cost(dollars, "user"))


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (ChatUsage(100, 10, cached_tokens=60), 60e-6),
        (ChatUsage(100, 10, cache_written_tokens=40), 170e-6),
        (ChatUsage(100, 10, cached_tokens=60, cache_written_tokens=40), 110e-6),
        (ChatUsage(100, 10, cache_written_tokens=40, kept_for_an_hour_tokens=1), None),
    ],
)
def test_what_a_provider_keeps_has_its_own_price(usage: ChatUsage, dollars: float | None) -> None:
    row = ChatPrice(
        1.0, 2.0, cached_input=0.0, cache_write=2.25, cache_write_1h=None,
        up_to_input_tokens=None, source="user", url="", checked="",
    )  # fmt: skip
    assert row.cost(usage) == (None if dollars is None else Cost(dollars, "user"))


ALLOWED = (
    "A row is a [[price]] with provider, model and one price or more of usd_per_million_tokens, "
    "usd_per_million_characters, usd_per_million_image_tokens, usd_per_million_pixels, usd_per_image; "
    "it may have aliases, source and checked. All other prices are used."
)
GOOD = '\n[[price]]\nprovider = "x"\nmodel = "y"\nusd_per_million_tokens = 0.5\n'


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("usd_per_million_tokens = -1", "usd_per_million_tokens is -1; it must be from 0 to 5"),
        ("usd_per_million_tokens = 100.0", "usd_per_million_tokens is 100.0; it must be from 0 to 5"),
        ("usd_per_million_tokens = nan", "usd_per_million_tokens is NaN; it must be from 0 to 5"),
        ("usd_per_million_tokens = inf", "usd_per_million_tokens is Infinity; it must be from 0 to 5"),
        ("usd_per_million_tokens = 1e-7", "usd_per_million_tokens is 1E-7; it must be a multiple of 0.000001"),
        ("usd_per_million_tokens = '0.02'", "usd_per_million_tokens is '0.02', not a number"),
        ("usd_per_million_tokens = true", "usd_per_million_tokens is True, not a number"),
        ("usd_per_image = 0.5", "usd_per_image is 0.5; it must be from 0 to 0.1"),
        ("usd_per_token = 0.5", "unknown key 'usd_per_token'"),
        ("", "'m' has no price"),
        ("usd_per_million_tokens = 1\naliases = 'a'", "aliases is 'a', not a list of names"),
        ("usd_per_million_tokens = 1\naliases = [1]", "aliases is [1], not a list of names"),
        ("usd_per_million_tokens = 1\naliases = [' ']", "aliases is [' '], not a list of names"),
        ("usd_per_million_tokens = 1\nsource = 1", "source is 1, not a name"),
        ("usd_per_million_tokens = 1\nchecked = 'May'", "checked is 'May', not a date such as 2026-11-24"),
    ],
)
def test_a_bad_row_gives_one_warning_and_the_rest_is_used(
    row: str, problem: str, override: Callable[..., Any], tmp_path: Path
) -> None:
    prices, warnings = override(f'[[price]]\nprovider = "p"\nmodel = "m"\n{row}\n{GOOD}')
    assert warnings == [f"OTEL_EMBED_PRICES: {tmp_path / 'mine.toml'}: row 1: {problem}. {ALLOWED}"]
    assert prices.find("p", "m") is None
    assert prices.find("x", "y") == Price(0.5, "tokens", "user", "", "")
    assert prices.find("openai", "text-embedding-3-small") is not None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('[[price]]\nmodel = "m"\nusd_per_million_tokens = 1', "row 1: provider is missing"),
        ('[[price]]\nprovider = "p"\nusd_per_million_tokens = 1', "row 1: model is missing"),
        ('[[price]]\nprovider = "p"\nmodel = " "\nusd_per_million_tokens = 1', "row 1: model is ' ', not a name"),
        ("price = 3", "row 1: 3 is no row"),
        ("[prices]\nx = 1", "unknown key 'prices'"),
        (
            "price = [1, {}, {}, {}, {}]",
            "row 1: 1 is no row; row 2: provider is missing; row 3: provider is missing; and 2",
        ),
        ("openai: 0.02", "Expected '=' after a key in a key/value pair (at line 1, column 7)"),
        (b"\xff\xfe", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        ("x = " + "[" * 5_000, ""),
        ("#" * 1_000_001, "it is larger than 1,000,000 bytes"),
    ],
)
def test_a_bad_file_gives_one_warning_and_the_table_is_used(
    content: str | bytes, problem: str, override: Callable[..., Any], tmp_path: Path
) -> None:
    prices, warnings = override(content)
    assert len(warnings) == 1
    assert warnings[0].startswith(f"OTEL_EMBED_PRICES: {tmp_path / 'mine.toml'}: {problem}")
    assert warnings[0].endswith(ALLOWED)
    assert prices.find("openai", "text-embedding-3-small") is not None


@pytest.mark.parametrize(("path", "problem"), [("nowhere.toml", "there is no such file"), (".", "it is not a file")])
def test_a_missing_file_gives_one_warning(path: str, problem: str, tmp_path: Path) -> None:
    warnings: list[str] = []
    prices = Prices.load(str(tmp_path / path), warnings.append)
    assert warnings == [f"OTEL_EMBED_PRICES: {tmp_path / path}: {problem}. {ALLOWED}"]
    assert prices.find("openai", "text-embedding-3-small") is not None


def test_a_file_from_windows_is_read(override: Callable[..., Any]) -> None:
    prices, warnings = override(b"\xef\xbb\xbf" + GOOD.strip().replace("\n", "\r\n").encode())
    assert warnings == []
    assert prices.find("x", "y") is not None


values = st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.lists(st.text()), st.just("2026-01-01"))
keys = st.sampled_from(["provider", "model", "aliases", "source", "checked", "other", *PICODOLLARS])


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08x}" for c in value) + '"'
    return str(value).lower()


@given(rows=st.lists(st.dictionaries(keys, values), max_size=4), raw=st.one_of(st.just(b""), st.binary()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_load_takes_any_file(rows: list[dict[str, Any]], raw: bytes, override: Callable[..., Any]) -> None:
    lines = (f"[[price]]\n{''.join(f'{key} = {_toml(value)}' + chr(10) for key, value in row.items())}" for row in rows)
    prices, warnings = override("".join(lines).encode() + raw)
    assert len(warnings) <= 1
    assert all(0 <= price.picodollars <= 10**11 for row in prices.rows() for price in row.prices)
    assert all(price.usd_per_million * 10**6 == price.picodollars for row in prices.rows() for price in row.prices)


def test_the_example_in_the_docs_is_a_file_without_fault(override: Callable[..., Any]) -> None:
    text = (Path(__file__).parent.parent / "docs" / "prices.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    prices, warnings = override(example)
    assert warnings == []
    assert {row.provider: row.model for row in prices.rows() if row.prices[0].source == "user"} == {
        "openai": "text-embedding-3-large",
        "azure.ai.openai": "embeddings-prod",
        "vllm": "BAAI/bge-m3",
    }
    assert prices.find("azure.ai.openai", "embeddings-staging") is not None


# genai-prices


LIBRARY = """
import threading, time
from decimal import Decimal
from types import SimpleNamespace as N

imported_by = threading.current_thread().name
time.sleep(0.2)
__version__ = "9.9"
PRICES = {
    ("voyageai", "voyage-9"): ("0.03", None), ("voyageai", "voyage-4"): ("4", None), ("openai", "gpt-9"): ("1", "5"),
    ("openai", "text-embedding-9"): ("0.04", None), ("cohere", "embed-v9"): ("90", None),
}
asked = []

def Usage(input_tokens):
    return input_tokens

def calc_price(usage, model, provider_id):
    asked.append((provider_id, model))
    known = next(name for name in ("openai", "voyageai", "cohere", "") if name in provider_id)
    if (known, model) not in PRICES:
        raise LookupError(model)
    usd, output = PRICES[known, model]
    return N(provider=N(id=known), model_price=N(output_mtok=output), input_price=Decimal(usd) * usage / 1_000_000)
"""
"""What genai-prices answers with, for models of the future; it takes a provider for another whose name it contains."""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "genai_prices.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "genai_prices", raising=False)
    yield
    sys.modules.pop("genai_prices", None)


def eventually(look_up: Callable[[], Price | None]) -> Price | None:
    price = look_up()
    while price is None and any(thread.name == "otel-embed-prices" for thread in threading.enumerate()):
        time.sleep(0.01)
        price = look_up()
    return price or look_up()


def test_an_unknown_model_is_asked_of_genai_prices_once_and_off_the_calling_thread(library: None) -> None:
    prices = Prices.load(None, no_warning, extra=True)
    start = time.thread_time()
    assert prices.find("voyage", None, "voyage-9") is None
    assert time.thread_time() - start < 0.15, "the caller did the import"
    price = eventually(lambda: prices.find("voyage", None, "voyage-9"))
    assert price == Price(0.03, "tokens", "table", "https://github.com/pydantic/genai-prices", "genai-prices 9.9")
    assert [prices.find("voyage", "Voyage-9") for _ in range(50)] == [price] * 50
    fake = sys.modules["genai_prices"]
    assert fake.imported_by == "otel-embed-prices"
    assert fake.asked == [("voyageai", "voyage-9")]


def test_an_answer_that_comes_at_once_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    about = SimpleNamespace(
        provider=SimpleNamespace(id="openai"), model_price=SimpleNamespace(output_mtok=None), input_price=3
    )
    loaded = SimpleNamespace(Usage=lambda input_tokens: None, calc_price=lambda *_, **__: about)
    monkeypatch.setitem(sys.modules, "genai_prices", loaded)
    prices = Prices.load(None, no_warning, extra=True)
    price = eventually(lambda: prices.find("openai", "text-embedding-9"))
    assert price is not None
    assert price.usd_per_million == 3


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-9"),  # has a price for its output: no embedding model
        ("my-openai-proxy", "text-embedding-9"),
        ("cohere", "embed-v9"),  # more than any embedding costs
        ("ollama", "nomic-embed-text"),
    ],
)
def test_an_answer_that_cannot_be_right_is_no_price(provider: str, model: str, library: None) -> None:
    prices = Prices.load(None, no_warning, extra=True)
    assert eventually(lambda: prices.find(provider, model)) is None
    assert len(sys.modules["genai_prices"].asked) == 1


def test_the_table_and_the_users_rows_come_before_genai_prices(library: None) -> None:
    prices = Prices.load(None, no_warning, extra=True)
    price = prices.find("voyage", "voyage-9", "voyage-4")
    assert price is not None
    assert price.usd_per_million == 0.06
    assert "genai_prices" not in sys.modules


def test_without_genai_prices_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)  # what importing an absent module looks like
    prices = Prices.load(None, no_warning, extra=True)
    assert eventually(lambda: prices.find("voyage", "voyage-9")) is None


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=True).stdout


def test_nothing_is_imported_that_a_lookup_does_not_need() -> None:
    script = """
        import sys
        from otel_embed.pricing.prices import Prices
        Prices.load(None, print).find("openai", "new-model")
        print(sorted({"tiktoken", "requests", "genai_prices", "difflib", "opentelemetry"} & set(sys.modules)))
    """
    assert run(script) == "[]\n"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no fork")
def test_a_forked_child_asks_again(library: None, tmp_path: Path) -> None:
    script = f"""
        import os, sys, time, warnings
        warnings.simplefilter("ignore")
        sys.path.insert(0, {str(tmp_path)!r})
        from otel_embed.pricing.prices import Prices
        prices = Prices.load(None, print, extra=True)
        prices.find("voyage", "voyage-9")  # the thread is asking while the process forks
        child = os.fork()
        deadline = time.time() + 10
        import genai_prices  # would hang in the child if the thread had been in the middle of it
        while prices.find("voyage", "voyage-9") is None and time.time() < deadline:
            time.sleep(0.01)
        os.write(1, b"%.2f; " % prices.find("voyage", "voyage-9").usd_per_million)
        child and os.waitpid(child, 0)
    """
    assert run(script) == "0.03; 0.03; "


def test_what_anthropic_keeps_for_an_hour_costs_twice_its_input() -> None:
    chat = ChatPrices.load(None, no_warning, Prices.load(None, no_warning))
    rows = chat.rows("anthropic")
    assert [row.price.cache_write_1h for row in rows] == [2 * row.price.input for row in rows]
    price = chat.find("anthropic", "claude-sonnet-5", None)
    assert price is not None
    cost = price.cost(ChatUsage(1010, 5, 0, 1000, kept_for_an_hour_tokens=600))
    assert cost is not None and cost.usd == pytest.approx((10 * 2 + 400 * 2.5 + 600 * 4 + 5 * 10) / 1e6)
