"""Every provider otel_embed knows. To add one, write its file and name it here."""

from __future__ import annotations

from otel_embed.provider import Provider
from otel_embed.providers import (
    cohere,
    fastembed,
    flag_embedding,
    llama_cpp,
    model2vec,
    openai,
    sentence_transformers,
    transformers,
    voyageai,
)

PROVIDERS: tuple[Provider, ...] = (
    openai.PROVIDER,
    cohere.PROVIDER,
    voyageai.PROVIDER,
    sentence_transformers.PROVIDER,
    fastembed.PROVIDER,
    flag_embedding.PROVIDER,
    llama_cpp.PROVIDER,
    model2vec.PROVIDER,
    transformers.PROVIDER,
)
