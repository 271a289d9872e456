"""How else a provider is called."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache

from otel_embed.pricing.documents import parsed


@cache
def spellings() -> Mapping[str, str]:
    """Other names of providers, in lower case, with the one that the tables have."""
    head, _, _ = (pkgutil.get_data(__package__, "prices.toml") or b"").partition(b"[[price]]")
    named: dict[str, list[str]] = parsed(head)["providers"]
    return {other: name for name, others in named.items() for other in others}


def spelled(provider: str) -> str:
    """A provider as the tables spell it: ``azure.ai.openai`` of ``Azure``."""
    name = provider.strip().lower()
    return spellings().get(name, name)
