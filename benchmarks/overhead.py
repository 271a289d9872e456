"""What observing an embedding call costs: otel-embed beside a hand-written wrapper and other instrumentations.

Run `python benchmarks/overhead.py --help`, and see README.md beside this file for how to read the numbers.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import bars
import table
from environment import run_again_with
from runs import Plan, footprints, measured
from variants import VARIANTS
from workload import openai_line

TITLES = {"wrapper": "hand-written wrapper", "none": "without any"} | {n: v.title for n, v in VARIANTS.items()}


def chosen(wanted: list[str] | None, line: int) -> tuple[list[str], dict[str, str]]:
    """The variants that can run here, and why the others can't."""
    absent = {}
    for name in wanted or VARIANTS:
        if line not in VARIANTS[name].openai_lines:
            absent[name] = f"does not support openai {line}"
        elif VARIANTS[name].version() is None:
            absent[name] = "not installed"
    return [name for name in wanted or VARIANTS if name not in absent], absent


def setting(names: list[str]) -> dict[str, Any]:
    versions = {name: VARIANTS[name].version() for name in names}
    libraries = ("openai", "opentelemetry-sdk", "numpy", "pydantic")
    installed = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "libraries": {library: installed.get(library) for library in libraries},
        "variants": versions,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="only see that every variant works; the numbers mean little"
    )
    parser.add_argument("--blocks", type=int, default=Plan.blocks, help="blocks of 128 one-text calls a process (24)")
    parser.add_argument("--turns", type=int, default=Plan.turns, help="processes a variant and SDK setting (3)")
    parser.add_argument("--variant", action="append", choices=list(VARIANTS), help="only this one; may be repeated")
    parser.add_argument(
        "--openai-line", type=int, choices=(1, 2, 3), help="in an environment with this openai, made once"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers as JSON too")
    parser.add_argument("--check", action="store_true", help="exit with 1 if otel-embed exceeds one of its bars")
    return parser.parse_args()


def without_line(given: list[str]) -> list[str]:
    """The same command line less `--openai-line`."""
    kept, skip = [], False
    for argument in given:
        if not skip and not argument.startswith("--openai-line"):
            kept.append(argument)
        skip = argument == "--openai-line"
    return kept


def print_tables(found: dict[str, Any]) -> None:
    blocks = [
        table.call_lines(found["rows"], TITLES),
        table.idle_lines(found["idle"], TITLES),
        table.footprint_lines(found["footprint"], TITLES),
        [f"Not measured: {TITLES[name]}, {why}" for name, why in found["absent"].items()],
        [f"Failed: {TITLES[name]}: {why}" for name, why in found["failed"].items()],
        [f"More than promised: {line}" for line in found["exceeded"]],
    ]
    print("\n\n".join("\n".join(lines) for lines in blocks).strip())


def as_json(found: dict[str, Any]) -> str:
    calls = [dataclasses.asdict(row) | {"share": row.share} for row in found["rows"]]
    return json.dumps({**found, "rows": calls}, indent=1) + "\n"


def main() -> int:
    options = arguments()
    if options.openai_line is not None:
        return run_again_with(options.openai_line, without_line(sys.argv[1:]))
    names, absent = chosen(options.variant, openai_line())
    if not names or (options.check and "otel_embed" not in names):
        print(f"Nothing to measure: {absent}", file=sys.stderr)
        return 2
    plan = Plan(1 if options.quick else options.turns, options.blocks, options.quick)
    rows, idle, failed = measured(names, plan)
    found = setting(names) | {"rows": rows, "idle": idle, "absent": absent, "failed": failed}
    found["footprint"] = footprints([name for name in names if name not in failed], plan)
    found["exceeded"] = [] if options.quick else bars.exceeded(rows, idle, found["footprint"])
    print_tables(found)
    if options.json:
        options.json.write_text(as_json(found))
    return 1 if failed or (options.check and found["exceeded"]) else 0


if __name__ == "__main__":
    sys.exit(main())
