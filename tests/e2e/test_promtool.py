"""Prometheus' own tools on the generated rules: ``apt-get install --no-install-recommends prometheus
prometheus-alertmanager``. Run by ``make e2e``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from documents import ROOT

ALERTS = ROOT / "alerts"


def run(program: str, package: str, *arguments: str | Path) -> str:
    found = shutil.which(program)
    assert found, f"the {program} program is missing: apt-get install --no-install-recommends {package}"
    ran = subprocess.run([found, *arguments], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_rules_are_valid() -> None:
    assert "19 rules found" in run("promtool", "prometheus", "check", "rules", ALERTS / "prometheus.yaml")


def test_each_alert_fires_where_it_should_and_nowhere_else() -> None:
    assert "SUCCESS" in run("promtool", "prometheus", "test", "rules", ALERTS / "prometheus.test.yaml")


def test_the_alertmanager_is_valid() -> None:
    run("amtool", "prometheus-alertmanager", "check-config", ALERTS / "alertmanager.yaml")
