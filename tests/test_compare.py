"""``otel-embed compare`` tells a regression from chance, and says so where it cannot."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings

from documents import ROOT, blocks, commands
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.cli import main
from otel_embed.cli.compare_text import markdown
from otel_embed.cli.comparing import compare
from otel_embed.cli.comparison import Limits, Measure
from otel_embed.cli.document import load
from otel_embed.cli.intervals import Estimate, Interval, difference, exactly, quantile, ranks, relative, share
from otel_embed.report.sketch import Sketch
from test_readme import environment
from test_report import DOCUMENT, SAMPLE, documents

DOCS = (ROOT / "docs/compare.md").read_text(encoding="utf-8")
LARGE = "--max-latency-increase=60%"


def drawn(number: int, scale: float = 1.0, seed: int = 1, spread: float = 0.5) -> Sketch:
    """Times around 0.1 s, as skewed as those of a service are."""
    chance, sketch = random.Random(seed), Sketch()
    for _ in range(number):
        sketch.add(chance.lognormvariate(-2.3, spread) * scale)
    return sketch


def document(latency: Sketch, model: str = "text-embedding-3-small", **row: Any) -> dict[str, Any]:
    """A run of one model, with ten inputs of ten tokens a call."""
    calls = latency.count
    provider = {
        "provider": "openai", "model": model, "calls": calls, "inputs": calls * 10, "cost_usd": calls * 2e-6,
        "tokens": {"reported": calls * 100}, "stages": {"wait": latency.sum * 0.75, "other": latency.sum * 0.25},
        "latency": latency.to_dict(),
    }  # fmt: skip
    return {"schema": 1, "started": 1e9, "ended": 1e9 + latency.sum / 2, "providers": [provider | row]}


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., Result]:
    def invoke(before: Any, after: Any, *options: str) -> Result:
        paths = []
        for name, content in (("before.json", before), ("after.json", after)):
            path = tmp_path / name
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            paths.append(str(path))
        return CliRunner().invoke(main, ["compare", *paths, *options])

    return invoke


def verdicts(result: Result) -> dict[str, str]:
    """Of all calls, by the measure's name."""
    whole, *_ = json.loads(result.stdout)["groups"]
    return {measure["name"]: measure["verdict"] for measure in whole["measures"]}


class TestIntervals:
    @pytest.mark.parametrize(("count", "q"), [(6, 0.5), (72, 0.95), (100, 0.5), (368, 0.99), (1000, 0.95)])
    def test_each_rank_is_the_closest_that_misses_the_quantile_once_in_40_at_most(self, count: int, q: float) -> None:
        def below(rank: int) -> float:
            """How likely it is that fewer than ``rank`` values are below the quantile."""
            return sum(comb(count, k) * q**k * (1 - q) ** (count - k) for k in range(rank))

        low, high = ranks(count, q)
        assert below(low) <= 0.025 < below(low + 1)
        assert 1 - below(high) <= 0.025 < 1 - below(high - 1)

    @pytest.mark.parametrize(("q", "fewest"), [(0.5, 6), (0.95, 72), (0.99, 368)])
    def test_below_so_many_values_there_is_none(self, q: float, fewest: int) -> None:
        few, enough = quantile(drawn(fewest - 1), q), quantile(drawn(fewest), q)
        assert few is not None and few.interval is None
        assert enough is not None and enough.interval is not None
        assert enough.interval.low <= enough.value <= enough.interval.high

    @pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
    def test_from_5000_values_on_the_ranks_go_on_as_before(self, q: float) -> None:
        exact, rough = ranks(5000, q), ranks(5001, q)
        assert all(abs(one - other) <= 3 for one, other in zip(exact, rough))

    @pytest.mark.parametrize(("number", "q"), [(100, 0.5), (150, 0.95), (600, 0.99)])
    def test_of_two_runs_that_are_alike_the_interval_of_the_change_misses_zero_rarely(self, number: int, q: float) -> None:
        missed = alarms = 0
        for seed in range(200):
            before, after = quantile(drawn(number, seed=seed), q), quantile(drawn(number, seed=-1 - seed), q)
            assert before is not None and after is not None
            _, interval = relative(before, after) or (0.0, None)
            assert interval is not None
            missed += not interval.low <= 0 <= interval.high
            alarms += Measure("", "seconds", before, after, 0.10).verdict == "worse"
        assert missed <= 15, "of 200, where 10 are expected"
        assert alarms <= 10

    def test_a_share_and_the_difference_of_two_are_those_of_the_literature(self) -> None:
        """Newcombe 1998, Interval estimation for the difference, table II (a): 56/70 and 48/80, method 10."""
        first, second = share(56, 70), share(48, 80)
        assert first is not None and second is not None
        change, interval = difference(second, first)
        assert change == pytest.approx(0.2)
        assert interval == pytest.approx((0.0524, 0.3339), abs=5e-5)

    def test_what_chance_has_no_part_in_is_exact(self) -> None:
        assert difference(exactly(0.5, 1), exactly(0.75, 1)) == (0.25, Interval(0.25, 0.25))
        assert relative(exactly(0.0, 1), exactly(1.0, 1)) is None


@pytest.mark.parametrize(
    ("after", "interval", "verdict"),
    [
        (1.20, (1.10, 1.30), "worse"),
        (1.20, (0.90, 1.50), "unknown"),
        (1.05, (1.01, 1.08), "same"),
        (1.05, (1.01, 1.12), "unknown"),
        (0.70, (0.60, 0.80), "better"),
        (0.95, (0.80, 1.05), "same"),
        (1.20, None, "unknown"),
    ],
)
def test_the_verdict_on_a_measure(after: float, interval: tuple[float, float] | None, verdict: str) -> None:
    later = Estimate(after, Interval(*interval) if interval else None, 9)
    assert Measure("", "seconds", exactly(1.0, 9), later, 0.10).verdict == verdict
    assert Measure("", "seconds", exactly(1.0, 9), later, None).verdict == "unjudged"
    if interval:  # the same the other way round, as of a throughput
        turned = Estimate(1 / after, Interval(1 / interval[1], 1 / interval[0]), 9)
        assert Measure("", "per second", exactly(1.0, 9), turned, 0.09, False).verdict in {verdict, "same"}


class TestCommand:
    def test_a_run_beside_itself_is_the_same(self, compared: Callable[..., Result]) -> None:
        run = document(drawn(2000))
        done = compared(run, run, "--json")
        assert done.exit_code == 0
        assert set(verdicts(done).values()) == {"same"}
        assert json.loads(done.stdout)["verdict"] == "same"

    def test_a_slower_run_is_worse(self, compared: Callable[..., Result]) -> None:
        done = compared(document(drawn(500)), document(drawn(500, 1.5, seed=2)))
        assert done.exit_code == 1
        assert re.search(r"^ Worse: latency p50 of all embedding calls by \d\d(\.\d)? %, and \d more\.$", done.stdout, re.M)
        assert re.search(r"^ latency p50 +9\d\.\d ms +1\d\d ms +\+\d.*worse$", done.stdout, re.MULTILINE)
        assert re.search(r"^ throughput .*−\d.*worse$", done.stdout, re.MULTILINE)

    def test_a_faster_run_is_better(self, compared: Callable[..., Result]) -> None:
        done = compared(document(drawn(2000)), document(drawn(2000, 0.5, seed=2)), "--json")
        assert (done.exit_code, json.loads(done.stdout)["verdict"]) == (0, "better")
        assert verdicts(done)["latency p95"] == "better"

    def test_few_calls_have_no_verdict_and_an_exit_code_of_their_own(self, compared: Callable[..., Result]) -> None:
        runs = document(drawn(20)), document(drawn(20, 1.1, seed=2))
        done = compared(*runs)
        assert done.exit_code == 3
        assert "Not enough samples: 20 and 20 calls do not rule out that p50 or p95 is worse." in done.stdout
        assert compared(*runs, "--accept-few-samples").exit_code == 0

    def test_what_is_worse_beyond_doubt_needs_few_calls(self, compared: Callable[..., Result]) -> None:
        done = compared(document(drawn(20)), document(drawn(20, 5.0)), "--json")
        assert (done.exit_code, verdicts(done)["latency p50"], verdicts(done)["latency p95"]) == (1, "worse", "unknown")

    def test_more_dollars_for_the_same_inputs(self, compared: Callable[..., Result]) -> None:
        dearer = document(drawn(2000), cost_usd=2000 * 2e-6 * 1.06)
        done = compared(document(drawn(2000)), dearer)
        assert done.exit_code == 1
        assert " Worse: cost, 1,000 inputs of all embedding calls by 6 %, and 1 more." in done.stdout
        assert compared(document(drawn(2000)), dearer, "--max-cost-increase", "7%").exit_code == 0
        assert compared(document(drawn(2000)), dearer, "--max-cost-increase=off").exit_code == 0

    def test_a_cost_that_is_known_in_part_is_not_compared(self, compared: Callable[..., Result]) -> None:
        done = compared(document(drawn(2000)), document(drawn(2000), unpriced_calls=500))
        assert done.exit_code == 0
        assert re.search(r"^ cost, 1,000 inputs +\$0\.000200 +– +–  *–$", done.stdout, re.MULTILINE)
        assert "the cost is not known: 25.0 % of the calls after have no price" in done.stdout

    def test_errors_and_hits(self, compared: Callable[..., Result]) -> None:
        def run(failed: int, hits: int) -> dict[str, Any]:
            cache = {"component": "c", "store": "s", "model": "m", "hits": hits, "misses": 20_000 - hits}
            return document(drawn(2000), errors={"timeout": failed}) | {"caches": [cache]}

        done = compared(run(10, 12_000), run(80, 10_000), "--json")
        assert done.exit_code == 1
        assert {name for name, verdict in verdicts(done).items() if verdict == "worse"} == {
            "error rate", "cache hit rate", "cost, 1,000 inputs",
        }  # fmt: skip
        assert compared(run(10, 12_000), run(12, 11_900)).exit_code == 0

    def test_other_work_is_noted(self, compared: Callable[..., Result]) -> None:
        done = compared(document(drawn(500)), document(drawn(500), model="other", inputs=500 * 64), LARGE)
        assert "the work was not the same: 10.0 inputs a call before, 64.0 after" in done.stdout
        assert "the work was not the same: 10.0 tokens an input before, 1.56 after" in done.stdout
        assert "openai other: called in the run after only" in done.stdout

    def test_chat_models_are_compared_as_well(self, compared: Callable[..., Result]) -> None:
        def run(scale: float) -> dict[str, Any]:
            latency = drawn(1000, scale, spread=0.2).to_dict()
            row = {"provider": "openai", "model": "gpt-4o-mini", "calls": 1000, "latency": latency,
                   "first_token": latency, "cost_usd": 1.5}  # fmt: skip
            return {"schema": 1, "chat": [row]}

        assert compared(run(1.0), run(1.0)).exit_code == 0
        done = compared(run(1.0), run(1.3))
        assert done.exit_code == 1
        assert "chat openai gpt-4o-mini" in done.stdout
        assert re.search(r"^ first token p50 .*worse$", done.stdout, re.MULTILINE)
        assert re.search(r"^ cost, 1,000 calls +\$1\.50 +\$1\.50 +0 % +the same$", done.stdout, re.MULTILINE)

    @pytest.mark.parametrize(
        ("content", "said"),
        [("no", "not JSON"), ("{}", "not a summary of otel-embed"), ('{"schema": 1}', "no call of a model is in it")],
    )
    def test_what_cannot_be_read_is_one_line_and_exit_code_2(
        self, content: str, said: str, compared: Callable[..., Result]
    ) -> None:
        done = compared(DOCUMENT, content)
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize("share", ["10", "-5%", "x%", "", "1e3%"])
    def test_a_share_without_its_sign_is_refused(self, share: str, compared: Callable[..., Result]) -> None:
        done = compared(DOCUMENT, DOCUMENT, f"--max-latency-increase={share}")
        assert done.exit_code == 2
        assert "must be like 10% or 2.5%, or off" in done.stderr
        assert compared(DOCUMENT, DOCUMENT, "--json", "--markdown").exit_code == 2

    def test_as_data(self, compared: Callable[..., Result]) -> None:
        done = json.loads(compared(document(drawn(500)), document(drawn(500, 1.5, seed=2)), "--json").stdout)
        whole = done["groups"][0]
        assert (done["verdict"], done["exit_code"], whole["calls"]) == ("worse", 1, {"before": 500, "after": 500})
        assert done["limits"] == {"latency": 0.2, "throughput": 0.2, "cost": 0.05, "hit_rate": 0.05, "error_rate": 0.01}
        p50 = whole["measures"][0]
        assert (p50["name"], p50["unit"], p50["limit"], p50["before"]["samples"]) == ("latency p50", "seconds", 0.2, 500)
        assert p50["change"] == pytest.approx(p50["after"]["value"] / p50["before"]["value"] - 1)
        assert 0 < p50["interval"][0] < p50["change"] < p50["interval"][1]
        assert [stage["stage"] for stage in whole["stages"]] == ["wait", "other"]
        assert whole["stages"][0]["after"] == pytest.approx(3 * whole["stages"][1]["after"])

    def test_a_report_has_the_intervals_of_its_quantiles(self, compared: Callable[..., Result], tmp_path: Path) -> None:
        CliRunner().invoke(main, ["report", str(SAMPLE), "--json", str(tmp_path / "o.json")])
        latency = json.loads((tmp_path / "o.json").read_text())["providers"][1]["latency"]
        low, high = latency["intervals"]["p50"]
        assert low < latency["p50"] < high
        assert latency["intervals"]["p95"] is None, "of 36 calls"


class TestMarkdown:
    def test_it_is_tables_with_a_verdict_before_them(self, compared: Callable[..., Result]) -> None:
        before, after = document(drawn(500)), document(drawn(500, 1.5, seed=2))
        after["providers"].append(document(drawn(30), "other")["providers"][0])
        said = compared(before, after, "--markdown").stdout
        assert re.match(r"### ❌ Worse: latency p50 of all embedding calls by \d\d(\.\d)? %, and \d more\.\n", said)
        assert re.search(r"^\| latency p50 \| 9\d\.\d ms \| 1\d\d ms \| \+\d\d.* \| \+20 % \| \*\*worse\*\* \|$", said, re.M)
        assert "<details open><summary>openai text-embedding-3-small</summary>" in said
        assert "<details><summary>openai other</summary>" in said
        for block in re.findall(r"(?:^\|.*\|\n)+", said, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1

    @pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16"])
    def test_it_is_utf_8_wherever_it_is_made(self, encoding: str, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text(json.dumps(document(drawn(500), "模型")))
        command = [sys.executable, "-m", "otel_embed.cli", "compare", "x.json", "x.json", "--markdown"]
        env = os.environ | {"PYTHONIOENCODING": encoding}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=60, check=True)
        said = done.stdout.decode()
        assert said.startswith("### ✅") and "模型" in said and done.stderr == b""

    def test_a_name_cannot_become_markup(self, tmp_path: Path) -> None:
        evil = document(drawn(30), "</summary><img src=x>|@everyone `x` [a](b)\n\n# b")
        (tmp_path / "x.json").write_text(json.dumps(evil))
        said = markdown(compare(("`a`", "b"), (load(tmp_path / "x.json"),) * 2, Limits()))
        assert "<img" not in said
        assert "@everyone" not in said
        assert "](b)" not in said.replace("\\]", "")
        assert not re.search(r"^# b", said, re.MULTILINE)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(documents(), documents())
def test_any_two_summaries_can_be_compared(
    compared: Callable[..., Result], before: dict[str, Any], after: dict[str, Any]
) -> None:
    for form in ((), ("--markdown",), ("--json",)):
        done = compared(before, after, *form)
        assert done.exit_code in {0, 1, 2, 3}, done.exception
        assert done.exit_code != 2 or "no call of a model is in it" in done.stderr


APP = """
from openai import OpenAI
with OpenAI(base_url={url!r}, api_key="x") as client:
    for number in range(40):
        client.embeddings.create(model="text-embedding-3-small", input=["one two", "three"])
"""


def test_a_real_program_that_became_slower_fails_the_build_of_the_docs(server: OpenAIServer, tmp_path: Path) -> None:
    """The commands of docs/compare.md, where the service takes 40 ms longer after the change."""
    (tmp_path / "app.py").write_text(APP.format(url=server.url))
    first, second, *rest = commands(DOCS)
    assert (first, second) == (
        "otel-embed run --json before.json -- python app.py", "otel-embed run --json after.json -- python app.py",
    )  # fmt: skip
    assert rest[0] == "otel-embed compare before.json after.json"

    def done(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment(), capture_output=True, text=True)

    assert done(first).returncode == 0
    server.script([Fault(header_delay=0.04)] * 40)
    assert done(second).returncode == 0
    ran = done(rest[0])
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "Worse: latency p50 of all embedding calls" in ran.stdout
    for command in rest[1:]:
        assert done(command).returncode in {0, 1}, command


def test_the_workflow_of_the_docs_is_yaml_and_uses_commands_that_exist() -> None:
    (block,) = blocks(DOCS, "yaml")
    steps = yaml.safe_load(block)["jobs"]["compare"]["steps"]
    run = [step["run"] for step in steps if "otel-embed" in step.get("run", "")]
    assert run
    for option in re.findall(r"otel-embed compare.*?(--[\w-]+)", " ".join(run)):
        assert option in CliRunner().invoke(main, ["compare", "--help"]).stdout


def test_the_defaults_of_the_docs_are_those_of_the_command() -> None:
    shown = dict(re.findall(r"^\| `--max-([\w-]+)` \| (\d+)%", DOCS, re.MULTILINE))
    limits = dict(zip(shown, Limits()))
    assert len(shown) == len(Limits())
    assert {name: float(value) / 100 for name, value in shown.items()} == limits
