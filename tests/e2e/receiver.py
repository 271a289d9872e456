"""A real OTLP receiver, and what it was sent, in a form that reads well in a test.

It is Datadog's test agent, which takes OTLP over gRPC and HTTP and gives back what it got. Its dependencies want a
virtual environment of their own: ``TEST_AGENT`` is the path of the program in it. ``make e2e`` sets all of this up; by
hand it is ``pip install ddapm-test-agent`` in a new environment.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

GOLDEN = "_otlp_traces.json"
"""How the agent has the names of its files end."""


class Agent(NamedTuple):
    http: str
    grpc: str
    own: str
    """Where it takes what is Datadog's own."""

    def endpoint(self, protocol: str) -> str:
        return self.grpc if protocol == "grpc" else self.http

    def begin(self, session: str) -> None:
        self._get("start", session)

    def received(self, signal: str, session: str) -> list[Any]:
        """The requests of a session for ``traces`` or ``metrics``, as the protocol's JSON in snake case."""
        received: list[Any] = json.loads(self._get(signal, session))
        return received

    def compare(self, session: str, golden: Path, volatile: Iterable[str]) -> str:
        """How the traces of a session differ from a golden file, all but these keys; empty where they do not.

        Without a file they are written to one, where the agent runs with ``write``.
        """
        assert golden.name.endswith(GOLDEN)
        keys = ",".join(volatile)
        asked = {"test_session_token": session, "file": str(golden)[: -len(GOLDEN)], "ignores": keys, "removes": keys}
        try:
            urllib.request.urlopen(f"{self.own}/test/session/snapshot?{urlencode(asked)}", timeout=10).close()
        except urllib.error.HTTPError as error:
            return error.read().decode()
        return ""

    def _get(self, what: str, session: str) -> bytes:
        url = f"{self.http}/test/session/{what}?test_session_token={session}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            content: bytes = answer.read()
        return content


@contextmanager
def running_agent(directory: Path, write: bool = False) -> Iterator[Agent]:
    """The test agent, for as long as the block lasts; it keeps its files in ``directory``.

    With ``write``, it makes the golden files that it does not find.
    """
    program = os.environ.get("TEST_AGENT") or shutil.which("ddapm-test-agent")
    assert program, "set TEST_AGENT to a ddapm-test-agent, or run make e2e, which installs one"
    assert shutil.which(program), f"TEST_AGENT={program} is no program"
    info, http, grpc, page = free_ports(4)
    command = [
        program, "--host", "127.0.0.1", "--port", str(info), "--otlp-http-port", str(http),
        "--otlp-grpc-port", str(grpc), "--web-ui-port", str(page), "--snapshot-dir", str(directory),
        "--disable-llmobs-data-forwarding", "--snapshot-ci-mode", "0" if write else "1",
    ]  # fmt: skip
    with (directory / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_for(f"http://127.0.0.1:{info}/info", process, directory / "log")
            yield Agent(f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}", f"http://127.0.0.1:{info}")
        finally:
            process.terminate()


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the test agent does not answer; it said:\n{log.read_text()[-2000:]}")


class Telemetry(NamedTuple):
    """What otel_embed sent in one session. Other instrumentations of the program are left out."""

    resources: list[dict[str, Any]]
    scopes: list[dict[str, Any]]
    spans: list[dict[str, Any]]
    metrics: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, agent: Agent, session: str) -> Telemetry:
        traces, metrics = agent.received("traces", session), agent.received("metrics", session)
        told, measured = list(_scopes(traces, "spans")), list(_scopes(metrics, "metrics"))
        return cls(
            [attributes(each["resource"]) for each in (*_resources(traces, "spans"), *_resources(metrics, "metrics"))],
            [{**each["scope"], "schema_url": each["schema_url"]} for each in (*told, *measured)],
            [span for each in told for span in each["spans"]],
            {metric["name"]: metric for each in measured for metric in each["metrics"]},
        )

    def named(self, start: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"].startswith(start)]

    def total(self, metric: str, by: str, value: str = "sum") -> dict[Any, float]:
        """The values of a metric's points, added up by one of their attributes."""
        (data,) = (data for data in self.metrics[metric].values() if isinstance(data, dict))
        totals: defaultdict[Any, float] = defaultdict(float)
        for point in data["data_points"]:
            key = attributes(point).get(by)
            totals[key] += float(next(point[name] for name in (value, "as_int", "as_double") if name in point))
        return dict(totals)


def _resources(requests: list[Any], signal: str) -> Iterator[dict[str, Any]]:
    for request in requests:
        yield from request[f"resource_{signal}"]


def _scopes(requests: list[Any], signal: str) -> Iterator[dict[str, Any]]:
    for resource in _resources(requests, signal):
        yield from (each for each in resource[f"scope_{signal}"] if each["scope"]["name"] == "otel_embed")


def attributes(node: Mapping[str, Any]) -> dict[str, Any]:
    return {each["key"]: _value(each["value"]) for each in node.get("attributes", ())}


def _value(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "array_value":
        return [_value(each) for each in content["values"]]
    return int(content) if kind == "int_value" else content


def seconds(span: Mapping[str, Any]) -> float:
    return (int(span["end_time_unix_nano"]) - int(span["start_time_unix_nano"])) / 1e9
