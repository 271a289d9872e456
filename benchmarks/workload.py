"""The calls that are measured: the real openai client, answered from prepared bytes."""

from __future__ import annotations

import asyncio
import base64
import importlib
import importlib.metadata
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

MODEL = "text-embedding-3-small"
DIMENSIONS = 1536
TOKENS_PER_TEXT = 9
TEXT = "Where does the time of an embedding call go?"
ANSWER_HEADERS = {
    "content-type": "application/json",
    "openai-processing-ms": "41",
    "openai-version": "2020-10-01",
    "x-ratelimit-limit-requests": "3000",
    "x-ratelimit-limit-tokens": "1000000",
    "x-ratelimit-remaining-requests": "2999",
    "x-ratelimit-remaining-tokens": "999991",
    "x-ratelimit-reset-requests": "20ms",
    "x-ratelimit-reset-tokens": "0s",
    "x-request-id": "req_0123456789abcdef0123456789abcdef",
}

Run = Callable[[int], None]


@dataclass(frozen=True)
class Workload:
    """`run(n)` makes n calls of `texts` texts each, one after the other."""

    client: str
    transport: str
    texts: int
    run: Run

    @property
    def tokens(self) -> int:
        return self.texts * TOKENS_PER_TEXT


def openai_line() -> int:
    """The major version of the installed openai."""
    return int(importlib.metadata.version("openai").partition(".")[0])


def http_module() -> ModuleType:
    """The HTTP library of the installed openai: httpx2 since openai 3, httpx before."""
    return importlib.import_module("httpx2" if openai_line() >= 3 else "httpx")


def answer(texts: int) -> bytes:
    """The body that OpenAI sends for `texts` inputs, vectors in base64."""
    vector = struct.pack(f"<{DIMENSIONS}f", *(((i * 7919) % 2003 - 1001) / 1001 for i in range(DIMENSIONS)))
    encoded = base64.b64encode(vector).decode()
    data = [{"object": "embedding", "index": i, "embedding": encoded} for i in range(texts)]
    tokens = texts * TOKENS_PER_TEXT
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json.dumps({"object": "list", "data": data, "model": MODEL, "usage": usage}).encode()


def in_process_transport(http: Any, body: bytes, *, asynchronous: bool) -> Any:
    """A transport that reads the request and answers at once: no socket, no thread."""

    class InProcess(http.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            request.read()
            return http.Response(200, headers=ANSWER_HEADERS, content=body)

    class AsyncInProcess(http.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            await request.aread()
            return http.Response(200, headers=ANSWER_HEADERS, content=body)

    return AsyncInProcess() if asynchronous else InProcess()


def sync_run(client: Any, texts: int) -> Run:
    content = TEXT if texts == 1 else [TEXT] * texts

    def run(calls: int) -> None:
        for _ in range(calls):
            client.embeddings.create(model=MODEL, input=content)

    return run


def async_run(client: Any, texts: int, loop: asyncio.AbstractEventLoop) -> Run:
    content = TEXT if texts == 1 else [TEXT] * texts

    async def call(calls: int) -> None:
        for _ in range(calls):
            await client.embeddings.create(model=MODEL, input=content)

    def run(calls: int) -> None:
        coroutine: Coroutine[Any, Any, None] = call(calls)
        loop.run_until_complete(coroutine)

    return run


def workload(client: str, texts: int, loop: asyncio.AbstractEventLoop, port: int | None = None) -> Workload:
    """One kind of call; over loopback where a server's port is given, in process otherwise."""
    openai, http = importlib.import_module("openai"), http_module()
    url = "https://api.openai.com/v1" if port is None else f"http://127.0.0.1:{port}/v1"
    options: dict[str, Any] = {"api_key": "none", "base_url": url, "max_retries": 0}
    transport = in_process_transport(http, answer(texts), asynchronous=client == "async") if port is None else None
    if client == "async":
        aclient = openai.AsyncOpenAI(http_client=http.AsyncClient(transport=transport, trust_env=False), **options)
        run = async_run(aclient, texts, loop)
    else:
        run = sync_run(openai.OpenAI(http_client=http.Client(transport=transport, trust_env=False), **options), texts)
    return Workload(client, "in process" if port is None else "loopback", texts, run)


def plain_requests() -> Run:
    """Requests with the same HTTP library that are no embedding calls, and as little else as possible."""
    http = http_module()
    client = http.Client(transport=in_process_transport(http, b"{}", asynchronous=False))
    request = client.build_request("GET", "https://example.com/health")

    def run(calls: int) -> None:
        for _ in range(calls):
            client.send(request)

    return run


@contextmanager
def loopback_server(texts: int) -> Iterator[int]:
    """A server process on a free port of the loopback interface, which gives the same answer to every request."""
    command = [sys.executable, str(Path(__file__).with_name("loopback.py")), str(texts)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline())
        finally:
            server.terminate()
