"""The command line. A command is a module of its own here, with a click command ``command`` in it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from otel_embed import __version__
from otel_embed.cli.streams import never_failing

INTERRUPTED = 130
"""The exit code after Ctrl-C, as of a shell."""
COMMANDS = ("run", "report", "compare", "doctor", "prices", "tokens", "rules", "dashboards")


class _Commands(click.Group):
    """Imports a command's module when that command is asked for."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with never_failing():
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(err=True)  # the terminal shows ^C
            ctx.exit(INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="otel-embed")
def main() -> None:
    """See what an embedding pipeline costs and where its time goes."""
