"""The real client of Hugging Face, of whichever line is installed, against a server that answers as theirs do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import huggingface_hub as hub
import pytest
from huggingface_hub import constants

from conftest import Telemetry, run
from every_provider import EveryProvider
from fakes.api_server import ApiServer
from fakes.faults import Fault
from fakes.hub_server import MODEL, HubServer
from spans import calls, stages, usage, whole

VERSION = tuple(map(int, version("huggingface_hub").split(".")[:2]))
CHOOSES = VERSION >= (0, 28)
"""Older clients know no other provider than Hugging Face."""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The client need not ask the real hub for its list of agents."""
    (tmp_path / "agents.json").write_text("{}")
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agents.json"), raising=False)


class TestHuggingFace(EveryProvider):
    """Text Embeddings Inference on a server of one's own: it is asked by its URL."""

    server_class = HubServer
    model, picodollars = "", 0
    metered = False
    wrapped: ClassVar = [
        "huggingface_hub.inference._client:InferenceClient.feature_extraction",
        "huggingface_hub.inference._generated._async_client:AsyncInferenceClient.feature_extraction",
    ]
    test_a_retry_is_part_of_the_call_and_its_sleep_is_backoff: ClassVar = None
    """The client does not try again, but see below."""

    def known(self, server: ApiServer) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "huggingface",
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.embeddings.dimension.count": 8,
            "server.address": "127.0.0.1",
            "server.port": server.server_address[1],
            "otel_embed.input.count": 2,
            "otel_embed.input.kind": "text",
            "otel_embed.usage.source": "reported",
            "otel_embed.server.duration": 0.009,
        }

    def embed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        return hub.InferenceClient(url, token="hf_secret", timeout=timeout).feature_extraction(texts)

    async def aembed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        client = hub.AsyncInferenceClient(url, token="hf_secret", timeout=timeout)
        try:
            return await client.feature_extraction(texts)
        finally:
            if hasattr(client, "close"):
                await client.close()

    def plain(self, result: Any) -> Any:
        return result.tolist()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Serves as the hub and its inference service too."""
    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.origin)
        if CHOOSES:
            monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", server.origin + "/{provider}")
            providers = import_module("huggingface_hub.inference._providers")
            task = providers.PROVIDERS["hf-inference"]["feature-extraction"]
            monkeypatch.setattr(task, "base_url", server.origin + "/hf-inference", raising=False)
            import_module("huggingface_hub.inference._providers.hf_inference")._check_supported_task.cache_clear()
        else:
            for client in ("_client", "_generated._async_client"):
                monkeypatch.setattr(f"huggingface_hub.inference.{client}.INFERENCE_ENDPOINT", server.origin)
        yield server


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_model_of_the_hub_is_looked_up_once_which_is_no_retry(
    telemetry: Telemetry, server: HubServer, asynchronous: bool
) -> None:
    options: Any = {"model": MODEL, "token": "hf_secret", **({"provider": "hf-inference"} if CHOOSES else {})}
    for _ in range(2):
        if asynchronous:
            run(hub.AsyncInferenceClient(**options).feature_extraction(["one two", "three"]))
        else:
            hub.InferenceClient(**options).feature_extraction(["one two", "three"])
    spans = telemetry.spans(f"embeddings {MODEL}")
    assert len(spans) == 2 and len(server.requests) == (3 if CHOOSES else 2)
    for span in spans:
        told = whole(span)
        assert (told["server.address"], told["server.port"]) == ("127.0.0.1", server.server_address[1])
        assert told["gen_ai.usage.input_tokens"] == 3 and "otel_embed.retry.count" not in told
    assert telemetry.total("otel_embed.unpriced") == 2, "the hub's service has a price, which nobody knows"


@pytest.mark.skipif(VERSION < (1, 20), reason="older clients ask the hub nothing of the kind")
def test_a_request_that_failed_elsewhere_is_followed_by_no_backoff(
    telemetry: Telemetry, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None)
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", "/nowhere")
    server.script([Fault(404)])
    hub.InferenceClient(server.origin, token="hf_secret").feature_extraction("one")
    (span,) = calls(telemetry)
    assert [received.status for received in server.requests] == [404, 200]
    assert "otel_embed.retry.count" not in span.attributes and "backoff" not in stages(span)


@pytest.mark.skipif(not CHOOSES, reason="older clients know no other provider")
@pytest.mark.parametrize(
    ("chosen", "name"), [("together", "together"), ("fireworks-ai", "fireworks"), ("auto", "huggingface")]
)
def test_the_provider_behind_the_hub_is_named(
    telemetry: Telemetry, server: HubServer, chosen: Any, name: str
) -> None:
    with suppress(ValueError):  # which not all of them serve
        hub.InferenceClient(provider=chosen, token="hf_secret").feature_extraction("one", model=MODEL)
    (span,) = calls(telemetry)
    assert span.attributes["gen_ai.provider.name"] == name


@pytest.mark.parametrize("told", ["-1", "many", ""])
def test_a_header_that_says_nothing_is_not_believed(telemetry: Telemetry, server: HubServer, told: str) -> None:
    server.script([Fault(headers={"x-compute-tokens": told})])
    hub.InferenceClient(server.origin, token="hf_secret").feature_extraction("12345678")
    (span,) = calls(telemetry)
    assert usage(span) == (2, "estimated")


@pytest.mark.skipif(VERSION >= (0, 29), reason="newer clients do not wait for a model")
def test_waiting_for_a_model_is_part_of_the_call(telemetry: Telemetry, server: HubServer) -> None:
    server.script([Fault(503)])
    hub.InferenceClient(server.origin, token="hf_secret").feature_extraction("one")
    (span,) = telemetry.spans("embeddings")
    assert span.attributes["otel_embed.retry.count"] == 1 and stages(span)["backoff"] > 0.9
