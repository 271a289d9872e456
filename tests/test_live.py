"""``otel-embed run --live`` in a real terminal: the program has it for itself, and the numbers are the program's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_embed
from conftest import Telemetry
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.cli.live_figures import Now, Totals, Watched
from otel_embed.cli.live_lines import ROWS, lines
from otel_embed.instrumentor import EmbeddingInstrumentor
from otel_embed.record import STAGES
from otel_embed.report.live import LiveFile, snapshot
from otel_embed.report.pace import LEAST, MOST, SHARE, Pace
from otel_embed.report.sketch import Sketch
from terminals import Terminal, terminal
from test_readme import environment

CLI = [sys.executable, "-m", "otel_embed.cli"]
MODEL = "text-embedding-3-small"
EMBEDS = f"""
import os, signal, sys, time
from openai import OpenAI

def embed(url, calls, pause=0.0):
    with OpenAI(base_url=url, api_key="x", max_retries=0) as client:
        for number in range(calls):
            try:
                client.embeddings.create(model="{MODEL}", input=["one two", "three"])
            except Exception as error:
                print("failed", type(error).__name__, flush=True)
            time.sleep(pause)
"""
Open = Callable[..., "AbstractContextManager[Terminal]"]


@pytest.fixture
def opened(tmp_path: Path, server: OpenAIServer) -> Iterator[Open]:
    (tmp_path / "app").mkdir()
    (tmp_path / "tmp").mkdir()
    env = environment() | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "TMPDIR": str(tmp_path / "tmp")}

    def run(program: str, *options: str, width: int = 100, height: int = 24, **variables: str) -> Any:
        (tmp_path / "app" / "app.py").write_text(f"{EMBEDS}\nURL = {server.url!r}\n{program}")
        command = [*CLI, "run", "--live", *options, "--", sys.executable, "app.py"]
        return terminal(command, tmp_path / "app", env | variables, width, height)

    yield run
    assert list((tmp_path / "tmp").iterdir()) == [], "nothing is left behind"


def status(shown: Terminal) -> str:
    """The first of our lines, where they are."""
    return next((line for line in shown.lines[-ROWS:] if line.startswith(" otel-embed")), "")


def last(raw: bytes, what: str) -> int:
    """The number before a word that was shown last."""
    plain = re.sub(r"\x1b(\[[\d;?]*[A-Za-z]|[78D])", "", raw.decode())
    return int(re.findall(rf"([\d,]+) {what}", plain)[-1].replace(",", ""))


def test_the_lines_stay_at_the_bottom_and_the_output_above_them_is_whole(opened: Open, server: OpenAIServer) -> None:
    program = "for number in range(50):\n    print('line', number, flush=True)\n    embed(URL, 4, 0.005)\nprint('done')"
    with opened(program, "--no-report") as shown:
        shown.until(lambda shown: "texts/s" in status(shown) and "line 40" in shown.lines)
        assert "tokens/s · p95 " in status(shown)
        assert shown.lines[-ROWS].startswith(" otel-embed"), "the first of the two"
        stages = "|".join(STAGES)
        assert re.search(rf" ({stages}) [\d.]+ % · ", shown.lines[-1]), "the longest, whichever they are"
        assert shown.end() == 0
    output = [line for line in shown.all_lines if line]
    assert output == [*(f"line {number}" for number in range(50)), "done"], "and our lines are gone"
    assert last(shown.raw, "texts\\b(?!/)") == 400 == 2 * server.billed.requests


def test_then_the_whole_terminal_is_the_reports(opened: Open) -> None:
    with opened("embed(URL, 3)\nprint('done')") as shown:
        assert shown.end() == 0
    assert shown.screen.margins is None
    assert any(line.startswith(" otel-embed  python") for line in shown.all_lines)
    assert any("Where the time goes" in line for line in shown.all_lines)


def test_the_terminal_is_the_programs_own(opened: Open) -> None:
    program = (
        "print([os.isatty(n) for n in (0, 1, 2)], os.tcgetpgrp(0) == os.getpgrp(), flush=True)\n"
        "print('you said', input('name? '), flush=True)\nembed(URL, 1)\nsys.exit(7)"
    )
    with opened(program, "--no-report") as shown:
        shown.until(lambda shown: any("name?" in line for line in shown.lines))
        shown.until(lambda shown: re.search(r" ([2-9]|\d\d) s$", status(shown)))
        shown.type(b"Ada\n")
        assert shown.end() == 7
    output = [line for line in shown.all_lines if line]
    assert output == ["[True, True, True] True", "name? Ada", "you said Ada"]


def test_ctrl_c_is_the_programs_and_the_terminal_is_given_back(opened: Open) -> None:
    program = (
        "stopped = []\ndef stop(number, frame):\n    os.write(1, b'got it\\n')\n    stopped.append(number)\n"
        "signal.signal(signal.SIGINT, stop)\nprint('ready', flush=True)\n"
        "while not stopped:\n    embed(URL, 5, 0.01)\nsys.exit(9)"
    )
    with opened(program) as shown:
        shown.until(lambda shown: "texts/s" in status(shown))
        shown.type(b"\x03")
        assert shown.end() == 9
    assert shown.raw.count(b"got it") == 1
    assert shown.screen.margins is None
    assert any(MODEL in line for line in shown.all_lines), "the report"


def test_ctrl_z_gives_the_terminal_back_for_as_long_as_it_lasts(opened: Open) -> None:
    with opened("while True:\n    embed(URL, 5, 0.01)", "--no-report") as shown:
        shown.until(lambda shown: "texts/s" in status(shown))
        shown.type(b"\x1a")
        shown.until(lambda shown: any("Stopped" in line for line in shown.lines))
        assert shown.screen.margins is None
        assert not status(shown)
        shown.type(b"fg\n")
        shown.until(lambda shown: "texts/s" in status(shown) and shown.screen.margins is not None)
        shown.type(b"\x03")
        assert shown.end() == 130


def test_the_numbers_of_forked_workers_add_up(opened: Open, server: OpenAIServer) -> None:
    program = (
        "import multiprocessing\ncontext = multiprocessing.get_context('fork')\nembed(URL, 10)\n"
        "if __name__ == '__main__':\n    workers = [context.Process(target=embed, args=(URL, 100, 0.02)) for _ in range(3)]\n"
        "    [worker.start() for worker in workers]\n    [worker.join() for worker in workers]"
    )
    with opened(program, "--no-report", width=120) as shown:
        shown.until(lambda shown: re.search(r"· [1-9]\d\d texts\b(?!/)", status(shown)))
        assert shown.end() == 0
    assert last(shown.raw, "texts\\b(?!/)") == 620 == 2 * server.billed.requests


def test_errors_and_the_budget_are_shown(opened: Open, server: OpenAIServer) -> None:
    server.script([Fault(status=400)] * 3)
    with opened("embed(URL, 60, 0.05)", "--no-report", width=130, OTEL_EMBED_DAILY_BUDGET_USD="2.5") as shown:
        shown.until(lambda shown: "3 errors" in status(shown) and "$2.50 left" in status(shown))
        assert shown.end() == 0


def test_another_size_of_the_terminal_is_found_out(opened: Open) -> None:
    with opened("embed(URL, 400, 0.01)", "--no-report", width=100, height=24) as shown:
        shown.until(lambda shown: "texts/s" in status(shown))
        shown.resize(70, 16)
        shown.screen.resize(16, 70)
        shown.until(lambda shown: shown.screen.margins is not None and shown.screen.margins.bottom == 16 - ROWS - 1)
        shown.until(lambda shown: "texts/s" in status(shown))
        assert max(map(len, shown.lines[-ROWS:])) <= 70
        shown.type(b"\x03")
        shown.end()


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"height": 6}, {"width": 30}])
def test_a_terminal_that_cannot_shows_nothing(variables: dict[str, Any], opened: Open) -> None:
    with opened("embed(URL, 1)\nprint('done')", "--no-report", **variables) as shown:
        assert shown.end() == 0
    assert shown.raw == b"done\r\n"


def test_without_a_terminal_there_is_nothing_at_all(server: OpenAIServer, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(f"{EMBEDS}\nembed({server.url!r}, 3)\nprint(*os.listdir(os.environ['OTEL_EMBED_REPORT_DIR']))")
    command = [*CLI, "run", "--live", "--no-report", "--", sys.executable, "app.py"]
    env = environment() | {"TERM": "xterm"}
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert re.fullmatch(r"\d+\.python\n", ran.stdout), "and no file for it"


def test_a_command_that_is_not_there_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    env = environment() | {"TERM": "xterm"}
    with terminal([*CLI, "run", "--live", "no-such-program"], tmp_path, env) as shown:
        assert shown.end() == 127
    assert shown.screen.margins is None
    assert [line for line in shown.all_lines if line] == ["otel-embed: command not found: no-such-program"]


def test_it_looks_on_as_seldom_as_keeps_it_cheap() -> None:
    pace = Pace(0.0)
    assert pace.wait(0.5, 0.5, 5.0) == LEAST, "in the beginning"
    assert pace.wait(0.501, 5.5, 15.0) == LEAST, "1 ms of 5 s"
    assert pace.wait(0.502, 5.6, 16.0) == pytest.approx(0.001 / (SHARE * 0.1)), "1 ms, and 0.1 s of each second"
    assert pace.wait(0.503, 5.601, 17.0) == MOST
    assert pace.wait(0.504, 5.601, 18.0) == MOST, "the job does nothing"
    assert pace.wait(0.504, 5.601, 18.0) == MOST, "no time went by"


class TestFigures:
    def data(self, **changed: Any) -> dict[str, Any]:
        return snapshot_of_nothing() | changed

    def write(self, folder: Path, name: str, **changed: Any) -> None:
        path = folder / f"{name}.live"
        path.write_text(json.dumps({"cpu_seconds": 0.5, **self.data(**changed)}))
        os.utime(path, ns=(time.time_ns(), time.time_ns()))

    def test_rates_are_those_of_the_last_seconds_and_start_with_the_first_call(self, tmp_path: Path) -> None:
        watched = Watched(tmp_path)
        for second in range(5):
            watched.look(float(second))
        self.write(tmp_path, "1", calls=10, texts=100, tokens=500)
        assert watched.look(5.0).texts_per_second == 100.0
        self.write(tmp_path, "2", calls=10, texts=300)
        assert watched.look(6.0).texts_per_second == 200.0
        for second in range(7, 20):
            now = watched.look(float(second))
        assert (now.texts_per_second, now.totals.sums["texts"], now.p95) == (0.0, 400, None)

    def test_the_quantile_is_of_the_last_seconds(self, tmp_path: Path) -> None:
        def counts(values: list[float]) -> dict[str, int]:
            sketch = Sketch()
            for value in values:
                sketch.add(value)
            return sketch.counts()

        watched = Watched(tmp_path)
        self.write(tmp_path, "1", calls=100, latency=counts([9.0] * 100))
        watched.look(0.0)
        for second in range(1, 12):
            watched.look(float(second))
        self.write(tmp_path, "1", calls=120, latency=counts([9.0] * 100 + [0.5] * 20))
        assert watched.look(12.0).p95 == pytest.approx(0.5, rel=0.01)

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"calls": "x"}', "\x00"])
    def test_a_file_of_another_form_is_passed_over(self, content: str, tmp_path: Path) -> None:
        (tmp_path / "1.live").write_text(content)
        self.write(tmp_path, "2", texts=7)
        assert Watched(tmp_path).look(0.0).totals.sums["texts"] == 7

    def test_a_folder_that_is_gone_has_nothing(self, tmp_path: Path) -> None:
        assert Watched(tmp_path / "gone").look(0.0).totals.is_empty

    @given(
        st.dictionaries(st.sampled_from(sorted(Totals().sums)), st.integers(0, 10**15)),
        st.dictionaries(st.sampled_from(STAGES) | st.text(max_size=9), st.floats(0, 1e9), max_size=6),
        st.none() | st.floats(-1e3, 1e6), st.integers(40, 250), st.booleans(),
    )  # fmt: skip
    def test_whatever_the_numbers_are_the_lines_fit(
        self, sums: dict[str, int], stages: dict[str, float], left: float | None, width: int, coloured: bool
    ) -> None:
        totals = Totals(Totals().sums | sums, {}, {}, left)
        shown = lines(Now(totals, 1e9, 1e12, 3600.0, stages), 1e6, width, coloured)
        assert len(shown) == ROWS
        assert all(line.cell_len < width and "\n" not in line.plain for line in shown)


def test_a_program_that_only_chats_is_shown_without_texts() -> None:
    totals = Totals(Totals().sums | {"chats": 3, "picodollars": 2 * 10**10})
    first, _ = lines(Now(totals, 0.0, 0.0, None, {}), 5.0, 80, False)
    assert first.plain.split() == ["otel-embed", "$0.0200", "·", "3", "chats", "5", "s"]


def snapshot_of_nothing() -> dict[str, Any]:
    return {**Totals().sums, "budget_left": None, "stages": {}, "latency": {}}


def test_a_snapshot_is_what_the_summary_says(telemetry: Telemetry, server: OpenAIServer, tmp_path: Path) -> None:
    from openai import OpenAI

    recorder = EmbeddingInstrumentor().recorder
    assert recorder is not None
    file = LiveFile(recorder, str(tmp_path), "1.json")
    assert snapshot(recorder) == snapshot_of_nothing()
    with OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        for model in (MODEL, "text-embedding-3-large", "unpriced"):
            client.embeddings.create(model=model, input=["one two", "three"])
    found, summary = snapshot(recorder), otel_embed.summary()
    assert (found["calls"], found["texts"], found["tokens"]) == (summary.calls, summary.inputs, summary.tokens)
    assert found["picodollars"] == round(summary.cost_usd * 1e12)
    assert found["unpriced"] == 1
    assert sum(found["latency"].values()) == 3
    seconds = sum(sum(row["stages"].values()) for row in summary.document["providers"])
    assert sum(found["stages"].values()) / 1e9 == pytest.approx(seconds)
    file.write()
    path = tmp_path / "1.live"
    written = json.loads(path.read_text())
    assert 0 < written.pop("cpu_seconds") <= time.process_time()
    assert written == found
    path.unlink()
    file.write()
    assert not path.exists(), "nothing changed"
