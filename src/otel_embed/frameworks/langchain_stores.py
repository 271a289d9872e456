"""LangChain's vector stores, one's own included: writes and searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_embed.provider import Arguments, Operation, Provider
from otel_embed.record import Component

_STORE = "langchain_core.vectorstores.base:VectorStore"
_WRITES = ("add_documents", "add_texts", "from_documents", "from_texts")
_SEARCHES = (
    "similarity_search",
    "similarity_search_by_vector",
    "similarity_search_with_score",
    "similarity_search_with_relevance_scores",
    "max_marginal_relevance_search",
    "max_marginal_relevance_search_by_vector",
)


def _component(method: str) -> Callable[[Arguments], Component]:
    def component(call: Arguments) -> Component:
        kind = call.instance if isinstance(call.instance, type) else type(call.instance)
        return Component("langchain", kind.__name__, method)

    return component


def _written(call: Arguments, result: Any) -> int | None:
    given = call.args[0] if call.args else call.kwargs.get("documents", call.kwargs.get("texts"))
    if isinstance(given, (list, tuple)):
        return len(given)
    return len(result) if isinstance(result, list) else None  # the ids of what could be walked only once


def _found(call: Arguments, result: Any) -> int | None:
    return len(result) if isinstance(result, list) else None


STORES = Provider(
    name="langchain",
    requires="langchain-core>=0.3,<2",
    operations=tuple(
        Operation(f"{_STORE}.{name}", _component(name), documents, subclasses=True, base=True)
        for methods, documents in ((_WRITES, _written), (_SEARCHES, _found))
        for method in methods
        for name in (method, f"a{method}")
    ),
)
PROVIDERS: tuple[Provider, ...] = (STORES,)
