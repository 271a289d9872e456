"""Dashboards: what is committed, what they ask for, and the rules of Grafana's dashboard-linter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import promql_parser
import pytest
from click.testing import CliRunner
from datadog_api_client import Configuration
from datadog_api_client.model_utils import validate_and_convert_types
from datadog_api_client.v1.model.dashboard import Dashboard

from documents import ROOT
from grafana import everything, filled, targets
from otel_embed.backends.naming import series
from otel_embed.backends.signals import SIGNALS
from otel_embed.cli import main
from promql import children, metrics, selectors, walk, wrong
from test_rules import unparsed

FOLDER = ROOT / "dashboards"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "grafana").glob("*.json"))}
UNITS = {"currencyUSD", "short", "s", "percentunit", "bytes", "reqps"}
"""Of Grafana's own list, those that are used."""
AROUND = {"histogram_quantile", "scalar", "vector", "sort_desc"}
START = '{ span.gen_ai.operation.name != "" && span.gen_ai.request.model =~ "${model:pipe}" && '
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))


@pytest.mark.parametrize("kind", ["grafana", "datadog"])
def test_what_is_committed_is_what_is_generated(kind: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["dashboards", kind, str(tmp_path / "new" / "folder")])
    assert result.exit_code == 0, result.output
    made = {path.name: path.read_text() for path in (tmp_path / "new" / "folder").iterdir()}
    assert made == {path.name: path.read_text() for path in (FOLDER / kind).iterdir()}, "run: make generated"
    assert [Path(line).name for line in result.stdout.splitlines()] and len(result.stdout.splitlines()) == len(made)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "utf-8"])
def test_a_directory_of_any_name_is_written_to_and_printed(encoding: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "otel_embed.cli", "dashboards", "grafana", "bö 模"]
    env = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=60, check=True)
    shown = "bö 模" if encoding == "utf-8" else "bö 模".encode(encoding, "replace").decode(encoding)
    assert done.stdout.decode(encoding).startswith(f"{shown}/cost.json\n")
    assert len(list((tmp_path / "bö 模").iterdir())) == len(BOARDS)


def test_all_boards_are_written_whoever_reads_what_is_printed(tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m otel_embed.cli dashboards grafana boards | true'
    subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, timeout=60, check=True)
    assert len(list((tmp_path / "boards").iterdir())) == len(BOARDS)


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(main, ["dashboards", "grafana", str(tmp_path / "file" / "folder")])
    assert result.exit_code == 2 and "cannot write" in result.stderr


def test_there_is_a_board_for_each_subject() -> None:
    assert set(BOARDS) == {"cost", "latency", "stages", "cache", "errors", "quality", "tenants", "local", "chat"}
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    assert all(len(board["uid"]) <= 40 for board in BOARDS.values())


@each_board
def test_every_expression_asks_for_what_is_emitted(board: dict[str, Any]) -> None:
    own = frozenset({"tenant"}) if board["uid"].endswith("tenants") else frozenset()
    for panel, expression in targets(board):
        full = filled(expression, everything(board))
        assert "$" not in full, (panel["title"], full)
        assert wrong(full, own) == [], panel["title"]


@each_board
def test_a_description_names_every_metric_that_is_asked_for(board: dict[str, Any]) -> None:
    names = {series(signal, part, rule): signal.name for signal in SIGNALS for part in ("", "bucket", "sum", "count")
             for rule in ("scraped", "pushed")}  # fmt: skip
    for panel in board["panels"]:
        asked = {names[name] for target in panel["targets"]
                 for name in metrics(filled(target["expr"], everything(board)))}  # fmt: skip
        said = panel["description"].rpartition("Metric: ")[2]
        assert set(re.findall(r"`([^`]+)`", said)) == asked, panel["title"]


def test_every_metric_is_on_some_board() -> None:
    shown = {name for board in BOARDS.values() for panel in board["panels"] for name in
             re.findall(r"`([^`]+)`", panel["description"].rpartition("Metric: ")[2])}  # fmt: skip
    assert shown == {signal.name for signal in SIGNALS}


# The rules of grafana/dashboard-linter, by their names there.


@each_board
def test_template_rules(board: dict[str, Any]) -> None:
    variables = {each["name"]: each for each in board["templating"]["list"]}
    (source,) = (each for each in variables.values() if each["type"] == "datasource")
    assert (source["name"], source["label"], source["query"]) == ("datasource", "Data source", "prometheus")
    for name, title in (("job", "Job"), ("instance", "Instance"), ("model", "Model")):
        found = variables[name]
        assert (found["label"], found["type"], found["multi"], found["includeAll"]) == (title, "query", True, True)
        assert found["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        # What is pushed without service.instance.id has no instance; dashboard-linter would have it be there.
        assert found["allValue"] == (".+" if name == "job" else ".*")
        assert found["refresh"] == 2, "template-on-time-change-reload-rule"
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", found["query"]).groups()  # type: ignore[union-attr]
        assert wrong(f"sum by ({label}) ({filled(selector, everything(board))})") == []
    assert board["editable"] is False


@each_board
def test_panel_rules(board: dict[str, Any]) -> None:
    for panel in board["panels"]:
        title = panel["title"]
        assert title and panel["description"], "panel-title-description-rule"
        assert panel["targets"], "panel-no-targets-rule"
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, "panel-datasource-rule"
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, "panel-units-rule"
        assert panel["fieldConfig"]["defaults"]["noValue"] == "no traffic"
    titles = Counter(panel["title"] for panel in board["panels"])
    assert titles.most_common(1)[0][1] == 1


@each_board
def test_target_rules(board: dict[str, Any]) -> None:
    for panel, expression in targets(board):
        for kind in ("job", "instance"):
            every = filled(expression, {**everything(board), kind: f"chosen {kind}"})
            for selector in selectors(promql_parser.parse(every)):
                found = [each for each in selector.matchers.matchers if each.name == kind]
                said = [(str(each.op), each.value) for each in found]
                assert said == [("MatchOp.Re", f"chosen {kind}")], panel["title"]
        if panel["type"] == "timeseries" and "[" in expression and "$__range]" not in expression:
            assert "[$__rate_interval]" in expression, "target-rate-interval-rule"


@each_board
def test_no_counter_is_shown_as_it_is(board: dict[str, Any]) -> None:
    """target-counter-agg-rule, with last_over_time beside increase: that is what jobs that run once need."""
    growing = {name for signal in SIGNALS if signal.kind in ("counter", "histogram") for name in _all_names(signal)}
    for panel, expression in targets(board):
        tree = promql_parser.parse(filled(expression, everything(board)))
        functions = {each.func.name for each in walk(tree) if isinstance(each, promql_parser.Call)}
        assert functions <= {"last_over_time", "increase", "resets", *AROUND}
        assert not [each for each in _bare(tree) if each in growing], panel["title"]


def _all_names(signal: Any) -> list[str]:
    parts = ("bucket", "sum", "count") if signal.kind == "histogram" else ("",)
    return [series(signal, part) for part in parts]  # type: ignore[arg-type]


def _bare(node: Any) -> list[str]:
    """The names of selectors that are not in a range."""
    if isinstance(node, promql_parser.MatrixSelector):
        return []
    own = [node.name or ""] if isinstance(node, promql_parser.VectorSelector) else []
    return own + [name for each in children(node) for name in _bare(each)]


@each_board
def test_the_top_row_is_figures_and_nothing_overlaps(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken
        taken |= cells
        assert (panel["type"] == "stat") == (at["y"] == 0)
    assert len([panel for panel in board["panels"] if panel["type"] == "stat"]) == 6


@each_board
def test_links_lead_to_the_traces_of_what_is_chosen(board: dict[str, Any]) -> None:
    for panel in board["panels"]:
        for link in panel["links"]:
            panes = json.loads(unquote(link["url"].partition("&panes=")[2]))
            (query,) = panes["traces"]["queries"]
            assert query["query"].startswith(START)
            assert panes["traces"]["datasource"] == query["datasource"]["uid"] == "${tempo}"
            assert "${model:pipe}" in link["url"] and "${__from}" in link["url"], "or Grafana does not fill it in"
    if board["uid"] in ("otel-embed-latency", "otel-embed-stages", "otel-embed-errors", "otel-embed-chat"):
        assert any(panel["links"] for panel in board["panels"])


def test_boards_lead_to_each_other() -> None:
    for board in BOARDS.values():
        (link,) = board["links"]
        assert link["type"] == "dashboards" and set(link["tags"]) <= set(board["tags"]) and link["includeVars"]


DATADOG: Mapping[str, Any] = json.loads((FOLDER / "datadog" / "otel-embed.json").read_text())


def test_datadog_s_own_models_know_all_of_it() -> None:
    board = validate_and_convert_types(DATADOG, (Dashboard,), ["dashboard"], True, True, Configuration())
    assert list(unparsed(board)) == []


def test_datadog_is_asked_for_what_is_emitted() -> None:
    known = {signal.name: {*signal.attributes, "service", "env"} for signal in SIGNALS}
    prefixes = {each["name"]: each["prefix"] for each in DATADOG["template_variables"]}
    queries = re.findall(r'"query": "((?:sum|avg|min|max|count|p\d+):[^"]+)"', json.dumps(DATADOG))
    assert len(queries) > 40
    for query in queries:
        matched = re.fullmatch(r"\w+:([\w.]+)\{([^}]*)\}(?: by \{([^}]*)\})?(?:\.as_count\(\))?", query)
        assert matched, query
        metric, filters, by = matched.groups()
        tags = [prefixes[part[1:]] if part[0] == "$" else part.lstrip("!").split(":")[0] for part in filters.split(",")]
        assert {*tags, *filter(None, (by or "").split(","))} <= known[metric], query
    assert {re.match(r"\w+:([\w.]+)", query)[1] for query in queries} == {  # type: ignore[index]
        signal.name for signal in SIGNALS if signal.name != "otel_embed.saved.tokens"
    }
