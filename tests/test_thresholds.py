"""What is bad: the defaults, a file of one's own, and mistakes in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from documents import ROOT, blocks
from otel_embed import thresholds
from otel_embed.cli import targets
from otel_embed.thresholds import Thresholds


def load(path: Path, text: str) -> tuple[Thresholds, list[str]]:
    path.write_text(text)
    warnings: list[str] = []
    return Thresholds.load(str(path), warnings.append), warnings


DEFAULTS = Thresholds.load(None, pytest.fail)


def test_the_defaults_are_those_of_the_guides_this_package_follows() -> None:
    limits = {name: (each.comparison, each.value) for name, each in DEFAULTS.items()}
    assert limits == {
        "latency_p95": ("above", 0.5),
        "local_latency_p95": ("above", 0.05),
        "error_rate": ("above", 0.01),
        "retry_rate": ("above", 0.2),
        "rate_limit_requests": ("below", 10),
        "rate_limit_headroom": ("below", 0.1),
        "throughput": ("below", 1000),
        "queue_depth": ("above", 1000),
        "cache_hit_rate": ("below", 0.4),
        "daily_cost": ("above", 100),
        "budget_spent": ("above", 0.8),
        "time_to_first_token": ("above", 2.0),
        "output_rate": ("below", 10),
        "answer_cache_hit_rate": ("below", 0.01),
        "model_load": ("above", 30),
        "gpu_idle": ("below", 0.7),
        "gpu_saturated": ("above", 0.9),
        "broken_vectors": ("above", 0),
        "stale_telemetry": ("above", 600),
        "own_failures": ("above", 0),
    }
    good = {name: each.good for name, each in DEFAULTS.items() if each.good is not None}
    assert good == {"cache_hit_rate": 0.6, "time_to_first_token": 0.8, "output_rate": 50, "answer_cache_hit_rate": 0.2}


def test_every_threshold_has_a_window_and_a_metric() -> None:
    assert all(each.window > 0 and each.cooldown > 0 and each.metric for each in DEFAULTS.values())
    assert list(DEFAULTS) == list(thresholds.METRICS)


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    found, warnings = load(tmp_path / "t.toml", '[latency_p95]\nabove = 2\nwindow = "1m"\nfor = "0s"\nalert = false\n')
    assert warnings == []
    changed = found["latency_p95"]
    assert (changed.value, changed.window, changed.hold, changed.alert) == (2.0, 60.0, 0.0, False)
    assert (changed.cooldown, changed.severity) == (3600.0, "warning")
    assert {name: found[name] for name in found if name != "latency_p95"} == {
        name: DEFAULTS[name] for name in DEFAULTS if name != "latency_p95"
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[latency_p95]\nabove = -1", "latency_p95.above is -1; it must be a number, 0 or more"),
        ("[latency_p95]\nabove = true", "latency_p95.above is True; it must be a number, 0 or more"),
        ("[latency_p95]\nabove = nan", "latency_p95.above is NaN; it must be a number, 0 or more"),
        ("[error_rate]\nabove = 5", "error_rate.above is 5; it must be a number, from 0 to 1"),
        ("[cache_hit_rate]\nabove = 0.5", "cache_hit_rate.above is unknown; the keys are below, good, window, for,"),
        ('[latency_p95]\nwindow = "soon"', "latency_p95.window is 'soon'; it must be a time such as"),
        ('[latency_p95]\nwindow = "0s"', "latency_p95.window is '0s'; it must be a time such as"),
        ('[latency_p95]\ncooldown = "0s"', "cooldown is '0s'; it must be a time such as \"30s\", \"5m\", \"1h\" or \"1d\", from 1s"),
        ('[latency_p95]\ncooldown = "999999d"', "latency_p95.cooldown is '999999d'; it must be a time such as"),
        ('[latency_p95]\nwindow = "366d"', "or \"1d\", from 1s to 365d"),
        ('[latency_p95]\nfor = 5', "latency_p95.for is 5; it must be a time such as"),
        ("[latency_p95]\nat_least = 1.5", "latency_p95.at_least is 1.5; it must be a whole number, 0 or more"),
        ('[latency_p95]\nseverity = "page"', "'page'; it must be one of info, warning, critical"),
        ('[latency_p95]\nalert = "no"', "latency_p95.alert is 'no'; it must be true or false"),
        ("[latency]\nabove = 1", "there is no threshold 'latency'; there are latency_p95, "),
        ("latency_p95 = 5", "latency_p95 is 5, not a section [latency_p95]"),
        ("[latency_p95", "The default thresholds are in force."),
        ("[latency_p95]\nabove = 1e99999999999999999999", "'1e99999999999999999999' is beyond what a number can be."),
        (f"[latency_p95]\nabove = 0x{'f' * 5000}", "above is too long to show; it must be a number, 0"),
    ],
)
def test_a_mistake_is_one_warning_that_says_what_is_allowed(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    found, warnings = load(path, text)
    (warning,) = warnings
    assert warning.startswith(f"OTEL_EMBED_THRESHOLDS: {path}: ") and said in warning
    assert found == DEFAULTS


def test_what_is_right_beside_a_mistake_is_in_force(tmp_path: Path) -> None:
    found, warnings = load(tmp_path / "t.toml", "[latency_p95]\nabove = 2\nfor = 1\n[error_rate]\nabove = 7\n")
    assert len(warnings) == 1 and "latency_p95.for" in warnings[0] and "error_rate.above" in warnings[0]
    assert (found["latency_p95"].value, found["error_rate"].value) == (2.0, 0.01)


def test_a_missing_file_is_one_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    assert Thresholds.load(str(tmp_path / "none.toml"), warnings.append) == DEFAULTS
    (warning,) = warnings
    assert "none.toml: there is no such file" in warning


def test_a_limit_that_is_moved_past_good_is_the_new_good(tmp_path: Path) -> None:
    found, _ = load(tmp_path / "t.toml", "[cache_hit_rate]\nbelow = 0.8\n")
    limit = found["cache_hit_rate"]
    assert (limit.standing(0.7), limit.standing(0.9), limit.wanted) == ("bad", "good", 0.8)


def test_the_report_holds_a_run_against_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.toml"
    path.write_text("[error_rate]\nabove = 0.05\n[queue_depth]\nbelow = 1\n")
    monkeypatch.setenv("OTEL_EMBED_THRESHOLDS", str(path))
    targets.in_force.cache_clear()
    try:
        for _ in range(2):
            target = targets.held("error_rate", "error_rate", 0.03, "3 % errors", targets.short_percent)
            assert target is not None
            assert (target.verdict, target.wanted, target.limit) == ("good", "max 5 %", 0.05)
        assert capsys.readouterr().err.count("queue_depth.below is unknown") == 1
    finally:
        targets.in_force.cache_clear()


def row(threshold: thresholds.Threshold) -> str:
    limit = f"{threshold.comparison} {threshold.value:g}"
    good = "" if threshold.good is None else f"{threshold.good:g}"
    window = next(f"{threshold.window / size:g}{unit}" for unit, size in UNITS if threshold.window % size == 0)
    return f"| `{threshold.name}` | {limit} | {good} | {window} | {threshold.at_least or ''} |"


UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def test_the_page_shows_the_defaults() -> None:
    page = (ROOT / "docs" / "thresholds.md").read_text()
    shown = [line for line in page.splitlines() if line.startswith("| `") and line.count("|") == 6]
    assert shown == [row(each) for each in DEFAULTS.values()]


def test_the_page_s_example_is_valid(tmp_path: Path) -> None:
    (example,) = blocks((ROOT / "docs" / "thresholds.md").read_text(), "toml")
    found, warnings = load(tmp_path / "t.toml", example)
    assert not warnings
    assert (found["daily_cost"].value, found["cache_hit_rate"].alert) == (25.0, False)
