"""Grafana's dashboards as a browser would fill them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MACROS = {
    "$__rate_interval_ms": "300000",
    "$__rate_interval": "5m",
    "$__range_s": "3600",
    "$__range": "1h",
    "$__interval": "1m",
}
"""The longer names first."""


def filled(expression: str, variables: Mapping[str, str], macros: Mapping[str, str] = MACROS) -> str:
    for name, value in {**macros, **{f"${name}": value for name, value in variables.items()}}.items():
        expression = expression.replace(name, value)
    return expression


def everything(board: Mapping[str, Any]) -> dict[str, str]:
    """Every variable at All, text as it is written."""
    return {
        each["name"]: each.get("allValue") or each["query"]
        for each in board["templating"]["list"]
        if each["type"] != "datasource"
    }


def targets(board: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each panel with each of its expressions."""
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel, target["expr"]
