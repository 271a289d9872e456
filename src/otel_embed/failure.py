"""Why a call failed, said the same way for every library, from the exception's shape alone."""

from __future__ import annotations

from collections.abc import Iterator

from otel_embed.record import Cause, Failure

_BY_STATUS: dict[int, Cause] = {
    400: "invalid_input",
    401: "authentication",
    402: "quota_exhausted",
    403: "authentication",
    404: "not_found",
    407: "authentication",
    408: "timeout",
    410: "not_found",
    413: "invalid_input",
    415: "invalid_input",
    422: "invalid_input",
    429: "rate_limited",
    504: "timeout",
}
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_BY_NAME: tuple[tuple[str, Cause], ...] = (
    ("Cancelled", "cancelled"),
    ("KeyboardInterrupt", "cancelled"),
    ("GeneratorExit", "cancelled"),
    ("Timeout", "timeout"),
    ("Connect", "network"),
    ("NetworkError", "network"),
    ("ProtocolError", "network"),
    ("TransportError", "network"),
    ("OSError", "network"),
    ("ValidationError", "invalid_input"),
    ("ValueError", "invalid_input"),
    ("TypeError", "invalid_input"),
)


def failure(error: BaseException, status: int | None = None) -> Failure:
    """Classify an exception; ``status`` is that of the last HTTP answer where it was an error."""
    status = _status(error) or status
    if status is not None:
        return Failure(str(status), _status_cause(error, status))
    return Failure(qualified_name(error), _named_cause(error))


def qualified_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _status(error: BaseException) -> int | None:
    for name in ("status_code", "http_status", "status"):
        value = getattr(error, name, None)
        if isinstance(value, int) and 400 <= value < 600:
            return int(value)
    return None


def _status_cause(error: BaseException, status: int) -> Cause:
    if getattr(error, "code", None) in _QUOTA_CODES:
        return "quota_exhausted"
    return _BY_STATUS.get(status) or ("server_error" if status >= 500 else "other")


def _named_cause(error: BaseException) -> Cause:
    for link in _chain(error):
        names = [kind.__name__ for kind in type(link).__mro__]
        for word, cause in _BY_NAME:
            if any(word in name for name in names):
                return cause
    return "other"


def _chain(error: BaseException, depth: int = 3) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None and depth:
        yield link
        link, depth = link.__cause__, depth - 1
