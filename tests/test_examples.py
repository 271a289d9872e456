"""Every example runs as its README says, alone and under ``otel-embed run``, and what is reported of it is right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/app.py"))
WAYS = ("", "otel-embed run -- ", "opentelemetry-instrument ")


class Ran(NamedTuple):
    code: int
    out: str
    err: str
    reports: list[dict[str, Any]]


def command(way: str, example: str) -> str:
    return f"{way}python examples/{example}/app.py"


def environment(way: str, reports: Path) -> dict[str, str]:
    """Without a key, and without a collector."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_", "PYTHON"))}
    found = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "OTEL_EMBED_REPORT_DIR": str(reports)}
    if way == "opentelemetry-instrument ":
        found |= {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    return kept | found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Ran]:
    """Every example in every way, all at the same time: they mostly wait for their servers."""
    ended = {}
    with ExitStack() as stack:
        started = []
        for key in [(way, example) for example in EXAMPLES for way in WAYS]:
            reports = tmp_path_factory.mktemp("reports")
            process = subprocess.Popen(
                command(*key).split(), cwd=ROOT, env=environment(key[0], reports), text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            stack.callback(process.kill)
            started.append((key, stack.enter_context(process), reports))
        for key, process, reports in started:
            out, err = process.communicate(timeout=120)
            documents = [json.loads(path.read_text()) for path in reports.glob("*.json")]
            ended[key] = Ran(process.returncode, out, err, documents)
    return ended


@pytest.mark.parametrize("example", EXAMPLES)
def test_its_readme_names_no_command_that_is_not_run_here(example: str) -> None:
    text = (ROOT / "examples" / example / "README.md").read_text()
    named = {line.partition(" #")[0].strip() for line in re.findall(r"^    (.*python .*)$", text, re.MULTILINE)}
    assert command("", example) in named
    assert named <= {command(way, example) for way in WAYS}


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_runs_alone(example: str, runs: dict[tuple[str, str], Ran]) -> None:
    alone = runs["", example]
    assert (alone.code, alone.err) == (0, "")
    assert alone.out


@pytest.mark.parametrize("way", WAYS[1:])
@pytest.mark.parametrize("example", EXAMPLES)
def test_its_output_is_the_same_when_it_is_observed(way: str, example: str, runs: dict[tuple[str, str], Ran]) -> None:
    alone, observed = runs["", example], runs[way, example]
    assert observed.code == 0
    assert _without_numbers(observed.out) == _without_numbers(alone.out)
    if way == WAYS[1]:
        assert observed.err.startswith(f"\n otel-embed  python examples/{example}/app.py")
    else:
        assert observed.err == ""


def _without_numbers(text: str) -> str:
    return re.sub(r"\d[\d.,]*", "#", text)


@pytest.mark.parametrize("way", WAYS[1:])
@pytest.mark.parametrize("example", EXAMPLES)
def test_every_call_of_it_has_a_price_and_none_of_ours_failed(
    way: str, example: str, runs: dict[tuple[str, str], Ran]
) -> None:
    (report,) = runs[way, example].reports
    assert report["dropped"] == {}
    assert sum(row["unpriced_calls"] for row in report["providers"]) == 0
    for row in report["providers"]:
        price = {"text-embedding-3-small": 0.02e-6, "text-embedding-3-large": 0.13e-6}[row["model"]]
        assert row["cost_usd"] == pytest.approx(row["tokens"]["reported"] * price)
        assert row["tokens"]["estimated"] == row["tokens"]["counted"] == 0


@pytest.mark.parametrize("way", WAYS[1:])
def test_rag_ingest_shows_what_its_readme_promises(way: str, runs: dict[tuple[str, str], Ran]) -> None:
    (report,) = runs[way, "rag_ingest"].reports
    (provider,), (cache,) = report["providers"], report["caches"]
    assert provider["errors"] == {"invalid_input": 1}
    assert provider["retries"]["429"] >= 2
    assert provider["stages"]["backoff"] > 0.5
    assert cache["hits"] > 200
    assert cache["saved_usd"] > 0


@pytest.mark.parametrize("way", WAYS[1:])
def test_what_track_costs_says_of_itself_is_what_is_reported_of_it(way: str, runs: dict[tuple[str, str], Ran]) -> None:
    ran = runs[way, "track_costs"]
    (said,) = re.findall(r"The whole program: (\d+) calls, (\d+) tokens, \$([\d.]+)", ran.out)
    (report,) = ran.reports
    rows = report["providers"]
    assert int(said[0]) == sum(row["calls"] for row in rows)
    assert int(said[1]) == sum(row["tokens"]["reported"] for row in rows)
    assert float(said[2]) == pytest.approx(sum(row["cost_usd"] for row in rows), abs=1e-8)


@pytest.mark.parametrize("way", WAYS[1:])
def test_rag_chat_shows_what_its_readme_promises(way: str, runs: dict[tuple[str, str], Ran]) -> None:
    ran = runs[way, "rag_chat"]
    (report,) = ran.reports
    (chat,), (cache,) = report["chat"], report["answer_caches"]
    assert (chat["model"], chat["calls"], chat["unpriced_calls"]) == ("gpt-4o-mini", 8, 0)
    assert (cache["hits"], cache["misses"]) == (6, 4)
    assert chat["first_token"]["count"] == 4
    assert {(row["kind"], row["component"]) for row in report["runs"]} >= {
        ("chain", "answer"), ("chain", "join pages"), ("retriever", "Handbook"),
    }  # fmt: skip
    if way == WAYS[1]:
        for target in (r"TTFT \d[\d.]* m?s", r"\d[\d.]* tokens/s", r"60\.0 % answered"):
            assert re.search(f"[✓~✗] {target}", ran.err), ran.err
