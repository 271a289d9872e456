"""README.md and docs/, in parts."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PRICES = (ROOT / "docs" / "prices.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def commands(page: str) -> list[str]:
    """What stands behind a prompt, each in one line and without its comment."""
    whole = "".join(blocks(page, "console")).replace("\\\n", " ")
    return [line.partition("  #")[0].strip() for line in re.findall(r"^\$ (.*)$", whole, re.MULTILINE)]
