"""Ingest real documents for retrieval, change a few, ingest again, and ask questions: an ordinary application.

Nothing here knows of telemetry. The documents are what this Python brought along: docstrings of its standard library,
descriptions and licences of installed packages.
"""

from __future__ import annotations

import ast
import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from itertools import islice
from operator import mul
from pathlib import Path
from typing import Any, NamedTuple

import openai
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings
from langchain_text_splitters import RecursiveCharacterTextSplitter

MODEL = "text-embedding-3-small"
CHUNKS_EACH = 3
BATCH = 32
MODULES = [
    "argparse", "bisect", "calendar", "configparser", "contextlib", "csv", "dataclasses", "difflib", "enum",
    "fileinput", "fractions", "functools", "getpass", "glob", "graphlib", "gzip", "heapq", "inspect", "ipaddress",
    "json", "logging", "mailbox", "mimetypes", "operator", "pickle", "pprint", "queue", "random", "sched",
    "secrets", "selectors", "shelve", "shutil", "smtplib", "socket", "statistics", "subprocess", "tarfile",
    "tempfile", "textwrap", "threading", "timeit", "tokenize", "traceback", "uuid", "warnings", "weakref",
    "zipfile",
]  # fmt: skip
QUESTIONS = [
    "How do I parse command line options?",
    "Which module computes the median and the standard deviation?",
    "How can I wait for a child process and read its output?",
    "How do I write rows to a CSV file?",
    "What makes random numbers that are safe for passwords?",
    "How do I make a temporary directory that is removed afterwards?",
]


class Chunk(NamedTuple):
    document: str
    text: str


class Match(NamedTuple):
    document: str
    score: float


def standard_library() -> Iterator[tuple[str, str]]:
    for name in MODULES:
        spec = find_spec(name)
        if spec and spec.origin and spec.origin.endswith(".py"):
            tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
            nodes = (node for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)))
            texts = (f"{getattr(node, 'name', name)}: {ast.get_docstring(node) or ''}" for node in nodes)
            yield name, f"The {name} module.\n\n" + "\n\n".join(texts)


def installed_packages() -> Iterator[tuple[str, str]]:
    for package in sorted(metadata.distributions(), key=lambda package: package.name.lower()):
        _, _, description = (package.read_text("METADATA") or "").partition("\n\n")
        if description.strip():
            yield f"{package.name} (description)", description
        for file in package.files or ():
            if file.name.upper().startswith("LICENSE") and Path(file.locate()).is_file():
                yield f"{package.name} (licence)", file.read_text(encoding="utf-8")
                break


def read_documents() -> dict[str, str]:
    """By name: every module, and as many packages."""
    return dict([*standard_library(), *islice(installed_packages(), len(MODULES))])


def split(documents: dict[str, str]) -> list[Chunk]:
    """The first few chunks of each document."""
    splitter = RecursiveCharacterTextSplitter(chunk_size=900, chunk_overlap=90)
    return [Chunk(name, text) for name, whole in documents.items() for text in splitter.split_text(whole)[:CHUNKS_EACH]]


class Index:
    """Vectors in memory, searched by cosine; they come normalised."""

    def __init__(self, embeddings: CacheBackedEmbeddings) -> None:
        self._embeddings = embeddings
        self._entries: list[tuple[Chunk, Sequence[float]]] = []

    def ingest(self, chunks: Sequence[Chunk]) -> float:
        """Replace what there is, a batch at a time; gives the seconds that took."""
        started = time.perf_counter()
        self._entries = []
        for start in range(0, len(chunks), BATCH):
            batch = chunks[start : start + BATCH]
            vectors = self._embeddings.embed_documents([chunk.text for chunk in batch])
            self._entries += zip(batch, vectors, strict=True)
        return time.perf_counter() - started

    def search(self, vector: Sequence[float]) -> Match:
        scored = ((sum(map(mul, vector, stored)), chunk) for chunk, stored in self._entries)
        score, chunk = max(scored)
        return Match(chunk.document, score)


@contextmanager
def endpoint() -> Iterator[dict[str, Any]]:
    """What the clients need to know: nothing if there is a key for the real endpoint, else the bundled server's URL."""
    if os.environ.get("OPENAI_API_KEY"):
        yield {}
        return
    from otel_embed.demo import bundled_server

    # About as slow as the real one, and now and then too busy.
    options = "--latency-ms=35", "--per-token-us=12", "--jitter=0.25", "--limit-every=13", "--retry-after-ms=300"
    with bundled_server(*options) as url:
        yield {"base_url": url, "api_key": "none-needed"}


def ingest_twice(index: Index, documents: dict[str, str]) -> None:
    chunks = split(documents)
    print(f"Read {len(documents)} documents and cut them into {len(chunks)} chunks.")
    print(f"First ingest: {index.ingest(chunks):.1f} s.")
    changed = list(documents)[:5]
    documents |= {name: f"Revised edition.\n\n{documents[name]}" for name in changed}
    chunks = split(documents)
    print(f"Changed {len(changed)} documents and ingested again: {index.ingest(chunks):.1f} s, thanks to the cache.")


def ask(client: openai.OpenAI, index: Index) -> None:
    for question in QUESTIONS:
        reply = client.embeddings.create(model=MODEL, input=question)
        match = index.search(reply.data[0].embedding)
        print(f"  {question:<63} {match.document} ({match.score:.2f})")


async def ask_all_at_once(settings: dict[str, Any], index: Index) -> None:
    names = MODULES[::2]
    started = time.perf_counter()
    async with openai.AsyncOpenAI(**settings) as client:
        questions = (client.embeddings.create(model=MODEL, input=f"What does the {name} module do?") for name in names)
        replies = await asyncio.gather(*questions)
    seconds = time.perf_counter() - started
    pairs = zip(names, replies, strict=True)
    found = sum(index.search(reply.data[0].embedding).document == name for name, reply in pairs)
    print(f"Asked {len(names)} questions at once: {seconds:.1f} s, and {found} found the module they asked about.")


def embed_without_splitting(client: openai.OpenAI, documents: dict[str, str]) -> None:
    try:
        client.embeddings.create(model=MODEL, input="\n\n".join(documents.values()))
    except openai.BadRequestError as error:
        print(f"All documents as one text are too long, as they should be: {error.message[:70]}…")


def main() -> None:
    started = time.perf_counter()
    with endpoint() as settings, openai.OpenAI(**settings) as client:
        print(f"Embedding with {MODEL} at {client.base_url.host}.")
        # The real endpoint gets token ids; for those, a vocabulary is fetched once from the network.
        model = OpenAIEmbeddings(model=MODEL, check_embedding_ctx_length=not settings, **settings)
        cache = CacheBackedEmbeddings.from_bytes_store(
            model, InMemoryByteStore(), namespace=MODEL, key_encoder="sha256"
        )
        index, documents = Index(cache), read_documents()
        ingest_twice(index, documents)
        ask(client, index)
        asyncio.run(ask_all_at_once(settings, index))
        embed_without_splitting(client, documents)
    print(f"Done in {time.perf_counter() - started:.1f} s.")


if __name__ == "__main__":
    main()
