"""The collector's files: what can be said of them without a collector."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from documents import ROOT, blocks
from otel_embed.report import names

FOLDER = ROOT / "collector-config"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.yaml")) if path.name != "compose.yaml"}
KNOWN = {
    "receivers": {"otlp"},
    "processors": {"memory_limiter", "tail_sampling", "resource_detection", "cumulative_to_delta"},
    "connectors": {"forward", "span_metrics"},
    "exporters": {"otlp_grpc", "otlp_http", "prometheus"},
    "extensions": {"health_check", "datadog"},
}
"""Components of otelcol-contrib 0.160 by their current names; otlp, otlphttp, spanmetrics, resourcedetection,
cumulativetodelta and batch are the deprecated ones."""
POLICIES = {"status_code", "latency", "ottl_condition", "numeric_attribute", "probabilistic"}
each_file = pytest.mark.parametrize("name", FILES)


class _Unique(yaml.SafeLoader):
    """Refuses a key that stands twice, as the collector does."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]  # type: ignore[no-untyped-call]
    assert len(set(keys)) == len(keys), keys
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Unique.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(path: Path) -> dict[str, Any]:
    document = yaml.load(path.read_text(), Loader=_Unique)
    assert isinstance(document, dict)
    return document


def pipelines(config: Mapping[str, Any]) -> Mapping[str, Mapping[str, list[str]]]:
    found: Mapping[str, Mapping[str, list[str]]] = config["service"]["pipelines"]
    return found


@each_file
def test_components_are_known_and_none_is_deprecated(name: str) -> None:
    config = load(FILES[name])
    assert set(config) == {*KNOWN, "service"}
    for kind, known in KNOWN.items():
        assert {each.partition("/")[0] for each in config[kind]} <= known


@each_file
def test_everything_that_is_named_is_defined_and_everything_defined_is_used(name: str) -> None:
    config = load(FILES[name])
    used: dict[str, set[str]] = {kind: set() for kind in KNOWN}
    used["extensions"] = set(config["service"]["extensions"])
    starts, ends = set(), set()
    for pipeline in pipelines(config).values():
        used["processors"] |= set(pipeline["processors"])
        starts |= set(pipeline["receivers"])
        ends |= set(pipeline["exporters"])
    used["connectors"] = starts & ends
    used["receivers"], used["exporters"] = starts - set(config["connectors"]), ends - set(config["connectors"])
    assert used == {kind: set(config[kind]) for kind in KNOWN}


@each_file
def test_a_connector_stands_between_signals_that_it_can_join(name: str) -> None:
    config = load(FILES[name])
    for connector in config["connectors"]:
        into = {key.partition("/")[0] for key, each in pipelines(config).items() if connector in each["exporters"]}
        out = {key.partition("/")[0] for key, each in pipelines(config).items() if connector in each["receivers"]}
        assert (into, out) == ({"traces"}, {"traces"} if connector == "forward" else {"metrics"})


@each_file
def test_memory_is_limited_first_and_every_exporter_has_batches_in_its_queue(name: str) -> None:
    config = load(FILES[name])
    assert all(pipeline["processors"][0] == "memory_limiter" for pipeline in pipelines(config).values())
    for exporter, settings in config["exporters"].items():
        if exporter != "prometheus":
            assert settings["sending_queue"] == {"batch": {}}


@each_file
def test_spans_are_counted_before_any_is_left_out(name: str) -> None:
    config = load(FILES[name])
    sampling = [key for key, each in pipelines(config).items() if "tail_sampling" in each["processors"]]
    assert sampling == ([] if name == "prometheus" else ["traces/sampled"])
    for key, pipeline in pipelines(config).items():
        if any(each.startswith("span_metrics") for each in pipeline["exporters"]):
            assert key not in sampling and pipeline["receivers"] == ["otlp"]


@pytest.mark.parametrize("name", [name for name in FILES if name != "prometheus"])
def test_failed_slow_and_expensive_calls_are_kept(name: str) -> None:
    policies = {each["name"]: each for each in load(FILES[name])["processors"]["tail_sampling"]["policies"]}
    assert {each["type"] for each in policies.values()} == POLICIES
    assert all(each["type"] in each for each in policies.values())
    assert policies["failed"]["status_code"] == {"status_codes": ["ERROR"]}
    assert policies["slow"]["latency"] == {"threshold_ms": 500}
    (condition,) = policies["expensive"]["ottl_condition"]["span"]
    assert condition == f'attributes["{names.COST}"] > 0.01'
    assert policies["retried"]["numeric_attribute"]["key"] == names.RETRY_COUNT


@each_file
def test_datadog_gets_deltas_and_nobody_else_does(name: str) -> None:
    config = load(FILES[name])
    for key, pipeline in pipelines(config).items():
        if key.startswith("metrics"):
            delta = "cumulative_to_delta" in pipeline["processors"] or any(
                config["connectors"].get(each, {}).get("aggregation_temporality", "").endswith("DELTA")
                for each in pipeline["receivers"]
            )
            assert delta == any("datadog" in exporter for exporter in pipeline["exporters"])


@each_file
def test_it_listens_on_loopback(name: str) -> None:
    listening = [value for key, value in leaves(load(FILES[name])) if key == "endpoint" and re.search(r":\d+$", value)]
    assert listening
    assert all(re.match(r"\$\{env:\w+:-(http://)?127\.0\.0\.1", value) for value in listening)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: path.name)
def test_no_key_is_in_a_file(path: Path) -> None:
    for key, value in leaves(yaml.safe_load(path.read_text())):
        if re.search(r"key|token|secret|password|authorization", str(key), re.IGNORECASE) and key != "key":
            assert re.fullmatch(r"\$\{env:\w+\}", str(value)), key
    text = path.read_text()
    assert not re.search(r"\b[0-9a-f]{32,}\b|[A-Za-z0-9+/]{40,}", text)
    for api in re.findall(r"api:\n\s+site: (.*)\n\s+key: (.*)", text):
        assert api == ("${env:DD_SITE}", "${env:DD_API_KEY}")


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, each in node.items():
            yield from leaves(each, name)
    elif isinstance(node, list):
        for each in node:
            yield from leaves(each, key)
    else:
        yield key, node


COMPOSE: Mapping[str, Any] = load(FOLDER / "compose.yaml")


def test_what_compose_mounts_is_there_and_is_not_written_to() -> None:
    volumes = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", ())]
    assert len(volumes) >= 8
    for volume in volumes:
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert (FOLDER / source).exists() and rest.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_compose_is_open_to_this_machine_alone_and_its_images_are_pinned() -> None:
    for service in COMPOSE["services"].values():
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_compose_sets_what_the_collector_s_file_asks_for() -> None:
    collector = COMPOSE["services"]["collector"]
    asked = set(re.findall(r"\$\{env:(\w+)", FILES["local"].read_text()))
    assert asked == set(collector["environment"])
    minor = int(collector["image"].split(":0.")[1].split(".")[0])
    assert minor >= 160
    hosts = {re.sub(r"https?://", "", value).partition(":")[0] for value in collector["environment"].values()}
    assert hosts - {"0.0.0.0"} <= set(COMPOSE["services"])


def test_grafana_has_the_dashboards_and_the_sources_that_they_link_to() -> None:
    provisioning = FOLDER / "compose" / "grafana"
    sources = load(provisioning / "datasources" / "otel-embed.yaml")["datasources"]
    assert {source["uid"]: source["type"] for source in sources}.items() >= {
        "prometheus": "prometheus", "tempo": "tempo"
    }.items()  # fmt: skip
    (provider,) = load(provisioning / "dashboards" / "otel-embed.yaml")["providers"]
    mounted = [each for each in COMPOSE["services"]["grafana"]["volumes"] if each.startswith("../dashboards/grafana:")]
    assert [each.split(":")[1] for each in mounted] == [provider["options"]["path"]]


def test_every_variable_of_the_page_exists() -> None:
    page = (FOLDER / "README.md").read_text()
    modules = [entry.load() for entry in entry_points(group="opentelemetry_environment_variables")]
    known = {name for module in modules for name in vars(module) if name.startswith("OTEL_")}
    for name in re.findall(r"\b(OTEL_\w+)", page):
        assert name in known, name
    assert len(blocks(page, "sh")) >= 8


def test_the_page_has_a_row_for_each_file() -> None:
    page = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"^\| \[(\w+)\.yaml\]", page, re.MULTILINE)) == set(FILES)
