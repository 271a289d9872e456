"""Vectors that no search can use: with NaN or infinite numbers, or all zeros."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from math import isfinite, isinf, isnan
from typing import Any, Literal

Wrong = Literal["nan_vector", "infinite_vector", "zero_vector"]
_LISTS = ("data", "embeddings", "float", "float_", "floats")
_ITEMS = ("embedding", "values")


def vectors(result: Any) -> Any:
    """The vectors of a library's result, as a list or the rows of an array; () for what is not understood."""
    if isinstance(result, (list, tuple)):
        return (result,) if result and _is_number(result[0]) else result
    for name in _LISTS:
        found = _part(result, name)
        if found is not None and found is not result and not callable(found):
            return vectors(found)
    if _is_array(result):
        return result if len(result.shape) == 2 else (result,) if len(result.shape) == 1 else ()
    found = _part(result, "embedding")
    return () if found is None else (found,)


def _part(value: Any, name: str) -> Any:
    """What a dictionary or an object holds under a name; nothing of the object's own code runs, which may warn."""
    held = value if isinstance(value, dict) else getattr(value, "__dict__", None)
    return held.get(name) if isinstance(held, dict) else None


def look(result: Any, most: int) -> tuple[int, list[Wrong]]:
    """Look at up to ``most`` of a result's vectors, evenly over all of them: how many, and what is wrong with some."""
    found = vectors(result)
    if _is_array(found):
        if _is_elsewhere(found):
            return 0, []
        step = _step(len(found), most)
        if _are_good(found, step):
            return len(range(0, len(found), step)), []
    each = [vector for vector in picked(found, most) if _is_read(vector)]
    return len(each), [problem for problem in map(wrong, each) if problem is not None]


def picked(vectors: Any, most: int) -> Iterator[Any]:
    """Up to ``most`` of the vectors, evenly over all of them, the first among them."""
    many = len(vectors) if isinstance(vectors, (list, tuple)) or _is_array(vectors) else 0
    for place in range(0, many, _step(many, most)):
        item = vectors[place]
        if not isinstance(item, (list, tuple)):
            item = next((found for name in _ITEMS if (found := _part(item, name)) is not None), item)
        yield item


def _step(many: int, most: int) -> int:
    return max(1, -(-many // most))


def _is_read(vector: Any) -> bool:
    """Whether it is a plain list or array of numbers, in this process: base64 is left to the application, say."""
    if _is_array(vector):
        return not _is_elsewhere(vector) and len(vector.shape) == 1
    return isinstance(vector, (list, tuple)) and bool(vector) and _is_number(vector[0])


def wrong(vector: Any) -> Wrong | None:
    """What is wrong with one vector; None for a good one, and for what is not read."""
    if not _is_read(vector):
        return None
    try:
        if _is_array(vector):
            if _are_finite(vector):
                return None if bool((vector != 0).any()) else "zero_vector"
        elif isfinite(sum(vector)):
            return None if any(vector) else "zero_vector"
        return _not_finite(vector.tolist() if _is_array(vector) else [float(number) for number in vector])
    except (AttributeError, TypeError, ValueError, OverflowError, NotImplementedError):  # not all are plain numbers
        return None


def _is_elsewhere(array: Any) -> bool:
    """Whether it is on a device, which is not waited for."""
    return getattr(getattr(array, "device", "cpu"), "type", "cpu") != "cpu"


def _are_good(array: Any, step: int) -> bool:
    """Whether nothing can be wrong with any of these rows, as nearly always, in one pass: by their squared lengths."""
    try:
        rows = array[::step]
        squares = _library(rows).einsum("ij,ij->i", rows, rows).tolist()
        return bool(squares and min(squares) > 0 and isfinite(sum(squares)))
    except (AttributeError, TypeError, NotImplementedError):  # of a kind that is not multiplied
        return False


def _are_finite(array: Any) -> bool:
    """Whether all numbers are, by the array's own library: unlike a sum, it does not warn of the others."""
    return bool(_library(array).isfinite(array).all())


def _library(array: Any) -> Any:
    return sys.modules.get(type(array).__module__.partition(".")[0])


def _not_finite(numbers: list[float]) -> Wrong | None:
    if any(map(isnan, numbers)):
        return "nan_vector"
    return "infinite_vector" if any(map(isinf, numbers)) else None  # the sum alone was too large


def _is_array(value: Any) -> bool:
    if isinstance(value, dict):  # whose attributes are its items in some libraries, and a KeyError where it has none
        return False
    return isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "sum")


def _is_number(value: Any) -> bool:
    return isinstance(value, (float, int)) and not isinstance(value, bool)
