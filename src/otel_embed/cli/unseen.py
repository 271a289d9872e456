"""Why a run showed no embedding call: what is known of it, and else what is likely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from otel_embed.cli.troubles import cut_short
from otel_embed.cli.units import plural

HEADLINE = "No embedding calls were seen."


class Python(NamedTuple):
    """A Python process of the program; ``missing`` is the module that it lacks to be instrumented, or empty."""

    executable: str
    version: str
    missing: str


def pythons(directory: Path) -> list[Python]:
    """The notes that sitecustomize.py left."""
    notes = (path.read_text(encoding="utf-8", errors="replace").split("\n") for path in directory.glob("*.python"))
    return [Python(*note) for note in notes if len(note) == len(Python._fields)]


def explain(seen: Sequence[Python], environment: Mapping[str, str], exit_code: int | None) -> list[str]:
    """One reason a line."""
    reasons = list(_lacking(seen)) + list(_switched_off(environment))
    if not seen:
        reasons += [
            "No Python process started with instrumentation on. Is it a Python program?",
            "python -I and python -E ignore PYTHONPATH; sudo, tox, docker and ssh do not pass it on.",
        ]
    elif not reasons:
        reasons += filter(None, [cut_short(exit_code)])
        reasons += [
            f"Instrumentation was on in {plural(len(seen), 'Python process', 'Python processes')}.",
            "The program may not have come to the point where it embeds,",
            "or it embeds through a library or plain HTTP requests that otel-embed does not know,",
            "or a process ended by os._exit() or by a signal before it could write what it saw.",
        ]
    return reasons


def _lacking(seen: Sequence[Python]) -> Iterator[str]:
    for python in dict.fromkeys(python for python in seen if python.missing):
        if _is_too_old(python.version):
            yield f"{python.executable} is Python {python.version}; otel-embed needs 3.10 or later."
            continue
        yield f"{python.executable} ({python.version}) cannot import {python.missing}. Install otel-embed there:"
        yield f"    {python.executable} -m pip install otel-embed"


def _is_too_old(version: str) -> bool:
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) < (3, 10)


def _switched_off(environment: Mapping[str, str]) -> Iterator[str]:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield "OTEL_SDK_DISABLED is true."
    disabled = [name.strip() for name in environment.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")]
    if "otel_embed" in disabled or "*" in disabled:
        yield f"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS switches otel_embed off: {','.join(disabled)}"
