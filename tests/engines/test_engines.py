"""Jobs on real Ray and Spark, in local mode: the trace is one, and so is the bill. Run by ``make lines``.

Spark needs Java: ``apt-get install --no-install-recommends default-jre-headless``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from documents import ROOT
from fakes.otlp import HttpReceiver

ENGINES = ("ray", "spark")
TOKENS, COST = "gen_ai.client.embeddings.operation.input_tokens", "otel_embed.cost"
BILL = r"(\d+) calls, (\d+) tokens(?:, \$([\d.]+))?"


class Bill(NamedTuple):
    calls: int
    tokens: int
    usd: float

    @classmethod
    def of(cls, found: tuple[str, str, str]) -> Bill:
        return cls(int(found[0]), int(found[1]), float(found[2] or 0))


@pytest.fixture(scope="session", autouse=True)
def java() -> None:
    assert shutil.which("java"), "Spark needs Java: apt-get install --no-install-recommends default-jre-headless"


def environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_", "PYTHON"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "RAY_USAGE_STATS_ENABLED": "0"} | dict(more)


def job(engine: str, *way: str, **more: str) -> str:
    """What the example prints."""
    command = [*way, "python", f"examples/{engine}_embed/job.py"]
    ran = subprocess.run(command, cwd=ROOT, env=environment(more), capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def billed(out: str) -> Bill:
    """What the server billed; the job and the sum of its workers said the same."""
    (server,) = re.findall(f"the server billed: {BILL}", out)
    (whole,) = re.findall(f"the job: {BILL}", out)
    workers = [Bill.of(found) for found in re.findall(rf"worker \d+: {BILL}", out)]
    assert Bill.of(whole)[:2] == Bill.of(server)[:2]
    assert [sum(each) for each in zip(*workers)] == pytest.approx(list(Bill.of(whole)), abs=1e-12)
    assert Bill.of(whole).usd == pytest.approx(Bill.of(whole).tokens * 0.02e-6, abs=1e-12)
    return Bill.of(whole)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_readme_names_what_is_run_here(engine: str) -> None:
    text = (ROOT / "examples" / f"{engine}_embed" / "README.md").read_text()
    commands = re.findall(r"^    (.*python .*)$", text, re.MULTILINE)
    example = f"python examples/{engine}_embed/job.py"
    assert commands == [example, f"otel-embed run -- {example}", f"opentelemetry-instrument {example}"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_job_alone_has_one_bill(engine: str) -> None:
    out = job(engine)
    assert out.startswith("240 pages embedded in ")
    assert billed(out).tokens > 240


@pytest.mark.parametrize("engine", ENGINES)
def test_the_report_of_a_run_has_every_worker(engine: str, tmp_path: Path) -> None:
    """Though the engine kills them before they have come to their end."""
    bill = billed(job(engine, "otel-embed", "run", "--json", str(tmp_path / "report.json"), "--"))
    report = json.loads((tmp_path / "report.json").read_text())
    (place,) = report["providers"]
    assert (place["calls"], place["tokens"]["reported"]) == (bill.calls, bill.tokens)
    assert place["cost_usd"] == pytest.approx(bill.usd, abs=1e-12)
    assert report["dropped"] == {}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_trace_is_one_and_the_metrics_are_the_bill(engine: str) -> None:
    with HttpReceiver() as receiver:
        bill = billed(
            job(
                engine,
                "opentelemetry-instrument",
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.origin,
                OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
                OTEL_LOGS_EXPORTER="none",
            )
        )
        spans, sums = list(received_spans(receiver)), last_sums(receiver)
    (whole,) = [(process, span) for process, span in spans if span.name == "embed all pages"]
    calls = [(process, span) for process, span in spans if span.name == "embeddings text-embedding-3-small"]
    assert len(calls) == bill.calls
    assert {(span.trace_id, span.parent_span_id) for _, span in calls} == {(whole[1].trace_id, whole[1].span_id)}
    assert whole[0] not in {process for process, _ in calls}
    assert sums[TOKENS] == bill.tokens
    assert sums[COST] == pytest.approx(bill.usd, abs=1e-12)


def process_of(resource: Any) -> str:
    named = {attribute.key: attribute.value for attribute in resource.attributes}
    found: str = named["service.instance.id"].string_value
    return found


def received_spans(receiver: HttpReceiver) -> Iterator[tuple[str, Any]]:
    """Each with the process that it is of."""
    for request in receiver.received:
        if request.path == "/v1/traces":
            for each in ExportTraceServiceRequest.FromString(request.body).resource_spans:
                yield from ((process_of(each.resource), span) for scope in each.scope_spans for span in scope.spans)


def last_sums(receiver: HttpReceiver) -> dict[str, float]:
    """Of each metric, over processes and points, what was said last."""
    last: dict[tuple[str, str, bytes], float] = {}
    for request in receiver.received:
        if request.path != "/v1/metrics":
            continue
        for each in ExportMetricsServiceRequest.FromString(request.body).resource_metrics:
            for metric in (metric for scope in each.scope_metrics for metric in scope.metrics):
                for point in (*metric.sum.data_points, *metric.histogram.data_points):
                    of = b"".join(sorted(attribute.SerializeToString() for attribute in point.attributes))
                    value = point.sum if metric.HasField("histogram") else point.as_double or point.as_int
                    last[process_of(each.resource), metric.name, of] = value
    names = {name for _, name, _ in last}
    return {name: sum(value for (_, named, _), value in last.items() if named == name) for name in names}
