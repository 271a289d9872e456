"""The rows of a summary document that vector stores, loaded models, the sizes of caches and checks of calls have.

Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from otel_embed.cli.rows import Row
from otel_embed.report.sketch import Sketch


@dataclass
class OperationTotals(Row):
    """All runs of one method of one vector store's class."""

    framework: str
    store: str
    method: str
    calls: int
    errors: dict[str, int]
    documents: int
    """Written or found."""
    seconds: float
    own: Sketch
    """Without the embedding inside: what the store itself took."""

    @property
    def name(self) -> str:
        return f"{self.store} {self.method}"


@dataclass
class LoadTotals(Row):
    """All loads of one model onto one device."""

    provider: str
    model: str
    device: str
    loads: int
    errors: dict[str, int]
    """By the exception's name."""
    seconds: Sketch

    @property
    def name(self) -> str:
        return f"{self.provider} {self.model}"


@dataclass
class CacheSize(Row):
    """What the caches of one name hold."""

    store: str
    shared: bool
    """True where several processes may have the same one: a folder, Redis."""
    entries: int
    bytes: int | None
    """None where nobody can tell."""

    @property
    def name(self) -> str:
        return self.store

    def add(self, other: Row) -> None:
        """Of what is shared, the larger one: all look at the same."""
        if not (self.shared and isinstance(other, CacheSize)):
            return super().add(other)
        self.entries = max(self.entries, other.entries)
        sizes = [size for size in (self.bytes, other.bytes) if size is not None]
        self.bytes = max(sizes, default=None)
        return None


@dataclass
class QualityTotals(Row):
    """What was found in the calls of one model that raised no error."""

    provider: str
    model: str
    inputs: int
    """How many were looked at."""
    vectors: int
    problems: dict[str, int]
    wasted_tokens: dict[str, int]
    wasted_usd: dict[str, float]
    looked_usd: float
    """What the calls cost whose inputs were looked at."""
    most_inputs: int | None
    """What the provider takes in one call; None where that is not known."""

    @property
    def name(self) -> str:
        return f"{self.provider} {self.model}"

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"wasted_ratio": wasted_ratio([self])}

    def add(self, other: Row) -> None:
        most = self.most_inputs
        super().add(other)
        self.most_inputs = most or (other.most_inputs if isinstance(other, QualityTotals) else None)


def wasted_ratio(rows: Iterable[QualityTotals]) -> float | None:
    """The share of the dollars of the calls looked at that went into texts embedded before; None where none is known."""
    wasted, looked = 0.0, 0.0
    for row in rows:
        wasted, looked = wasted + sum(row.wasted_usd.values()), looked + row.looked_usd
    return wasted / looked if looked else None
