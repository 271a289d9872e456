"""What must never be shown: keys, header values, credentials in URLs.

Checks mask what they show themselves. On top of that ``Mask`` goes over all they say, because an
exception's text can hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, unquote, urlsplit

HIDDEN = "***"
_SHORTEST = 6
"""A shorter value is no key, and masking it would garble the text."""
_SECRET_WORDS = {"apikey", "auth", "credential", "credentials", "dsn", "headers", "key"}
_SECRET_WORDS |= {"passwd", "password", "pat", "secret", "token", "tokens"}
_HEADER_WORD = r"(?:[A-Z]?[a-z]{1,14}|[A-Z]{1,14})"
_HEADER_NAME = re.compile(rf"{_HEADER_WORD}(?:[-_]{_HEADER_WORD})*")
"""A header's name as people write it. What does not look like one may be a key that stands in the wrong place."""
_RANDOM = re.compile(r"(?=[^/]*\d)(?=[^/]*[A-Za-z])[\w.~-]{16,}")


class Mask:
    """Takes the secrets of an environment out of a text."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        found = {secret for name, value in environ.items() for secret in _secrets(name, value)}
        self._secrets = sorted((secret for secret in found if len(secret) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def _secrets(name: str, value: str) -> Iterator[str]:
    if name.startswith("OTEL_EMBED_"):
        return
    if _SECRET_WORDS.intersection(name.lower().split("_")):
        yield value.strip()
    if name.upper().endswith("_HEADERS"):
        for part in value.split(","):
            secret = part.partition("=")[2].strip() or part.strip()
            yield from (part.strip(), secret, unquote(secret), *secret.split(), *unquote(secret).split())
    if "://" in value:
        parts = _split(value)
        yield from (parts.username or "", parts.password or "", unquote(parts.password or ""), parts.query)


def url(text: str) -> str:
    """A URL without its credentials, its query and what looks like a key in its path."""
    parts = _split(text)
    if not parts.netloc:
        host, slash, path = text.rpartition("@")[2].partition("?")[0].partition("/")
        return f"{host}{slash}{_RANDOM.sub(HIDDEN, path)}"
    place = parts.netloc.rpartition("@")
    shown = f"{parts.scheme}://{HIDDEN + '@' if place[1] else ''}{place[2]}{_RANDOM.sub(HIDDEN, parts.path)}"
    return f"{shown}?{HIDDEN}" if parts.query else shown


def headers(text: str) -> tuple[list[str], int]:
    """The names of the headers in ``name=value,name=value``, and how many entries are none."""
    names, malformed = [], 0
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        name, equals, _ = entry.partition("=")
        name = unquote(name).strip()
        if not equals or not name or not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name):
            malformed += 1
        else:
            names.append(name.lower() if _HEADER_NAME.fullmatch(name) else HIDDEN)
    return names, malformed


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:  # a malformed IPv6 address
        return urlsplit("")
