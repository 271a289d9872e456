"""What TOML files hold, the package's own and a user's: rows, each of which is good or refused."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from importlib import import_module
from typing import Any, TypeVar

_FILE_LIMIT = 1_000_000
R = TypeVar("R")


class Refused(ValueError):
    """What is wrong with a row or a file, and what is allowed."""


def read_document(path: str) -> dict[str, Any]:
    if not os.path.isfile(path):  # reading a device or a pipe could last for ever
        raise Refused("it is not a file" if os.path.exists(path) else "there is no such file")
    with open(path, "rb") as file:
        data = file.read(_FILE_LIMIT + 1)
    if len(data) > _FILE_LIMIT:
        raise Refused(f"it is larger than {_FILE_LIMIT:,} bytes")
    return parsed(data)


def parsed(data: bytes) -> dict[str, Any]:
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    document: dict[str, Any] = toml.loads(data.decode("utf-8-sig"), parse_float=_decimal)
    return document


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:
        raise Refused(f"{quoted(text)} is beyond what a number can be") from None


def rows_of(entries: Any, row: Callable[[Any], R], what: str) -> tuple[list[R], list[str]]:
    """The good rows among these, and what is wrong with the others."""
    rows, problems = [], []
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries], 1):
        try:
            rows.append(row(entry))
        except ValueError as error:
            problems.append(f"{what} {number}: {error}")
    return rows, problems


def named(entry: dict[str, Any], key: str, default: str | None = None) -> str:
    value = entry.get(key, default)
    if not isinstance(value, str) or not (value.strip() or default == ""):
        raise Refused(f"{key} is missing" if value is None else f"{key} is {quoted(value)}, not a name")
    return value.strip()


def aliases(entry: dict[str, Any]) -> tuple[str, ...]:
    """Other names of a row's model."""
    found = entry.get("aliases", [])
    if not isinstance(found, list) or not all(isinstance(alias, str) and alias.strip() for alias in found):
        raise Refused(f"aliases is {quoted(found)}, not a list of names")
    return tuple(alias.strip() for alias in found)


def day(value: Any) -> str:
    try:
        return "" if value is None else date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise Refused(f"checked is {quoted(value)}, not a date such as 2026-11-24") from None


def quoted(value: Any) -> str:
    try:
        text = str(value) if isinstance(value, Decimal) else repr(value)
    except ValueError:  # Python writes no whole number with more than 4,300 digits
        text = "too long to show"
    return text if len(text) <= 60 else f"{text[:57]}..."
