"""The real openai client, of whichever line is installed and in either of its kinds, so that a test is written once."""

from __future__ import annotations

import asyncio
import ssl
from importlib import import_module
from types import ModuleType
from typing import Any

import openai
import pytest
from openai.resources.embeddings import Embeddings

from fakes.openai_server import OpenAIServer

SMALL = "text-embedding-3-small"
LIBRARIES = ["httpx2", "httpx"] if int(openai.__version__.split(".")[0]) >= 3 else ["httpx"]
"""What the client takes for its HTTP, its default first."""
HTTPX: Any = import_module(LIBRARIES[0])
streams = pytest.mark.skipif(
    not hasattr(Embeddings, "with_streaming_response"), reason="openai 1.3 has no with_streaming_response"
)


def http_client(server: OpenAIServer, library: ModuleType, asynchronous: bool, **options: Any) -> Any:
    verify: Any = ssl.create_default_context(cafile=server.ca_file) if server.ca_file else True
    return (library.AsyncClient if asynchronous else library.Client)(verify=verify, timeout=10, **options)


class Client:
    """Calls of one client; those of an asynchronous one run in a loop of its own, each to its end."""

    def __init__(self, server: OpenAIServer, http: Any, asynchronous: bool) -> None:
        kind: Any = openai.AsyncOpenAI if asynchronous else openai.OpenAI
        self.openai = kind(base_url=server.url, api_key="x", max_retries=0, http_client=http)
        self.loop = asyncio.new_event_loop() if asynchronous else None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish(self.openai.close())
        if self.loop is not None:
            self.loop.close()

    def finish(self, result: Any) -> Any:
        return self.loop.run_until_complete(result) if self.loop is not None and result is not None else result

    def embed(self, raw: bool = False) -> Any:
        embeddings = self.openai.embeddings
        return self.finish((embeddings.with_raw_response if raw else embeddings).create(model=SMALL, input="one two"))

    def stream(self, read: str) -> bytes:
        answer = self.openai.embeddings.with_streaming_response.create(model=SMALL, input="one two")
        if self.loop is not None:
            return self.loop.run_until_complete(_stream_async(answer, read))
        with answer as response:
            return b"".join(response.iter_bytes()) if read == "iter_bytes" else response.read()


async def _stream_async(answer: Any, read: str) -> bytes:
    async with answer as response:
        if read == "iter_bytes":
            return b"".join([chunk async for chunk in response.iter_bytes()])
        return await response.read()


