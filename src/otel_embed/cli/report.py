"""``otel-embed report FILE...``: saved summaries again, several added up."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from otel_embed.cli import output, unseen
from otel_embed.cli.document import Summary, load, merge
from otel_embed.cli.fields import DocumentError
from otel_embed.cli.streams import complain


@click.command("report")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@output.files
@click.pass_context
def command(ctx: click.Context, /, files: tuple[Path, ...], **written: Path | None) -> None:
    """Print the report of summaries that `otel-embed run --json` saved, added up.

    Files that an instrumented process wrote to OTEL_EMBED_REPORT_DIR are read as well.
    """
    output.check(*written.values())
    try:
        summary = merge([load(path) for path in files])
    except DocumentError as error:
        raise output.Refused(str(error)) from error
    wrong = output.write(summary, **written)
    for said in wrong:
        complain(said)
    _print(summary)
    ctx.exit(output.Refused.exit_code if wrong else 0)


def _print(summary: Summary) -> None:
    if summary.is_empty:
        click.echo(f"otel-embed: {unseen.HEADLINE}")
        return
    from otel_embed.cli.report_text import write

    write(summary, sys.stdout)
