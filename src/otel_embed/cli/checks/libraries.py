"""Which libraries are installed, in which version, and which of their functions are observed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any, NamedTuple

from otel_embed import guard
from otel_embed.cli.checks import imports
from otel_embed.cli.checks.children import ask
from otel_embed.cli.checks.findings import Finding, Status
from otel_embed.cli.units import plural
from otel_embed.environment_variables import OTEL_EMBED_DISABLED_PROVIDERS
from otel_embed.instrumentor import declared
from otel_embed.provider import Cached, Call, Hook, Load, Operation, Provider, Submit, Target, Timed, Transport
from otel_embed.support import Support, support

_AT_ONCE = 4
_KINDS = (
    (Call, "embedding function"),
    (Timed, "timed function"),
    (Operation, "vector store function"),
    (Cached, "cache function"),
    (Load, "model load"),
    (Hook, "callback"),
    (Transport, "HTTP function"),
    (Submit, "pool"),
)
"""What of a library is worth naming, and how: each has at least one of them."""


class Library(NamedTuple):
    """One declared library as it is here."""

    provider: Provider
    support: Support
    disabled: bool

    @property
    def is_present(self) -> bool:
        return self.support.installed is not None or any(map(_is_there, imports.modules(self.provider)))

    @property
    def name(self) -> str:
        version = self.support.installed
        return f"{self.support.library} {version}" if version else self.support.library

    def facts(self, **more: Any) -> dict[str, Any]:
        known = {
            "provider": self.provider.name,
            "library": self.support.library,
            "installed": self.support.installed,
            "tested": self.support.tested,
            "verdict": self.support.verdict,
        }
        return known | more


def libraries(disabled: frozenset[str]) -> list[Library]:
    """Every declared library, those first that have embedding calls."""
    found = [
        Library(provider, support(provider.requires), provider.name in disabled)
        for provider in declared()
        if provider.requires  # what has none is Python itself
    ]
    return sorted(found, key=lambda library: not library.provider.calls)


def check(found: Iterable[Library], seconds: float) -> list[Finding]:
    """A finding for each installed library; they are imported in processes of their own, ``seconds`` long at most."""
    present = [library for library in found if library.is_present]
    absent = [library for library in found if not library.is_present]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        findings = list(pool.map(lambda library: _examine(library, seconds), present))
    findings += _broken_entry_points()
    if not any(library.provider.calls and not library.disabled for library in present):
        findings.append(_nothing_to_observe())
    if absent:
        names = ", ".join(dict.fromkeys(library.support.library for library in absent))
        findings.append(Finding("note", f"not installed: {names}", facts={"absent": names.split(", ")}))
    return findings


def _is_there(module: str) -> bool:
    """Whether a module's top-level package is there, found without importing anything."""
    try:
        spec = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None  # a namespace package, google say, is anybody's


def _examine(library: Library, seconds: float) -> Finding:
    if library.disabled:
        said = f"{library.name}: left alone, as {OTEL_EMBED_DISABLED_PROVIDERS} says"
        return Finding("note", said, facts=library.facts(disabled=True))
    if library.support.reason is not None:
        status: Status = "problem" if library.provider.calls else "warning"
        advice = f"pip install '{library.provider.requires}'"
        return Finding(status, f"{library.support.reason}: not observed", advice, library.facts(bound=[]))
    provider = library.provider
    answer = ask(imports.__name__, provider.name, provider.requires, seconds=seconds)
    if isinstance(answer, str):
        return _unknown(library, f"could not be imported here: {answer}")
    failed = {name: why for name, why in answer["failed"].items() if why != imports.NO_MODULE}
    if failed:
        name, why = next(iter(failed.items()))
        return _unknown(library, f"its module {name} could not be imported: {why}")
    return _observed(library, answer)


def _unknown(library: Library, why: str) -> Finding:
    advice = "Where the application imports it without an error, it is observed there."
    return Finding("warning", f"{library.name}: {why}", advice, library.facts(error=why))


def _observed(library: Library, answer: dict[str, Any]) -> Finding:
    bound = set(answer["bound"])
    targets = imports.expected(library.provider)
    missing = [target for target in targets if target.target not in bound]
    reasons = {target.target: _why_missing(target.target, answer) for target in missing}
    facts = library.facts(bound=sorted(bound), missing=reasons)
    calls = [target.target for target in missing if isinstance(target, Call)]
    if calls and len(calls) == sum(isinstance(target, Call) for target in targets):
        said = f"{library.name}: not observed, none of its embedding functions is where otel-embed knows it"
        return Finding("problem", said, _advice(library), facts)
    if calls:
        half: Status = "problem" if library.support.verdict == "untested" else "warning"
        said = f"{library.name}: only half observed, these calls are not seen: {', '.join(calls)}"
        return Finding(half, said, _advice(library), facts)
    if missing:
        names = ", ".join(target.target for target in missing)
        return Finding("warning", f"{library.name}: observed, but without {names}", _advice(library), facts)
    if library.support.verdict == "untested":
        said = f"{library.name}: observed, though it was tested only with {library.support.tested}"
        return Finding("warning", said, None, facts)
    return Finding("ok", f"{library.name}: {_what(targets)}", None, facts)


def _why_missing(target: str, answer: dict[str, Any]) -> str:
    module = target.partition(":")[0]
    known = answer["skipped"].get(target) or answer["failed"].get(module) or answer["dropped"].get(target)
    return known or "otel_embed failed to wrap it"


def _advice(library: Library) -> str:
    if library.support.verdict == "untested":
        return f"pip install '{library.provider.requires}', or a newer otel-embed"
    return "Please report it, with the output of otel-embed doctor --json."


def _what(targets: Sequence[Target]) -> str:
    counted = ((sum(isinstance(target, kind) for target in targets), word) for kind, word in _KINDS)
    return f"{', '.join(plural(number, word) for number, word in counted if number)} observed"


def _nothing_to_observe() -> Finding:
    return Finding(
        "problem",
        "no library with embedding functions is installed in this Python, or none is switched on",
        "Run otel-embed doctor with the Python that runs the application: /path/to/python -m otel_embed.cli doctor",
    )


def _broken_entry_points() -> list[Finding]:
    return [
        Finding("warning", f"otel_embed failed to {what}", "Its package declares a provider that cannot be loaded.")
        for what in guard.dropped
        if what.startswith("load the provider")
    ]
