"""What is chosen at the top of a dashboard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from otel_embed.backends.naming import label, series
from otel_embed.backends.signals import CHAT_DURATION, DURATION, LOCAL
from otel_embed.report import names

SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def variables() -> Iterable[dict[str, Any]]:
    seen = "|".join(series(signal, "count") for signal in (DURATION, CHAT_DURATION, LOCAL))
    any_call = f'{{__name__=~"{seen}"'
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "regex": "",
           "hide": 0, "refresh": 1, "multi": False, "includeAll": False}  # fmt: skip
    yield _query("job", "Job", f"label_values({any_call}}}, job)", ".+")
    yield _query("instance", "Instance", f'label_values({any_call},job=~"$job"}}, instance)', ".*")
    model = f'label_values({any_call},job=~"$job",instance=~"$instance"}}, {label(names.REQUEST_MODEL)})'
    yield _query("model", "Model", model, ".*")
    yield text_variable("tempo", "UID of Tempo", "tempo", "Where the links to traces lead.")


def _query(name: str, title: str, query: str, all_value: str) -> dict[str, Any]:
    return {"name": name, "label": title, "type": "query", "datasource": SOURCE, "query": query, "definition": query,
            "allValue": all_value, "includeAll": True, "multi": True, "refresh": 2, "sort": 1, "hide": 0,
            "current": {"text": ["All"], "value": ["$__all"]}}  # fmt: skip


def text_variable(name: str, title: str, value: str, about: str) -> dict[str, Any]:
    return {"name": name, "label": title, "type": "textbox", "query": value, "description": about, "hide": 0,
            "current": {"text": value, "value": value}}  # fmt: skip
