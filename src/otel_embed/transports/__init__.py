"""Every HTTP library whose exchanges otel_embed can see."""

from __future__ import annotations

from otel_embed.provider import Provider
from otel_embed.transports import httpx

TRANSPORTS: tuple[Provider, ...] = (httpx.HTTPX, httpx.HTTPX2)
