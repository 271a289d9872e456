"""What the gauges of stores say."""

from __future__ import annotations

import time

from conftest import Telemetry
from otel_embed.gauges import stores


def sizes(telemetry: Telemetry) -> dict[str, tuple[float, float | None]]:
    metrics = telemetry.metrics()
    entries, size = (metrics.get(f"otel_embed.cache.{name}", ()) for name in ("entries", "size"))
    bytes_of = {point.attributes["otel_embed.cache.store"]: point.value for point in size}
    names = [(point.attributes["otel_embed.cache.store"], point.value) for point in entries]
    return {store: (count, bytes_of.get(store)) for store, count in names}


def eventually(telemetry: Telemetry, store: str, patience: float = 5.0) -> tuple[float, float | None]:
    """What a store outside of this process holds, once it was asked."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        stores._sizes._looked = float("-inf")
        if store in (found := sizes(telemetry)):
            return found[store]
        time.sleep(0.02)
    raise AssertionError(f"{store} is not observed")
