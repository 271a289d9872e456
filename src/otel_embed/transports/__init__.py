"""Every HTTP library whose exchanges otel_embed can see."""

from __future__ import annotations

from otel_embed.provider import Provider
from otel_embed.transports import aiohttp, botocore, httpx, requests, urllib3

TRANSPORTS: tuple[Provider, ...] = (
    httpx.HTTPX,
    httpx.HTTPX2,
    urllib3.URLLIB3,
    requests.REQUESTS,
    aiohttp.AIOHTTP,
    botocore.BOTOCORE,
    botocore.AIOBOTOCORE,
)
