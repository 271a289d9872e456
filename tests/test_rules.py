"""Alert rules from thresholds: what is committed, what it asks for, and what a file of one's own changes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from datadog_api_client import Configuration
from datadog_api_client.model_utils import validate_and_convert_types
from datadog_api_client.v1.model.monitor import Monitor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from documents import ROOT
from otel_embed.backends.alerts import alerts
from otel_embed.backends.signals import SIGNALS
from otel_embed.backends.yaml import dump
from otel_embed.cli import main
from otel_embed.thresholds import Thresholds
from promql import wrong

ALERTS = ROOT / "alerts"
FILES = {
    "prometheus": "prometheus.yaml",
    "alertmanager": "alertmanager.yaml",
    "datadog": "datadog.json",
    "grafana": "grafana.yaml",
}
EVERY = '[local_latency_p95]\nalert = true\n[throughput]\nalert = true\n[gpu_idle]\nalert = true\n'


def rules(kind: str, *options: str) -> Result:
    return CliRunner().invoke(main, ["rules", kind, *options])


def written(kind: str, *options: str) -> Any:
    result = rules(kind, *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if kind == "datadog" else yaml.safe_load(result.stdout)


@pytest.fixture
def every(tmp_path: Path) -> str:
    """A file with which every threshold has its alert."""
    path = tmp_path / "every.toml"
    path.write_text(EVERY)
    return str(path)


@pytest.mark.parametrize("kind", FILES)
def test_what_is_committed_is_what_is_generated(kind: str) -> None:
    assert (ALERTS / FILES[kind]).read_text() == rules(kind).stdout, "run: make generated"


def test_every_threshold_has_an_alert_unless_it_says_otherwise() -> None:
    defaults = Thresholds.load(None, pytest.fail)
    named = {alert.threshold.name for alert in alerts(defaults)}
    assert named == {name for name, threshold in defaults.items() if threshold.alert}


def test_an_expression_asks_for_what_is_emitted(every: str) -> None:
    (group,) = written("prometheus", "--thresholds", every)["groups"]
    assert len(group["rules"]) == 22
    for rule in group["rules"]:
        assert wrong(rule["expr"]) == [], rule["alert"]
        for text in rule["annotations"].values():
            assert text.count("{{") == text.count("}}") and "{value}" not in text


def test_grafana_asks_for_the_same_and_compares_by_itself(every: str) -> None:
    (ours,) = written("prometheus", "--thresholds", every)["groups"]
    (group,) = written("grafana", "--thresholds", every, "--datasource", "mimir")["groups"]
    assert [rule["title"] for rule in group["rules"]] == [rule["alert"] for rule in ours["rules"]]
    assert len({rule["uid"] for rule in group["rules"]}) == len(group["rules"])
    for rule, same in zip(group["rules"], ours["rules"]):
        asked, compared = rule["data"]
        assert wrong(asked["model"]["expr"]) == [] and asked["datasourceUid"] == "mimir"
        assert len(rule["uid"]) <= 40
        (condition,) = compared["model"]["conditions"]
        sign = {"gt": ">", "lt": "<"}[condition["evaluator"]["type"]]
        (limit,) = condition["evaluator"]["params"]
        assert f"\n{sign} {limit:.12g}" in same["expr"]


def test_a_file_of_one_s_own_changes_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text('[latency_p95]\nabove = 2\nwindow = "10m"\nfor = "0s"\nat_least = 0\n[error_rate]\nalert = false\n')
    (group,) = written("prometheus", "--thresholds", str(path))["groups"]
    found = {rule["alert"]: rule for rule in group["rules"]}
    assert "EmbeddingErrorRateHigh" not in found
    rule = found["EmbeddingLatencyHigh"]
    assert rule["expr"].endswith("\n> 2") and "[10m]" in rule["expr"] and "[5m]" not in rule["expr"]
    assert "for" not in rule


def test_a_cooldown_is_one_that_alertmanager_takes(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text('[latency_p95]\ncooldown = "0s"\n[error_rate]\ncooldown = "999999d"\n')
    result = rules("alertmanager", "--thresholds", str(path))
    assert (result.exit_code, result.stdout) == (1, rules("alertmanager").stdout)
    assert "latency_p95.cooldown is '0s'" in result.stderr and "error_rate.cooldown is '999999d'" in result.stderr


def test_a_mistake_is_said_and_the_rules_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.toml"
    path.write_text("[latency_p95]\nabove = -2\n")
    monkeypatch.setenv("OTEL_EMBED_THRESHOLDS", str(path))
    result = rules("prometheus")
    assert result.exit_code == 1
    assert "latency_p95.above is -2" in result.stderr
    assert result.stdout == (ALERTS / "prometheus.yaml").read_text()
    assert rules("prometheus", "--thresholds", str(tmp_path / "none.toml")).exit_code == 2
    path.write_text("[latency_p95]\nabove = 1e99999999999999999999\n")
    beyond = rules("prometheus", "--thresholds", str(path))
    assert (beyond.exit_code, beyond.stdout) == (1, result.stdout)
    assert beyond.stderr.count("\n") == 1 and "is beyond what a number can be" in beyond.stderr


def test_datadog_s_own_models_know_all_of_it(every: str) -> None:
    documents = written("datadog", "--thresholds", every)
    assert len(documents) == 22
    for document in documents:
        monitor = validate_and_convert_types(document, (Monitor,), ["monitor"], True, True, Configuration())
        assert list(unparsed(monitor)) == [], document["name"]


def test_datadog_asks_for_what_is_emitted(every: str) -> None:
    known = {signal.name: {*signal.attributes, "service"} for signal in SIGNALS}
    for document in written("datadog", "--thresholds", every):
        assert re.match(r"\w+\(last_((1|5|10|15|30)m|(1|2|4)h|1d)\):", document["query"])
        asked = re.findall(r"(?:sum|avg|min|max|count|p\d+):([\w.]+)\{([^}]*)\}(?: by \{([^}]*)\})?", document["query"])
        assert asked, document["query"]
        for metric, filters, by in asked:
            tags = re.findall(r"([\w.]+):", filters)
            assert {*tags, *filter(None, by.split(","))} <= known[metric], document["query"]
        limit = document["options"]["thresholds"]["critical"]
        assert document["query"].endswith(f" {limit:.12g}")


def test_a_monitor_of_datadog_recovers_when_nothing_fails_any_more() -> None:
    """Of what failed a histogram says nothing then, and a monitor that is told nothing stays as it was."""
    queries = {document["name"].partition(":")[0]: document["query"] for document in written("datadog")}
    for name in ("EmbeddingErrorRateHigh", "EmbeddingRetriesHigh"):
        assert re.match(r"sum\(last_\d+m\):default_zero\([^()]*\.as_count\(\)\) / ", queries[name])


def unparsed(model: Any) -> Any:
    if getattr(model, "_unparsed", False):
        yield model
    for each in (getattr(model, "_data_store", None) or {}).values() if not isinstance(model, list) else model:
        yield from unparsed(each)


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases = yaml.safe_load((ALERTS / "prometheus.test.yaml").read_text())
    (group,) = yaml.safe_load((ALERTS / "prometheus.yaml").read_text())["groups"]
    fired: set[str] = set()
    for case in cases["tests"]:
        jobs = set(re.findall(r'job="(\w+)"', " ".join(each["series"] for each in case["input_series"])))
        for test in case["alert_rule_test"]:
            for alert in test["exp_alerts"]:
                fired.add(test["alertname"])
                assert alert["exp_labels"].get("job", "local") in jobs
    assert fired == {rule["alert"] for rule in group["rules"]}


_KEYS = st.sampled_from(["name", "on", "a.b", "two words", "0"])
_TEXT = st.text(st.sampled_from("ab1 :#-'\"{}[]\n,&*?|>%@`=~.e\\"), max_size=8)
_NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_LEAVES = st.none() | st.booleans() | _NUMBERS | _TEXT | st.sampled_from(["yes", "null", "1e3", "0x1", "2026-01-01"])


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_KEYS, st.recursive(_LEAVES, _nested, max_leaves=8), min_size=1, max_size=3))
def test_yaml_is_read_as_it_was_meant(document: dict[str, Any]) -> None:
    assert yaml.safe_load(dump(document, "a comment")) == document
