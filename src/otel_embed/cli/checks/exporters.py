"""Where ``opentelemetry-instrument`` would send spans and metrics, read from the environment as it reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Literal, NamedTuple

from otel_embed.cli.checks import secrets
from otel_embed.cli.checks.findings import Finding

Signal = Literal["traces", "metrics"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics")
GRPC, HTTP = "grpc", "http/protobuf"
_PROTOCOLS = {"otlp_proto_grpc": GRPC, "otlp_proto_http": HTTP}
_DEFAULT_ENDPOINT = {GRPC: "http://localhost:4317", HTTP: "http://localhost:4318"}
_BY_SIGNAL = ("TRACES", "METRICS")


class Export(NamedTuple):
    """One signal's way out by OTLP."""

    signal: Signal
    protocol: str
    endpoint: str
    """As the exporter uses it, with the path that it adds."""
    variable: str | None
    """The variable that names the endpoint; None where it is the default."""
    headers: str
    headers_variable: str | None
    insecure: bool | None
    certificate: str | None
    client_certificate: str | None
    client_key: str | None


class Plan(NamedTuple):
    exports: list[Export]
    findings: list[Finding]


def plan(environ: Mapping[str, str]) -> Plan:
    """What each signal's exporters are, and what is wrong with how they are named."""
    exports: list[Export] = []
    findings: list[Finding] = []
    silent = []
    for signal in SIGNALS:
        names = _names(environ, signal)
        if not names:
            silent.append(signal)
        for name in names:
            export = _export(environ, signal, name)
            exports += [export] if isinstance(export, Export) else []
            findings.append(_shown(export) if isinstance(export, Export) else export)
    findings += _silent(silent)
    return Plan(exports, findings)


def _names(environ: Mapping[str, str], signal: Signal) -> list[str]:
    # The distribution "distro" makes otlp the default; an empty variable is none, as the SDK has it.
    value = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp")
    return [] if value.strip().lower() in ("", "none") else [name.strip() for name in value.split(",")]


def _silent(signals: list[Signal]) -> Iterator[Finding]:
    if len(signals) == len(SIGNALS):
        yield Finding(
            "problem",
            "OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER are none: nothing leaves the process",
            "Unset them, or set them to otlp or console. otel-embed run needs neither.",
        )
    elif signals:
        yield Finding("note", f"{signals[0]}: exported nowhere, as OTEL_{signals[0].upper()}_EXPORTER says")


def _export(environ: Mapping[str, str], signal: Signal, name: str) -> Export | Finding:
    if name != "otlp" and name not in _PROTOCOLS:
        return _other(signal, name)
    variable, protocol = _first(environ, signal, "PROTOCOL")
    protocol = _PROTOCOLS.get(name) or protocol or GRPC
    if protocol not in _DEFAULT_ENDPOINT:
        return Finding(
            "problem",
            f"{variable}={protocol} is not a protocol that OpenTelemetry for Python has, so it does not start at all",
            f"Set it to {GRPC} (port 4317) or {HTTP} (port 4318).",
        )
    endpoint_variable, endpoint = _first(environ, signal, "ENDPOINT")
    headers_variable, headers = _first(environ, signal, "HEADERS")
    return Export(
        signal,
        protocol,
        _with_path(endpoint, endpoint_variable, signal, protocol),
        endpoint_variable,
        headers or "",
        headers_variable,
        _insecure(_first(environ, signal, "INSECURE")[1]),
        *(_first(environ, signal, name)[1] for name in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")),
    )


def _first(environ: Mapping[str, str], signal: Signal, what: str) -> tuple[str | None, str | None]:
    """The signal's own variable wins over the general one; an empty one is as if it were not there."""
    for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}", f"OTEL_EXPORTER_OTLP_{what}"):
        value = environ.get(name, "").strip()
        if value:
            return name, value
    return None, None


def _insecure(value: str | None) -> bool | None:
    return None if value is None else value.lower() == "true"


def _with_path(endpoint: str | None, variable: str | None, signal: Signal, protocol: str) -> str:
    """By HTTP, a path is added to the general endpoint and to the default one, and none to a signal's own."""
    base = endpoint or _DEFAULT_ENDPOINT[protocol]
    if protocol == GRPC or variable == f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT":
        return base
    return f"{base.removesuffix('/')}/v1/{signal}"


def _shown(export: Export) -> Finding:
    names, _ = secrets.headers(export.headers)
    origin = export.variable or "the default"
    said = f"{export.signal}: otlp by {export.protocol} to {secrets.url(export.endpoint)} ({origin})"
    if names:
        said += f", headers {', '.join(f'{name}={secrets.HIDDEN}' for name in names)}"
    facts = {
        "signal": export.signal,
        "protocol": export.protocol,
        "endpoint": secrets.url(export.endpoint),
        "endpoint_from": export.variable,
        "headers": names,
    }
    return Finding("ok", said, None, facts)


def _other(signal: Signal, name: str) -> Finding:
    known = sorted({entry.name for entry in entry_points(group=f"opentelemetry_{signal}_exporter")})
    if name in known:
        return Finding("ok", f"{signal}: {name}", facts={"signal": signal, "exporter": name})
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    near = get_close_matches(name.lower(), known, 1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return Finding(
        "problem",
        f"{variable} names the exporter {name!r}, which is not installed, so OpenTelemetry does not start at all",
        f"Installed here: {', '.join(known)}.{meant}",
    )
