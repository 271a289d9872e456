"""``otel-embed run -- COMMAND``: any program under zero-code instrumentation, and a report when it ends."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click

from otel_embed.cli import child, output, unseen
from otel_embed.cli.document import Summary, load, merge
from otel_embed.cli.fields import DocumentError
from otel_embed.cli.streams import complain
from otel_embed.environment_variables import OTEL_EMBED_THRESHOLDS

NOT_FOUND = 127
NOT_EXECUTABLE = 126


class Finished(NamedTuple):
    summary: Summary
    pythons: list[unseen.Python]


@click.command("run", context_settings={"allow_interspersed_args": False})
@output.files
@click.option("--live", is_flag=True, help="Show what goes on, in two lines at the bottom of the terminal.")
@click.option("--no-report", is_flag=True, help="Print nothing when the program ends.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.pass_context
def command(
    ctx: click.Context, /, command: tuple[str, ...], live: bool, no_report: bool, **written: Path | None
) -> None:
    """Run a program and report its embedding calls.

    The program needs no change, and no backend: what it sees of the terminal, its exit code and its signals are
    its own. The report goes to stderr. Traces, metrics and logs are exported as the OTEL_* variables say; those for
    which none names an exporter or an endpoint go nowhere.
    """
    output.check(*written.values())
    if os.environ.get(OTEL_EMBED_THRESHOLDS, "").strip():
        _look_at_thresholds()
    try:
        reports = TemporaryDirectory(prefix="otel-embed-", ignore_cleanup_errors=True)
    except OSError as error:
        complain(f"nothing is observed, as no directory for it can be made: {error.strerror}")
        ctx.exit(_exit_code(command, os.environ))
    finished = _run(command, reports, live)
    for said in output.write(finished.summary, **written):
        complain(said)
    if not no_report:
        _report(finished)
    ctx.exit(finished.summary.exit_code or 0)


def _look_at_thresholds() -> None:
    """What is wrong with the file is said once, before the program starts, and not by each of its processes."""
    from otel_embed.cli.targets import in_force

    in_force()


def _run(command: Sequence[str], reports: TemporaryDirectory[str], live: bool) -> Finished:
    with reports as name:
        directory = Path(name)
        started = time.monotonic()
        with _shown(directory) if live else nullcontext():
            code = _exit_code(command, child.environment(os.environ, name))
        elapsed = time.monotonic() - started
        summary = _collect(directory)
        summary.command, summary.exit_code, summary.elapsed_seconds = list(command), code, elapsed
        if wanted := os.environ.get("OTEL_EMBED_REPORT_DIR"):
            _hand_on(directory, Path(wanted))
        return Finished(summary, unseen.pythons(directory))


def _shown(directory: Path) -> AbstractContextManager[None]:
    from otel_embed.cli.live import view

    return view(directory, sys.stderr)


def _exit_code(command: Sequence[str], environment: Mapping[str, str]) -> int:
    try:
        return child.run(command, environment)
    except OSError as error:
        complain(_refused(command, error))
        sys.exit(NOT_EXECUTABLE if os.path.exists(command[0]) and os.path.dirname(command[0]) else NOT_FOUND)


def _refused(command: Sequence[str], error: OSError) -> str:
    """What a shell says of a command that cannot be run, and what may be meant."""
    name = command[0]
    if not os.path.dirname(name) and shutil.which(name) is None:
        wrong = f"command not found: {name}"
    elif isinstance(error, FileNotFoundError) and os.path.exists(name):
        wrong = f"cannot run {name}: the interpreter that its first line names is not there"
    else:
        wrong = f"cannot run {name}: {error.strerror}"
    is_python = name.endswith(".py") and os.path.isfile(name)
    return f"{wrong}; try: otel-embed run -- python {shlex.join(command)}" if is_python else wrong


def _collect(directory: Path) -> Summary:
    summaries = []
    for path in sorted(directory.glob("*.json")):
        try:
            summaries.append(load(path))
        except DocumentError as error:
            complain(f"what one process saw is lost: {error}")
    return merge(summaries)


def _hand_on(directory: Path, wanted: Path) -> None:
    """Whoever set OTEL_EMBED_REPORT_DIR before us, a run around this one perhaps, gets the summaries as well."""
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        for path in directory.glob("*.json"):
            shutil.copy(path, wanted)
    except OSError as error:
        complain(f"OTEL_EMBED_REPORT_DIR: {error}")


def _report(finished: Finished) -> None:
    try:
        _print(finished)
    except Exception as error:
        complain(f"the report could not be made: {type(error).__name__}: {error}")


def _print(finished: Finished) -> None:
    if finished.summary.is_empty:
        click.echo(f"\notel-embed: {unseen.HEADLINE}", err=True)
        for line in unseen.explain(finished.pythons, os.environ, finished.summary.exit_code):
            click.echo(f"  {line}", err=True)
        return
    from otel_embed.cli.report_text import write

    write(finished.summary, sys.stderr)
