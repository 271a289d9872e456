"""Every framework whose embedders, caches and chains otel_embed knows."""

from __future__ import annotations

from otel_embed.frameworks import langchain
from otel_embed.provider import Provider

FRAMEWORKS: tuple[Provider, ...] = langchain.PROVIDERS
