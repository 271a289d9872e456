"""All dashboards for Grafana."""

from __future__ import annotations

import json
from collections.abc import Iterator

from otel_embed.backends.grafana import cache, chat, cost, errors, latency, local, quality, stages, tenants
from otel_embed.thresholds import Thresholds

_MODULES = (cost, latency, stages, cache, errors, quality, tenants, local, chat)


def files(thresholds: Thresholds) -> Iterator[tuple[str, str]]:
    """The name and the content of each file."""
    for module in _MODULES:
        board = module.board(thresholds)
        yield f"{board.name}.json", json.dumps(board.document(), indent=2, ensure_ascii=False) + "\n"
