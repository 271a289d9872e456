"""Whose endpoint a host is, for clients that speak to more than one provider."""

from __future__ import annotations

from functools import lru_cache

_BY_DOMAIN = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.openai",
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
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "openrouter.ai": "openrouter",
    "router.huggingface.co": "huggingface",
}


@lru_cache(maxsize=256)
def provider_of(host: str) -> str | None:
    """The provider behind a host or one of its subdomains; None for a host nobody knows, such as one's own server.

    Names are OpenTelemetry's ``gen_ai.provider.name`` values where it has one.
    """
    labels = host.lower().rstrip(".").split(".")
    for start in range(len(labels) - 1):
        provider = _BY_DOMAIN.get(".".join(labels[start:]))
        if provider is not None:
            return provider
    return "gcp.vertex_ai" if host.endswith("-aiplatform.googleapis.com") else None
