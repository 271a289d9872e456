"""The child that imports one library and says which of its functions are observed then."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from opentelemetry.metrics import NoOpMeterProvider

from otel_embed import guard
from otel_embed.cli.checks.children import answer, claim_output
from otel_embed.instrumentor import declared
from otel_embed.patching import Patches
from otel_embed.provider import Provider, Target
from otel_embed.report.recorder import CallRecorder
from otel_embed.support import support

NO_MODULE = "the installed library has no such module"


def expected(provider: Provider) -> list[Target]:
    """The targets that the installed version should have."""
    found = support(provider.requires)
    return [target for target in provider.targets if found.has(target.versions)]


def modules(provider: Provider) -> Iterator[str]:
    """Every module that these targets are in, once."""
    yield from dict.fromkeys(target.target.partition(":")[0] for target in expected(provider))


def observe(providers: list[Provider]) -> dict[str, Any]:
    """Import the modules of a library with the wrappers waiting for them, and say what came of it."""
    recorder = CallRecorder(NoOpMeterProvider().get_meter("otel_embed"))
    patches = Patches(recorder, recorder.runs)
    patches.install(providers)
    failed: dict[str, str] = {}
    for module in dict.fromkeys(module for provider in providers for module in modules(provider)):
        try:
            import_module(module)
        except BaseException as error:  # a library may even call sys.exit
            failed[module] = _reason(module, error)
    return {
        "bound": sorted(patches.bound),
        "skipped": patches.skipped,
        "failed": failed,
        "dropped": dict(guard.dropped),
    }


def _reason(module: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        return NO_MODULE
    message = str(error).strip().partition("\n")[0][:300]
    return f"{type(error).__qualname__}: {message}" if message else type(error).__qualname__


if __name__ == "__main__":
    output = claim_output()
    name, requires = sys.argv[1:]
    # More than one declaration may stand for a library: LangChain's embedders and its vector stores.
    found = [provider for provider in declared() if (provider.name, provider.requires) == (name, requires)]
    answer(output, observe(found))
