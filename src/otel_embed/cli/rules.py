"""``otel-embed rules``: thresholds as alert rules of other systems."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from otel_embed.backends import datadog_monitors, prometheus
from otel_embed.backends.alerting import Alert
from otel_embed.backends.alerts import alerts
from otel_embed.backends.grafana.alerts import provisioning
from otel_embed.cli.output import Refused
from otel_embed.environment_variables import OTEL_EMBED_THRESHOLDS
from otel_embed.thresholds import Thresholds

GRAFANA_DATASOURCE = "prometheus"
_PATH = click.Path(dir_okay=False, path_type=Path)
_file = click.option(
    "--thresholds", "file", type=_PATH, help=f"A file of your own; else the one that {OTEL_EMBED_THRESHOLDS} names."
)


@click.group("rules")
def command() -> None:
    """Write alert rules to stdout, from the thresholds in force.

    A mistake in a file of thresholds is a warning on stderr, and the exit code is 1.
    """


def _write(ctx: click.Context, file: Path | None, form: Callable[[Sequence[Alert]], str]) -> None:
    warnings: list[str] = []
    path = str(file) if file else os.environ.get(OTEL_EMBED_THRESHOLDS, "").strip() or None
    if file is not None and not file.is_file():
        raise Refused(f"cannot read {file}: there is no such file")
    found = alerts(Thresholds.load(path, warnings.append))
    click.echo(form(found).encode("utf-8", "replace"), nl=False)  # YAML and JSON are UTF-8 wherever they are made
    for warning in warnings:
        click.echo(f"otel-embed: {warning}", err=True)
    ctx.exit(1 if warnings else 0)


def _command(name: str, form: Callable[[Sequence[Alert]], str], said: str) -> None:
    @click.pass_context
    def run(ctx: click.Context, file: Path | None) -> None:
        _write(ctx, file, form)

    run.__doc__ = said
    command.command(name)(_file(run))


_command("prometheus", prometheus.rules, "Rules of Prometheus, Mimir or VictoriaMetrics: a file for rule_files.")
_command("alertmanager", prometheus.alertmanager, "An example of an Alertmanager that sends these alerts on.")
_command("datadog", datadog_monitors.monitors, "Datadog monitors: a JSON list, each the body of a request.")


@command.command("grafana")
@_file
@click.option("--datasource", default=GRAFANA_DATASOURCE, show_default=True, help="UID of the Prometheus in Grafana.")
@click.pass_context
def grafana(ctx: click.Context, file: Path | None, datasource: str) -> None:
    """Alert rules for Grafana's provisioning."""
    _write(ctx, file, lambda found: provisioning(found, datasource))
