"""Settings of OpenTelemetry that are legal and yet hardly ever meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from otel_embed.cli.checks import secrets
from otel_embed.cli.checks.exporters import GRPC, HTTP, SIGNALS, Export
from otel_embed.cli.checks.findings import Finding

_OTLP_PORTS = {4317: GRPC, 4318: HTTP}
_OTHER_PORTS = {
    14268: "Jaeger's own protocol",
    14250: "Jaeger's own protocol",
    16686: "Jaeger's web page",
    9411: "Zipkin's protocol",
    9090: "Prometheus's web page",
}
_GRPC_FORMS = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")
_LONG_TIMEOUT = 600.0
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_LIKE_THIS = "Write it like http://localhost:4317, or http://[::1]:4317 for an IPv6 address."


def check(exports: Sequence[Export], environ: Mapping[str, str]) -> list[Finding]:
    found = [finding for export in exports for finding in _of_export(export)]
    by_grpc = [export for export in exports if export.protocol == GRPC]
    found += _timeouts(environ, stops=bool(by_grpc))
    if _ENDPOINT in environ and not environ[_ENDPOINT].strip() and any(export.variable is None for export in by_grpc):
        found.append(Finding("problem", f"{_ENDPOINT} is empty, and by grpc that is no default", f"Unset {_ENDPOINT}."))
    return list({finding.said: finding for finding in found}.values())


def _of_export(export: Export) -> Iterator[Finding]:
    name = export.variable or _ENDPOINT
    shown = secrets.url(export.endpoint)
    if name == _ENDPOINT:
        shown = shown.removesuffix(f"/v1/{export.signal}")  # as it is written there
    if wrong := _broken(export.endpoint):
        yield Finding("problem", f"{name}: {wrong}: {shown}", _LIKE_THIS)
        return
    scheme, host, port, path = _parts(export.endpoint)
    if not host:
        yield _no_scheme(export, name, shown)
        return
    expected = _OTLP_PORTS.get(port or 0)
    if expected is not None and expected != export.protocol:
        yield _wrong_port(export, port, expected, name)
    if port in _OTHER_PORTS:
        said = f"{name}: port {port} is usually {_OTHER_PORTS[port]}, which takes no OTLP"
        yield Finding("warning", said, "OTLP goes to port 4317 by grpc, to port 4318 by http/protobuf.")
    if export.protocol == HTTP:
        yield from _path(export, path, name)
    _, malformed = secrets.headers(export.headers)
    if malformed:
        yield _malformed_headers(export, malformed)
    if scheme in ("http", "https"):
        yield from _proxy(scheme, host)


def _broken(endpoint: str) -> str | None:
    """What no address may have; gRPC's own forms of one are not looked at."""
    if endpoint.startswith(_GRPC_FORMS):
        return None
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    except ValueError:
        return "its brackets hold no IPv6 address, or only one of them is there"
    try:
        fits = parts.port != 0
    except ValueError:
        fits = False
    return None if fits else "its port is not a number from 1 to 65535"


def _parts(endpoint: str) -> tuple[str, str, int | None, str]:
    parts = urlsplit(endpoint)
    return parts.scheme, parts.hostname or "", parts.port, parts.path


def _no_scheme(export: Export, name: str, shown: str) -> Finding:
    if export.protocol == HTTP or not shown:
        return Finding("problem", f"{name}: {shown} is no URL", f"Write http:// or https:// before it: http://{shown}")
    said = f"{name}: {shown} says neither http:// nor https://; by grpc that means {'plain text' if export.insecure else 'TLS'}"
    return Finding("note" if export.insecure else "warning", said, f"Write http://{shown} for a plain connection.")


def _wrong_port(export: Export, port: int | None, expected: str, name: str) -> Finding:
    said = f"port {port} is usually the one for {expected}, but {export.signal} go there by {export.protocol}"
    other = next(number for number, protocol in _OTLP_PORTS.items() if protocol == export.protocol)
    return Finding("warning", said, f"Set OTEL_EXPORTER_OTLP_PROTOCOL={expected}, or port {other} in {name}.")


def _path(export: Export, path: str, name: str) -> Iterator[Finding]:
    own = export.variable is not None and export.variable.endswith(f"_{export.signal.upper()}_ENDPOINT")
    if own and not path.rstrip("/").endswith(f"/v1/{export.signal}"):
        yield Finding(
            "warning",
            f"{name} is used as it is, and does not end in /v1/{export.signal}",
            f"Append /v1/{export.signal}, or use {_ENDPOINT}, to which the path is added.",
        )
    if not own and path.count("/v1/") > 1:
        yield Finding(
            "problem",
            f"{name} ends in a path to which another one is added: {path}",
            "Leave /v1/… out of it; the exporter adds it.",
        )


def _malformed_headers(export: Export, malformed: int) -> Finding:
    return Finding(
        "problem",
        f"{export.headers_variable}: {malformed} of its entries have no name=value, and are not sent",
        "Write name=value,name=value, without quotes and with = in place of a colon: authorization=Bearer%20…",
    )


def _proxy(scheme: str, host: str) -> Iterator[Finding]:
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if proxy and not proxy_bypass(host):
        said = f"{scheme.upper()}_PROXY is set ({secrets.url(proxy)}): exports to {host} go through that proxy"
        yield Finding("warning", said, f"Where they should not, add {host} to NO_PROXY.")


def _timeouts(environ: Mapping[str, str], stops: bool) -> Iterator[Finding]:
    """``stops``: a value that is no number keeps OpenTelemetry from starting."""
    for name in ("OTEL_EXPORTER_OTLP_TIMEOUT", *(f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT" for signal in SIGNALS)):
        value = environ.get(name, "").strip()
        try:
            seconds = float(value or 0)
        except ValueError:
            yield Finding("problem" if stops else "warning", f"{name}={value} is not a number", "Set seconds: 10.")
            continue
        if not 0 <= seconds < inf:
            yield Finding("warning", f"{name}={value} is no time to wait", "Set seconds: 10.")
        elif seconds > _LONG_TIMEOUT:
            said = f"{name}={value}: Python reads it as seconds, so a program may wait that long for a collector at its end"
            yield Finding("warning", said, f"If milliseconds are meant, set {seconds / 1000:g}.")
