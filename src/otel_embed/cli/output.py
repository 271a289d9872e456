"""Where a report goes: a terminal, a JSON file, an HTML page, a picture."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from otel_embed.cli.document import Summary

F = TypeVar("F", bound=Callable[..., Any])


class Refused(click.ClickException):
    """One line on stderr and exit code 2: what was asked for cannot be done, and nothing was."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"otel-embed: {self.format_message()}", file=file, err=file is None)


def files(command: F) -> F:
    """The options --json, --html and --svg of a command that reports."""
    path = click.Path(dir_okay=False, path_type=Path)
    command = click.option("--svg", "svg_file", type=path, help="Write the report as a picture to this file.")(command)
    command = click.option("--json", "json_file", type=path, help="Write the report as data to this file.")(command)
    return click.option("--html", "html_file", type=path, help="Write the report as one page to this file.")(command)


def check(*paths: Path | None) -> None:
    """Raises Refused for a file that could not be written, before anything has run for the report."""
    for path in paths:
        if path is None:
            continue
        try:
            folder = path.absolute().parent
        except OSError as error:
            raise Refused(f"cannot write {path}: the working directory: {error.strerror}") from error
        if not folder.is_dir():
            raise Refused(f"cannot write {path}: {folder} is not a directory")
        if not os.access(path if path.exists() else folder, os.W_OK):
            raise Refused(f"cannot write {path}: permission denied")


def write(summary: Summary, json_file: Path | None, html_file: Path | None, svg_file: Path | None) -> list[str]:
    """Write the files that were asked for. What could not be written costs no other; it is said, a phrase each."""
    wrong = []
    for path, content in ((json_file, _data), (html_file, _page), (svg_file, _picture)):
        if path is None:
            continue
        try:
            path.write_text(content(summary), encoding="utf-8", errors="replace")
        except OSError as error:
            wrong.append(f"cannot write {path}: {error.strerror}")
        except Exception as error:
            wrong.append(f"{path} could not be made: {type(error).__name__}: {error}")
    return wrong


def _data(summary: Summary) -> str:
    from otel_embed.cli.report_json import to_dict

    return json.dumps(to_dict(summary), indent=2) + "\n"


def _page(summary: Summary) -> str:
    from otel_embed.cli.report_html import page

    return page(summary)


def _picture(summary: Summary) -> str:
    from otel_embed.cli.report_svg import picture

    return picture(summary)
