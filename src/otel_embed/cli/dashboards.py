"""``otel-embed dashboards``: dashboards for other systems."""

from __future__ import annotations

from pathlib import Path

import click

from otel_embed.backends import datadog_board
from otel_embed.backends.grafana import boards
from otel_embed.cli.output import Refused
from otel_embed.cli.targets import in_force
from otel_embed.cli.terminal import printable, say

_directory = click.argument("directory", type=click.Path(file_okay=False, path_type=Path))


@click.group("dashboards")
def command() -> None:
    """Write dashboards into a directory, one JSON file each. Files of the same name are replaced."""


@command.command("grafana")
@_directory
def grafana(directory: Path) -> None:
    """Dashboards for Grafana 11 or later on Prometheus, Mimir or VictoriaMetrics."""
    _write(directory, dict(boards.files(in_force())))


@command.command("datadog")
@_directory
def datadog(directory: Path) -> None:
    """A dashboard for Datadog: the body of POST /api/v1/dashboard."""
    _write(directory, {"otel-embed.json": datadog_board.document()})


def _write(directory: Path, files: dict[str, str]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (directory / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise Refused(f"cannot write {error.filename or directory}: {error.strerror}") from None
    for name in files:
        say(printable(str(directory / name)))
