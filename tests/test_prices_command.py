"""``otel-embed prices``: what is listed, explained and found wrong is what the application would be charged with."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from otel_embed import __version__
from otel_embed.cli import main
from otel_embed.pricing.prices import Prices

GOOD = """
    [[price]]
    provider = "openai"
    model = "text-embedding-3-large"
    usd_per_million_tokens = 0.091

    [[price]]
    provider = "vllm"
    model = "[bold]bge\\u001b[2J"
    usd_per_million_tokens = 0.004
    usd_per_image = 0.000015
    source = "https://example.com/gpu"
    checked = 2000-01-31
"""


def prices(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["prices", *arguments])


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file and without genai-prices, as after a plain installation."""
    monkeypatch.delenv("OTEL_EMBED_PRICES", raising=False)
    monkeypatch.setitem(sys.modules, "genai_prices", None)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    def write(content: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(dedent(content))
        monkeypatch.setenv("OTEL_EMBED_PRICES", str(path))
        return path

    return write


def test_every_price_in_force_is_a_line() -> None:
    done = prices()
    head, *lines = done.stdout.splitlines()
    assert (done.exit_code, done.stderr) == (0, "")
    assert head.split() == ["model", "$", "for", "a", "million", "checked"]
    assert len(lines) == sum(len(row.prices) for row in Prices.load(None, pytest.fail).rows())
    assert [line.split() for line in lines if line.startswith("openai ")] == [
        ["openai", "text-embedding-3-large", "0.13", "tokens", "2026-11-24"],
        ["openai", "text-embedding-3-small", "0.02", "tokens", "2026-11-24"],
        ["openai", "text-embedding-ada-002", "0.1", "tokens", "2026-11-24"],
    ]


def test_the_prices_of_one_provider_by_any_of_its_names() -> None:
    lines = prices("google").stdout.splitlines()[1:]
    assert lines
    assert all(line.startswith("gcp.gemini ") for line in lines)
    unknown = prices("nobody")
    assert unknown.exit_code == 1
    assert unknown.stdout.startswith("nobody: no price of this provider is known; there are prices of aws.bedrock, ")


def test_ones_own_prices_are_among_them_and_cannot_move_the_cursor(own: Callable[[str], Path]) -> None:
    own(GOOD)
    lines = [line.split() for line in prices().stdout.splitlines() if "own)" in line]
    assert lines == [
        ["openai", "text-embedding-3-large", "0.091", "tokens", "(your", "own)"],
        ["vllm", "[bold]bge�[2J", "0.004", "tokens", "2000-01-31", "(your", "own)"],
        ["vllm", "[bold]bge�[2J", "15", "images", "2000-01-31", "(your", "own)"],
    ]


def test_a_price_is_explained_by_who_says_so(own: Callable[[str], Path]) -> None:
    assert prices("openai", "openai/text-embedding-3-small").stdout == (
        "openai openai/text-embedding-3-small\n"
        f"  $0.02 for a million tokens, says otel-embed {__version__}, checked 2026-11-24\n"
        "  https://developers.openai.com/api/docs/pricing\n"
    )
    own(GOOD)
    assert prices("openai", "text-embedding-3-large").stdout.splitlines()[1:] == [
        "  $0.091 for a million tokens, says OTEL_EMBED_PRICES"
    ]


def test_what_is_not_billed_by_the_token_is_said_to_have_no_cost() -> None:
    done = prices("gcp.vertex_ai", "text-embedding-005")
    assert done.exit_code == 0
    assert "$0.025 for a million characters" in done.stdout
    assert "Its calls have no cost" in done.stdout
    assert "no cost" not in prices("aws.bedrock", "amazon.titan-embed-image-v1").stdout


def test_why_a_price_is_unknown() -> None:
    done = prices("openai", "text-embedding-4")
    assert done.exit_code == 1
    assert done.stdout.startswith("openai text-embedding-4: unknown; this provider has text-embedding-")


def test_what_genai_prices_knows_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = SimpleNamespace(
        provider=SimpleNamespace(id="openai"), model_price=SimpleNamespace(output_mtok=None), input_price=3
    )
    library = SimpleNamespace(__version__="9.9", Usage=lambda input_tokens: None, calc_price=lambda *_, **__: answer)
    monkeypatch.setitem(sys.modules, "genai_prices", library)
    assert prices("openai", "text-embedding-9").stdout.splitlines()[1:] == [
        "  $3 for a million tokens, says genai-prices 9.9",
        "  https://github.com/pydantic/genai-prices",
    ]


def test_as_data(own: Callable[[str], Path]) -> None:
    own(GOOD)
    rows = json.loads(prices("vllm", "--json").stdout)["rows"]
    priced = {"source": "user", "url": "https://example.com/gpu", "checked": "2000-01-31"}
    both = [
        {"usd_per_million": 0.004, "unit": "tokens", **priced},
        {"usd_per_million": 15.0, "unit": "images", **priced},
    ]
    model = "[bold]bge\x1b[2J"
    assert rows == [{"provider": "vllm", "model": model, "aliases": [], "prices": both}]
    assert json.loads(prices("vllm", model, "--json").stdout) == {"provider": "vllm", "model": model, "prices": both}
    unknown = prices("vllm", "other", "--json")
    assert (unknown.exit_code, json.loads(unknown.stdout)["prices"]) == (1, [])


def test_a_file_with_mistakes_is_warned_of_and_the_rest_is_listed(own: Callable[[str], Path]) -> None:
    path = own("[[price]]\nprovider = 'x'\nmodel = 'y'\nusd_per_million_tokens = 90")
    done = prices("openai")
    assert done.exit_code == 0
    assert done.stderr.startswith(f"otel-embed: OTEL_EMBED_PRICES: {path}: row 1: usd_per_million_tokens is 90;")
    assert "text-embedding-3-small" in done.stdout


CENTURY = "--max-age=36500"
"""Days in which the table of this package is fresh, whenever this runs."""


def test_check_finds_nothing_in_good_order(own: Callable[[str], Path]) -> None:
    models = len(Prices.load(None, pytest.fail).rows())
    done = prices("--check", CENTURY)
    assert (done.exit_code, done.stdout) == (0, f"{models} models: 0 prices not checked for more than 36,500 days\n")
    path = own(GOOD)
    done = prices("--check", CENTURY)
    assert (done.exit_code, done.stdout.splitlines()[1:]) == (0, [f"{path}: 2 rows, 0 mistakes"])


def test_check_finds_old_prices(own: Callable[[str], Path]) -> None:
    own(GOOD)
    done = prices("--check", "--max-age=9000")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1:3] == [
        "  vllm [bold]bge�[2J, tokens: checked 2000-01-31 https://example.com/gpu",
        "  vllm [bold]bge�[2J, images: checked 2000-01-31 https://example.com/gpu",
    ]
    old = json.loads(prices("--check", "--max-age=9000", "--json").stdout)["old"]
    assert [price["unit"] for price in old] == ["tokens", "images"]
    assert all(price["days"] > 9000 for price in old)


@pytest.mark.parametrize(
    ("content", "mistakes"),
    [
        ("price = 'x'", ["row 1: 'x' is no row"]),
        ("[[price]]\nprovider = 'x'\n" * 5, [f"row {number}: model is missing" for number in range(1, 6)]),
        ("surprise = 1", ["unknown key 'surprise'"]),
    ],
)
def test_check_finds_all_mistakes_in_ones_own_file(
    content: str, mistakes: list[str], own: Callable[[str], Path]
) -> None:
    path = own(content)
    done = prices("--check", CENTURY)
    assert (done.exit_code, done.stderr) == (1, "")
    count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
    assert done.stdout.splitlines()[1:] == [f"{path}: 0 rows, {count}", *(f"  {mistake}" for mistake in mistakes)]
    assert json.loads(prices("--check", CENTURY, "--json").stdout)["mistakes"] == mistakes


def test_check_finds_that_ones_own_file_is_no_toml(own: Callable[[str], Path]) -> None:
    own("[[price")
    done = prices("--check", CENTURY)
    assert done.exit_code == 1
    assert "Expected ']]' at the end of an array declaration" in done.stdout


def test_check_finds_that_ones_own_file_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EMBED_PRICES", "no-such.toml")
    done = prices("--check", CENTURY)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1:] == ["no-such.toml: 0 rows, 1 mistake", "  there is no such file"]


def test_check_of_one_provider_is_refused() -> None:
    done = prices("--check", "openai")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "otel-embed: --check looks at all prices: leave PROVIDER and MODEL out\n"
