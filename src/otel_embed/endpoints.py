"""Whose endpoint a host is, for clients that speak to more than one provider."""

from __future__ import annotations

import re
from functools import lru_cache

_BEDROCK = re.compile(r"(^|\.)bedrock-[a-z-]+\.[a-z0-9-]+\.(api\.aws|amazonaws\.com|vpce\.amazonaws\.com)$")
_BY_DOMAIN = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.openai",
    "models.ai.azure.com": "azure.ai.inference",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "azure.us": "azure.ai.openai.gov",
    "azure.cn": "azure.ai.openai.china",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.deepinfra.com": "deepinfra",
    "api.fireworks.ai": "fireworks",
    "api.jina.ai": "jina",
    "api.mistral.ai": "mistral_ai",
    "api.studio.nebius.ai": "nebius",
    "api.studio.nebius.com": "nebius",
    "api.tokenfactory.nebius.com": "nebius",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "api.voyageai.com": "voyage",
    "dashscope.aliyuncs.com": "dashscope",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "dashscope-us.aliyuncs.com": "dashscope",
    "maas.aliyuncs.com": "dashscope",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "openrouter.ai": "openrouter",
    "router.huggingface.co": "huggingface",
}


@lru_cache(maxsize=256)
def provider_of(host: str) -> str | None:
    """The provider behind a host or one of its subdomains; None for a host nobody knows, such as one's own server.

    Names are OpenTelemetry's ``gen_ai.provider.name`` values where it has one. A cloud of governments, or of China, has
    a name of its own, because it has prices of its own.
    """
    host = host.lower().rstrip(".")
    labels = host.split(".")
    for start in range(len(labels) - 1):
        provider = _BY_DOMAIN.get(".".join(labels[start:]))
        if provider is not None:
            return provider
    if _BEDROCK.search(host):
        return bedrock(host)
    return "gcp.vertex_ai" if host.endswith("-aiplatform.googleapis.com") else None


def bedrock(region: str) -> str:
    """Amazon Bedrock by one of its regions, or by a host that names it."""
    return "aws.bedrock.gov" if "us-gov-" in region else "aws.bedrock"
