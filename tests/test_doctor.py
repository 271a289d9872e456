"""``otel-embed doctor`` in processes of its own, against real libraries, real receivers and made-up distributions.

What it says of exporters is asked of its function here, where that needs no process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from fakes.distributions import CLIENT, CUT, acme, distribution
from fakes.otlp import HttpReceiver, closed_port, grpc_receiver, silent_listener
from otel_embed.cli.checklist import to_dict
from otel_embed.cli.checks.findings import Section
from otel_embed.cli.checks.libraries import _what
from otel_embed.cli.doctor import export
from otel_embed.frameworks import FRAMEWORKS
from otel_embed.instrumentor import declared
from otel_embed.provider import Provider
from otel_embed.providers import PROVIDERS
from otel_embed.transports import TRANSPORTS

BIN = Path(sys.executable).parent
CLI = [sys.executable, "-m", "otel_embed.cli", "doctor"]
REAL = ",".join(dict.fromkeys(provider.name for provider in (*TRANSPORTS, *PROVIDERS, *FRAMEWORKS)))
"""All that is declared: what is installed of it here is not the machine's."""
HTTP = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}


class Diagnosis(NamedTuple):
    code: int
    document: dict[str, Any]

    def section(self, title: str) -> list[dict[str, Any]]:
        (found,) = [section for section in self.document["sections"] if section["title"] == title]
        findings: list[dict[str, Any]] = found["findings"]
        return findings

    def said(self, title: str, *statuses: str) -> list[str]:
        return [each["said"] for each in self.section(title) if not statuses or each["status"] in statuses]

    def the(self, title: str, word: str) -> dict[str, Any]:
        """The one finding that has this word."""
        (found,) = [finding for finding in self.section(title) if word in finding["said"]]
        return found


class Doctor:
    """A machine with one library, acme, that is quick to import, and nothing else to look at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site"
        self.folder.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHON"))}
        kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
        self.env = kept | {
            "PYTHONPATH": str(self.folder),
            "OTEL_EMBED_DISABLED_PROVIDERS": REAL,
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "openai,bedrock,botocore,aiobotocore,httpx,httpx2",
            "OTEL_SERVICE_NAME": "ingest",
            "COLUMNS": "100",
            "LC_ALL": "C.UTF-8",
        }

    def run(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in (self.env | variables).items() if value != "unset"}
        return subprocess.run(
            [*CLI, *options], env=env, cwd=self.folder.parent, capture_output=True, text=True, timeout=100
        )

    def __call__(self, *options: str, **variables: str) -> Diagnosis:
        done = self.run("--json", *options, **variables)
        assert done.stderr == ""
        return Diagnosis(done.returncode, json.loads(done.stdout))


@pytest.fixture
def machine(tmp_path: Path) -> Doctor:
    return Doctor(tmp_path)


@pytest.fixture
def doctor(machine: Doctor) -> Doctor:
    acme(machine.folder)
    return machine


class Exports:
    """What doctor says of the exporters of an environment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        for name in list(os.environ):
            if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("GRPC_VERBOSITY", "NONE")

    def __call__(self, connect: bool = True, **variables: str) -> Diagnosis:
        for name, value in variables.items():
            if name.endswith("_PROXY"):  # read by Python itself
                self.monkeypatch.setenv(name, value)
        findings = export(variables, connect=connect)
        section = to_dict([Section("Export", findings)])
        return Diagnosis(0 if section["ok"] else 1, section)


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> Exports:
    return Exports(monkeypatch)


def by_http(receiver: HttpReceiver, **more: str) -> dict[str, str]:
    return {**HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.origin, **more}


class TestWhole:
    @pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf", "1e400", "soon"])
    def test_a_time_that_is_none_is_refused(self, seconds: str, doctor: Doctor) -> None:
        done = doctor.run("--timeout", seconds)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"'--timeout': '{seconds}' is no number of seconds above 0, up to 86,400" in done.stderr

    def test_where_all_is_well_it_says_so(self, doctor: Doctor) -> None:
        with HttpReceiver() as receiver:
            done = doctor.run(**by_http(receiver, OTEL_EXPORTER_OTLP_HEADERS="x-api-key=hunter2hunter2"))
        assert done.returncode == 0
        assert done.stderr == ""
        for line in (
            "  ✓ opentelemetry-instrument switches otel-embed on",
            "  ✓ acme-embeddings 3.1: 2 embedding functions, 1 timed function observed",
            f"  ✓ {receiver.origin}/v1/traces takes traces (200)",
            f"  ✓ {receiver.origin}/v1/metrics takes metrics (200)",
            " Nothing keeps telemetry from arriving.",
        ):
            assert line in done.stdout.split("\n")
        assert [(each.path, each.body, each.headers["x-api-key"]) for each in receiver.received] == [
            ("/v1/traces", b"", "hunter2hunter2"),
            ("/v1/metrics", b"", "hunter2hunter2"),
        ]
        assert {each.headers["content-type"] for each in receiver.received} == {"application/x-protobuf"}

    def test_the_same_as_data(self, doctor: Doctor) -> None:
        with HttpReceiver() as receiver:
            found = doctor(**by_http(receiver))
        assert found.code == 0
        assert {name: found.document[name] for name in ("schema", "ok", "problems")} == {
            "schema": 1, "ok": True, "problems": 0,
        }  # fmt: skip
        assert [section["title"] for section in found.document["sections"]] == [
            "Switched on", "Libraries", "Other instrumentations", "Export", "Settings",
        ]  # fmt: skip
        assert found.document["python"] == {"executable": sys.executable, "version": sys.version.split()[0]}
        assert found.the("Libraries", "acme")["facts"] == {
            "provider": "acme",
            "library": "acme-embeddings",
            "installed": "3.1",
            "tested": ">=2.0,<4",
            "verdict": "tested",
            "bound": ["acme.client:Client.aembed", "acme.client:Client.embed", "acme.cut:tokenize"],
            "missing": {},
        }

    def test_the_real_libraries_are_observed_in_the_versions_that_are_here(self, doctor: Doctor) -> None:
        found = doctor("--offline", OTEL_EMBED_DISABLED_PROVIDERS="")
        libraries = {
            each["facts"]["library"]: each for each in found.section("Libraries") if "library" in each["facts"]
        }
        for name in ("openai", "langchain-core", "langchain-openai", "httpx", "httpx2"):
            assert libraries[name]["facts"]["installed"] == version(name)
            assert (libraries[name]["status"], libraries[name]["facts"]["missing"]) == ("ok", {})
        assert libraries["openai"]["facts"]["bound"] == [
            "openai.resources.embeddings:AsyncEmbeddings.create",
            "openai.resources.embeddings:Embeddings.create",
        ]

    def test_in_a_terminal_without_unicode(self, doctor: Doctor) -> None:
        done = doctor.run("--offline", LC_ALL="C", PYTHONIOENCODING="ascii")
        assert "  + acme-embeddings 3.1: 2 embedding functions, 1 timed function observed\n" in done.stdout
        assert done.stdout.isascii()

    def test_under_opentelemetry_instrument_it_says_the_same(self, doctor: Doctor) -> None:
        env = doctor.env | {
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "console",
            "OTEL_LOGS_EXPORTER": "none",
        }
        command = [BIN / "opentelemetry-instrument", *CLI, "--json", "--offline"]
        done = subprocess.run(command, env=env, cwd=doctor.folder.parent, capture_output=True, text=True, timeout=100)
        found = Diagnosis(done.returncode, json.JSONDecoder().raw_decode(done.stdout)[0])
        assert found.said("Switched on", "ok") == [
            "opentelemetry-instrument switches otel-embed on",
            "service name: ingest",
        ]
        assert found.the("Libraries", "acme")["status"] == "ok"

    def test_the_application_is_not_imported(self, doctor: Doctor) -> None:
        for name in ("app", "acme", "opentelemetry_app"):
            (doctor.folder.parent / f"{name}.py").write_text("open('imported', 'w')")
        assert doctor("--offline").the("Libraries", "acme")["status"] == "ok"
        assert not (doctor.folder.parent / "imported").exists()


class TestLibraries:
    def found(self, machine: Doctor, library_version: str = "3.1", *options: str, **files: Any) -> dict[str, Any]:
        acme(machine.folder, library_version, **files)
        self.diagnosis = machine("--offline", *options)
        return self.diagnosis.the("Libraries", "acme")

    def test_one_that_is_too_old_is_not_observed(self, machine: Doctor) -> None:
        found = self.found(machine, "1.9")
        assert (found["status"], found["advice"]) == ("problem", "pip install 'acme-embeddings>=2.0,<4'")
        assert found["said"] == "acme-embeddings 1.9 is older than 2.0, the oldest that is supported: not observed"
        assert self.diagnosis.code == 1

    def test_a_newer_major_is_observed_with_a_warning(self, machine: Doctor) -> None:
        found = self.found(machine, "4.0")
        assert found["status"] == "warning"
        assert found["said"] == "acme-embeddings 4.0: observed, though it was tested only with >=2.0,<4"
        assert len(found["facts"]["bound"]) == 3
        assert self.diagnosis.code == 0

    def test_a_newer_major_without_one_of_the_calls_is_said_to_be_half_observed(self, machine: Doctor) -> None:
        found = self.found(machine, "4.0", client="class Client:\n    def embed(self, texts): return texts\n")
        assert found["status"] == "problem"
        assert found["said"] == (
            "acme-embeddings 4.0: only half observed, these calls are not seen: acme.client:Client.aembed"
        )
        assert found["facts"]["missing"] == {"acme.client:Client.aembed": "the installed library has no such function"}

    @pytest.mark.parametrize("client", ["class Other: pass\n", None])
    def test_one_without_any_of_its_calls_is_not_observed(self, client: str | None, machine: Doctor) -> None:
        found = self.found(machine, "3.1", client=client)
        assert found["status"] == "problem"
        assert found["said"].startswith("acme-embeddings 3.1: not observed")
        assert len(found["facts"]["missing"]) == 2

    def test_a_function_of_older_versions_is_expected_in_these_alone(self, machine: Doctor) -> None:
        found = self.found(machine, "2.9")
        assert found["status"] == "warning"
        assert found["said"].endswith("only half observed, these calls are not seen: acme.legacy:embed")

    def test_a_function_of_older_versions_is_observed_in_these(self, machine: Doctor) -> None:
        found = self.found(machine, "2.9", legacy="def embed(texts): return texts\n")
        assert (found["status"], found["said"]) == (
            "ok", "acme-embeddings 2.9: 3 embedding functions, 1 timed function observed",
        )  # fmt: skip

    def test_a_missing_stage_is_a_warning(self, machine: Doctor) -> None:
        found = self.found(machine, "3.1", cut=None)
        assert (found["status"], found["said"]) == (
            "warning",
            "acme-embeddings 3.1: observed, but without acme.cut:tokenize",
        )
        assert found["facts"]["missing"] == {"acme.cut:tokenize": "the installed library has no such module"}

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            (
                "raise RuntimeError('no CUDA here\\nand more')",
                "acme.client could not be imported: RuntimeError: no CUDA here",
            ),
            ("import torch_of_acme", "could not be imported: ModuleNotFoundError: No module named 'torch_of_acme'"),
            ("raise SystemExit(3)", "acme.client could not be imported: SystemExit: 3"),
            ("import os; os._exit(7)", "could not be imported here: it ended its process with exit code 7"),
            ("import os; os.abort()", "could not be imported here: it ended its process with SIGABRT"),
            ("import time; time.sleep(60)", "could not be imported here: it took more than 3 s"),
        ],
    )
    def test_one_whose_import_fails_is_shown_with_its_error_and_doctor_goes_on(
        self, source: str, said: str, machine: Doctor
    ) -> None:
        found = self.found(machine, "3.1", "--timeout", "3", client=source)
        assert found["status"] == "warning"
        assert said in found["said"]
        assert self.diagnosis.section("Settings")

    def test_what_a_library_started_ends_with_its_time(self, machine: Doctor) -> None:
        client = (
            "import subprocess\n"
            "with open('pid', 'w') as file:\n"
            "    sleep = subprocess.Popen(['sleep', '60'])\n"
            "    file.write(str(sleep.pid))\n"
            "sleep.wait()\n"
        )
        assert "it took more than 2 s" in self.found(machine, "3.1", "--timeout", "2", client=client)["said"]
        pid = int((machine.folder.parent / "pid").read_text())
        status = Path(f"/proc/{pid}/stat")
        assert not status.exists() or status.read_text().rpartition(") ")[2][0] == "Z", "it still runs"

    def test_what_a_library_prints_is_not_in_the_way(self, machine: Doctor) -> None:
        noise = "import sys, threading\nprint('{}')\nprint('noise', file=sys.stderr)\n"
        thread = "threading.Thread(target=threading.Event().wait).start()\n"
        assert self.found(machine, client=CLIENT + noise + thread, cut=noise + CUT)["status"] == "ok"

    def test_one_that_is_switched_off_is_left_alone(self, doctor: Doctor) -> None:
        found = doctor("--offline", OTEL_EMBED_DISABLED_PROVIDERS=f"{REAL},acme")
        assert found.the("Libraries", "acme")["status"] == "note"
        assert "no library with embedding functions" in found.said("Libraries", "problem")[0]
        assert found.code == 1

    def test_one_that_is_not_installed_is_named(self, machine: Doctor) -> None:
        acme(machine.folder)
        shutil.rmtree(machine.folder / "acme")
        shutil.rmtree(machine.folder / "acme_embeddings-3.1.dist-info")
        assert "acme-embeddings" in machine("--offline").the("Libraries", "not installed")["said"]

    def test_one_that_asks_a_network_when_it_is_imported_does_not(self, machine: Doctor) -> None:
        """LiteLLM would fetch its price map: ``--offline`` means what it says."""
        others = ",".join(name for name in REAL.split(",") if name != "litellm")
        with socket.create_server(("127.0.0.1", 0)) as proxy:
            proxy.setblocking(False)
            url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
            ways = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), url)
            found = machine("--offline", OTEL_EMBED_DISABLED_PROVIDERS=others, NO_PROXY="", no_proxy="", **ways)
            assert "observed" in found.the("Libraries", "litellm 1")["said"]
            with pytest.raises(BlockingIOError):
                proxy.accept()

    def test_a_third_party_whose_provider_cannot_be_loaded_is_named(self, doctor: Doctor) -> None:
        files = {"broken_for_otel_embed.py": "PROVIDER = 'no provider'\n"}
        entry_points = "[otel_embed_provider]\nbroken = broken_for_otel_embed:PROVIDER\n"
        distribution(doctor.folder, "broken-for-otel-embed", "1.0", files, entry_points)
        found = doctor("--offline")
        assert found.said("Libraries", "warning") == ["otel_embed failed to load the provider broken"]
        assert found.the("Libraries", "acme")["status"] == "ok"


class TestSwitchedOn:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "requests, otel_embed"),
            ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "*"),
            ("OTEL_TRACES_SAMPLER", "always_off"),
        ],
    )
    def test_what_switches_it_off_is_named(self, name: str, value: str, doctor: Doctor) -> None:
        found = doctor("--offline", **{name: value})
        assert found.code == 1
        (said,) = found.said("Switched on", "problem")
        assert name in said

    @pytest.mark.parametrize(
        ("variables", "said"),
        [
            ({"OTEL_TRACES_EXPORTER": "jaeger"}, "Requested component 'jaeger' not found"),
            ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http"}, "Unsupported OTLP protocol 'http' is configured"),
            ({"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, "'10s'"),
            ({"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "OTEL_EXPORTER_OTLP_COMPRESSION"),
        ],
    )
    def test_what_keeps_opentelemetry_from_starting_is_said(
        self, variables: dict[str, str], said: str, doctor: Doctor
    ) -> None:
        found = doctor("--offline", **variables)
        assert found.code == 1
        (problem,) = found.said("Switched on", "problem")
        assert problem.startswith("opentelemetry-instrument does not switch otel-embed on: Failed to auto initialize")
        assert said in problem

    def test_another_instrumentation_that_fails_and_takes_us_along_is_named(self, doctor: Doctor) -> None:
        entry_points = "[opentelemetry_instrumentor]\nrude = rude:Instrumentor\n"
        distribution(doctor.folder, "aaa-rude", "1.0", {"rude.py": "raise ValueError('I am rude')"}, entry_points)
        found = doctor("--offline")
        problem = found.the("Switched on", "does not switch")
        assert "Instrumenting of rude failed: ValueError: I am rude" in problem["facts"]["complaints"]
        assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in problem["advice"]
        assert found.code == 1

    def test_a_sampler_that_keeps_some_and_one_that_is_unknown(self, doctor: Doctor) -> None:
        tenth = doctor("--offline", OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="0.1")
        assert "traceidratio keeps 0.1 of all traces; metrics count every call" in tenth.said("Switched on", "note")
        unknown = doctor("--offline", OTEL_TRACES_SAMPLER="sometimes")
        assert "OTEL_TRACES_SAMPLER=sometimes is unknown: every span is kept" in unknown.said("Switched on", "warning")

    def test_the_service_name_is_looked_for_where_opentelemetry_does(self, doctor: Doctor) -> None:
        nameless = doctor("--offline", OTEL_SERVICE_NAME="unset")
        assert any("unknown_service" in said for said in nameless.said("Switched on", "warning"))
        named = doctor(
            "--offline", OTEL_SERVICE_NAME="unset", OTEL_RESOURCE_ATTRIBUTES="team=search, service.name=ingest"
        )
        assert "service name: ingest" in named.said("Switched on", "ok")


class TestNeighbours:
    OPENLLMETRY = "opentelemetry-instrumentation-openai"

    def test_opentelemetrys_own_works_together_with_us(self, doctor: Doctor) -> None:
        found = doctor("--offline", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="redis")
        together = found.the("Other instrumentations", "genai-openai")
        assert (together["status"], together["facts"]["entry"]) == ("ok", "openai")
        assert "works together" in together["said"]

    def test_one_that_counts_twice_is_named_with_what_switches_it_off(self, doctor: Doctor) -> None:
        entry_points = "[opentelemetry_instrumentor]\nopenai = no_such_module:Instrumentor\n"
        distribution(doctor.folder, self.OPENLLMETRY, "0.62.4", {}, entry_points)
        found = doctor("--offline", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="redis")
        twice = found.the("Other instrumentations", "0.62.4")
        assert twice["status"] == "warning"
        assert "counts its tokens a second time" in twice["said"]
        assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=redis,openai" in twice["advice"]
        assert "opentelemetry-instrumentation-genai-openai too" in twice["advice"]
        off = doctor("--offline", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="redis,openai")
        assert off.said("Other instrumentations", "warning") == []
        assert "switched off" in off.the("Other instrumentations", "0.62.4")["said"]

    def test_one_that_is_started_in_code_is_named(self, doctor: Doctor) -> None:
        distribution(doctor.folder, "openlit", "1.45.0", {})
        found = doctor("--offline").the("Other instrumentations", "openlit")
        assert found["status"] == "note"
        assert "only where the application starts it" in found["said"]


class TestEndpoint:
    def test_nothing_listens(self, exports: Exports) -> None:
        port = closed_port()
        found = exports(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
        assert found.code == 1
        problem = found.the("Export", "nothing answers")
        assert problem["said"] == f"nothing answers at 127.0.0.1:{port}: connection refused, nothing listens there"
        assert "otel-embed run" in problem["advice"]

    def test_a_name_that_is_none(self, exports: Exports) -> None:
        found = exports(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.invalid:4317")
        assert found.said("Export", "problem") == [
            "nothing answers at collector.invalid:4317: the name cannot be resolved"
        ]

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    def test_one_that_listens_and_says_nothing(self, protocol: str, exports: Exports) -> None:
        with silent_listener() as port:
            found = exports(
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
                OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
                OTEL_METRICS_EXPORTER="none",
            )
        (said,) = found.said("Export", "problem")
        assert said.endswith("takes the connection and does not answer traces")
        assert found.code == 1

    @pytest.mark.parametrize(
        ("status", "level", "word"),
        [
            (202, "ok", "takes traces (202)"),
            (400, "warning", "answers 400"),
            (401, "problem", "refuses the credentials"),
            (403, "problem", "refuses the credentials"),
            (404, "problem", "answers 404"),
            (405, "problem", "answers 405"),
            (429, "warning", "cannot take any at the moment"),
            (500, "problem", "answers 500"),
            (503, "warning", "cannot take any at the moment"),
        ],
    )
    def test_a_status_by_http_is_explained(self, status: int, level: str, word: str, exports: Exports) -> None:
        with HttpReceiver(traces=status) as receiver:
            found = exports(**by_http(receiver, OTEL_METRICS_EXPORTER="none"))
        assert found.the("Export", word)["status"] == level
        assert found.code == (1 if level == "problem" else 0)

    def test_a_backend_for_traces_alone_by_http(self, exports: Exports) -> None:
        with HttpReceiver(metrics=404) as receiver:
            found = exports(**by_http(receiver))
            assert "OTEL_METRICS_EXPORTER=none" in found.the("Export", "answers 404 to metrics")["advice"]
            assert exports(**by_http(receiver, OTEL_METRICS_EXPORTER="none")).code == 0

    def test_a_backend_for_traces_alone_by_grpc(self, exports: Exports) -> None:
        with grpc_receiver("traces") as receiver:
            found = exports(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.port}")
        assert found.the("Export", "takes traces")["status"] == "ok"
        problem = found.the("Export", "answers UNIMPLEMENTED to metrics")
        assert (problem["status"], "OTEL_METRICS_EXPORTER=none" in problem["advice"]) == ("problem", True)

    def test_a_backend_by_grpc_gets_an_empty_request_with_the_headers(self, exports: Exports) -> None:
        with grpc_receiver("traces", "metrics") as receiver:
            found = exports(
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.port}",
                OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20sesame-open",
                OTEL_EXPORTER_OTLP_METRICS_HEADERS="x-team=metrics-secret",
            )
        assert found.code == 0
        assert [(signal, body) for signal, _, body in receiver.received] == [("traces", b""), ("metrics", b"")]
        assert receiver.received[0][1]["authorization"] == "Bearer sesame-open"
        assert receiver.received[1][1]["x-team"] == "metrics-secret"

    def test_credentials_that_are_refused_by_grpc(self, exports: Exports) -> None:
        with grpc_receiver("traces", "metrics", refuse=True) as receiver:
            found = exports(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.port}")
        assert len(found.said("Export", "problem")) == 2
        assert "OTEL_EXPORTER_OTLP_HEADERS is set: no header is sent" in found.the("Export", "to traces")["advice"]

    def test_http_to_a_port_for_grpc(self, exports: Exports) -> None:
        with grpc_receiver("traces", "metrics") as receiver:
            found = exports(
                **HTTP, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.port}", OTEL_METRICS_EXPORTER="none"
            )
        problem = found.the("Export", "does not answer in HTTP")
        assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in problem["advice"]

    def test_grpc_to_a_port_for_http(self, exports: Exports) -> None:
        with HttpReceiver() as receiver:
            found = exports(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.origin, OTEL_METRICS_EXPORTER="none")
        problem = found.the("Export", "does not speak grpc")
        assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in problem["advice"]

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    def test_tls_to_a_plain_port(self, protocol: str, exports: Exports) -> None:
        with HttpReceiver() as http, grpc_receiver("traces") as grpc:
            port = grpc.port if protocol == "grpc" else http.server_address[1]
            found = exports(
                OTEL_EXPORTER_OTLP_ENDPOINT=f"https://127.0.0.1:{port}",
                OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
                OTEL_METRICS_EXPORTER="none",
            )
        (problem,) = [finding for finding in found.section("Export") if finding["status"] == "problem"]
        assert "http://" in problem["advice"]

    def test_tls_with_an_authority_of_ones_own(self, exports: Exports, tmp_path: Path) -> None:
        trusted = str(tmp_path / "ca.pem")
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        pair = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
        authority.cert_pem.write_to_path(trusted)
        with grpc_receiver("traces", tls=pair) as receiver:
            endpoint = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{receiver.port}",
                "OTEL_METRICS_EXPORTER": "none",
            }
            assert exports(**endpoint).code == 1
            assert exports(**endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE=trusted).code == 0

    def test_a_proxy_that_does_not_answer(self, exports: Exports) -> None:
        port = closed_port()
        with HttpReceiver() as receiver:
            proxied = exports(**by_http(receiver, HTTP_PROXY=f"http://me:passw0rd@127.0.0.1:{port}"))
            direct = exports(**by_http(receiver, NO_PROXY="127.0.0.1"))
        assert f"the proxy 127.0.0.1:{port} does not answer" in proxied.said("Export", "problem")[0]
        assert f"(http://***@127.0.0.1:{port}): exports to 127.0.0.1 go through" in proxied.said("Export", "warning")[0]
        assert direct.code == 0
        assert direct.said("Export", "warning") == []


class TestMistakes:
    @pytest.mark.parametrize(
        ("variables", "status", "word"),
        [
            ({**HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, "warning", "port 4317 is usually the one"),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "warning", "port 4318 is usually the one"),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:14268"}, "warning", "Jaeger's own protocol"),
            (
                {**HTTP, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"},
                "warning", "is used as it is, and does not end in /v1/traces",
            ),
            ({**HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/v1/traces"}, "problem", "another one is added"),
            ({**HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, "problem", "is no URL"),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4317"}, "warning", "by grpc that means TLS"),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "problem", "is empty"),
            ({"OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}, "warning", "Python reads it as seconds"),
            ({"OTEL_EXPORTER_OTLP_TIMEOUT": "nan"}, "warning", "OTEL_EXPORTER_OTLP_TIMEOUT=nan is no time to wait"),
            ({"OTEL_EXPORTER_OTLP_TIMEOUT": "-1"}, "warning", "OTEL_EXPORTER_OTLP_TIMEOUT=-1 is no time to wait"),
            ({"OTEL_EXPORTER_OTLP_HEADERS": "Authorization: Bearer abcdef=="}, "problem", "have no name=value"),
            ({"OTEL_EXPORTER_OTLP_HEADERS": "novalue"}, "problem", "have no name=value"),
            ({"HTTPS_PROXY": "http://p", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://c"}, "warning", "HTTPS_PROXY is set"),
            ({"OTEL_TRACES_EXPORTER": "OTLP"}, "problem", "names the exporter 'OTLP'"),
            ({"OTEL_TRACES_EXPORTER": "otlp,none"}, "problem", "names the exporter 'none'"),
            ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "problem", "is not a protocol"),
            ({"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": ""}, "problem", "nothing leaves the process"),
        ],
    )  # fmt: skip
    def test_a_common_mistake_is_named(
        self, variables: dict[str, str], status: str, word: str, exports: Exports
    ) -> None:
        found = exports(connect=False, **variables)
        said = [finding for finding in found.section("Export") if word in finding["said"]]
        assert said and {finding["status"] for finding in said} == {status}
        assert all(finding["advice"] for finding in said)
        assert found.code == (1 if status == "problem" else 0)

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    @pytest.mark.parametrize(
        ("endpoint", "said"),
        [
            ("http://[::1", "its brackets hold no IPv6 address, or only one of them is there: http://[::1"),
            ("http://me:passw0rd@[::1", "its brackets hold no IPv6 address, or only one of them is there: [::1"),
            ("http://localhost:notaport", "its port is not a number from 1 to 65535: http://localhost:notaport"),
            ("http://localhost:99999", "its port is not a number from 1 to 65535: http://localhost:99999"),
            ("http://localhost:0", "its port is not a number from 1 to 65535: http://localhost:0"),
            ("localhost:99999", "its port is not a number from 1 to 65535: localhost:99999"),
            ("collector:port", "its port is not a number from 1 to 65535: collector:port"),
        ],
    )
    def test_an_endpoint_that_is_no_url_is_a_problem_of_its_own(
        self, endpoint: str, said: str, protocol: str, exports: Exports
    ) -> None:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        found = exports(**variables)
        assert found.said("Export", "problem", "warning") == [f"OTEL_EXPORTER_OTLP_ENDPOINT: {said}"]
        assert "http://localhost:4317" in found.the("Export", said)["advice"]

    def test_what_is_advised_for_an_endpoint_without_a_scheme_is_right_for_its_variable(self, exports: Exports) -> None:
        found = exports(connect=False, **HTTP, OTEL_EXPORTER_OTLP_ENDPOINT="localhost:4318")
        (problem,) = [finding for finding in found.section("Export") if finding["status"] == "problem"]
        assert problem["advice"] == "Write http:// or https:// before it: http://localhost:4318"

    def test_the_forms_of_an_address_that_grpc_has_are_no_mistake(self, exports: Exports) -> None:
        for endpoint in ("dns:collector:4317", "ipv4:127.0.0.1:4317,127.0.0.2:4317", "unix:/run/otel.sock"):
            assert exports(connect=False, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint).said("Export", "problem") == []

    def test_a_broken_endpoint_is_one_problem_of_the_whole_diagnosis(self, doctor: Doctor) -> None:
        found = doctor(OTEL_EXPORTER_OTLP_ENDPOINT="http://[::1")
        assert (found.code, len(found.said("Export", "problem"))) == (1, 1)

    @pytest.mark.parametrize(
        "variables",
        [
            {},
            {**HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example.com/otlp"},
            {
                **HTTP,
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces",
                "OTEL_METRICS_EXPORTER": "prometheus",
            },
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_HEADERS": "a=b,c=d%20e,f=g h"},
            {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none"},
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TIMEOUT": "10"},
        ],
    )
    def test_what_is_right_is_not_blamed(self, variables: dict[str, str], exports: Exports) -> None:
        found = exports(connect=False, **variables)
        assert found.said("Export", "warning", "problem") == []


class TestSettings:
    def test_what_is_not_valid_and_what_is_unknown_is_said_with_what_was_meant(self, doctor: Doctor) -> None:
        found = doctor(
            "--offline",
            OTEL_EMBED_SEMCONV="newest",
            OTEL_EMBED_PRICE="p.toml",
            OTEL_EMBED_DISABLED_PROVIDERS=f"{REAL},opena",
        )
        by_text = {finding["said"]: finding["advice"] for finding in found.section("Settings")}
        invalid = "OTEL_EMBED_SEMCONV='newest' is not valid: it must be one of latest, legacy, both. It stays latest."
        assert invalid in by_text
        assert by_text["OTEL_EMBED_PRICE is no setting of otel-embed"] == "Did you mean OTEL_EMBED_PRICES?"
        assert by_text["OTEL_EMBED_DISABLED_PROVIDERS: otel-embed knows no 'opena'"].startswith("Did you mean openai?")

    def test_the_budgets_in_force_are_named_and_what_is_wrong_with_them_is_said(
        self, doctor: Doctor, tmp_path: Path
    ) -> None:
        rows = '[[budget]]\nperiod = "day"\nusd = 1\nmodel = "m"\n[[budget]]\nusd = 1\n'
        (tmp_path / "budgets.toml").write_text(rows)
        found = doctor("--offline", OTEL_EMBED_BUDGETS="budgets.toml", OTEL_EMBED_DAILY_BUDGET_USD="5",
                       OTEL_EMBED_BUDGET_TIMEZONE="Mars/Olympus")  # fmt: skip
        assert "2 budgets in force, each process counts its own: daily, m day" in found.said("Settings", "ok")
        wrong, zone = found.said("Settings", "warning")
        assert "row 2: period is missing" in wrong and "'Mars/Olympus' is not valid" in zone

    def test_the_price_file_is_read(self, doctor: Doctor, tmp_path: Path) -> None:
        row = '[[price]]\nprovider = "openai"\nmodel = "{}"\nusd_per_million_tokens = {}\n'
        (tmp_path / "prices.toml").write_text(row.format("mine", 0.1) + row.format("theirs", 99))
        found = doctor("--offline", OTEL_EMBED_PRICES="prices.toml")
        assert found.the("Settings", "row of your own")["facts"] == {"rows": ["openai mine"]}
        assert "row 2" in found.said("Settings", "warning")[0]
        assert (
            "there is no such file" in doctor("--offline", OTEL_EMBED_PRICES="none.toml").said("Settings", "warning")[0]
        )

    def test_chat_rows_of_the_price_file_are_read(self, doctor: Doctor, tmp_path: Path) -> None:
        row = '[[chat]]\nprovider = "openai"\nmodel = "{}"\ninput = {}\noutput = 1\n'
        (tmp_path / "prices.toml").write_text(row.format("mine", 0.1) + row.format("theirs", 9999))
        found = doctor("--offline", OTEL_EMBED_PRICES="prices.toml")
        assert found.the("Settings", "row of your own")["facts"] == {"rows": ["openai mine"]}
        assert "chat row 2: input is 9999; it must be from 0 to 1000" in found.said("Settings", "warning")[0]

    def test_numbers_that_python_cannot_have_are_warnings(self, doctor: Doctor, tmp_path: Path) -> None:
        (tmp_path / "beyond.toml").write_text("x = 1e99999999999999999999")
        found = doctor("--offline", OTEL_EMBED_PRICES="beyond.toml", OTEL_EMBED_THRESHOLDS="beyond.toml")
        assert sum("is beyond what a number can be" in said for said in found.said("Settings", "warning")) == 2

    def test_whether_tiktokens_encoding_is_here(self, doctor: Doctor, tmp_path: Path) -> None:
        source = (
            "from tiktoken.load import load_tiktoken_bpe\n"
            "def cl100k_base():\n"
            "    ranks = load_tiktoken_bpe('http://tiktoken.invalid/small')\n"
            "    return {'name': 'small', 'pat_str': '.', 'mergeable_ranks': ranks, 'special_tokens': {}}\n"
            "ENCODING_CONSTRUCTORS = {'cl100k_base': cl100k_base}\n"
        )
        distribution(doctor.folder, "small-encoding", "1.0", {"tiktoken_ext/openai_public.py": source})
        cache = {"TIKTOKEN_CACHE_DIR": str(tmp_path / "cache"), "DATA_GYM_CACHE_DIR": "unset"}
        assert "estimated" in doctor("--offline", **cache).the("Settings", "tiktoken's encoding is not")["said"]
        script = (
            "import base64, hashlib, os, pathlib; path = pathlib.Path(os.environ['TIKTOKEN_CACHE_DIR']); path.mkdir()\n"
            "name = hashlib.sha1(b'http://tiktoken.invalid/small').hexdigest()\n"
            "lines = (base64.b64encode(bytes([n])) + b' %d' % n for n in range(256))\n"
            "(path / name).write_bytes(b'\\n'.join(lines))\n"
        )
        subprocess.run([sys.executable, "-c", script], env=doctor.env | cache, check=True)
        assert doctor("--offline", **cache).the("Settings", "tiktoken's encoding is on")["status"] == "ok"


class TestSecrets:
    """Whatever is wrong, a key is not shown."""

    KEY = "sk-proj-Zx81kkQq72ttLm"
    OTHERS = ("hunter2-hunter2", "pa55word-of-proxy", "c2VjcmV0LWJhc2U2NA", "0f8fad5bd9cb469fa165")

    def variables(self) -> dict[str, str]:
        first, proxy, base64, path = self.OTHERS
        return {
            "OPENAI_API_KEY": self.KEY,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{first},{base64}==,x-api-key: {self.KEY}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{first}@127.0.0.1:{closed_port()}/{path}?key={base64}",
            "HTTP_PROXY": f"http://me:{proxy}@127.0.0.1:{closed_port()}",
        }

    @pytest.mark.parametrize("options", [(), ("--json",)])
    @pytest.mark.parametrize("more", [{}, HTTP, {"OTEL_TRACES_EXPORTER": "console"}])
    def test_none_is_printed(self, options: tuple[str, ...], more: dict[str, str], machine: Doctor) -> None:
        client = (
            f"import os; raise ValueError('the key ' + os.environ['OPENAI_API_KEY'] + ' is bad, and {self.OTHERS[0]}')"
        )
        acme(machine.folder, client=client)
        done = machine.run(*options, **self.variables(), **more)
        shown = " ".join((done.stdout + done.stderr).split())
        assert "the key *** is bad" in shown
        assert "authorization=***" in shown
        assert [secret for secret in (self.KEY, *self.OTHERS) if secret in shown] == []
        assert "127.0.0.1" in shown


@pytest.mark.parametrize("provider", [*declared()], ids=lambda provider: f"{provider.name}-{provider.requires}")
def test_what_is_observed_of_a_library_is_said(provider: Provider) -> None:
    """Its vector stores, say, where those are all that is observed of it."""
    assert re.match(r"[1-9]\d* \w+.* observed$", _what(provider.targets))
