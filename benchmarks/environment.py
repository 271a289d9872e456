"""A virtual environment with one major version of openai, this checkout, and the peers that go with it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).with_name("requirements-peers.txt")


def python_with(line: int) -> Path:
    """The environment's Python; made on first use, under the ignored `build` folder."""
    home = ROOT / "build" / "benchmarks" / f"openai-{line}"
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    ready = home / "ready"
    if not ready.exists():
        venv.create(home, with_pip=True, clear=True)
        fill(python, line)
        ready.touch()
    return python


def fill(python: Path, line: int) -> None:
    if not installed(python, line, f"openai>={line},<{line + 1}", "rich", "-e", str(ROOT)):
        sys.exit(f"otel-embed and openai {line} can't be installed together")
    for requirement in PEERS.read_text().splitlines():
        if requirement and not requirement.startswith("#") and not installed(python, line, *requirement.split()):
            print(f"not installed, it does not go with openai {line}: {requirement}", file=sys.stderr)


def installed(python: Path, line: int, *requirements: str) -> bool:
    """Whether pip could install them without leaving the openai line."""
    constraints = python.parent / "constraints.txt"
    constraints.write_text(f"openai>={line},<{line + 1}\n")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(constraints)]
    return subprocess.run([*pip, *requirements], check=False).returncode == 0


def run_again_with(line: int, arguments: list[str]) -> int:
    """This program once more, in that environment."""
    script = Path(__file__).with_name("overhead.py")
    return subprocess.run([str(python_with(line)), str(script), *arguments], check=False).returncode
