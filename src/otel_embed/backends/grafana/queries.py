"""The expressions that dashboards have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from otel_embed.backends.grafana.panels import ALL, PROM, STEP, Line, legend
from otel_embed.backends.naming import Part
from otel_embed.backends.promql import matcher
from otel_embed.backends.signals import Signal
from otel_embed.report import names

MODEL: Final = (names.PROVIDER, names.REQUEST_MODEL)
EMBEDDINGS: Final = matcher(names.OPERATION, "=", names.EMBEDDINGS)
CHAT: Final = matcher(names.OPERATION, "!~", f"|{names.EMBEDDINGS}")
"""Of metrics on which embedding has its own name, or none."""
NO_CHAT: Final = matcher(names.OPERATION, "=", "")
FAILED: Final = matcher(names.ERROR_TYPE, "!=", "")
ANSWERED: Final = matcher(names.ERROR_TYPE, "=", "")
"""Inputs are counted where they were embedded."""
HIT: Final = matcher(names.CACHE_OUTCOME, "=", "hit")
SLOW: Final = "duration > 500ms"
ERROR: Final = "status = error"


def total(signal: Signal, *matchers: str, part: Part = "", by: tuple[str, ...] = ()) -> str:
    """Over all the time that is shown."""
    return PROM.gained(signal, ALL, by, *matchers, part=part)


def rate(signal: Signal, *matchers: str, by: tuple[str, ...], part: Part = "", seconds: int = 1) -> Line:
    """What a counter grows by in so many seconds."""
    times = f" * {seconds}" if seconds != 1 else ""
    return Line(f"{PROM.gained(signal, STEP, by, *matchers, part=part)} / {STEP.seconds}{times}", legend(*by))


def percentiles(signal: Signal, *matchers: str) -> Iterable[Line]:
    for q in (0.5, 0.95, 0.99):
        yield Line(PROM.quantile(q, signal, STEP, (), *matchers), f"p{round(q * 100)}")


def quantile(q: float, signal: Signal, *matchers: str, by: tuple[str, ...]) -> Line:
    return Line(PROM.quantile(q, signal, STEP, by, *matchers), legend(*by))


def now(how: str, signal: Signal, *matchers: str, by: tuple[str, ...]) -> Line:
    return Line(PROM.now(how, signal, by, *matchers), legend(*by))


def share(signal: Signal, *some: str, among: tuple[str, ...] = (), part: Part = "") -> str:
    """The part of a counter that meets ``some`` as well, over all that is shown."""
    return PROM.share(total(signal, *among, *some, part=part), total(signal, *among, part=part))


def share_now(signal: Signal, *some: str, by: tuple[str, ...], among: tuple[str, ...] = (), part: Part = "") -> Line:
    part_of = PROM.gained(signal, STEP, by, *among, *some, part=part)
    return Line(PROM.share(part_of, PROM.gained(signal, STEP, by, *among, part=part)), legend(*by))
