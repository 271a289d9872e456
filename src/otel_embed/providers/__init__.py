"""Every provider otel_embed knows. To add one, write its file and name it here."""

from __future__ import annotations

from otel_embed.provider import Provider
from otel_embed.providers import cohere, dashscope, google, huggingface, litellm, ollama, openai, voyageai

PROVIDERS: tuple[Provider, ...] = (
    openai.PROVIDER,
    cohere.PROVIDER,
    voyageai.PROVIDER,
    google.PROVIDER,
    ollama.PROVIDER,
    huggingface.PROVIDER,
    dashscope.PROVIDER,
    litellm.PROVIDER,
)
