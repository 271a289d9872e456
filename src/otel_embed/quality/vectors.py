"""Vectors that no search can use: with NaN or infinite numbers, or all zeros."""

from __future__ import annotations

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


def picked(vectors: Any, most: int) -> Iterator[Any]:
    """Up to ``most`` of the vectors, evenly over all of them, the first among them."""
    many = len(vectors) if isinstance(vectors, (list, tuple)) or _is_array(vectors) else 0
    for place in range(0, many, max(1, -(-many // most))):
        item = vectors[place]
        if not isinstance(item, (list, tuple)):
            item = next((found for name in _ITEMS if (found := _part(item, name)) is not None), item)
        yield item


def wrong(vector: Any) -> Wrong | None:
    """What is wrong with one vector; None for a good one, and for what is no plain list or array of numbers."""
    try:
        if _is_array(vector):
            if getattr(getattr(vector, "device", "cpu"), "type", "cpu") != "cpu" or len(vector.shape) != 1:
                return None  # a device is not waited for
            total, some = float(vector.sum()), bool((vector != 0).any())
        elif isinstance(vector, (list, tuple)) and vector and _is_number(vector[0]):
            total, some = float(sum(vector)), any(vector)
        else:
            return None
        if isfinite(total):
            return None if some else "zero_vector"
        return _not_finite([float(number) for number in vector])
    except (TypeError, ValueError, OverflowError):  # not all of it is a number
        return None


def _not_finite(numbers: list[float]) -> Wrong | None:
    if any(map(isnan, numbers)):
        return "nan_vector"
    return "infinite_vector" if any(map(isinf, numbers)) else None  # the sum alone was too large


def _is_array(value: Any) -> bool:
    return isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "sum")


def _is_number(value: Any) -> bool:
    return isinstance(value, (float, int)) and not isinstance(value, bool)
