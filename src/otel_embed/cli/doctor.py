"""``otel-embed doctor``: why telemetry arrives, or does not."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping

import click

from otel_embed.cli.checks.findings import Finding, Section
from otel_embed.cli.seconds import Seconds
from otel_embed.config import Config


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as data.")
@click.option("--offline", is_flag=True, help="Connect to nothing: leave out what answers.")
@click.option(
    "--timeout", type=Seconds(), default=30.0, show_default=True,
    help="What the import of a library may take.",
)
@click.pass_context
def command(ctx: click.Context, as_json: bool, offline: bool, timeout: float) -> None:
    """Say why telemetry arrives, or does not.

    Run it with the Python and the environment variables of your application. It imports the libraries that otel-embed
    observes, in processes of their own, and never your application. It sends an empty request to the OTLP endpoint,
    and asks the Redis of the budgets for an answer. Secrets are not shown. The exit code is 1 if something keeps
    telemetry from arriving, else 0.
    """
    logging.getLogger().addHandler(logging.NullHandler())  # what is logged is found, or must not be shown
    sections = diagnose(os.environ, connect=not offline, seconds=timeout)
    if as_json:
        from otel_embed.cli.checklist import to_dict

        click.echo(json.dumps(to_dict(sections), indent=2))
    else:
        from otel_embed.cli.checklist import write

        write(sections, sys.stdout)
    ctx.exit(1 if any(finding.status == "problem" for section in sections for finding in section.findings) else 0)


def diagnose(environ: Mapping[str, str], *, connect: bool = True, seconds: float = 30.0) -> list[Section]:
    """Every check, in the order in which one would look; ``seconds`` is what each child process may take."""
    from otel_embed.cli.checks import libraries, neighbours, settings, switches
    from otel_embed.cli.checks.secrets import Mask

    warnings: list[str] = []
    config = Config.from_environment(warnings.append, environ)
    sections = (
        Section("Switched on", switches.check(environ, seconds)),
        Section("Libraries", libraries.check(libraries.libraries(config.disabled_providers), seconds)),
        Section("Other instrumentations", neighbours.check(environ)),
        Section("Export", export(environ, connect=connect)),
        Section("Settings", settings.check(config, warnings, environ, connect=connect)),
    )
    mask = Mask(environ)
    return [Section(title, [finding.masked(mask) for finding in findings]) for title, findings in sections]


def export(environ: Mapping[str, str], *, connect: bool) -> list[Finding]:
    """Where telemetry goes, and whether it is taken there."""
    from otel_embed.cli.checks import exporters, mistakes, reach

    plan = exporters.plan(environ)
    found = [*plan.findings, *mistakes.check(plan.exports, environ)]
    return found + (
        reach.check(plan.exports) if connect else [Finding("note", "no endpoint was asked whether it answers")]
    )
