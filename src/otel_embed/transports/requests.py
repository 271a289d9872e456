"""requests: an exchange is one ``Session.send``, redirects included; its stages are urllib3's."""

from __future__ import annotations

from typing import Any

from otel_embed.exchange import OpenExchange
from otel_embed.provider import Arguments, Provider, Transport
from otel_embed.transports import urllib3
from otel_embed.transports.flight import Asked, Sender, content_length


def _asked(call: Arguments) -> Asked:
    request = call.get("request", 0)
    return Asked(request.url, content_length(request.headers))


def _answered(call: Arguments, response: Any, exchange: OpenExchange) -> None:
    exchange.answered(response.status_code, response.headers.items())
    if call.kwargs.get("stream", call.instance.stream):
        urllib3.watch(response.raw, exchange)


REQUESTS = Provider(
    name="requests",
    requires="requests>=2.28,<3",
    transports=(Transport("requests.sessions:Session.send", Sender(_asked, _answered)),),
)
