"""The real together client, of whichever line is installed, against a server that bills."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, ClassVar

import pytest
import together
import together.resources.embeddings

from conftest import Telemetry
from every_provider import TEXTS, EveryProvider
from fakes.api_server import ApiServer
from fakes.openai_like_server import TogetherServer
from spans import whole

VERSION = tuple(int(part) for part in version("together").split("."))
MODEL = "intfloat/multilingual-e5-large-instruct"
RESOURCE = "Embeddings" if VERSION < (2, 0) else "EmbeddingsResource"


def client(url: str, asynchronous: bool = False, retries: int = 0, timeout: float = 10) -> Any:
    kind = together.AsyncTogether if asynchronous else together.Together
    return kind(api_key="x", base_url=f"{url}/v1" if VERSION < (2, 0) else url, max_retries=retries, timeout=timeout)


class TestTogether(EveryProvider):
    server_class = TogetherServer
    model, picodollars = MODEL, 20_000
    wrapped: ClassVar = [f"together.resources.embeddings:{kind}{RESOURCE}.create" for kind in ("", "Async")]

    retries = ("sync", "async") if VERSION >= (2, 0) else ("sync",)

    def embed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        return client(url, False, retries, timeout).embeddings.create(model=MODEL, input=texts)

    async def aembed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        return await client(url, True, retries, timeout).embeddings.create(model=MODEL, input=texts)

    def known(self, server: ApiServer) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "together",
            "gen_ai.request.model": MODEL,
            "gen_ai.response.model": MODEL,
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.embeddings.dimension.count": 8,
            "server.address": "127.0.0.1",
            "server.port": server.server_address[1],
            "otel_embed.input.count": 2,
            "otel_embed.input.kind": "text",
            "otel_embed.usage.source": "reported",
            "otel_embed.cost.usd": 6e-08,
            "otel_embed.cost.source": "table",
            "otel_embed.rate_limit.remaining.requests": 49,
            "otel_embed.rate_limit.remaining.tokens": 33331,
        }


@pytest.fixture
def server() -> Iterator[TogetherServer]:
    with TogetherServer() as server:
        yield server


@pytest.mark.skipif(VERSION < (2, 0), reason="new in together 2")
@pytest.mark.parametrize("kind", ["with_raw_response", "with_streaming_response"])
def test_a_raw_response_is_left_to_the_application(telemetry: Telemetry, server: TogetherServer, kind: str) -> None:
    answer = getattr(client(server.origin).embeddings, kind).create(model=MODEL, input=TEXTS)
    if kind == "with_raw_response":
        assert len(answer.parse().data) == 2
    else:
        with answer as response:
            assert not telemetry.spans() and b'"embedding"' in b"".join(response.iter_bytes())
    (span,) = telemetry.spans()
    known = TestTogether().known(server)
    del known["gen_ai.embeddings.dimension.count"]
    assert whole(span) == known


def test_a_model_without_a_price_has_no_cost(telemetry: Telemetry, server: TogetherServer) -> None:
    client(server.origin).embeddings.create(model="WhereIsAI/UAE-Large-V1", input="one two")
    (span,) = telemetry.spans()
    assert "otel_embed.cost.usd" not in span.attributes and telemetry.total("otel_embed.unpriced") == 1
    assert (span.attributes["otel_embed.input.count"], span.attributes["gen_ai.usage.input_tokens"]) == (1, 2)
