"""Reads JSON that may be anybody's: each value is checked where it is taken, and named where it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class DocumentError(ValueError):
    """Says in one line what is wrong with a document."""


class Fields:
    """One JSON object and where in its document it stands. A missing key is empty, 0 or None; a wrong type raises."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            raise DocumentError(f"{where.rstrip('.') or 'it'} is not an object")
        self.data: dict[str, Any] = data
        self.where = where

    def text(self, key: str) -> str | None:
        return self._take(key, None, "a text", lambda value: isinstance(value, str))

    def number(self, key: str) -> float | None:
        return self._take(key, None, "a number", _is_number)

    def whole(self, key: str) -> int | None:
        return self._take(key, None, "a count", _is_count)

    def count(self, key: str) -> int:
        return self._take(key, 0, "a count", _is_count)

    def flag(self, key: str) -> bool:
        return self._take(key, False, "true or false", lambda value: isinstance(value, bool))

    def texts(self, key: str) -> list[str]:
        return self._take(key, [], "a list of texts", _each(list, lambda value: isinstance(value, str)))

    def counts(self, key: str) -> dict[str, int]:
        return dict(self._take(key, {}, "an object of counts", _each(dict, _is_count)))

    def numbers(self, key: str) -> dict[str, float]:
        return dict(self._take(key, {}, "an object of numbers", _each(dict, _is_number)))

    def triples(self, key: str) -> list[tuple[str, float, float]]:
        return self._take(key, [], "a list of [name, start, end]", _each(list, _is_triple))

    def rows(self, key: str, read: Callable[[Fields], T]) -> list[T]:
        rows: list[Any] = self._take(key, [], "a list", lambda value: isinstance(value, list))
        return [read(Fields(row, f"{self.where}{key}[{index}].")) for index, row in enumerate(rows)]

    def within(self, key: str) -> Fields | None:
        value = self.data.get(key)
        return None if value is None else Fields(value, f"{self.where}{key}.")

    def _take(self, key: str, default: T, expected: str, accepts: Callable[[Any], bool]) -> T:
        value = self.data.get(key)
        if value is None:
            return default
        if not accepts(value):
            raise DocumentError(f"{self.where}{key} is not {expected}")
        taken: T = value
        return taken


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e18 < value < 1e18


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1e18


def _is_triple(value: object) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return False
    return isinstance(value[0], str) and _is_number(value[1]) and _is_number(value[2])


def _each(kind: type[list[Any] | dict[Any, Any]], accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, kind):
            return False
        return all(accepts(member) for member in (value.values() if isinstance(value, dict) else value))

    return check
