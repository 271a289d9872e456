"""What a model takes, by its name."""

from __future__ import annotations

import pkgutil
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from otel_embed.pricing.documents import parsed


@lru_cache(maxsize=1000)
def most_tokens(model: str | None) -> int | None:
    """The longest input that this model takes, in tokens; None where it is not known."""
    return next((row["most"] for row in _rows()["tokens"] if _fits(model, row)), None)


@lru_cache(maxsize=1000)
def most_inputs(provider: str, model: str | None) -> int | None:
    """The most inputs that one call of this model takes; None where it is not known."""
    rows = (row for row in _rows()["inputs"] if row["provider"] == provider)
    return next((row["most"] for row in rows if _fits(model, row)), None)


def _fits(model: str | None, row: dict[str, Any]) -> bool:
    return model is not None and any(fnmatchcase(model.lower(), pattern) for pattern in row["models"])


@lru_cache(maxsize=1)
def _rows() -> dict[str, list[dict[str, Any]]]:
    return parsed(pkgutil.get_data(__package__, "models.toml") or b"")
