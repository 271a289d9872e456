"""botocore and aiobotocore: each attempt of a call to AWS is an exchange; its stages are urllib3's or aiohttp's."""

from __future__ import annotations

from typing import Any

from otel_embed.exchange import OpenExchange
from otel_embed.provider import Arguments, Provider, Transport
from otel_embed.transports import aiohttp, urllib3
from otel_embed.transports.flight import Asked, Sender, content_length


def _asked(call: Arguments) -> Asked:
    request = call.get("request", 0)
    return Asked(request.url, content_length(request.headers))


def _answered(call: Arguments, response: Any, exchange: OpenExchange) -> None:
    exchange.answered(response.status_code, response.headers.items())
    if call.get("request", 0).stream_output:
        urllib3.watch(response.raw, exchange)


def _answered_async(call: Arguments, response: Any, exchange: OpenExchange) -> None:
    exchange.answered(response.status_code, response.headers.items())
    if call.get("request", 0).stream_output:
        aiohttp.watch(response.raw, exchange)


BOTOCORE = Provider(
    name="botocore",
    requires="botocore>=1.31.57,<2",
    transports=(Transport("botocore.httpsession:URLLib3Session.send", Sender(_asked, _answered)),),
)
AIOBOTOCORE = Provider(
    name="aiobotocore",
    requires="aiobotocore>=2.7,<4",
    transports=(Transport("aiobotocore.httpsession:AIOHTTPSession.send", Sender(_asked, _answered_async)),),
)
