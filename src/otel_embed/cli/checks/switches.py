"""Whether OpenTelemetry and otel_embed are on at all, and what OpenTelemetry keeps of the spans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata

from otel_embed.cli.checks import startup
from otel_embed.cli.checks.children import ask
from otel_embed.cli.checks.findings import Finding
from otel_embed.cli.checks.neighbours import DISABLED, disabled_names

_OURS = "otel_embed"
_RATIOS = ("traceidratio", "parentbased_traceidratio")


def check(environ: Mapping[str, str], seconds: float) -> list[Finding]:
    found = list(_switched_off(environ))
    if not any(entry.name == _OURS for entry in metadata.entry_points(group="opentelemetry_instrumentor")):
        advice = "Install it: pip install otel-embed. A copy on PYTHONPATH has no entry points."
        found.append(
            Finding("problem", "opentelemetry-instrument does not find otel-embed: it is not installed", advice)
        )
    if not any(finding.status == "problem" for finding in found):
        found += _started(environ, seconds)
    found += _sampler(environ)
    found += _service_name(environ)
    if environ.get("OTEL_CONFIG_FILE"):
        said = "OTEL_CONFIG_FILE is set: exporters and samplers are what that file says, and not what is said here"
        found.append(Finding("warning", said))
    return found


def _switched_off(environ: Mapping[str, str]) -> Iterator[Finding]:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield Finding("problem", "OTEL_SDK_DISABLED is true: OpenTelemetry records nothing", "Unset it.")
    names = disabled_names(environ)
    if _OURS in names or "*" in names:
        said = f"{DISABLED}={','.join(names)} switches otel-embed off"
        advice = f"Take {_OURS if _OURS in names else '*'} out. To leave one library alone: OTEL_EMBED_DISABLED_PROVIDERS=openai"
        yield Finding("problem", said, advice)


def _started(environ: Mapping[str, str], seconds: float) -> Iterator[Finding]:
    # Prometheus' exporter would open its port, which a running application may have open.
    metrics = [name for name in environ.get("OTEL_METRICS_EXPORTER", "otlp").split(",") if name.strip() != "prometheus"]
    variables = {"OTEL_METRICS_EXPORTER": ",".join(metrics) or "none"}
    answer = ask(startup.__name__, seconds=seconds, **variables)
    if isinstance(answer, str):
        said = f"OpenTelemetry could not be started here to see whether otel-embed is on: {answer}"
        yield Finding("warning", said)
        return
    complaints = [line for complaint in answer["complaints"] if (line := complaint.strip().partition("\n")[0][:300])]
    facts = {"on": answer["on"], "complaints": complaints}
    if answer["on"]:
        yield Finding("ok", "opentelemetry-instrument switches otel-embed on", None, facts)
        yield from (Finding("warning", f"OpenTelemetry says at its start: {said}") for said in complaints)
        return
    why = complaints[-1] if complaints else "and does not say why"
    advice = None
    if any(said.startswith("Instrumenting of ") for said in complaints):
        advice = f"An instrumentation that fails stops all later ones. Switch it off with {DISABLED}."
    yield Finding("problem", f"opentelemetry-instrument does not switch otel-embed on: {why}", advice, facts)


def _sampler(environ: Mapping[str, str]) -> Iterator[Finding]:
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if not name:
        return
    argument = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    ratio = _ratio(argument) if name in _RATIOS else None
    known = {entry.name for entry in metadata.entry_points(group="opentelemetry_traces_sampler")}
    if name not in known:
        said = f"OTEL_TRACES_SAMPLER={name} is unknown: every span is kept"
        yield Finding("warning", said, f"Known here: {', '.join(sorted(known))}.")
    elif name == "parentbased_always_off":
        yield Finding("warning", f"OTEL_TRACES_SAMPLER={name}: only spans below a sampled one are kept")
    elif name == "always_off" or ratio == 0:
        yield Finding("problem", f"OTEL_TRACES_SAMPLER={name}: no span is kept", "Unset it. Metrics are complete.")
    elif name in _RATIOS and ratio is None:
        yield Finding("warning", f"OTEL_TRACES_SAMPLER_ARG={argument!r} is no number from 0 to 1: every span is kept")
    elif ratio is not None and ratio < 1:
        yield Finding("note", f"{name} keeps {ratio:g} of all traces; metrics count every call")


def _ratio(text: str) -> float | None:
    try:
        ratio = float(text)
    except ValueError:
        return None
    return ratio if 0 <= ratio <= 1 else None


def _service_name(environ: Mapping[str, str]) -> Iterator[Finding]:
    pairs = (pair.partition("=") for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    attributes = {name.strip(): value.strip() for name, _, value in pairs}
    name = environ.get("OTEL_SERVICE_NAME", "").strip() or attributes.get("service.name")
    if name:
        yield Finding("ok", f"service name: {name}")
    else:
        said = "OTEL_SERVICE_NAME is not set: a backend shows this service as unknown_service"
        yield Finding("warning", said, "OTEL_SERVICE_NAME=my-service")
