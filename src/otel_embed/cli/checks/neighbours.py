"""Other instrumentations that touch embedding libraries, whether they are active, and what that means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import NamedTuple

from otel_embed.cli.checks.findings import Finding, Status

DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_GROUP = "opentelemetry_instrumentor"


class Effect(NamedTuple):
    """What an instrumentation beside ours does to an embedding call. Measured; docs/doctor.md says more."""

    status: Status
    meaning: str


_TOGETHER = Effect("ok", "works together with otel-embed: one span a call, counted once")
_TWICE = Effect("warning", "makes a span of its own for each call and counts its tokens a second time")
_SPAN = Effect("warning", "makes a span of its own for each call; metrics are not affected")
_AWS = Effect("ok", "makes a span of its own for every call to AWS, embedding calls too; metrics are not affected")
_MAYBE = Effect("note", "may make spans of its own for the same calls")

_BY_DISTRIBUTION: tuple[tuple[str, Effect], ...] = (
    (r"opentelemetry-instrumentation-(genai-(openai|bedrock)|google-genai)", _TOGETHER),
    (r"opentelemetry-instrumentation-openai-v2", _TWICE),
    (r"elastic-opentelemetry-instrumentation-openai", _TWICE),
    (r"opentelemetry-instrumentation-botocore", _AWS),
    # OpenLLMetry
    (r"opentelemetry-instrumentation-(openai|bedrock)", _TWICE),
    (
        r"opentelemetry-instrumentation-(cohere|google-generativeai|haystack|litellm|llamaindex|mistralai|ollama"
        r"|together|transformers|vertexai|voyageai)",
        _MAYBE,
    ),
    (r"openinference-instrumentation-(openai|bedrock|google-genai|litellm|llama-index|mistralai|vertexai)", _SPAN),
    (r"openinference-instrumentation-haystack", _MAYBE),
)
"""Those that leave embedding calls alone, the ones of LangChain say, are not here."""

_STARTED_BY_CODE = {
    "ddtrace": "sends traces of its own to Datadog's agent",
    "langfuse": "its openai drop-in makes an observation of its own for each call",
    "logfire": "logfire.instrument_openai() makes a span of its own for each call",
    "mlflow": "mlflow.openai.autolog() makes a trace of its own for each call",
    "openlit": 'openlit.init() makes spans and metrics of its own for each call, but for disabled_instrumentors=["openai"]',
    "traceloop-sdk": "Traceloop.init() switches OpenLLMetry's instrumentations on, whatever the environment disables",
}
"""Distributions without an entry point that count calls once the application starts them."""


class Neighbour(NamedTuple):
    distribution: str
    version: str
    entry: str
    """The name by which it is switched off."""
    effect: Effect
    disabled: bool


def check(environ: Mapping[str, str]) -> list[Finding]:
    disabled = disabled_names(environ)
    found = sorted(_neighbours(disabled))
    findings = [_finding(neighbour, found, environ) for neighbour in found]
    for name, meaning in _STARTED_BY_CODE.items():
        version = _version(name)
        if version is not None:
            said = f"{name} {version}: only where the application starts it; {meaning}"
            findings.append(Finding("note", said, facts={"distribution": name, "version": version}))
    return findings or [Finding("ok", "none that touches embedding calls is installed")]


def disabled_names(environ: Mapping[str, str]) -> list[str]:
    """The entry points that ``opentelemetry-instrument`` leaves out; ``*`` is all of them, ours included."""
    return [name for part in environ.get(DISABLED, "").split(",") if (name := part.strip())]


def _neighbours(disabled: Iterable[str]) -> Iterable[Neighbour]:
    off = set(disabled)
    for entry in metadata.entry_points(group=_GROUP):
        distribution = entry.dist
        name = distribution.name if distribution else ""
        effect = next((effect for form, effect in _BY_DISTRIBUTION if re.fullmatch(form, _normal(name))), None)
        if distribution is not None and effect is not None and _has_its_library(distribution):
            yield Neighbour(name, distribution.version, entry.name, effect, bool(off & {entry.name, "*"}))


def _finding(neighbour: Neighbour, all_of_them: Iterable[Neighbour], environ: Mapping[str, str]) -> Finding:
    name = f"{neighbour.distribution} {neighbour.version}"
    facts = {**neighbour._asdict(), "effect": neighbour.effect.meaning}
    if neighbour.disabled:
        return Finding("ok", f"{name}: switched off by {DISABLED}", None, facts)
    if neighbour.effect.status != "warning":
        return Finding(neighbour.effect.status, f"{name}: {neighbour.effect.meaning}", None, facts)
    value = ",".join(dict.fromkeys([*disabled_names(environ), neighbour.entry]))
    advice = f"To have each call once: {DISABLED}={value}"
    same = [other.distribution for other in all_of_them if other.entry == neighbour.entry and other != neighbour]
    if same:
        advice += f" (this switches off {', '.join(same)} too, of the same name; or uninstall one)"
    return Finding("warning", f"{name}: {neighbour.effect.meaning}", advice, facts)


def _has_its_library(distribution: metadata.Distribution) -> bool:
    """Whether ``opentelemetry-instrument`` would load it: what it instruments is installed, in its versions."""
    try:
        from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts

        return get_dist_dependency_conflicts(distribution) is None
    except Exception:  # another's metadata may be malformed: then it counts as active
        return True


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
