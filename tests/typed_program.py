"""A user's program, as mypy sees it: what it is wrong about is said to be wrong, or mypy finds the comments unused."""

from __future__ import annotations

import otel_embed

otel_embed.instrument(semconv="both")
with otel_embed.track() as usage, otel_embed.stage("tokenize"), otel_embed.attribute(tenant="acme"):
    print(usage.cost_usd)
tokens: int = usage.tokens
wrong: list[str] = usage.tokens  # type: ignore[assignment]
summary: int = otel_embed.summary()  # type: ignore[assignment]
otel_embed.stage("no such stage")  # type: ignore[arg-type]
