"""The size of stores in this process's memory and in a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

_SAMPLE = 32
_MOST_FILES = 200_000


class Size(NamedTuple):
    place: Hashable
    """Where the entries are: of two objects with one place, one counts."""
    entries: int
    bytes: int | None
    """None where nobody can tell."""


def behind(store: Any) -> Any:
    """The store that another one encodes for, or keeps its entries in."""
    name = type(store).__name__
    if name == "EncoderBackedStore":  # LangChain's, before the cache of embeddings
        return getattr(store, "store", store)
    return getattr(store, "cache", store) if name == "IngestionCache" else store  # LlamaIndex's


def in_memory(store: Any) -> Size | None:
    """Of LangChain's ``InMemoryStore`` and ``InMemoryByteStore``, and of LlamaIndex's ``SimpleKVStore``, those of their
    subclasses included."""
    entries = getattr(store, "store", None)
    if isinstance(entries, dict):
        tables = [entries]
    else:
        collections = getattr(store, "_collections_mappings", None)
        collections = getattr(store, "_data", None) if collections is None else collections  # before 0.12
        if not isinstance(collections, dict):
            return None
        tables = [table for table in list(collections.values()) if isinstance(table, dict)]
    return Size(id(store), sum(map(len, tables)), sum(map(_table_bytes, tables)))


def _table_bytes(table: dict[Any, Any]) -> int:
    """By a sample of its entries."""
    count = len(table)
    for _ in range(3):
        try:
            sample = [*islice(table.items(), _SAMPLE)]
        except RuntimeError:  # the application changed it meanwhile
            continue
        mean = sum(_bytes(key) + _bytes(value) for key, value in sample) / len(sample) if sample else 0
        return sys.getsizeof(table) + round(mean * count)
    return sys.getsizeof(table)


def _bytes(value: Any) -> int:
    """Of a text, a vector, or a dictionary of them."""
    inside: Iterable[Any] = ()
    if isinstance(value, dict):
        inside = islice(value.values(), _SAMPLE)
    own = sys.getsizeof(value)
    if isinstance(value, (list, tuple)) and value:
        own += len(value) * sys.getsizeof(value[0])
    return own + sum(map(_bytes, inside))


def folder_of(store: Any) -> str | None:
    """Of LangChain's ``LocalFileStore``."""
    root = getattr(store, "root_path", None)
    return str(root) if isinstance(root, os.PathLike) else None


def in_folder(folder: str) -> Size | None:
    """The files below it, their bytes by a sample; None where they are too many to be counted."""
    count, sample = 0, 0
    for file in _files(folder):
        count += 1
        if count > _MOST_FILES:
            return None
        if count <= _SAMPLE:
            sample += file.stat().st_size
    return Size(folder, count, round(sample / min(count, _SAMPLE) * count) if count else 0)


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            else:
                yield entry
