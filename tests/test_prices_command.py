"""``otel-embed prices``: what is listed, explained and found wrong is what the application would be charged with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from otel_embed import __version__
from otel_embed.cli import main
from otel_embed.cli.known_prices import KnownPrices
from otel_embed.pricing import chat
from otel_embed.pricing.chat import ChatPrices
from otel_embed.pricing.documents import Refused
from otel_embed.pricing.prices import FORM as EMBEDDING_FORM
from otel_embed.pricing.prices import Prices
from otel_embed.run_record import ChatUsage

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
    rows = KnownPrices(None, []).rows()
    assert len(lines) == sum(len(row.prices) for row in rows)
    assert {row.kind for row in rows} == {"embedding", "chat"}
    assert [line.split() for line in lines if line.startswith("openai text-")] == [
        ["openai", "text-embedding-3-large", "0.13", "tokens", "2026-11-24"],
        ["openai", "text-embedding-3-small", "0.02", "tokens", "2026-11-24"],
        ["openai", "text-embedding-ada-002", "0.1", "tokens", "2026-11-24"],
    ]
    assert ["openai", "gpt-4o-mini", "0.075", "cached", "input", "tokens", "2026-11-25"] in map(str.split, lines)


def test_the_prices_of_one_provider_by_any_of_its_names() -> None:
    lines = prices("google").stdout.splitlines()[1:]
    assert lines
    assert all(line.startswith("gcp.gemini ") for line in lines)
    unknown = prices("nobody")
    assert unknown.exit_code == 1
    assert unknown.stdout.startswith("nobody: no price of this provider is known; there are prices of anthropic, aws.bedrock, ")


def test_ones_own_prices_are_among_them_and_cannot_move_the_cursor(own: Callable[[str], Path]) -> None:
    own(GOOD)
    lines = [line.split() for line in prices().stdout.splitlines() if "own)" in line]
    assert lines == [
        ["openai", "text-embedding-3-large", "0.091", "tokens", "(your", "own)"],
        ["vllm", "[bold]bge�[2J", "0.004", "tokens", "2000-01-31", "(your", "own)"],
        ["vllm", "[bold]bge�[2J", "15", "images", "2000-01-31", "(your", "own)"],
    ]


def ago(day: str) -> str:
    days = (date.today() - date.fromisoformat(day)).days
    return "today" if days == 0 else f"{days:,} day{'' if days == 1 else 's'} ago"


def test_a_price_is_explained_by_who_says_so(own: Callable[[str], Path]) -> None:
    ours = f"otel-embed {__version__}"
    said = (
        "openai text-embedding-3-small\n"
        f"  $0.02 for a million tokens, says {ours}, checked 2026-11-24, {ago('2026-11-24')}\n"
        "  https://developers.openai.com/api/docs/pricing\n"
        "  A million tokens cost $0.0200.\n"
    )
    assert prices("openai", "openai/text-embedding-3-small").stdout == said
    assert prices("explain", "openai", "text-embedding-3-small").stdout == said
    path = own(GOOD)
    assert prices("explain", "openai", "text-embedding-3-large").stdout.splitlines() == [
        "openai text-embedding-3-large",
        f"  $0.091 for a million tokens, says OTEL_EMBED_PRICES, {path}",
        f"  instead of $0.13 (tokens) in {ours}",
        "  A million tokens cost $0.0910.",
    ]


def test_without_a_provider_a_model_is_explained_wherever_it_is_to_be_had() -> None:
    done = prices("explain", "text-embedding-3-small")
    assert done.exit_code == 0
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == [
        "azure.ai.openai text-embedding-3-small", "openai text-embedding-3-small",
    ]  # fmt: skip
    unknown = prices("explain", "text-embeding-3-smal")
    assert unknown.exit_code == 1
    assert unknown.stdout.startswith("text-embeding-3-smal: unknown; there are text-embedding-3-small, ")
    assert prices("explain", "a", "b", "c").exit_code == 2


def test_a_chat_model_is_explained_by_any_of_its_names() -> None:
    said = f"says otel-embed {__version__}, checked 2026-11-25, {ago('2026-11-25')}"
    assert prices("explain", "openai", "gpt-4o-2024-08-06").stdout.splitlines() == [
        "openai gpt-4o, a chat model",
        f"  $2.5 for a million input tokens, {said}",
        f"  $1.25 for a million cached input tokens, {said}",
        f"  $10 for a million output tokens, {said}",
        "  https://developers.openai.com/api/docs/pricing",
        "  A million tokens in and a million out cost $12.50.",
    ]
    assert re.search("With more than [0-9,]+ input tokens in a call, the cost is unknown", prices("explain", "gemini-2.5-pro").stdout)


def test_a_chat_row_of_ones_own_holds_under_the_models_other_names(own: Callable[[str], Path]) -> None:
    row = '[[chat]]\nprovider = "anthropic"\nmodel = "Claude-3-5-Haiku-latest"\ninput = 0.1\noutput = 0.2\n'
    path, ours = own(row), f"otel-embed {__version__}"
    kept = "$1 (cache write tokens), $1.6 (cache write 1h tokens)"
    listed = f"$0.8 (input tokens), $0.08 (cached input tokens), {kept}, $4 (output tokens)"
    assert prices("explain", "anthropic", "claude-3-5-haiku-20241022").stdout.splitlines() == [
        "anthropic Claude-3-5-Haiku-latest, a chat model",
        "  also claude-3-5-haiku",
        f"  $0.1 for a million input tokens, says OTEL_EMBED_PRICES, {path}",
        f"  $0.2 for a million output tokens, says OTEL_EMBED_PRICES, {path}",
        f"  instead of {listed} in {ours}",
        "  A million tokens in and a million out cost $0.300.",
    ]
    chat = ChatPrices.load(str(path), pytest.fail, Prices.load(str(path), pytest.fail))
    for answered in ("claude-3-5-haiku-20241022", "claude-3-5-haiku", None):
        price = chat.find("anthropic", answered, "claude-3-5-haiku-latest")
        assert price is not None and (price.input, price.output, price.source) == (0.1, 0.2, "user")


def test_what_is_explained_is_what_an_application_is_charged_with() -> None:
    embedding = Prices.load(None, pytest.fail)
    chat = ChatPrices.load(None, pytest.fail, embedding)
    known = KnownPrices(None, [])
    for row in known.rows():
        for name in row.names:
            (found,) = [each for each in known.named(name.upper(), row.provider) if each.kind == row.kind]
            assert found == row
            charged = {price.unit: price.usd_per_million for price in row.prices}
            if row.kind == "chat":
                price = chat.find(row.provider, None, name)
                assert price is not None
                assert (price.input, price.output) == (charged["input tokens"], charged["output tokens"])
            elif (text := embedding.find(row.provider, name)) is not None:
                assert charged[text.unit] == text.usd_per_million


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8"])
def test_a_name_that_stdout_cannot_show_is_replaced(encoding: str) -> None:
    command = [sys.executable, "-m", "otel_embed.cli", "prices", "explain", "没有"]
    env = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)
    shown = "没有" if encoding == "utf-8" else "??"
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.decode(encoding).startswith(f"{shown}: unknown; there are ")


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["openai", "--help"], "prices list [OPTIONS] [PROVIDER]"),
        (["openai", "a-model", "-h"], "prices explain [OPTIONS] [PROVIDER] MODEL"),
        (["check", "--help"], "prices check [OPTIONS] [FILE]"),
        (["--help"], "prices [OPTIONS] COMMAND [ARGS]..."),
    ],
)
def test_help_is_that_of_the_command_that_is_meant(arguments: list[str], usage: str) -> None:
    done = prices(*arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.split("\n")[0].endswith(usage)


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
        "  A million tokens cost $3.00.",
    ]


def test_as_data(own: Callable[[str], Path]) -> None:
    path = own(GOOD)
    rows = json.loads(prices("vllm", "--json").stdout)["rows"]
    days = (date.today() - date(2000, 1, 31)).days
    priced = {"source": "user", "url": "https://example.com/gpu", "checked": "2000-01-31", "days": days}
    model = "[bold]bge\x1b[2J"
    assert rows == [
        {
            "kind": "embedding", "provider": "vllm", "model": model, "aliases": [], "up_to_input_tokens": None,
            "prices": [
                {"usd_per_million": 0.004, "unit": "tokens", **priced},
                {"usd_per_million": 15.0, "unit": "images", **priced},
            ],
        }
    ]  # fmt: skip
    found = {"provider": "vllm", "model": model, "own_file": str(path), "found": rows}
    assert json.loads(prices("vllm", model, "--json").stdout) == found
    unknown = prices("vllm", "other", "--json")
    assert (unknown.exit_code, json.loads(unknown.stdout)["found"]) == (1, [])


def test_a_file_with_mistakes_is_warned_of_and_the_rest_is_listed(own: Callable[[str], Path]) -> None:
    path = own("[[price]]\nprovider = 'x'\nmodel = 'y'\nusd_per_million_tokens = 90")
    done = prices("openai")
    assert done.exit_code == 0
    assert done.stderr.startswith(f"otel-embed: OTEL_EMBED_PRICES: {path}: row 1: usd_per_million_tokens is 90;")
    assert "text-embedding-3-small" in done.stdout


CENTURY = "--max-age=36500"
"""Days in which the table of this package is fresh, whenever this runs."""


def test_check_finds_nothing_in_good_order(own: Callable[[str], Path]) -> None:
    models = len(KnownPrices(None, []).rows())
    done = prices("check", CENTURY)
    assert (done.exit_code, done.stdout) == (0, f"{models} models: 0 prices not checked for more than 36,500 days\n")
    path = own(GOOD)
    done = prices("check", CENTURY)
    assert (done.exit_code, done.stdout.splitlines()[1:]) == (0, [f"{path}: 2 rows, 0 mistakes"])


def test_check_finds_old_prices(own: Callable[[str], Path]) -> None:
    own(GOOD)
    done = prices("check", "--max-age=9000")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1:3] == [
        "  vllm [bold]bge�[2J, tokens: checked 2000-01-31 https://example.com/gpu",
        "  vllm [bold]bge�[2J, images: checked 2000-01-31 https://example.com/gpu",
    ]
    old = json.loads(prices("check", "--max-age=9000", "--json").stdout)["old"]
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
    done = prices("check", CENTURY)
    assert (done.exit_code, done.stderr) == (1, "")
    count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
    assert done.stdout.splitlines()[1:] == [f"{path}: 0 rows, {count}", *(f"  {mistake}" for mistake in mistakes)]
    assert json.loads(prices("check", CENTURY, "--json").stdout)["mistakes"] == mistakes


def test_check_finds_that_ones_own_file_is_no_toml(own: Callable[[str], Path]) -> None:
    own("[[price")
    done = prices("check", CENTURY)
    assert done.exit_code == 1
    assert "Expected ']]' at the end of an array declaration" in done.stdout


def test_check_finds_that_ones_own_file_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EMBED_PRICES", "no-such.toml")
    done = prices("check", CENTURY)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1:] == ["no-such.toml: 0 rows, 1 mistake", "  there is no such file"]


def test_check_of_a_file_looks_at_that_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.toml"
    path.write_text(dedent(GOOD))
    done = prices("check", str(path), "--max-age=0")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[0] == "2 models: 2 prices not checked for more than 0 days"
    assert prices("check", str(path), CENTURY).exit_code == 0
    assert prices("check", str(tmp_path / "none.toml"), CENTURY).exit_code == 1


CHAT = """
    [[chat]]
    provider = "openai"
    model = "gpt-4o-mini"
    input = 0.12
    output = 4.8
"""


def test_check_doubts_a_price_that_is_far_from_the_packages(own: Callable[[str], Path]) -> None:
    path = own(CHAT)
    done = prices("check", CENTURY)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1:] == [
        f"{path}: 1 row, 0 mistakes",
        "  openai gpt-4o-mini: $4.8 for a million output tokens, and $0.6 in the package: is the decimal point where it belongs?",
    ]


WRONG = {
    "output = 4.8": ("", "'gpt-4o-mini' has no price for output"),
    "input = 0.12": ("input = 1001", "input is 1001; it must be from 0 to 1000"),
    'provider = "openai"': ("provider = 3", "provider is 3, not a name"),
    'model = "gpt-4o-mini"': ('model = "x"\naliases = "y"', "aliases is 'y', not a list of names"),
    "output = 4": ("up_to_input_tokens = 0\noutput = 4", "up_to_input_tokens is 0, not a count"),
    "output = 4.": ("checked = 7\noutput = 4.", "checked is 7, not a date such as 2026-11-24"),
    "output": ("tokens = 1\noutput", "unknown key 'tokens'"),
    "0.12": ("0.0000001", "input is 1E-7; it must be a multiple of 0.000001"),
    "4.8": ("true", "output is True, not a number"),
    "4.8 ": ("nan", "output is NaN; it must be from 0 to 1000"),
}


@pytest.mark.parametrize("part", WRONG)
def test_a_chat_row_that_is_wrong_is_said_and_the_others_hold(part: str, own: Callable[[str], Path]) -> None:
    put, said = WRONG[part]
    good = dedent(CHAT).replace("gpt-4o-mini", "mine")
    path = own(dedent(CHAT).replace(part.strip(), put, 1) + good)
    assert prices("check", CENTURY).stdout.splitlines()[1:] == [f"{path}: 1 row, 1 mistake", f"  chat row 1: {said}"]
    warnings: list[str] = []
    known = ChatPrices.load(str(path), warnings.append, Prices.load(None, pytest.fail))
    assert warnings == [f"OTEL_EMBED_PRICES: {path}: chat row 1: {said}. {chat.FORM} All other prices are used."]
    mine, others = known.find("openai", None, "mine"), known.find("openai", None, "gpt-4o")
    assert mine is not None and (mine.input, mine.output, mine.source) == (0.12, 4.8, "user")
    assert others is not None and others.source == "table"


def test_mistakes_in_rows_of_both_kinds_are_one_warning_that_says_what_either_may_be(own: Callable[[str], Path]) -> None:
    path = own("[[price]]\nprovider = 'x'\n" + "[[chat]]\nprovider = 'x'\n" * 4)
    missing = "row 1: model is missing; chat row 1: model is missing; chat row 2: model is missing; and 2 more."
    (line,) = prices("openai").stderr.splitlines()
    assert line == (
        f"otel-embed: OTEL_EMBED_PRICES: {path}: {missing} {EMBEDDING_FORM} {chat.FORM} All other prices are used."
    )
    assert "[[price]]" in line and "[[chat]] with provider, model, input and output; it may have cached_input" in line


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("1e99999999999999999999", "'1e99999999999999999999' is beyond what a number can be"),
        ("-1e-99999999999999999999", "'-1e-99999999999999999999' is beyond what a number can be"),
        (f"0x{'f' * 5000}", "row 1: usd_per_million_tokens is too long to show; it must be from 0 to 5"),
        (f"[0x{'f' * 5000}]", "row 1: usd_per_million_tokens is too long to show, not a number"),
    ],
)
def test_a_number_that_python_cannot_have_is_a_mistake_like_any_other(
    number: str, said: str, own: Callable[[str], Path]
) -> None:
    path = own(f"[[price]]\nprovider = 'x'\nmodel = 'y'\nusd_per_million_tokens = {number}")
    done = prices("check", CENTURY)
    assert (done.exit_code, done.stdout.splitlines()[2:]) == (1, [f"  {said}"])
    listed = prices("openai")
    assert listed.exit_code == 0
    assert listed.stderr.startswith(f"otel-embed: OTEL_EMBED_PRICES: {path}: {said}. A row is")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10**9) | st.decimals() | st.text(max_size=9) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_KEYS = st.sampled_from([*sorted(chat._FIELDS), "other"])
_NEARLY = st.fixed_dictionaries(
    {"provider": st.just("x"), "model": st.just("y"), "input": st.integers(0, 9), "output": st.integers(0, 9)},
    optional=dict.fromkeys(chat._FIELDS - {"provider", "model", "input", "output"}, _VALUES),
)


@given(_VALUES | st.dictionaries(_KEYS, _VALUES, max_size=6) | _NEARLY)
def test_whatever_stands_under_chat_is_a_row_or_refused(entry: Any) -> None:
    try:
        row = chat._row(entry, "user")
    except Refused as refused:
        assert str(refused)
        return
    cost = row.price.cost(ChatUsage(10, 10, 5, 5, kept_for_an_hour_tokens=2))
    assert cost is None or 0 <= cost.usd <= 1
