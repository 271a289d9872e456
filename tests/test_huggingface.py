"""The real client of Hugging Face, of whichever line is installed, against a server that answers as theirs do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import huggingface_hub as hub
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import HfHubHTTPError

import otel_embed
from conftest import Telemetry
from fakes.faults import Fault
from fakes.hub_server import MODEL, HubServer
from spans import STATUSES, attributes, calls, outcome, port, usage

VERSION = tuple(map(int, version("huggingface_hub").split(".")[:2]))
CHOOSES = VERSION >= (0, 28)
"""Older clients know no other provider than Hugging Face."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """Serves as the hub and the inference service too; nothing is asked of the real ones."""
    (tmp_path / "agents.json").write_text("{}")
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agents.json"), raising=False)
    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        if CHOOSES:
            monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", server.url + "/{provider}")
            providers = import_module("huggingface_hub.inference._providers")
            task = providers.PROVIDERS["hf-inference"]["feature-extraction"]
            monkeypatch.setattr(task, "base_url", server.url + "/hf-inference", raising=False)
            import_module("huggingface_hub.inference._providers.hf_inference")._check_supported_task.cache_clear()
        else:
            for client in ("_client", "_generated._async_client"):
                monkeypatch.setattr(f"huggingface_hub.inference.{client}.INFERENCE_ENDPOINT", server.url)
        yield server


class Api:
    """Calls of one kind of client, asynchronous ones each in a loop of its own."""

    def __init__(self, asynchronous: bool) -> None:
        self.asynchronous = asynchronous

    def embed(self, server: HubServer, text: Any = ("one two", "three"), **options: Any) -> Any:
        text = list(text) if isinstance(text, tuple) else text
        options = {"model": server.url, "token": "hf_secret", **options}
        if self.asynchronous:
            return asyncio.run(self._embed(options, text))
        return hub.InferenceClient(**options).feature_extraction(text)

    async def _embed(self, options: Any, text: Any) -> Any:
        client = hub.AsyncInferenceClient(**options)
        try:
            return await client.feature_extraction(text)
        finally:
            close = getattr(client, "close", None)
            if close is not None:
                await close()


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def api(request: pytest.FixtureRequest) -> Api:
    return Api(request.param)


def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, server: HubServer, api: Api) -> None:
    api.embed(server)
    (span,) = calls(telemetry)
    assert span.name == "embeddings" and span.kind.name == "CLIENT"
    assert attributes(span) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "huggingface",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.embeddings.dimension.count": 8,
        "server.address": "127.0.0.1",
        "server.port": port(server.url),
        "otel_embed.input.count": 2,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "reported",
        "otel_embed.server.duration": 0.009,
    }
    assert {"otel_embed.stage.wait.duration", "otel_embed.stage.connect.duration"} <= set(span.attributes)
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 3
    assert "otel_embed.unpriced" not in telemetry.metrics(), "nobody bills a server of one's own by use"


def test_a_model_of_the_hub_is_looked_up_once_which_is_no_retry(
    telemetry: Telemetry, server: HubServer, api: Api
) -> None:
    options = {"provider": "hf-inference"} if CHOOSES else {}
    for _ in range(2):
        api.embed(server, model=MODEL, **options)
    spans = calls(telemetry)
    assert len(spans) == 2 and len(server.requests) == (3 if CHOOSES else 2)
    for span in spans:
        told = attributes(span)
        assert (told["server.address"], told["server.port"]) == ("127.0.0.1", port(server.url))
        assert told["gen_ai.usage.input_tokens"] == 3 and "otel_embed.retry.count" not in told
    assert telemetry.total("otel_embed.unpriced") == 2, "the hub's service has a price, which nobody knows"


@pytest.mark.skipif(VERSION < (1, 20), reason="older clients ask the hub nothing of the kind")
def test_a_request_that_failed_elsewhere_is_followed_by_no_backoff(
    telemetry: Telemetry, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None)
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", "/nowhere")
    server.script([Fault(404)])
    Api(False).embed(server)
    (span,) = calls(telemetry)
    assert [received.status for received in server.requests] == [404, 200]
    assert "otel_embed.retry.count" not in span.attributes
    assert "otel_embed.stage.backoff.duration" not in span.attributes


@pytest.mark.skipif(not CHOOSES, reason="older clients know no other provider")
@pytest.mark.parametrize(
    ("chosen", "name"), [("together", "together"), ("fireworks-ai", "fireworks"), ("auto", "huggingface")]
)
def test_the_provider_behind_the_hub_is_named(
    telemetry: Telemetry, server: HubServer, chosen: Any, name: str
) -> None:
    outcome(lambda: hub.InferenceClient(provider=chosen, token="hf_x").feature_extraction("one", model=MODEL))
    (span,) = calls(telemetry)
    assert span.attributes["gen_ai.provider.name"] == name


def test_usage_that_no_header_tells_is_estimated(telemetry: Telemetry, server: HubServer, api: Api) -> None:
    server.script([Fault(usage="absent")])
    api.embed(server, "12345678")
    (span,) = calls(telemetry)
    assert usage(span) == (2, "estimated")


@pytest.mark.parametrize("told", ["0", "-1", "many", ""])
def test_a_header_that_says_nothing_is_not_believed(telemetry: Telemetry, server: HubServer, told: str) -> None:
    server.script([Fault(headers={"x-compute-tokens": told})])
    Api(False).embed(server, "12345678")
    (span,) = calls(telemetry)
    assert usage(span) == (2, "estimated")


@pytest.mark.parametrize(("status", "cause"), [*STATUSES, (424, "other")])
def test_a_failure_passes_through_and_its_cause_is_told(
    telemetry: Telemetry, server: HubServer, api: Api, status: int, cause: str
) -> None:
    server.script([Fault(status)])
    raised, _ = outcome(lambda: api.embed(server))  # of another class on each line
    assert issubclass(raised, Exception)
    (span,) = calls(telemetry)
    assert (span.attributes["error.type"], span.attributes["otel_embed.error.cause"]) == (str(status), cause)
    assert span.status.description is None and "gen_ai.usage.input_tokens" not in span.attributes


@pytest.mark.skipif(VERSION >= (0, 29), reason="newer clients do not wait for a model")
def test_waiting_for_a_model_is_part_of_the_call(telemetry: Telemetry, server: HubServer, api: Api) -> None:
    server.script([Fault(503)])
    api.embed(server)
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.retry.count"] == 1
    assert span.attributes["otel_embed.stage.backoff.duration"] > 0.9


def test_running_out_of_time_is_told(telemetry: Telemetry, server: HubServer, api: Api) -> None:
    server.script([Fault(header_delay=1)])
    raised, _ = outcome(lambda: api.embed(server, timeout=0.2))
    assert "Timeout" in raised.__name__
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.error.cause"] == "timeout"


@pytest.mark.parametrize("fault", [Fault(), Fault(500), Fault(malformed=True), Fault(empty=True)])
def test_results_and_exceptions_are_what_they_are_without_us(
    telemetry: Telemetry, server: HubServer, api: Api, fault: Fault
) -> None:
    server.script([fault])
    seen = outcome(lambda: api.embed(server).tolist())
    assert len(calls(telemetry)) == 1
    otel_embed.uninstrument()
    server.script([fault])
    assert outcome(lambda: api.embed(server).tolist()) == seen


def test_uninstrument_puts_the_original_back(telemetry: Telemetry, server: HubServer, api: Api) -> None:
    wrapped = hub.InferenceClient.feature_extraction
    otel_embed.uninstrument()
    assert hub.InferenceClient.feature_extraction is wrapped.__wrapped__
    api.embed(server)
    assert not calls(telemetry)


def test_an_error_is_the_clients_own(telemetry: Telemetry, server: HubServer) -> None:
    server.script([Fault(429)])
    with pytest.raises(HfHubHTTPError) as caught:
        Api(False).embed(server)
    assert caught.value.response.status_code == 429
