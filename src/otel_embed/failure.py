"""Why a call failed, said the same way for every library, from the exception's shape alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

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
    424: "server_error",  # of Text Embeddings Inference, whose backend failed
    429: "rate_limited",
    504: "timeout",
}
_BY_CODE: dict[str, Cause] = {
    "ExpiredToken": "authentication",
    "ExpiredTokenException": "authentication",
    "ModelErrorException": "server_error",
    "ModelNotReadyException": "server_error",
    "ModelTimeoutException": "timeout",
    "RequestExpired": "authentication",
    "ServiceQuotaExceededException": "quota_exhausted",
    "Throttling": "rate_limited",
    "ThrottlingException": "rate_limited",
}
"""Codes of AWS that say more than their status does: a used up quota has 400, a model that is not ready yet has 429."""
_QUOTA_CODES = frozenset(
    {
        "AllocationQuota.FreeTierOnly",
        "Arrearage",
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_quota",
    }
)
_QUOTA = re.compile(rb'"(?:code|type)"\s*:\s*"(?:' + "|".join(map(re.escape, sorted(_QUOTA_CODES))).encode() + rb')"')
_KEY_INVALID = "API_KEY_INVALID"
"""Google's reason for a 400 that others call a 401."""
_EDGE = 4096
_BY_NAME: tuple[tuple[str, Cause], ...] = (
    ("BudgetExceeded", "quota_exhausted"),  # ours: the application's own quota
    ("Cancelled", "cancelled"),
    ("KeyboardInterrupt", "cancelled"),
    ("GeneratorExit", "cancelled"),
    ("Timeout", "timeout"),
    ("Credential", "authentication"),  # none, or none to be had: nothing was sent
    ("Authentication", "authentication"),
    ("Unauthorized", "authentication"),
    ("JSONDecodeError", "server_error"),  # of an answer; the others of its family are the caller's
    ("ResponseValidation", "server_error"),
    ("Connect", "network"),
    ("NetworkError", "network"),
    ("ProtocolError", "network"),
    ("TransportError", "network"),
    ("PayloadError", "network"),  # aiohttp's, of a body that breaks off
    ("ResponseStreaming", "network"),  # botocore's
    ("IncompleteRead", "network"),
    ("OSError", "network"),
    ("ValidationError", "invalid_input"),
    ("ValueError", "invalid_input"),
    ("TypeError", "invalid_input"),
)


def failure(error: BaseException, status: int | None = None, unanswered: str = "") -> Failure:
    """Classify an exception.

    ``status`` is that of the last HTTP answer, ``unanswered`` the name of the exception that the last request ended
    with. Who is cancelled or runs out of time between two attempts fails for that reason, whatever the last answer was.
    What fails after a good answer, fails for what that answer holds.
    """
    told, named = _status(error), _coded_cause(error) or _named_cause(error)
    refused = status is not None and status >= 400
    if told is not None and not refused and (unanswered or _says_unanswered(type(error).__name__)):
        told = None  # made up, as by litellm
        named = _cause_by_name([unanswered]) or named
    elif told is None and status is not None and named not in ("cancelled", "timeout"):
        if refused:
            told = status
        elif named in ("invalid_input", "other"):
            named = "server_error"
    if told is None:
        return Failure(qualified_name(error), named)
    return Failure(str(told), _status_cause(error, told))


def _says_unanswered(name: str) -> bool:
    return "Connection" in name or "Timeout" in name


def refused(status: int | None, code: str = "") -> Failure:
    """The failure of an answer that a library returns: its provider's own code, and its HTTP status where the library
    tells it; ``answered`` adds one that it does not tell."""
    cause = "quota_exhausted" if code in _QUOTA_CODES else _BY_CODE.get(code.partition(".")[0])
    if status is None or status < 400:
        return Failure(code, cause or "other")
    return Failure(str(status), cause or _cause_of(status))


def answered(failure: Failure, status: int | None) -> Failure:
    """The same with the HTTP status of the last answer where only a code is known; a good one's says nothing."""
    if status is None or status < 400 or failure.type.isdigit():
        return failure
    return Failure(str(status), _cause_of(status) if failure.cause == "other" else failure.cause)


def qualified_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _status(error: BaseException) -> int | None:
    told = (value for link in _chain(error) for value in _statuses(link))
    return next((int(value) for value in told if isinstance(value, int) and 400 <= value < 600), None)


def _statuses(error: BaseException) -> Iterator[Any]:
    for source in (error, _told(error, "response")):
        for name in ("status_code", "http_status", "status"):
            yield _told(source, name)
    yield _of_aws(error, "ResponseMetadata", "HTTPStatusCode")


def _of_aws(error: BaseException, part: str, name: str) -> Any:
    """What botocore's ``ClientError`` says in its response, a dict; None where there is none."""
    response = _told(error, "response")
    said = response.get(part) if isinstance(response, dict) else None
    return said.get(name) if isinstance(said, dict) else None


def _coded_cause(error: BaseException) -> Cause | None:
    codes = (_of_aws(link, "Error", "Code") for link in _chain(error))
    return next((_BY_CODE[code] for code in codes if isinstance(code, str) and code in _BY_CODE), None)


def _told(source: object, name: str) -> Any:
    """An attribute of an exception, whose properties can be anybody's; None where there is none to be had."""
    try:
        return getattr(source, name, None)
    except Exception:
        return None


def _status_cause(error: BaseException, status: int) -> Cause:
    if any(_is_quota(link) for link in _chain(error)):
        return "quota_exhausted"
    if status == 400 and _KEY_INVALID in repr(_told(error, "details"))[:_EDGE]:
        return "authentication"
    return _coded_cause(error) or _cause_of(status)


def _cause_of(status: int) -> Cause:
    return _BY_STATUS.get(status) or ("server_error" if status >= 500 else "other")


def _is_quota(error: BaseException) -> bool:
    own = vars(error)  # not the class's: aiohttp has a property ``code`` that warns whoever looks
    for said in (own.get("code"), own.get("type")):
        if isinstance(said, str) and said in _QUOTA_CODES:
            return True
    # openai 1.0, and httpx itself, keep the answer alone; content is there only of one that was read.
    content = _told(_told(error, "response"), "_content")
    return isinstance(content, bytes) and _QUOTA.search(content[:_EDGE]) is not None


def _named_cause(error: BaseException) -> Cause:
    if any(isinstance(link, ConnectionError) for link in _chain(error)):
        return "network"  # httpx-aiohttp calls a refused connection a timeout
    for link in _chain(error):
        cause = _cause_by_name([kind.__name__ for kind in type(link).__mro__])
        if cause is not None:
            return cause
    return "other"


def _cause_by_name(names: Sequence[str]) -> Cause | None:
    return next((cause for word, cause in _BY_NAME if any(word in name for name in names)), None)


def _chain(error: BaseException, depth: int = 4) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None and depth:
        yield link
        link, depth = link.__cause__, depth - 1
