"""YAML as people write it, of dictionaries, lists and scalars. Text stands in double quotes, or in a block."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def dump(document: Any, *comments: str) -> str:
    head = "".join(f"# {line}\n" if line else "#\n" for line in comments)
    return head + "\n".join(_lines(document)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _under(f"{_scalar(key)}:", each)
    else:
        for each in value:
            nested = list(_lines(each)) if _is_nested(each) else [_scalar(each)]
            yield f"- {nested[0]}"
            yield from (f"  {line}" if line else "" for line in nested[1:])


def _under(key: str, value: Any) -> Iterator[str]:
    if _is_nested(value):
        yield key
        yield from (f"  {line}" if line else "" for line in _lines(value))
    elif isinstance(value, str) and "\n" in value and value == value.strip():
        yield f"{key} |-"
        yield from (f"  {line}" if line else "" for line in value.split("\n"))
    else:
        yield f"{key} {_scalar(value)}"


def _is_nested(value: Any) -> bool:
    return bool(value) and isinstance(value, (Mapping, Sequence)) and not isinstance(value, str)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if isinstance(value, float) and "e" in repr(value) and "." not in repr(value):
        return repr(value).replace("e", ".0e")  # YAML 1.1 takes the other form for text
    return json.dumps(value, ensure_ascii=False)
