"""Servers that speak OpenAI's API, through the real openai client: whose they are, and what they leave out."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from clients import HTTPX, SMALL
from conftest import Telemetry
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from spans import calls, usage, whole

HOSTED = [
    ("https://api.jina.ai/v1", "jina", "jina-embeddings-v3", 5e-08),
    ("https://api.fireworks.ai/inference/v1", "fireworks", "nomic-ai/nomic-embed-text-v1.5", 8e-09),
    ("https://api.tokenfactory.nebius.com/v1", "nebius", "BAAI/bge-en-icl", None),
    ("https://api.studio.nebius.ai/v1", "nebius", "BAAI/bge-en-icl", None),
    ("https://api.together.xyz/v1", "together", "BAAI/bge-base-en-v1.5", 1e-08),
    ("https://api.mistral.ai/v1", "mistral_ai", "mistral-embed", 1e-07),
    ("https://api.deepinfra.com/v1/openai", "deepinfra", "BAAI/bge-m3", None),
    ("https://openrouter.ai/api/v1", "openrouter", "openai/text-embedding-3-small", None),
    ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "dashscope", "text-embedding-v4", None),
    ("https://generativelanguage.googleapis.com/v1beta/openai", "gcp.gemini", "gemini-embedding-001", 1.5e-07),
    ("https://us-central1-aiplatform.googleapis.com/v1", "gcp.vertex_ai", "google/gemini-embedding-001", 1.5e-07),
    ("https://dashscope-us.aliyuncs.com/compatible-mode/v1", "dashscope", "text-embedding-v4", None),
    ("https://r.openai.azure.com/openai/v1", "azure.ai.openai", "text-embedding-3-small", 2e-08),
    ("https://r.openai.azure.us/openai/v1", "azure.ai.openai.gov", "text-embedding-3-small", None),
    ("https://r.services.ai.azure.us/openai/v1", "azure.ai.openai.gov", "text-embedding-3-small", None),
    ("https://r.openai.azure.cn/openai/v1", "azure.ai.openai.china", "text-embedding-3-small", None),
    ("https://models.inference.ai.azure.com", "azure.ai.inference", "cohere-embed-v3-english", 1e-07),
    ("https://bedrock-mantle.us-east-1.api.aws/openai/v1", "aws.bedrock", "amazon.titan-embed-text-v2:0", 2e-08),
    ("https://bedrock-runtime.us-gov-west-1.amazonaws.com/v1", "aws.bedrock.gov", "amazon.titan-embed-text-v2:0", None),
]


class Detour(HTTPX.HTTPTransport):  # type: ignore[misc]
    """Sends what is meant for another host to the server that is here."""

    def __init__(self, server: OpenAIServer) -> None:
        super().__init__()
        self.port = server.server_address[1]

    def handle_request(self, request: Any) -> Any:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        return super().handle_request(request)


@pytest.mark.parametrize(("url", "provider", "model", "cost"), HOSTED)
def test_a_provider_is_known_by_its_host(
    telemetry: Telemetry, server: OpenAIServer, url: str, provider: str, model: str, cost: float | None
) -> None:
    with HTTPX.Client(transport=Detour(server)) as http:
        client = openai.OpenAI(base_url=url, api_key="x", http_client=http)
        client.embeddings.create(model=model, input="one")
    (span,) = calls(telemetry)
    told = whole(span)
    assert told["gen_ai.provider.name"] == provider
    assert (told["server.address"], told["server.port"]) == (url.split("/")[2], 443)
    assert told.get("otel_embed.cost.usd") == cost and usage(span) == (1, "reported")
    assert telemetry.total("otel_embed.unpriced") == (cost is None)


@pytest.mark.parametrize(("cloud", "provider"), [("us", "azure.ai.openai.gov"), ("com", "azure.ai.openai")])
def test_azures_own_client_is_asked_which_cloud_it_calls(
    telemetry: Telemetry, server: OpenAIServer, cloud: str, provider: str
) -> None:
    with HTTPX.Client(transport=Detour(server)) as http:
        client = openai.AzureOpenAI(
            azure_endpoint=f"https://r.openai.azure.{cloud}", api_key="x", api_version="2024-10-21", http_client=http
        )
        client.embeddings.create(model=SMALL, input="one")
    (span,) = calls(telemetry)
    assert span.attributes["gen_ai.provider.name"] == provider
    assert span.attributes.get("otel_embed.cost.usd") == (2e-08 if cloud == "com" else None)


@pytest.mark.parametrize("said", ["zeros", "absent", "null"])
def test_a_server_of_ones_own_may_not_count(telemetry: Telemetry, server: OpenAIServer, said: Any) -> None:
    """LM Studio answers with a usage of 0; vLLM and Text Embeddings Inference count."""
    server.script([Fault(usage=said)])
    with openai.OpenAI(base_url=server.url, api_key="lm-studio") as client:
        client.embeddings.create(model="text-embedding-nomic-embed-text-v1.5", input="12345678")
    (span,) = calls(telemetry)
    assert span.attributes["gen_ai.provider.name"] == "openai" and usage(span) == (2, "estimated")
    assert "otel_embed.cost.usd" not in span.attributes


def test_a_price_of_nothing_is_a_price(telemetry: Telemetry, server: OpenAIServer, tmp_path: Any) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nprovider = "openai"\nmodel = "BAAI/bge-m3"\nusd_per_million_tokens = 0\n')
    telemetry.instrument(prices=str(prices))
    with openai.OpenAI(base_url=server.url, api_key="x") as client:
        client.embeddings.create(model="BAAI/bge-m3", input="one two")
    (span,) = calls(telemetry)
    assert (span.attributes["otel_embed.cost.usd"], span.attributes["otel_embed.cost.source"]) == (0, "user")
    assert "otel_embed.unpriced" not in telemetry.metrics()
