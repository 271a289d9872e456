"""What is emitted against OpenTelemetry's machine-readable convention for embeddings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from conftest import Telemetry
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer

CONTRACT = json.loads(Path(__file__).with_name("data").joinpath("embeddings_contract.json").read_text())
TYPES: dict[str, type] = {"string": str, "int": int, "double": float, "string[]": tuple}


@pytest.fixture
def emitted(telemetry: Telemetry, server: OpenAIServer) -> Telemetry:
    """A good call, one that names its encoding, and a failed one."""
    telemetry.instrument(semconv="both", stage_spans="never")
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
        client.embeddings.create(model="text-embedding-3-small", input="one", encoding_format="float")
        server.script([Fault(status=500)])
        with pytest.raises(openai.InternalServerError):
            client.embeddings.create(model="text-embedding-3-small", input="one")
    return telemetry


def check(attributes: dict[str, Any], rules: dict[str, Any], failed: bool) -> None:
    for name, value in attributes.items():
        if not name.startswith(("otel_embed.", "http.")):
            assert type(value) is TYPES[rules[name]["type"]], name
            assert value == rules[name].get("value", value), name
    for name, rule in rules.items():
        if rule["requirement"] == "required":
            assert name in attributes, name
    assert ("error.type" in attributes) == failed
    assert ("server.port" in attributes) == ("server.address" in attributes)


def test_spans_are_as_the_convention_has_them(emitted: Telemetry) -> None:
    spans = emitted.spans()
    assert len(spans) == 3
    for span in spans:
        assert span.kind.name == CONTRACT["span"]["kind"] and span.status.status_code.name in ("UNSET", "ERROR")
        assert span.name == f"embeddings {span.attributes['gen_ai.request.model']}"
        check(dict(span.attributes), CONTRACT["span"]["attributes"], span.status.status_code.name == "ERROR")
    for name in ("gen_ai.response.model", "gen_ai.usage.input_tokens", "gen_ai.embeddings.dimension.count"):
        assert name in spans[0].attributes


@pytest.mark.parametrize("name", [*CONTRACT["metrics"], *CONTRACT["legacy_metrics_v1_41"]])
def test_metrics_are_as_the_convention_has_them(emitted: Telemetry, name: str) -> None:
    rules = {**CONTRACT["metrics"], **CONTRACT["legacy_metrics_v1_41"]}[name]
    points = emitted.metrics()[name]
    for point in points:
        assert list(point.explicit_bounds) == rules["buckets"]
        check(dict(point.attributes), rules["attributes"], failed="error.type" in point.attributes)
    assert sum(point.count for point in points) == (3 if "duration" in name else 2)


def test_every_instrument_has_a_unit_and_a_description(emitted: Telemetry) -> None:
    data = emitted.reader.get_metrics_data()
    metrics = [metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics]
    assert metrics and all(metric.unit and metric.description for metric in metrics)
