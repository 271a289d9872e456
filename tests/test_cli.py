"""``otel-embed run`` changes nothing for the program, and its report comes in any case."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from otel_embed import __version__
from otel_embed.cli import main, unseen
from otel_embed.cli.child import SITE, environment

SAMPLE = Path(__file__).parent / "data" / "summary.json"
CLI = [sys.executable, "-m", "otel_embed.cli"]
SEEN = f'cp "{SAMPLE}" "$OTEL_EMBED_REPORT_DIR/1-a.json"'
"""What an instrumented process does, for a shell."""
FILES = ("--json", "o.json", "--html", "o.html", "--svg", "o.svg")
NOTHING = "No embedding calls were seen."

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHON"))}
    (tmp_path / "tmp").mkdir()
    return kept | {"TMPDIR": str(tmp_path / "tmp"), "COLUMNS": "80", "LC_ALL": "C.UTF-8"}


@pytest.fixture
def cli(tmp_path: Path, env: dict[str, str]) -> Iterator[Run]:
    """Runs otel-embed in an empty directory; nothing may be left in the directory for temporary files."""

    def run(*arguments: str, input: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CLI, *arguments],
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
            env=env | variables,
            cwd=tmp_path,
        )

    yield run
    assert list((tmp_path / "tmp").iterdir()) == []


class TestRun:
    def test_the_report_goes_to_stderr_and_the_output_is_the_programs_own(self, cli: Run) -> None:
        done = cli("run", "--", "sh", "-c", f"echo out; echo err >&2; {SEEN}")
        assert (done.returncode, done.stdout) == (0, "out\n")
        assert done.stderr.startswith("err\n\n otel-embed  sh -c 'echo out;")
        assert "text-embedding-3-small" in done.stderr
        assert "exit 0" in done.stderr

    def test_stdin_is_the_programs_own(self, cli: Run) -> None:
        assert cli("run", "--no-report", "--", "cat", input="a\nb\n").stdout == "a\nb\n"

    @pytest.mark.parametrize("code", [0, 1, 2, 77, 255])
    def test_the_exit_code_passes_through(self, code: int, cli: Run) -> None:
        done = cli("run", "--", "sh", "-c", f"{SEEN}; exit {code}")
        assert done.returncode == code
        assert f"exit {code}" in done.stderr

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
    def test_a_program_that_a_signal_ends_has_the_exit_code_of_a_shell(self, number: int, cli: Run) -> None:
        done = cli("run", "--", "sh", "-c", f"{SEEN}; kill -{int(number)} $$")
        assert done.returncode == 128 + number
        assert f"exit {128 + number}" in done.stderr

    def test_options_after_the_command_are_the_commands(self, cli: Run, tmp_path: Path) -> None:
        done = cli("run", "--no-report", "echo", "--json", "x", "--help", "--", "-h")
        assert done.stdout == "--json x --help -- -h\n"
        assert not (tmp_path / "x").exists()

    def test_a_command_that_is_not_there(self, cli: Run) -> None:
        done = cli("run", "no-such-program")
        assert (done.returncode, done.stderr) == (127, "otel-embed: command not found: no-such-program\n")

    def test_a_file_that_is_no_program(self, cli: Run) -> None:
        done = cli("run", str(SAMPLE))
        assert (done.returncode, done.stderr) == (126, f"otel-embed: cannot run {SAMPLE}: Permission denied\n")

    @pytest.mark.parametrize(
        ("command", "code", "said"),
        [
            (["app.py", "--x", "a b"], 127, "command not found: app.py; try: otel-embed run -- python app.py --x 'a b'"),
            (["./app.py"], 126, "cannot run ./app.py: Permission denied; try: otel-embed run -- python ./app.py"),
            (["./gone.py"], 127, "cannot run ./gone.py: No such file or directory"),
            (["./old"], 126, "cannot run ./old: the interpreter that its first line names is not there"),
            ([""], 127, "command not found: "),
        ],
    )
    def test_a_script_that_is_no_command_is_said_with_what_may_be_meant(
        self, command: list[str], code: int, said: str, cli: Run, tmp_path: Path
    ) -> None:
        (tmp_path / "app.py").write_text("print('ran')")
        (tmp_path / "old").write_text("#!/no/such/python\n")
        (tmp_path / "old").chmod(0o755)
        done = cli("run", "--", *command)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", f"otel-embed: {said}\n")

    def test_files_are_written_and_no_report_prints_nothing(self, cli: Run, tmp_path: Path) -> None:
        done = cli("run", "--no-report", *FILES, "--", "sh", "-c", f"{SEEN}; exit 3")
        assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
        document = json.loads((tmp_path / "o.json").read_text())
        assert document["command"] == ["sh", "-c", f"{SEEN}; exit 3"]
        assert document["exit_code"] == 3
        assert document["totals"]["calls"] == 362
        assert document["elapsed_seconds"] < 10
        assert "text-embedding-3-small" in (tmp_path / "o.html").read_text()
        assert "text-embedding-3-small" in (tmp_path / "o.svg").read_text()

    def test_all_processes_are_added_up_and_one_unreadable_summary_costs_only_itself(
        self, cli: Run, tmp_path: Path
    ) -> None:
        second = SEEN.replace("1-a", "2-b")
        broken = 'echo "{" > "$OTEL_EMBED_REPORT_DIR/3-c.json"; echo "{" > "$OTEL_EMBED_REPORT_DIR/4-d.partial"'
        done = cli("run", "--json", "o.json", "--", "sh", "-c", f"{SEEN}; {second}; {broken}")
        assert json.loads((tmp_path / "o.json").read_text())["totals"]["calls"] == 724
        assert done.stderr.count("what one process saw is lost") == 1

    @pytest.mark.parametrize("target", ["missing/o.json", "."])
    def test_a_file_that_cannot_be_written_is_refused_before_the_program_runs(self, target: str, cli: Run) -> None:
        done = cli("run", "--json", target, "--", "echo", "ran")
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr

    def test_a_report_that_fails_leaves_the_exit_code_alone(self, cli: Run, tmp_path: Path) -> None:
        (tmp_path / "gone").mkdir()
        done = cli("run", "--no-report", "--json", "gone/o.json", "--", "sh", "-c", f"{SEEN}; rm -r gone; exit 4")
        assert done.returncode == 4
        assert done.stderr == "otel-embed: cannot write gone/o.json: No such file or directory\n"

    @pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-", "2>&1 >/dev/null | true"])
    def test_where_stderr_fails_the_files_and_the_exit_code_are_as_ever(
        self, stderr: str, env: dict[str, str], tmp_path: Path
    ) -> None:
        program = f"sleep 0.2; {SEEN}; exit 7"
        command = shlex.join([*CLI, "run", *FILES, "--", "sh", "-c", program])
        script = f"{{ {command}; echo $? > code; }} {stderr}"
        subprocess.run(["sh", "-c", script], cwd=tmp_path, env=env, timeout=60, check=False)
        assert (tmp_path / "code").read_text() == "7\n"
        assert sorted(path.name for path in tmp_path.glob("o.*")) == ["o.html", "o.json", "o.svg"]

    def test_a_file_that_cannot_be_written_costs_no_other(self, cli: Run, tmp_path: Path) -> None:
        done = cli("run", "--json", "/dev/full", "--html", "o.html", "--", "sh", "-c", f"{SEEN}; exit 7")
        assert done.returncode == 7
        assert done.stderr.startswith("otel-embed: cannot write /dev/full: No space left on device\n\n otel-embed  sh")
        assert "text-embedding-3-small" in (tmp_path / "o.html").read_text()

    def test_files_that_a_shell_opened_for_the_program_stay_open(self, cli: Run) -> None:
        command = shlex.join([*CLI, "run", "--no-report", "--", "cat", "/dev/fd/9"])
        done = subprocess.run(
            ["sh", "-c", f"{command} 9<<E\nhello\nE\n"], capture_output=True, text=True, timeout=60, check=True
        )
        assert (done.stdout, done.stderr) == ("hello\n", "")

    def test_without_a_directory_for_temporary_files_the_program_runs_unobserved(self, cli: Run) -> None:
        few = 'ulimit -f 0; exec "$@"'  # no file can be written to, so there is no such directory
        done = subprocess.run(
            ["sh", "-c", few, "sh", *CLI, "run", "--", "sh", "-c", "echo ran; exit 7"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (7, "ran\n")
        assert done.stderr.startswith("otel-embed: nothing is observed, as no directory for it can be made: No usable")
        assert done.stderr.count("\n") == 1

    def test_a_file_in_a_working_directory_that_is_gone(self, env: dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "gone").mkdir()
        command = shlex.join([*CLI, "run", "--json", "x.json", "--", "echo", "ran"])
        done = subprocess.run(
            ["sh", "-c", f"rmdir ../gone; exec {command}"],
            cwd=tmp_path / "gone", env=env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "otel-embed: cannot write x.json: the working directory: No such file or directory\n"

    def test_whoever_asked_for_the_summaries_before_gets_them_too(self, cli: Run, tmp_path: Path) -> None:
        done = cli("run", "--", *CLI, "run", "--", "sh", "-c", SEEN)
        assert done.stderr.count("text-embedding-3-small") > 0
        assert done.stderr.count("~1.65 M") == 2
        cli("run", "--", "sh", "-c", SEEN, OTEL_EMBED_REPORT_DIR=str(tmp_path / "kept"))
        assert [path.name for path in (tmp_path / "kept").iterdir()] == ["1-a.json"]


class TestPython:
    def test_a_python_program_is_instrumented_and_otherwise_sees_what_it_would(self, cli: Run, tmp_path: Path) -> None:
        (tmp_path / "app.py").write_text(
            "import json, sys, threading\n"
            "before = sorted(sys.modules)\n"
            "from opentelemetry import trace\n"
            "print(json.dumps({'path': sys.path, 'argv': sys.argv, 'main': __name__,\n"
            "  'threads': threading.active_count(), 'site': 'sitecustomize' in before,\n"
            "  'provider': type(trace.get_tracer_provider()).__module__,\n"
            "  'ours': [m for m in before if m.split('.')[0] in ('click', 'rich')]}))\n"
        )
        plain = subprocess.run(
            [sys.executable, "app.py", "a b"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        expected = json.loads(plain.stdout)
        others = ",".join({entry.name for entry in entry_points(group="opentelemetry_instrumentor")} - {"otel_embed"})
        done = cli("run", "--", sys.executable, "app.py", "a b", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=others)
        seen = json.loads(done.stdout)
        assert seen.pop("provider") == "opentelemetry.sdk.trace"
        assert expected.pop("provider") == "opentelemetry.trace"
        assert seen.pop("threads") <= 2, "nothing but the thread that writes the summary"
        assert expected.pop("threads") == 1
        assert seen == expected
        assert NOTHING in done.stderr
        assert "Instrumentation was on in 1 Python process." in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("alerts", ["on", "off"])
    def test_a_bad_file_of_thresholds_is_warned_of_once(self, alerts: str, cli: Run, tmp_path: Path) -> None:
        (tmp_path / "t.toml").write_text("[latency_p95]\nabove = -1\n")
        program = f"{shlex.quote(sys.executable)} -c 'import otel_embed'; {SEEN}"
        done = cli("run", "--", "sh", "-c", program, OTEL_EMBED_THRESHOLDS="t.toml", OTEL_EMBED_ALERTS=alerts)
        assert done.stderr.count("latency_p95.above is -1") == 1
        assert done.stderr.startswith("otel-embed: OTEL_EMBED_THRESHOLDS: t.toml: ")

    def test_its_python_children_are_instrumented_too(self, cli: Run, tmp_path: Path) -> None:
        (tmp_path / "app.py").write_text(
            "import subprocess, sys, multiprocessing\n"
            "def work(): pass\n"
            "if __name__ == '__main__':\n"
            "    subprocess.run([sys.executable, '-m', 'this'], stdout=subprocess.DEVNULL)\n"
            "    p = multiprocessing.get_context('spawn').Process(target=work); p.start(); p.join()\n"
        )
        done = cli("run", "--", "sh", "-c", f"{sys.executable} app.py")
        # the resource tracker of multiprocessing may or may not be one of them
        assert any(f"on in {number} Python processes." in done.stderr for number in (3, 4)), done.stderr

    def test_what_a_forked_worker_did_is_in_the_report(self, cli: Run, tmp_path: Path) -> None:
        (tmp_path / "app.py").write_text(
            "import multiprocessing\n"
            "from langchain_core.embeddings import Embeddings\n"
            "class Own(Embeddings):\n"
            "    def embed_documents(self, texts): return [[1.0] for _ in texts]\n"
            "    def embed_query(self, text): return [1.0]\n"
            "workers = [multiprocessing.get_context('fork').Process(target=Own().embed_query, args='x') for _ in 'abc']\n"
            "for worker in workers: worker.start()\n"
            "for worker in workers: worker.join()\n"
        )
        cli("run", "--no-report", "--json", "out.json", "--", sys.executable, "app.py")
        document = json.loads((tmp_path / "out.json").read_text())
        assert [(row["component"], row["calls"]) for row in document["components"]] == [("Own", 3)]

    def test_a_sitecustomize_that_ours_hides_runs_as_well(self, cli: Run, tmp_path: Path) -> None:
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        (theirs / "sitecustomize.py").write_text("import os; 'OTEL_EMBED_REPORT_DIR' in os.environ and print('theirs')")
        program = ("-c", "import sitecustomize, os; print(sitecustomize.__file__); print(os.environ['PYTHONPATH'])")
        done = cli("run", "--no-report", "--", sys.executable, *program, PYTHONPATH=f"{theirs}{os.pathsep}")
        assert done.stdout.split("\n") == [
            "theirs", str(theirs / "sitecustomize.py"), f"{SITE}{os.pathsep}{theirs}{os.pathsep}", "",
        ]  # fmt: skip

    def test_a_python_that_lacks_otel_embed_is_named(self, cli: Run, tmp_path: Path) -> None:
        bare = tmp_path / "bare"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
        done = cli("run", "--", str(bare / "bin" / "python"), "-c", "print(1)")
        assert done.stdout == "1\n"
        assert f"{bare / 'bin' / 'python'} ({sys.version.split()[0]}) cannot import otel_embed." in done.stderr
        assert "-m pip install otel-embed" in done.stderr

    def test_a_program_that_is_no_python_is_told_so(self, cli: Run) -> None:
        done = cli("run", "--", "true")
        assert NOTHING in done.stderr
        assert "Is it a Python program?" in done.stderr

    @pytest.mark.parametrize(
        ("name", "value"),
        [("OTEL_SDK_DISABLED", "true"), ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "requests, otel_embed")],
    )
    def test_what_switches_it_off_is_named(self, name: str, value: str, cli: Run) -> None:
        assert name in cli("run", "--", "true", **{name: value}).stderr


def test_a_python_that_is_too_old_is_not_told_to_install() -> None:
    old, new = (
        unseen.Python("/old/python", "3.9.18", "otel_embed"),
        unseen.Python("/new/python", "3.10.1+", "otel_embed"),
    )
    assert unseen.explain([old, old, new], {}, 0) == [
        "/old/python is Python 3.9.18; otel-embed needs 3.10 or later.",
        "/new/python (3.10.1+) cannot import otel_embed. Install otel-embed there:",
        "    /new/python -m pip install otel-embed",
    ]


class TestEnvironment:
    def exporters(self, **variables: str) -> tuple[str | None, ...]:
        env = environment(variables, "/reports")
        return tuple(env.get(f"OTEL_{name}_EXPORTER") for name in ("TRACES", "METRICS", "LOGS"))

    def test_without_a_backend_nothing_is_exported(self) -> None:
        assert self.exporters() == ("none", "none", "none")
        assert self.exporters(OTEL_EXPORTER_OTLP_ENDPOINT="") == ("none", "none", "none")

    def test_what_the_user_says_wins(self) -> None:
        assert self.exporters(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4317") == (None, None, None)
        assert self.exporters(OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="http://m:4317") == ("none", None, "none")
        assert self.exporters(OTEL_TRACES_EXPORTER="console") == ("console", "none", "none")

    def test_the_rest_is_passed_on(self) -> None:
        env = environment({"A": "b", "PYTHONPATH": "x"}, "/reports")
        assert env["A"] == "b"
        assert env["PYTHONPATH"] == f"{SITE}{os.pathsep}x"
        assert env["OTEL_EMBED_REPORT_DIR"] == "/reports"

    def test_a_console_exporter_of_the_users_prints(self, cli: Run) -> None:
        program = "from opentelemetry import trace; trace.get_tracer('t').start_span('mine').end()"
        done = cli("run", "--no-report", "--", sys.executable, "-c", program, OTEL_TRACES_EXPORTER="console")
        assert '"name": "mine"' in done.stdout


WAITS = f"""
import os, shutil, signal, sys, time
def stop(number, frame):
    shutil.copy({str(SAMPLE)!r}, os.path.join(os.environ["OTEL_EMBED_REPORT_DIR"], "1-a.json"))
    os.write(1, f"got {{number}}\\n".encode())
    time.sleep(0.3)
    sys.exit(9)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, stop)
print("ready", flush=True)
time.sleep(30)
"""


CONTROLLING = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes a terminal that of the program."""


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
    def test_a_signal_for_us_reaches_the_program_and_the_report_still_comes(
        self, number: int, env: dict[str, str], tmp_path: Path
    ) -> None:
        with subprocess.Popen(
            [*CLI, "run", "--", sys.executable, "-c", WAITS],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, start_new_session=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        assert out.decode() == f"got {int(number)}\n"
        assert process.returncode == 9
        assert b"text-embedding-3-small" in err
        assert list((tmp_path / "tmp").iterdir()) == []

    def test_ctrl_c_reaches_the_program_once(self, env: dict[str, str]) -> None:
        """The terminal sends it to both of us."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-c", CONTROLLING, *CLI, "run", "--", sys.executable, "-c", WAITS],
            stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True,
        ) as process:  # fmt: skip
            os.close(theirs)
            said = _until(ours, b"ready")
            os.write(ours, b"\x03")
            said += _until(ours, b"")
            assert process.wait(timeout=30) == 9
        os.close(ours)
        assert said.count(b"got 2") == 1
        assert b"text-embedding-3-small" in said


    def test_a_terminal_that_is_closed_takes_neither_the_exit_code_nor_the_files(
        self, env: dict[str, str], tmp_path: Path
    ) -> None:
        ours, theirs = pty.openpty()
        program = f"trap '{SEEN}; exit 9' HUP; echo ready; while :; do sleep 0.1; done"
        with subprocess.Popen(
            [sys.executable, "-c", CONTROLLING, *CLI, "run", *FILES, "--", "sh", "-c", program],
            stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=tmp_path, start_new_session=True,
        ) as process:  # fmt: skip
            os.close(theirs)
            _until(ours, b"ready")
            os.close(ours)
            assert process.wait(timeout=30) == 9
        assert sorted(path.name for path in tmp_path.glob("o.*")) == ["o.html", "o.json", "o.svg"]


def _until(terminal: int, expected: bytes) -> bytes:
    """What the terminal shows until ``expected``, or until all have closed it."""
    shown = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (expected and expected in shown):
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    return shown


class TestReport:
    def test_it_prints_to_stdout(self, cli: Run) -> None:
        done = cli("report", str(SAMPLE))
        assert (done.returncode, done.stderr) == (0, "")
        assert " otel-embed  1 process" in done.stdout

    def test_several_files_are_added_up(self, cli: Run, tmp_path: Path) -> None:
        done = cli("report", str(SAMPLE), str(SAMPLE), *FILES)
        assert json.loads((tmp_path / "o.json").read_text())["totals"]["calls"] == 724
        assert "2 processes" in done.stdout
        assert (tmp_path / "o.html").read_text().startswith("<!doctype html>")
        assert ">~3.31 M<" in (tmp_path / "o.svg").read_text()

    def test_a_saved_report_says_the_same_again(self, cli: Run) -> None:
        first = cli("run", "--json", "o.json", "--", "sh", "-c", SEEN).stderr
        assert cli("report", "o.json").stdout == first

    def test_files_are_written_where_printing_fails(self, env: dict[str, str], tmp_path: Path) -> None:
        script = f"{shlex.join([*CLI, 'report', str(SAMPLE), *FILES])} > /dev/full"
        done = subprocess.run(
            ["sh", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        assert done.stderr == "otel-embed: cannot print: No space left on device\n"
        assert sorted(path.name for path in tmp_path.glob("o.*")) == ["o.html", "o.json", "o.svg"]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (None, "x.json: No such file or directory"),
            ("no", "x.json: not JSON"),
            ("{}", "x.json: not a summary of otel-embed"),
            ('{"schema": 99}', "upgrade otel-embed"),
        ],
    )
    def test_bad_input_is_one_line_and_exit_code_2(
        self, content: str | None, said: str, cli: Run, tmp_path: Path
    ) -> None:
        if content is not None:
            (tmp_path / "x.json").write_text(content)
        done = cli("report", "x.json")
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1

    def test_a_summary_without_calls(self, cli: Run, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text('{"schema": 1}')
        done = cli("report", "x.json", "--html", "o.html")
        assert (done.returncode, done.stdout) == (0, f"otel-embed: {NOTHING}\n")
        assert NOTHING in (tmp_path / "o.html").read_text()


class TestMain:
    def test_the_version(self, cli: Run) -> None:
        assert cli("--version").stdout == f"otel-embed, version {__version__}\n"

    def test_help_names_each_command(self, cli: Run) -> None:
        said = cli("--help").stdout
        assert "run " in said
        assert "report " in said

    @pytest.mark.parametrize("arguments", [["nope"], ["run"], ["report"], ["run", "--nope", "x"]])
    def test_a_wrong_command_line_has_exit_code_2(self, arguments: list[str], cli: Run) -> None:
        assert cli(*arguments).returncode == 2


COMMANDS = (
    ("prices",), ("prices", "list", "openai", "--json"), ("prices", "explain", "text-embedding-3-small"), ("prices", "check"),
    ("tokens",), ("rules", "prometheus"), ("dashboards", "datadog", "boards"), ("report", str(SAMPLE)),
    ("compare", str(SAMPLE), str(SAMPLE)), ("compare", "--json", str(SAMPLE), str(SAMPLE)),
    ("compare", "--markdown", str(SAMPLE), str(SAMPLE)), ("--help",), ("--version",), ("run", "--help"),
)  # fmt: skip
"""With what they print, all of which may be lost."""


class TestLostOutput:
    @pytest.fixture
    def shell(self, env: dict[str, str], tmp_path: Path) -> Run:
        def run(arguments: tuple[str, ...], redirected: str) -> subprocess.CompletedProcess[str]:
            """The command's exit code is what the shell's own is."""
            script = f"{shlex.join([*CLI, *arguments])} {redirected}"
            command = ["bash", "-o", "pipefail", "-c", script]
            return subprocess.run(
                command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
            )

        return run

    @pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
    def test_a_full_disk_is_one_line_and_an_exit_code_of_its_own(self, arguments: tuple[str, ...], shell: Run) -> None:
        done = shell(arguments, "> /dev/full")
        assert (done.returncode, done.stderr) == (2, "otel-embed: cannot print: No space left on device\n")

    @pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
    def test_who_closes_stdout_or_stops_reading_gets_the_exit_code_all_the_same(
        self, arguments: tuple[str, ...], shell: Run
    ) -> None:
        expected = 3 if arguments[0] == "compare" else 0  # too few samples
        for redirected in (">&-", "2>&- >/dev/null", "2>/dev/full >/dev/null", "| true"):
            done = shell(arguments, redirected)
            assert (redirected, done.returncode, done.stdout, done.stderr) == (redirected, expected, "", "")


def test_what_ascii_lacks_has_a_stand_in(cli: Run, tmp_path: Path) -> None:
    rows = json.loads(SAMPLE.read_text())
    for row in rows["providers"]:
        row["errors"], row["cost_usd"] = {}, 1e-6
    (tmp_path / "after.json").write_text(json.dumps(rows))
    for arguments in (("compare", str(SAMPLE), "after.json"), ("report", str(SAMPLE)), ("tokens",)):
        done = cli(*arguments, PYTHONIOENCODING="ascii:strict", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
        assert (done.returncode in (0, 3), done.stderr) == (True, "")
        assert not re.search(r"\?\d|\d\?", done.stdout), "a minus is one"


def test_ctrl_c_ends_a_command_as_it_ends_a_program(env: dict[str, str]) -> None:
    started = subprocess.Popen([*CLI, "doctor", "--offline"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    children, deadline = Path(f"/proc/{started.pid}/task/{started.pid}/children"), time.monotonic() + 30
    while not children.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=30)
    assert (started.returncode, out, err) == (130, b"", b"\n")


def test_the_console_script_is_the_same_command() -> None:
    (script,) = entry_points(group="console_scripts", name="otel-embed")
    loaded: Any = script.load()
    assert loaded is main
