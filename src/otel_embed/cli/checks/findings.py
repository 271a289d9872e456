"""What a check found, and how bad that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

Status = Literal["ok", "note", "warning", "problem"]
"""A ``problem`` keeps telemetry from arriving; a ``warning`` makes it less than it could be; a ``note`` is as wanted."""


class Finding(NamedTuple):
    status: Status
    said: str
    advice: str | None = None
    """What to do."""
    facts: Mapping[str, Any] = {}
    """The same for machines."""

    def masked(self, mask: Callable[[str], str]) -> Finding:
        """The finding with every text passed through ``mask``."""
        advice = None if self.advice is None else mask(self.advice)
        return Finding(self.status, mask(self.said), advice, _masked(self.facts, mask))


class Section(NamedTuple):
    title: str
    findings: list[Finding]


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {mask(str(key)): _masked(part, mask) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(part, mask) for part in value]
    return value
