"""Every framework whose embedders, caches and chains otel_embed knows."""

from __future__ import annotations

from otel_embed.frameworks import haystack, langchain, langchain_stores, llama_index, redisvl
from otel_embed.provider import Provider

FRAMEWORKS: tuple[Provider, ...] = (
    *haystack.PROVIDERS,
    *langchain.PROVIDERS,
    *langchain_stores.PROVIDERS,
    *llama_index.PROVIDERS,
    *redisvl.PROVIDERS,
)
