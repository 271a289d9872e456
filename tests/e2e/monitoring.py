"""A real Prometheus, Alertmanager and Phoenix, each on a port of its own:
``apt-get install --no-install-recommends prometheus prometheus-alertmanager``; Phoenix as in ``test_phoenix.py``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from receiver import free_ports

from otel_embed.demo.loopback import LoopbackHandler, LoopbackServer


class Prometheus(NamedTuple):
    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        asked = urllib.parse.urlencode({"query": expression})
        request = urllib.request.Request(f"{self.url}/api/v1/query", asked.encode())
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                result: Any = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{expression}\n{error.read().decode()}")
        return [{"metric": {}, "value": result}] if result and isinstance(result[0], float) else list(result)

    def value(self, expression: str) -> float:
        """Of an expression with one result; NaN where it has none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else float("nan")

    def firing(self) -> set[str]:
        return {each["metric"]["alertname"] for each in self.query('ALERTS{alertstate="firing"}')}


@contextmanager
def prometheus(
    folder: Path, target: int | None = None, rules: Path | None = None, alertmanager: str | None = None
) -> Iterator[Prometheus]:
    """Scrapes ``target`` as job ``app`` every half second, and takes what is written to it."""
    scrapes = [{"job_name": "app", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}] if target else []
    managers = [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "1s"},
        "scrape_configs": scrapes,
        "rule_files": [str(rules)] if rules else [],
        "alerting": {"alertmanagers": managers},
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    (port,) = free_ports(1)
    command = [
        program("prometheus"), f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={folder / 'data'}", "--web.enable-remote-write-receiver", "--log.level=warn",
    ]  # fmt: skip
    with running(command, folder / "prometheus.log", f"http://127.0.0.1:{port}/-/ready"):
        yield Prometheus(f"http://127.0.0.1:{port}")


@contextmanager
def phoenix(folder: Path) -> Iterator[str]:
    """Where Arize Phoenix answers and takes OTLP; it asks nobody else for anything."""
    found = os.environ.get("PHOENIX") or shutil.which("phoenix")
    assert found, "set PHOENIX to a phoenix, or run make e2e, which installs one"
    port, grpc = free_ports(2)
    settings = {
        "PHOENIX_WORKING_DIR": str(folder), "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc), "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }  # fmt: skip
    command = ["env", *(f"{name}={value}" for name, value in settings.items()), found, "serve"]
    with running(command, folder / "log", f"http://127.0.0.1:{port}/healthz", 120):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def alertmanager(folder: Path, config: str) -> Iterator[str]:
    """Its host and port."""
    (folder / "alertmanager.yml").write_text(config)
    (port,) = free_ports(1)
    command = [
        program("prometheus-alertmanager"), f"--config.file={folder / 'alertmanager.yml'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", f"--storage.path={folder / 'alerts'}",
    ]  # fmt: skip
    with running(command, folder / "alertmanager.log", f"http://127.0.0.1:{port}/-/ready"):
        yield f"127.0.0.1:{port}"


class _Hook(LoopbackHandler):
    server: Webhook

    def do_POST(self) -> None:
        self.server.received.append(json.loads(self.read_body()))
        self.start(200, {"content-length": "0"})


class Webhook(LoopbackServer):
    """What an Alertmanager sends on."""

    handler: ClassVar[type[LoopbackHandler]] = _Hook

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        super().__init__()

    def alerts(self, status: str = "firing") -> list[dict[str, Any]]:
        return [alert for note in list(self.received) for alert in note["alerts"] if alert["status"] == status]

    def names(self, status: str = "firing") -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.alerts(status)}


def program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"the {name} program is missing: apt-get install --no-install-recommends {name}"
    return found


@contextmanager
def running(command: Sequence[str], log: Path, ready: str, seconds: float = 30.0) -> Iterator[None]:
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            until = time.monotonic() + seconds
            while not answers(ready):
                assert process.poll() is None and time.monotonic() < until, f"{command[0]}:\n{log.read_text()[-2000:]}"
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


def eventually(check: Callable[[], bool], what: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is so; say what was there instead where it does not become so."""
    pause = threading.Event()
    until = time.monotonic() + seconds
    while not check():
        if time.monotonic() > until:
            pytest.fail(f"not within {seconds:g} s: {what()}")
        pause.wait(0.25)
