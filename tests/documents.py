"""The documentation, in parts."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("benchmarks", "collector-config", "docs", "examples")
PAGES = [*sorted(ROOT.glob("*.md")), *(page for folder in FOLDERS for page in sorted((ROOT / folder).rglob("*.md")))]
README = (ROOT / "README.md").read_text()
PRICES = (ROOT / "docs" / "prices.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def commands(page: str) -> list[str]:
    """What stands behind a prompt, each in one line and without its comment."""
    whole = "".join(blocks(page, "console")).replace("\\\n", " ")
    return [line.partition("  #")[0].strip() for line in re.findall(r"^\$ (.*)$", whole, re.MULTILINE)]


def outside_blocks(page: str) -> str:
    """What is no code."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)


def anchors(page: str) -> set[str]:
    """What a link may name after its ``#``: the titles, as GitHub writes them."""
    titles = re.findall(r"^#+ (.*)$", outside_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
