"""Something goes wrong in a running program, and a webhook hears of it: through Prometheus, the generated rules and a
real Alertmanager with the generated configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from monitoring import Prometheus, Webhook, alertmanager, eventually, prometheus
from receiver import free_ports

from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.cli import main
from otel_embed.demo.server import Latency

BIN = Path(sys.executable).parent
APP = Path(__file__).with_name("app.py")
LARGE = "text-embedding-3-large"
QUICK = """
[latency_p95]
window = "15s"
for = "1s"
at_least = 2
[error_rate]
window = "8s"
for = "1s"
at_least = 10
[cache_hit_rate]
window = "8s"
for = "1s"
at_least = 20
[daily_cost]
above = 0.02
window = "5m"
"""
"""The default limits, looked at over seconds; and two cents instead of 100 dollars for the day."""


class Running(NamedTuple):
    prometheus: Prometheus
    server: OpenAIServer
    webhook: Webhook
    modes: Path


def generated(kind: str, thresholds: Path) -> str:
    result = CliRunner().invoke(main, ["rules", kind, "--thresholds", str(thresholds)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    thresholds, rules, modes = tmp_path / "quick.toml", tmp_path / "rules.yaml", tmp_path / "modes"
    thresholds.write_text(QUICK)
    rules.write_text(generated("prometheus", thresholds).replace('interval: "1m"', 'interval: "1s"'))
    modes.mkdir()
    (target,) = free_ports(1)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | {
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(target),
        "HF_HUB_OFFLINE": "1",
    }
    with OpenAIServer() as server, Webhook() as webhook:
        config = generated("alertmanager", thresholds).replace("http://127.0.0.1:9099/", webhook.origin)
        config = config.replace('group_wait: "30s"', 'group_wait: "0s"').replace('"5m"', '"1s"')
        with alertmanager(tmp_path, config) as manager, prometheus(tmp_path, target, rules, manager) as watching:
            command = [BIN / "opentelemetry-instrument", sys.executable, APP, server.url, modes]
            with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=variables, stderr=log) as process:
                try:
                    counted = "sum(gen_ai_client_embeddings_duration_seconds_count)"
                    eventually(lambda: watching.value(counted) > 200, lambda: (tmp_path / "log").read_text()[-2000:])
                    yield Running(watching, server, webhook, modes)
                finally:
                    (modes / "stop").touch()
                    process.wait(60)


def hear(running: Running, alert: str, status: str = "firing") -> None:
    eventually(
        lambda: alert in running.webhook.names(status),
        lambda: (running.prometheus.firing(), running.webhook.names(), running.prometheus.query("ALERTS")),
    )


def test_what_goes_wrong_is_heard_of_and_nothing_else(running: Running) -> None:
    quiet = {"EmbeddingLatencyHigh", "EmbeddingErrorRateHigh", "CacheHitRateLow", "EmbeddingBudgetExceeded"}
    eventually(lambda: running.prometheus.value("count(otel_embed_cache_lookups_total)") >= 2, lambda: "no lookups")
    assert not running.webhook.names() & quiet, running.webhook.alerts()

    running.server.latency = Latency(base=0.7)
    hear(running, "EmbeddingLatencyHigh")
    running.server.latency = Latency()
    hear(running, "EmbeddingLatencyHigh", "resolved")

    running.server.by_model[LARGE] = Fault(status=500)
    hear(running, "EmbeddingErrorRateHigh")
    del running.server.by_model[LARGE]

    assert "CacheHitRateLow" not in running.webhook.names()
    (running.modes / "cold").touch()
    hear(running, "CacheHitRateLow")

    assert "EmbeddingBudgetExceeded" not in running.webhook.names()
    (running.modes / "dear").touch()
    hear(running, "EmbeddingBudgetExceeded")

    told = {alert["labels"]["alertname"]: alert for alert in running.webhook.alerts()}
    assert told["EmbeddingErrorRateHigh"]["labels"]["gen_ai_request_model"] == LARGE
    assert told["EmbeddingErrorRateHigh"]["labels"]["severity"] == "critical"
    assert " of the embedding calls fail" in told["EmbeddingErrorRateHigh"]["annotations"]["summary"]
    assert told["EmbeddingBudgetExceeded"]["annotations"]["summary"].startswith("app: ")
