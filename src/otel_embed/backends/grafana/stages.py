"""Where the time of a call goes."""

from __future__ import annotations

from typing import Final

from otel_embed.backends import signals
from otel_embed.backends.grafana.panels import ALL, PROM, STEP, Board, Line, Panel, graph, legend, stat, table
from otel_embed.backends.grafana.queries import EMBEDDINGS, MODEL, SLOW, rate, share, total
from otel_embed.backends.promql import labels, matcher
from otel_embed.report import names
from otel_embed.thresholds import Thresholds

_STAGE: Final = (names.STAGE,)
_GROUPS: Final = (
    ("Waiting", ("wait",), "For the provider's first byte: network and server."),
    ("Backoff", ("backoff",), "Asleep between attempts."),
    ("Receiving", ("receive",), "Downloading vectors."),
    ("Connecting", ("acquire", "connect", "tls"), "Waiting for a connection, opening one, TLS."),
    ("In this process", ("tokenize", "serialize", "deserialize", "forward", "pool", "other"),
     "Tokenizing, writing requests, reading answers, the model itself where it is here."),
)  # fmt: skip


def board(_: Thresholds) -> Board:
    time, duration = signals.STAGES, signals.DURATION
    per_call = PROM.gained(time, STEP, _STAGE, EMBEDDINGS)
    seconds = total(time, EMBEDDINGS, by=(*MODEL, names.STAGE))
    panels = [
        stat("Mean call", "s", PROM.mean(duration, ALL, ()), "All stages together.", duration, traces=SLOW),
        *(_group(title, stages, about) for title, stages, about in _GROUPS),
        graph("A mean call", "s",
              Line(f"{per_call} / scalar({PROM.gained(duration, STEP, (), part='count')} > 0)", legend(*_STAGE)),
              "Stages do not overlap: they add up to it.", time, duration, stacked=True, traces=SLOW),
        graph("Seconds a second", "short", rate(time, EMBEDDINGS, by=_STAGE), "More than 1: calls side by side.", time,
              stacked=True),
        table("By model and stage", "s", Line(f"sort_desc({seconds})"), "In the time that is shown.", time),
        _framework(),
    ]  # fmt: skip
    return Board("stages", "Stages", "Where the time of a call goes.", panels)


def _group(title: str, stages: tuple[str, ...], about: str) -> Panel:
    among = matcher(names.STAGE, "=~", "|".join(stages))
    return stat(title, "percentunit", share(signals.STAGES, among, among=(EMBEDDINGS,)), about, signals.STAGES)


def _framework() -> Panel:
    component, by_stage = (names.COMPONENT,), (names.COMPONENT, names.STAGE)
    seconds = PROM.gained(signals.STAGES, STEP, by_stage, matcher(names.FRAMEWORK, "!=", ""))
    calls = PROM.gained(signals.FRAMEWORK, STEP, component, part="count")
    each = f"{seconds} / on ({labels(component)}) group_left () ({calls} > 0)"
    about = "A mean call of a framework's embedder, cache included, by class and stage."
    return graph(
        "A framework's call", "s", Line(each, legend(*by_stage)), about, signals.STAGES, signals.FRAMEWORK, stacked=True
    )
