"""What an expression asks for, against what otel_embed emits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import promql_parser

from otel_embed.backends.naming import label, series
from otel_embed.backends.signals import SIGNALS

BY_RULE = {
    rule: {
        series(signal, part, rule): {*map(label, signal.attributes), *(("le",) if part == "bucket" else ())}
        for signal in SIGNALS
        for part in (("bucket", "sum", "count") if signal.kind == "histogram" else ("",))
    }
    for rule in ("scraped", "pushed")
}
"""The labels of each series, by its name, under both rules."""
IDENTITY = {"job", "instance"}


def wrong(expression: str, more: frozenset[str] = frozenset()) -> list[str]:
    """What in it is no metric or no label of ours, under either rule; ``more`` are labels of the user's own.

    Raises ValueError where it does not parse.
    """
    tree = promql_parser.parse(expression)
    return [problem for rule in BY_RULE for problem in _wrong(tree, BY_RULE[rule], IDENTITY | more)]


def metrics(expression: str) -> set[str]:
    return {name for selector in selectors(promql_parser.parse(expression)) for name in names(selector)}


def selectors(node: Any) -> Iterator[Any]:
    return (each for each in walk(node) if isinstance(each, promql_parser.VectorSelector))


def walk(node: Any) -> Iterator[Any]:
    yield node
    for each in children(node):
        yield from walk(each)


def children(node: Any) -> list[Any]:
    found = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "param", "vector_selector")]
    return [each for each in (*found, *(getattr(node, "args", None) or ())) if each is not None]


def names(selector: Any) -> list[str]:
    """A selector by name has the one, or several with a bar between them."""
    if selector.name:
        return [selector.name]
    (among,) = (each.value for each in selector.matchers.matchers if each.name == "__name__")
    return str(among).split("|")


def _wrong(tree: Any, known: dict[str, set[str]], always: set[str]) -> Iterator[str]:
    for node in walk(tree):
        asked = {label: f"{type(node).__name__} by {label}" for label in _labels(node)}
        have = always | {name for each in selectors(node) for name in _known(each, known)}
        yield from (said for label, said in asked.items() if label not in have)
        if isinstance(node, promql_parser.VectorSelector):
            found = [name for name in names(node) if name in known]
            if not found:
                yield f"no metric {' or '.join(names(node))}"
            for each in node.matchers.matchers:
                if each.name != "__name__" and each.name not in always | _known(node, known):
                    yield f"{names(node)[0]} has no label {each.name}"


def _known(selector: Any, known: dict[str, set[str]]) -> set[str]:
    return {label for name in names(selector) for label in known.get(name, ())}


def _labels(node: Any) -> list[str]:
    modifier = getattr(node, "modifier", None)
    matching = getattr(modifier, "matching", None) if isinstance(node, promql_parser.BinaryExpr) else modifier
    return list(matching.labels) if matching is not None else []
