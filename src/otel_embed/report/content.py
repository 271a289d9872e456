"""The texts that an application asked to have captured, as a span's attribute."""

from __future__ import annotations

import json
from typing import Any


def written(messages: list[dict[str, Any]]) -> str:
    """As JSON. Half of a surrogate pair, which no exporter can encode, is a question mark."""
    return json.dumps(messages, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")
