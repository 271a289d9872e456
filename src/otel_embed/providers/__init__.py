"""Every provider otel_embed knows. To add one, write its file and name it here."""

from __future__ import annotations

from otel_embed.provider import Provider
from otel_embed.providers import cohere, mistralai, nomic, openai, together, voyageai

PROVIDERS: tuple[Provider, ...] = (
    openai.PROVIDER,
    cohere.PROVIDER,
    mistralai.PROVIDER,
    nomic.PROVIDER,
    together.PROVIDER,
    voyageai.PROVIDER,
)
