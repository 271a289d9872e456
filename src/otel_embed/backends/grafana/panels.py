"""Grafana's dashboards: panels, variables, links."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from otel_embed.backends.grafana.variables import SOURCE, variables
from otel_embed.backends.naming import label
from otel_embed.backends.promql import Language, Series, Window
from otel_embed.backends.signals import Signal
from otel_embed.report import names
from otel_embed.thresholds import Threshold

STEP: Final = Window("$__rate_interval", "($__rate_interval_ms / 1000)", "1h")
"""One point of a graph."""
ALL: Final = Window("$__range", "$__range_s", "1h")
"""All that the dashboard shows."""
NOTHING: Final = "no traffic"
_WIDTH: Final = 24


class Chosen(Language):
    """Expressions about what the variables choose: the model, where a metric has one."""

    def series(self, signal: Signal, *matchers: str, part: Any = "") -> Series:
        model = (f'{label(names.REQUEST_MODEL)}=~"$model"',) if names.REQUEST_MODEL in signal.attributes else ()
        return super().series(signal, *model, *matchers, part=part)


PROM: Final = Chosen('job=~"$job"', 'instance=~"$instance"')


class Line(NamedTuple):
    expression: str
    legend: str = ""


class Panel(NamedTuple):
    kind: str
    title: str
    about: str
    signals: tuple[Signal, ...]
    unit: str
    lines: tuple[Line, ...]
    limit: Threshold | None = None
    stacked: bool = False
    traces: str | None = None
    """A TraceQL condition: the panel leads to the traces that meet it."""

    @property
    def size(self) -> tuple[int, int]:
        return (4, 4) if self.kind == "stat" else (12, 8)


def stat(
    title: str, unit: str, expression: str, about: str, *of: Signal, limit: Threshold | None = None,
    traces: str | None = None,
) -> Panel:  # fmt: skip
    return Panel("stat", title, about, of, unit, (Line(expression),), limit, traces=traces)


def graph(
    title: str, unit: str, lines: Iterable[Line] | Line, about: str, *of: Signal, stacked: bool = False,
    limit: Threshold | None = None, traces: str | None = None,
) -> Panel:  # fmt: skip
    found = (lines,) if isinstance(lines, Line) else tuple(lines)
    return Panel("timeseries", title, about, of, unit, found, limit, stacked, traces)


def table(title: str, unit: str, lines: Iterable[Line] | Line, about: str, *of: Signal) -> Panel:
    return Panel("table", title, about, of, unit, (lines,) if isinstance(lines, Line) else tuple(lines))


def legend(*attributes: str) -> str:
    return " ".join(f"{{{{{label(name)}}}}}" for name in attributes)


class Board(NamedTuple):
    name: str
    title: str
    about: str
    panels: Sequence[Panel]
    variables: Sequence[dict[str, Any]] = ()

    def document(self) -> dict[str, Any]:
        return {
            "uid": f"otel-embed-{self.name}",
            "title": f"otel-embed / {self.title}",
            "description": self.about,
            "tags": ["otel-embed", "opentelemetry", "embeddings"],
            "schemaVersion": 41,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "1m",
            "time": {"from": "now-6h", "to": "now"},
            "timezone": "browser",
            "links": [_link("dashboards", "otel-embed", "", asDropdown=True, includeVars=True, keepTime=True)],
            "annotations": {"list": []},
            "templating": {"list": [*variables(), *self.variables]},
            "panels": list(_placed(self.panels)),
        }


def _link(kind: str, title: str, url: str, **more: bool) -> dict[str, Any]:
    """``dashboards`` are those with our tag, ``link`` is an address."""
    return {
        "type": kind, "title": title, "url": url, "tags": ["otel-embed"] if kind == "dashboards" else [],
        "icon": "external link", "tooltip": "", "targetBlank": False, "asDropdown": False, "includeVars": False,
        "keepTime": False, **more,
    }  # fmt: skip


def _placed(panels: Sequence[Panel]) -> Iterable[dict[str, Any]]:
    """From left to right, and a new row where one is full or the height changes."""
    x = y = tallest = 0
    for number, panel in enumerate(panels, 1):
        width, height = panel.size
        if x + width > _WIDTH or (tallest and height != tallest):
            x, y, tallest = 0, y + tallest, 0
        yield {"id": number, "gridPos": {"x": x, "y": y, "w": width, "h": height}, **_drawn(panel)}
        x, tallest = x + width, height


def _drawn(panel: Panel) -> dict[str, Any]:
    metrics = ", ".join(f"`{signal.name}`" for signal in panel.signals)
    drawn = {
        "type": panel.kind,
        "title": panel.title,
        "description": f"{panel.about} Metric: {metrics}",
        "datasource": SOURCE,
        "targets": [_target(panel, number, line) for number, line in enumerate(panel.lines)],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
        "links": [] if panel.traces is None else [_link("link", "Traces", _explore(panel.traces))],
    }
    if panel.kind == "timeseries":
        drawn["interval"] = "1m"  # as metrics come once a minute where nobody says otherwise
    elif panel.kind == "table":
        drawn["transformations"] = [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}}},
        ]
    return drawn


def _target(panel: Panel, number: int, line: Line) -> dict[str, Any]:
    found: dict[str, Any] = {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": line.expression}
    if panel.kind == "timeseries":
        return {**found, "legendFormat": line.legend or "__auto"}
    if panel.kind == "table":
        return {**found, "instant": True, "range": False, "format": "table"}
    return {**found, "instant": True, "range": False}


def _field(panel: Panel) -> dict[str, Any]:
    nan = {"type": "special", "options": {"match": "nan", "result": {"text": NOTHING, "index": 0}}}
    field: dict[str, Any] = {
        "unit": panel.unit,
        "noValue": NOTHING,
        "mappings": [nan],
        "thresholds": {"mode": "absolute", "steps": _steps(panel.limit)},
    }
    if panel.kind == "timeseries":
        field["min"] = 0
        field["custom"] = {
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if panel.stacked else 10, "showPoints": "auto",
            "spanNulls": False, "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if panel.limit else "off"},
        }  # fmt: skip
    return field


def _steps(limit: Threshold | None) -> list[dict[str, Any]]:
    colours: list[tuple[str, float | None]]
    if limit is None:
        colours = [("blue", None)]
    elif limit.comparison == "above":
        colours = [("green", None), ("yellow", limit.good), ("red", limit.value)]
    else:
        colours = [("red", None), ("green" if limit.good is None else "yellow", limit.value), ("green", limit.good)]
    given = [(colour, value) for colour, value in colours[1:] if value is not None]
    return [{"color": colour, "value": value} for colour, value in (colours[0], *given)]


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        colour = "value" if panel.limit else "none"
        return {"reduceOptions": reduced, "colorMode": colour, "graphMode": "none", "textMode": "auto"}
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    return {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"], "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"}}  # fmt: skip


def _explore(condition: str) -> str:
    """Traces of the models that are chosen, in Grafana's Explore. Variables must stand in it as they are."""
    asked = f'{{ span.{names.OPERATION} != "" && span.{names.REQUEST_MODEL} =~ "${{model:pipe}}" && {condition} }}'
    query = {"refId": "A", "queryType": "traceql", "query": asked, "limit": 50, "tableType": "traces",
             "datasource": {"type": "tempo", "uid": "${tempo}"}}  # fmt: skip
    span = {"from": "${__from}", "to": "${__to}"}
    panes = json.dumps({"traces": {"datasource": "${tempo}", "queries": [query], "range": span}})
    encoded = quote(panes, safe="")
    for variable in ("${model:pipe}", "${tempo}", "${__from}", "${__to}"):
        encoded = encoded.replace(quote(variable, safe=""), variable)
    return f"/explore?schemaVersion=1&orgId=1&panes={encoded}"
