"""The dashboard for Datadog."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from otel_embed.backends import signals
from otel_embed.backends.datadog import filtered
from otel_embed.backends.signals import Signal
from otel_embed.report import names

MODEL: Final = (names.PROVIDER, names.REQUEST_MODEL)
_EMBEDDINGS: Final = f"{names.OPERATION}:{names.EMBEDDINGS}"
_CHAT: Final = f"{names.OPERATION}:{names.CHAT}"
_NO_CHAT: Final = f"!{names.OPERATION}:*"
_HIT: Final = f"{names.CACHE_OUTCOME}:hit"
_FAILED: Final = f"{names.ERROR_TYPE}:*"
_ANSWERED: Final = f"!{names.ERROR_TYPE}:*"
_VARIABLES: Final = {"service": "service", "env": "env", "model": names.REQUEST_MODEL}


def document() -> str:
    """The body of a request that creates it."""
    board = {
        "title": "otel-embed: embedding pipelines",
        "description": "Cost, latency, stages, caches, errors, local models, chat models, as otel-embed measures them.",
        "layout_type": "ordered",
        "reflow_type": "auto",
        "template_variables": [{"name": name, "prefix": tag, "defaults": ["*"]} for name, tag in _VARIABLES.items()],
        "tags": [],
        "widgets": [_note(), *(_group(title, widgets) for title, widgets in _GROUPS)],
    }
    return json.dumps(board, indent=2) + "\n"


def _note() -> dict[str, Any]:
    text = (
        "**otel-embed** measures embedding pipelines. The service, the environment and the model are chosen above; "
        "caches, budgets and GPUs have no model.\n\nTraces: [slow calls](/apm/traces?query="
        f"%40{names.OPERATION}%3A{names.EMBEDDINGS}%20%40duration%3A%3E500ms), "
        f"[failed calls](/apm/traces?query=%40{names.OPERATION}%3A{names.EMBEDDINGS}%20status%3Aerror)"
    )
    return {"definition": {"type": "note", "content": text, "background_color": "white", "show_tick": False}}


def _group(title: str, widgets: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "definition": {
            "type": "group",
            "layout_type": "ordered",
            "title": title,
            "widgets": [{"definition": each} for each in widgets],
        }
    }


def _ask(how: str, signal: Signal, *filters: str, by: Sequence[str] = ()) -> str:
    chosen = ["$service", "$env", *(["$model"] if names.REQUEST_MODEL in signal.attributes else [])]
    counted = ".as_count()" if how == "count" or signal.kind == "counter" else ""
    return f"{how}:{filtered(signal, by, *chosen, *filters)}{counted}"


def _queries(asked: Sequence[str], aggregator: str | None) -> list[dict[str, Any]]:
    more = {"aggregator": aggregator} if aggregator else {}
    return [
        {"data_source": "metrics", "name": name, "query": query, **more} for name, query in zip("abcdef", asked)
    ]


def _value(title: str, *asked: str, formula: str = "a", aggregator: str = "sum", precision: int = 2) -> dict[str, Any]:
    request = {
        "response_format": "scalar",
        "queries": _queries(asked, aggregator),
        "formulas": [{"formula": formula}],
    }
    return {"type": "query_value", "title": title, "autoscale": True, "precision": precision, "requests": [request]}


def _graph(title: str, *asked: str, formula: str = "a", bars: bool = False) -> dict[str, Any]:
    request = {
        "response_format": "timeseries",
        "queries": _queries(asked, None),
        "formulas": [{"formula": formula}],
        "display_type": "bars" if bars else "line",
    }
    return {"type": "timeseries", "title": title, "show_legend": True, "legend_layout": "auto", "requests": [request]}


def _list(title: str, *asked: str, formula: str = "a", aggregator: str = "sum") -> dict[str, Any]:
    limit = {"count": 10, "order": "desc"}
    request = {
        "response_format": "scalar",
        "queries": _queries(asked, aggregator),
        "formulas": [{"formula": formula, "limit": limit}],
    }
    return {"type": "toplist", "title": title, "requests": [request]}


def _monitors() -> dict[str, Any]:
    return {
        "type": "manage_status", "title": "Monitors", "query": 'tag:"source:otel-embed"', "sort": "status,asc",
        "summary_type": "monitors", "display_format": "countsAndList", "color_preference": "text",
        "hide_zero_counts": True, "show_last_triggered": True, "show_priority": False,
    }  # fmt: skip


def _percentiles(title: str, signal: Signal, *filters: str) -> Iterator[dict[str, Any]]:
    for q in (50, 95, 99):
        yield _graph(f"{title}, p{q}", _ask(f"p{q}", signal, *filters, by=MODEL))


def _share(title: str, signal: Signal, some: str, *among: str, by: Sequence[str] = ()) -> dict[str, Any]:
    how = "count" if signal.kind == "histogram" else "sum"
    asked = (_ask(how, signal, *among, some, by=by), _ask(how, signal, *among, by=by))
    return _graph(title, *asked, formula="100 * default_zero(a) / b")


_COST: Final = signals.COST
_DURATION: Final = signals.DURATION
_GROUPS: Final = (
    ("Overview", (
        _monitors(),
        _value("Spent, USD", _ask("sum", _COST), precision=4),
        _value("Calls", _ask("count", _DURATION)),
        _value("p95, seconds", _ask("p95", _DURATION), aggregator="percentile", precision=3),
        _value("Failed, %", _ask("count", _DURATION, _FAILED), _ask("count", _DURATION),
               formula="100 * default_zero(a) / b"),
        _value("Cache hit rate, %", _ask("sum", signals.LOOKUPS, _NO_CHAT, _HIT),
               _ask("sum", signals.LOOKUPS, _NO_CHAT), formula="100 * default_zero(a) / b"),
        _value("Saved by caches, USD", _ask("sum", signals.SAVED_COST), precision=4),
    )),
    ("Cost", (
        _graph("Spent, USD", _ask("sum", _COST, by=MODEL), bars=True),
        _list("Spent by service and model, USD", _ask("sum", _COST, by=("job", names.REQUEST_MODEL))),
        _graph("Tokens", _ask("sum", signals.TOKENS, by=MODEL), bars=True),
        _graph("Calls without a price", _ask("sum", signals.UNPRICED, by=MODEL), bars=True),
        _graph("Left of budgets, USD", _ask("min", signals.BUDGET_REMAINING, by=("job", names.BUDGET, names.PERIOD))),
        _graph("Spent of budgets, %", _ask("max", signals.BUDGET_SPENT, by=("job", names.BUDGET, names.PERIOD)),
               _ask("max", signals.BUDGET_LIMIT, by=("job", names.BUDGET, names.PERIOD)), formula="100 * a / b"),
        _graph("Projected, USD", _ask("max", signals.BUDGET_PROJECTED, by=("job", names.BUDGET, names.PERIOD))),
        _graph("Marks of budgets that were passed",
               _ask("sum", signals.BUDGET_ALERTS, by=(names.BUDGET, names.THRESHOLD)), bars=True),
    )),
    ("Latency", (
        *_percentiles("Calls", _DURATION),
        _graph("Calls", _ask("count", _DURATION, by=MODEL), bars=True),
        _graph("Inputs", _ask("sum", signals.INPUTS, by=MODEL), bars=True),
        _graph("Waiting inputs", _ask("sum", signals.PENDING, by=MODEL)),
        _graph("What the application waited, p95",
               _ask("p95", signals.FRAMEWORK, by=(names.COMPONENT, names.CACHE_OUTCOME))),
    )),
    ("Stages", (
        _graph("Seconds by stage", _ask("sum", signals.STAGES, _EMBEDDINGS, by=(names.STAGE,)), bars=True),
        _list("Seconds by model and stage",
              _ask("sum", signals.STAGES, _EMBEDDINGS, by=(names.REQUEST_MODEL, names.STAGE))),
    )),
    ("Cache", (
        _share("Hit rate, %", signals.LOOKUPS, _HIT, _NO_CHAT, by=(names.CACHE_STORE,)),
        _graph("Lookups", _ask("sum", signals.LOOKUPS, _NO_CHAT, by=(names.CACHE_OUTCOME,)), bars=True),
        _graph("Saved, USD", _ask("sum", signals.SAVED_COST, by=(names.CACHE_STORE,)), bars=True),
        _graph("Entries", _ask("max", signals.ENTRIES, by=(names.CACHE_STORE,))),
        _graph("Size, bytes", _ask("max", signals.SIZE, by=(names.CACHE_STORE,))),
    )),
    ("Errors and retries", (
        _share("Failed, %", _DURATION, _FAILED, by=MODEL),
        _graph("Errors by cause", _ask("sum", signals.ERRORS, by=(names.CAUSE,)), bars=True),
        _graph("Retries", _ask("sum", signals.RETRIES, by=(names.RETRY_STATUS,)), bars=True),
        _graph("Left of rate limits", _ask("min", signals.RATE_LIMIT, by=(*MODEL, names.RATE_LIMIT_KIND))),
        _graph("Left of rate limits, as a part", _ask("min", signals.HEADROOM, by=(*MODEL, names.RATE_LIMIT_KIND))),
        _graph("Failures of otel-embed itself", _ask("sum", signals.DROPPED, by=(names.DROPPED_WHAT,)), bars=True),
        _graph("Spans lost", _ask("sum", signals.LOST, by=(names.LOST_CAUSE,)), bars=True),
        _graph("Time of otel-embed itself, s", _ask("sum", signals.OVERHEAD, by=(names.OVERHEAD_PART,)), bars=True),
        _graph("otel-embed switched itself off", _ask("max", signals.FUSE, by=("job",))),
        _graph("Alerts in processes", _ask("sum", signals.ALERTS, by=("job", names.ALERT))),
    )),
    ("Quality and waste", (
        _graph("Problems without an error", _ask("sum", signals.PROBLEMS, by=(names.PROBLEM,)), bars=True),
        _graph("Looked at", _ask("sum", signals.CHECKED, by=(names.CHECKED,)), bars=True),
        _graph("Wasted, USD", _ask("sum", signals.WASTED_COST, by=(names.WASTE,)), bars=True),
        _graph("Wasted, % of dollars looked at", _ask("sum", signals.WASTED_COST), _ask("sum", signals.CHECKED_COST),
               formula="100 * a / b"),
        _graph("Wasted, tokens", _ask("sum", signals.WASTED_TOKENS, by=(names.WASTE,)), bars=True),
        _graph("Batches, how full, %", _ask("sum", signals.INPUTS, by=MODEL),
               _ask("count", _DURATION, _ANSWERED, by=MODEL),
               _ask("max", signals.BATCH_LIMIT, by=MODEL), formula="100 * a / b / c"),
    )),
    ("Local models and GPU", (
        _graph("Calls, p95", _ask("p95", signals.LOCAL, by=(names.REQUEST_MODEL, names.DEVICE))),
        _graph("Load, seconds", _ask("avg", signals.LOAD, by=(names.REQUEST_MODEL, names.DEVICE)), bars=True),
        _graph("Padding, tokens", _ask("sum", signals.PADDING, by=MODEL), bars=True),
        _graph("Inputs cut short", _ask("sum", signals.TRUNCATED, by=MODEL), bars=True),
        _graph("GPU, busy", _ask("max", signals.GPU_BUSY, by=(names.HW_NAME,))),
        _graph("GPU, memory, %", _ask("max", signals.GPU_USED, by=(names.HW_NAME,)),
               _ask("max", signals.GPU_SIZE, by=(names.HW_NAME,)), formula="100 * a / b"),
    )),
    ("LLM chain", (
        *_percentiles("Chat calls", signals.CHAT_DURATION, _CHAT),
        _graph("To first token, p50", _ask("p50", signals.TIME_TO_FIRST, by=MODEL)),
        _graph("Tokens a second of an answer, p50", _ask("p50", signals.OUTPUT_RATE, by=MODEL)),
        _graph("Tokens", _ask("sum", signals.CHAT_TOKENS, _CHAT, by=(names.TOKEN_TYPE,)), bars=True),
        _graph("Vector stores, p95", _ask("p95", signals.STORE, by=(names.COMPONENT, names.OPERATION_NAME))),
    )),
)  # fmt: skip
