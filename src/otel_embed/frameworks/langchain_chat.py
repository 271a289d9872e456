"""LangChain's chains, retrievers, tools and chat models, and the cache of answers that can stand before a model."""

from __future__ import annotations

from otel_embed.frameworks.langchain_handler import register
from otel_embed.frameworks.langchain_runs import found, kept
from otel_embed.provider import Cached, Hook

_CACHE = "langchain_core.caches:BaseCache"

CACHED = (
    Cached(f"{_CACHE}.lookup", found),
    Cached(f"{_CACHE}.alookup", found),
    Cached(f"{_CACHE}.update", kept, writes=True),
    Cached(f"{_CACHE}.aupdate", kept, writes=True),
)
HOOKS = (Hook("langchain_core.tracers.context:register_configure_hook", register),)
