"""Embedders of an application's own, each on another HTTP library, and the server that they call."""

from __future__ import annotations

import json
import ssl
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any, ClassVar

from langchain_core.embeddings import Embeddings

from fakes.faults import Fault
from fakes.server import FakeServer, Received
from otel_embed.demo.server import Answer

Vectors = list[list[float]]


class VectorServer(FakeServer):
    """Answers any POST with a vector for each text."""

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        texts = received.body.get("input", []) if isinstance(received.body, dict) else []
        body = json.dumps({"vectors": [[float(len(text))] * 8 for text in texts]}).encode()
        headers = {"content-type": "application/json", "x-ratelimit-remaining-requests": "41"}
        return Answer(fault.status, headers, body)


class Embedder(Embeddings):
    """``send`` asks the server for vectors; ``embed`` does the same as an embedding call."""

    library: ClassVar[str]

    def __init__(self, server: VectorServer, *, timeout: float = 10, retries: int = 0) -> None:
        self.url, self.origin, self.ca_file = f"{server.origin}/v1/embeddings", server.origin, server.ca_file
        self.timeout, self.retries = timeout, retries

    def ask(self, texts: list[str]) -> dict[str, Any]:
        return {"model": texts[0], "input": texts}

    def send(self, texts: list[str]) -> Any:
        raise NotImplementedError

    def embed_documents(self, texts: list[str]) -> Vectors:
        return self.send(texts)

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]

    async def plain(self, texts: list[str]) -> Vectors:
        """Outside any embedding call."""
        return self.send(texts)

    async def embed(self, texts: list[str]) -> Vectors:
        return self.embed_documents(texts)

    async def close(self) -> None:
        pass


class AsyncEmbedder(Embedder):
    async def aembed_documents(self, texts: list[str]) -> Vectors:
        return await self.send(texts)

    async def plain(self, texts: list[str]) -> Vectors:
        return await self.send(texts)

    async def embed(self, texts: list[str]) -> Vectors:
        return await self.aembed_documents(texts)

    @cached_property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file or None)


class OnRequests(Embedder):
    library = "requests"

    def __init__(self, server: VectorServer, **options: Any) -> None:
        super().__init__(server, **options)
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util.retry import Retry

        self.session = requests.Session()
        self.session.trust_env = False
        again = Retry(self.retries, status_forcelist=[429, 500], allowed_methods=None, backoff_factor=0.05)
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=again if self.retries else 0))

    def send(self, texts: list[str]) -> Vectors:
        answer = self.session.post(
            self.url, json=self.ask(texts), timeout=self.timeout, verify=self.ca_file or True, **self.options()
        )
        answer.raise_for_status()
        return self.read(answer)

    def options(self) -> dict[str, Any]:
        return {}

    def read(self, answer: Any) -> Any:
        return answer.json()["vectors"]

    async def close(self) -> None:
        self.session.close()


class OnStreamedRequests(OnRequests):
    """Reads the body piece by piece."""

    def options(self) -> dict[str, Any]:
        return {"stream": True}

    def read(self, answer: Any) -> Any:
        return json.loads(b"".join(answer.iter_content(64)))["vectors"]


class OnBotocore(Embedder):
    """Bedrock's ``invoke_model``, whose body is left to whoever calls it."""

    library = "botocore"
    service = "bedrock-runtime"

    def __init__(self, server: VectorServer, **options: Any) -> None:
        super().__init__(server, **options)
        import botocore.session

        self.client = botocore.session.Session().create_client(self.service, **self.settings())

    def settings(self) -> dict[str, Any]:
        from botocore.config import Config

        return {
            "region_name": "us-east-1",
            "endpoint_url": self.origin,
            "aws_access_key_id": "AKID",
            "aws_secret_access_key": "secret",
            "verify": self.ca_file or None,
            "config": Config(
                connect_timeout=self.timeout,
                read_timeout=self.timeout,
                retries={"max_attempts": self.retries, "mode": "legacy"},  # the newest has another default
            ),
        }

    def send(self, texts: list[str]) -> Vectors:
        answer = self.client.invoke_model(modelId="m", body=json.dumps(self.ask(texts)))
        return json.loads(answer["body"].read())["vectors"]

    async def close(self) -> None:
        self.client.close()


class OnAiobotocore(AsyncEmbedder):
    library = "aiobotocore"
    service, settings = OnBotocore.service, OnBotocore.settings
    client: Any = None

    async def connect(self) -> None:
        if self.client is None:
            from aiobotocore.session import get_session

            self.opened = get_session().create_client(self.service, **self.settings())
            self.client = await self.opened.__aenter__()

    async def send(self, texts: list[str]) -> Vectors:
        await self.connect()
        answer = await self.client.invoke_model(modelId="m", body=json.dumps(self.ask(texts)))
        return json.loads(await answer["body"].read())["vectors"]

    async def close(self) -> None:
        if self.client is not None:
            await self.opened.__aexit__(None, None, None)


class OnAiohttp(AsyncEmbedder):
    library = "aiohttp"
    session: Any = None

    def connect(self) -> Any:
        import aiohttp

        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.timeout))

    async def send(self, texts: list[str]) -> Vectors:
        self.session = self.session or self.connect()
        how = {"ssl": self.trust} if self.ca_file else {}
        async with self.session.post(self.url, json=self.ask(texts), **how) as answer:
            answer.raise_for_status()
            return (await answer.json())["vectors"]

    async def close(self) -> None:
        if self.session is not None:
            await self.session.close()


class OnHttpxAiohttp(AsyncEmbedder):
    """httpx's client on aiohttp's connections, as openai's and cohere's are where that is installed."""

    library = "httpx_aiohttp"
    client: Any = None

    def connect(self) -> Any:
        import httpx
        from httpx_aiohttp import AiohttpTransport

        return httpx.AsyncClient(transport=AiohttpTransport(verify=self.trust), timeout=self.timeout)

    async def send(self, texts: list[str]) -> Vectors:
        self.client = self.client or self.connect()
        answer = await self.client.post(self.url, json=self.ask(texts))
        answer.raise_for_status()
        return answer.json()["vectors"]

    async def close(self) -> None:
        if self.client is not None:
            await self.client.aclose()


async def using(embedder: Embedder, work: Callable[[Any], Awaitable[Any]]) -> Any:
    try:
        return await work(embedder)
    finally:
        await embedder.close()
