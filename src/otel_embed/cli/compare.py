"""``otel-embed compare BEFORE AFTER``: whether a change made embedding slower, dearer or less reliable."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from otel_embed.cli import output
from otel_embed.cli.comparing import compare
from otel_embed.cli.comparison import Comparison, Limits
from otel_embed.cli.document import Summary, load
from otel_embed.cli.fields import DocumentError

F = TypeVar("F", bound=Callable[..., Any])
FINE, REGRESSION, TOO_FEW = 0, 1, 3
_DEFAULT = Limits()


def _share(_: click.Context, param: click.Parameter, value: str) -> float | None:
    """``10%`` as a fraction of one; ``off`` is None."""
    if value.strip().lower() == "off":
        return None
    if not (found := re.fullmatch(r"\s*(\d{1,6}(?:\.\d+)?)\s*%\s*", value)):
        raise click.BadParameter(f"{value!r} must be like 10% or 2.5%, or off")
    return float(found[1]) / 100


def _limit(name: str, default: float | None, help: str) -> Callable[[F], F]:
    shown = "off" if default is None else f"{default * 100:g}%"
    return click.option(f"--max-{name}", default=shown, callback=_share, show_default=True, metavar="SHARE", help=help)


@click.command("compare")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@_limit("latency-increase", _DEFAULT.latency, "Of p50, p95 and p99, and of the time to a chat model's first token.")
@_limit("throughput-decrease", _DEFAULT.throughput, "Of inputs a second.")
@_limit("cost-increase", _DEFAULT.cost, "Of 1,000 inputs, or 1,000 chat calls.")
@_limit("hit-rate-decrease", _DEFAULT.hit_rate, "In points: from 61 % to 56 %.")
@_limit("error-rate-increase", _DEFAULT.error_rate, "In points.")
@click.option("--accept-few-samples", is_flag=True, help="Exit with 0 where there are not enough samples.")
@click.option("--json", "as_json", is_flag=True, help="Print data.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown, for a pull request.")
@click.pass_context
def command(
    ctx: click.Context, /, before: Path, after: Path, accept_few_samples: bool, as_json: bool, as_markdown: bool,
    **allowed: float | None,
) -> None:  # fmt: skip
    """Compare two runs that `otel-embed run --json` saved.

    A measure is worse when it changed by more than its limit and chance is ruled out, at 95 %. Any limit may be `off`.
    The exit code is 0 where nothing is worse, 1 where something is, 2 for files that cannot be read, and 3 where the
    calls are too few to tell whether p50 and p95 kept to their limit.
    """
    if as_json and as_markdown:
        raise output.Refused("--json and --markdown both print: choose one")
    found = compare((str(before), str(after)), (_read(before), _read(after)), Limits(*_in_order(allowed)))
    code = exit_code(found, accept_few_samples)
    if as_json:
        from otel_embed.cli.compare_json import to_dict

        click.echo(json.dumps(to_dict(found, code), indent=2))
    else:
        from otel_embed.cli.compare_text import markdown, write

        # Markdown is for a file or a request, which is UTF-8 wherever it is made.
        click.echo(markdown(found).encode("utf-8", "replace")) if as_markdown else write(found, sys.stdout)
    ctx.exit(code)


def exit_code(comparison: Comparison, accept_few_samples: bool) -> int:
    if comparison.verdict == "worse":
        return REGRESSION
    return TOO_FEW if comparison.verdict == "unknown" and not accept_few_samples else FINE


def _in_order(allowed: dict[str, float | None]) -> list[float | None]:
    names = ("latency_increase", "throughput_decrease", "cost_increase", "hit_rate_decrease", "error_rate_increase")
    return [allowed[f"max_{name}"] for name in names]


def _read(path: Path) -> Summary:
    try:
        summary = load(path)
    except DocumentError as error:
        raise output.Refused(str(error)) from error
    if not any(row.calls for row in [*summary.timed, *summary.chats]) and not summary.caches:
        raise output.Refused(f"{path}: no call of a model is in it")
    return summary
