"""What an endpoint's answer to an empty OTLP request means, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from otel_embed.cli.checks import secrets
from otel_embed.cli.checks.exporters import GRPC, HTTP, Export
from otel_embed.cli.checks.findings import Finding, Status

_NO_BACKEND = (
    "Start a collector or a backend there, set OTEL_EXPORTER_OTLP_ENDPOINT, or use otel-embed run, which needs none."
)


class Place(NamedTuple):
    host: str
    port: int
    proxy_for: str | None = None
    """The host behind it, where this is a proxy."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def unreachable(place: Place, why: str) -> Finding:
    facts = {"host": place.host, "port": place.port, "answers": False}
    if place.proxy_for:
        said = f"the proxy {place} does not answer: {why}"
        return Finding("problem", said, f"To export without it, add {place.proxy_for} to NO_PROXY.", facts)
    return Finding("problem", f"nothing answers at {place}: {why}", _NO_BACKEND, facts)


def accepted(export: Export, detail: str = "") -> Finding:
    return _finding(export, "ok", f"takes {export.signal}{detail}")


def silent(export: Export) -> Finding:
    other = "http/protobuf" if export.protocol == GRPC else "grpc"
    advice = f"Is it a port for {other}? Then set OTEL_EXPORTER_OTLP_PROTOCOL={other}."
    return _finding(export, "problem", f"takes the connection and does not answer {export.signal}", advice)


def no_tls(export: Export) -> Finding:
    return _finding(
        export,
        "problem",
        "does not complete the TLS handshake, or its certificate is not trusted",
        "Write http:// for a plain port, or name the certificate authority in OTEL_EXPORTER_OTLP_CERTIFICATE.",
    )


def not_http(export: Export, error: str) -> Finding:
    return _finding(
        export,
        "problem",
        f"does not answer in HTTP ({error})",
        f"Is it a port for grpc, as 4317 is? Then set OTEL_EXPORTER_OTLP_PROTOCOL={GRPC}, or name port 4318.",
    )


def by_status(export: Export, status: int) -> Finding:
    """``status`` of HTTP."""
    if 200 <= status < 300:
        return accepted(export, f" ({status})")
    said = f"answers {status} to {export.signal}"
    if status in (401, 403):
        return _refused(export, said)
    if status in (404, 405):
        return _finding(export, "problem", said, _wrong_path(export))
    if status == 400:
        return _finding(export, "warning", f"{said}: it refuses an empty request, which may mean nothing")
    if status in (429, 502, 503, 504):
        return _finding(export, "warning", f"{said}: it is there, but cannot take any at the moment")
    advice = "See what is behind that address: an OTLP endpoint answers 200."
    return _finding(export, "problem", said, advice)


def by_code(export: Export, code: str, secure: bool) -> Finding:
    """``code`` is the name of a status of gRPC."""
    said = f"answers {code} to {export.signal}"
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return _refused(export, said)
    if code == "UNIMPLEMENTED":
        return _finding(export, "problem", said, _wrong_path(export))
    if code == "DEADLINE_EXCEEDED":
        return silent(export)
    if code == "UNAVAILABLE":
        advice = (
            "It may be a plain port: write http:// before it."
            if secure
            else "It may want TLS: write https:// before it."
        )
        advice += f" Or it is a port for {HTTP}, as 4318 is: then set OTEL_EXPORTER_OTLP_PROTOCOL={HTTP}."
        return _finding(export, "problem", "takes the connection, but does not speak grpc", advice)
    status: Status = "warning" if code in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "ABORTED") else "problem"
    return _finding(export, status, said)


def _refused(export: Export, said: str) -> Finding:
    name = export.headers_variable or "OTEL_EXPORTER_OTLP_HEADERS"
    given = "has the right key" if export.headers else "is set: no header is sent"
    return _finding(export, "problem", f"{said}: it refuses the credentials", f"See that {name} {given}.")


def _wrong_path(export: Export) -> str:
    if export.signal == "metrics":
        return "A backend for traces alone, as Jaeger is, takes no metrics: set OTEL_METRICS_EXPORTER=none."
    if export.protocol == GRPC:
        return "What listens there takes no traces by OTLP. Is it the right port?"
    path = urlsplit(export.endpoint).path
    return f"The path {secrets.url(path)} is not the one for traces there; most backends have /v1/traces."


def _finding(export: Export, status: Status, said: str, advice: str | None = None) -> Finding:
    facts = {"signal": export.signal, "endpoint": secrets.url(export.endpoint), "answers": True}
    return Finding(status, f"{secrets.url(export.endpoint)} {said}", advice, facts)
