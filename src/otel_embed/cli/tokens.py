"""``otel-embed tokens``: the files by which tiktoken counts, and where they are."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from otel_embed.cli.output import Refused
from otel_embed.cli.seconds import Seconds
from otel_embed.cli.terminal import printable, put, say
from otel_embed.config import Config
from otel_embed.pricing.tokens import MODELS, locate, prefetch

ENCODINGS = tuple(dict.fromkeys(MODELS.values()))
"""Those that the models of this package's knowledge need."""


@click.group("tokens", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show how tokens are found that no provider reports.

    They are counted with tiktoken where its file for the model is on this machine, and estimated otherwise. Nothing
    is fetched unless you ask for it.
    """
    if ctx.invoked_subcommand is not None:
        return
    places = _places()
    put(_table(places), sys.stdout)
    mode = Config.from_environment(lambda warning: click.echo(f"otel-embed: {warning}", err=True)).token_counting
    if mode in ("estimate", "off"):
        click.echo(f"\nNone of them is used: OTEL_EMBED_TOKEN_COUNTING={mode}")
    elif missing := [name for name in ENCODINGS if places.get(name) is None]:
        click.echo(f"\nUntil it is here, tokens are estimated: otel-embed tokens fetch {' '.join(missing)}")


@command.command("fetch")
@click.argument("encodings", nargs=-1, metavar="[ENCODING]...")
@click.option("--cache-dir", type=click.Path(file_okay=False, path_type=Path), help="Default: tiktoken's own.")
@click.option(
    "--timeout", type=Seconds(), default=30.0, show_default=True, help="For each file."
)
@click.pass_context
def fetch(ctx: click.Context, encodings: tuple[str, ...], cache_dir: Path | None, timeout: float) -> None:
    """Fetch the files of encodings, for a machine that will have no network. Prints where they are."""
    folder = None if cache_dir is None else str(cache_dir.absolute())
    for name in encodings or ENCODINGS:
        try:
            (path,) = prefetch([name], folder, timeout)
        except ValueError as error:
            raise Refused(str(error)) from error
        except OSError as error:
            click.echo(f"otel-embed: {name} could not be fetched: {error}", err=True)
            ctx.exit(1)
        say(printable(path))
    if folder:
        click.echo(f"The programs that are to find it there need TIKTOKEN_CACHE_DIR={folder}", err=True)


def _places() -> dict[str, str | None]:
    """By name, the encodings that tiktoken reads from a file of their own."""
    import tiktoken

    places: dict[str, str | None] = {}
    for name in tiktoken.list_encoding_names():
        try:
            places[name] = locate(name)
        except ValueError:
            continue
    return places


def _table(places: dict[str, str | None]) -> Table:
    shown = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("encoding", "counts", "file"):
        shown.add_column(header, overflow="fold")
    for name, path in places.items():
        models = ", ".join(f"{start}*" if start.endswith("-") else start for start in MODELS if MODELS[start] == name)
        where = Text("not on this machine", style="dim") if path is None else Text(printable(path))
        shown.add_row(name, models or "–", where)
    return shown
