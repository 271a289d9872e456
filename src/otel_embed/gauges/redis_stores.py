"""The size of caches in Redis, by a connection of our own: that of the application's pool is the application's."""

from __future__ import annotations

import re
import sys
import time
from typing import Any, NamedTuple

from otel_embed.gauges.local_stores import Size

_CLIENTS = ("client", "redis", "_redis_client", "redis_client", "_async_redis_client", "async_redis_client")
_PREFIXES = {
    "EmbeddingsCache": ("name", ":"),
    "RedisStore": ("namespace", "/"),
    "RedisCache": ("prefix", ":"),
    "RedisSemanticCache": ("prefix", ":"),
}
"""By class: what holds the beginning of its keys, and what follows that."""
_TAKEN = frozenset({"host", "port", "db", "username", "password", "path", "credential_provider", "protocol"})
_CONNECTIONS = ("UnixDomainSocketConnection", "SSLConnection", "Connection")
_TIMEOUT, _BUDGET = 1.0, 0.5
"""Seconds: for one answer, and for all of them."""
_PAGE, _MOST_PAGES, _SAMPLE = 1000, 20, 20


class Place(NamedTuple):
    """Where a cache keeps its entries: a database of a server, or the keys in it that begin in one way."""

    connection: str
    settings: tuple[tuple[str, Any], ...]
    prefix: str


def place_of(store: Any) -> Place | None:
    """None for a store that is not in Redis, or is where one connection does not lead: in a cluster, say."""
    clients = (getattr(store, name, None) for name in _CLIENTS)
    pool = next(filter(None, (getattr(client, "connection_pool", None) for client in clients)), None)
    settings, kind = getattr(pool, "connection_kwargs", None), getattr(pool, "connection_class", None)
    if not isinstance(settings, dict) or not isinstance(kind, type) or not ("host" in settings or "path" in settings):
        return None
    if kind.__name__ not in _CONNECTIONS or not kind.__module__.startswith("redis."):
        return None
    taken = {name: value for name, value in settings.items() if name in _TAKEN or name.startswith("ssl_")}
    name, end = _PREFIXES.get(type(store).__name__, ("", ""))
    begins = getattr(store, name, None) if name else None
    return Place(kind.__name__, tuple(sorted(taken.items())), f"{begins}{end}" if isinstance(begins, str) else "")


def measure(place: Place) -> Size | None:
    """Ask the server. Raises where it does not answer."""
    redis = sys.modules.get("redis")
    if redis is None:
        return None
    pool = redis.ConnectionPool(
        connection_class=getattr(redis, place.connection), max_connections=1,
        socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, **dict(place.settings),
    )  # fmt: skip
    client = redis.Redis(connection_pool=pool)
    try:
        if place.prefix:
            return _of_keys(client, place, redis.ResponseError)
        used = _or_none(redis.ResponseError, client.info, "memory")
        return Size(place, int(client.dbsize()), None if used is None else int(used["used_memory"]))
    finally:
        pool.disconnect()


def _of_keys(client: Any, place: Place, refusal: type[Exception]) -> Size:
    """By SCAN; beyond the pages that are read, the rest of the database is taken to be like them."""
    pattern = re.sub(r"([\\*?\[\]^-])", r"\\\1", place.prefix) + "*"
    keys: set[bytes] = set()
    cursor, pages, until = 0, 0, time.monotonic() + _BUDGET
    while True:
        cursor, found = client.scan(cursor, match=pattern, count=_PAGE)
        keys.update(found)
        pages += 1
        if not cursor or pages >= _MOST_PAGES or time.monotonic() > until:
            break
    entries = len(keys) if not cursor else round(len(keys) / (pages * _PAGE) * client.dbsize())
    sample = [key for key, _ in zip(keys, range(_SAMPLE))]
    with client.pipeline(transaction=False) as asked:
        for key in sample:
            asked.memory_usage(key)
        sizes = [size for size in _or_none(refusal, asked.execute) or () if size]  # None: it expired meanwhile
    mean = sum(sizes) / len(sizes) if sizes else None
    return Size(place, entries, 0 if not entries else None if mean is None else round(mean * entries))


def _or_none(refusal: type[Exception], ask: Any, *arguments: Any) -> Any:
    try:
        return ask(*arguments)
    except refusal:  # a command that this user may not give, or that the server does not have
        return None
