"""What ``instrument(...)`` is given, held to the same as what the environment says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from math import inf
from numbers import Real
from typing import Any

_Read = Callable[[Any], Any]
"""The value as a setting has it; raises ``ValueError`` where it cannot be one."""
_SECRET = "alert_webhook"
AN_ADDRESS = "an http:// or https:// address with a host and without blanks"


def accepted(
    given: Mapping[str, Any], choices: Mapping[str, tuple[str, ...]], before: object, warn: Callable[[str], None]
) -> dict[str, Any]:
    """The options that can be settings; of each other one there is a warning, and what was ``before`` stays."""
    good = {}
    for name, value in given.items():
        allowed, read = _NAMED.get(name) or _choice(choices.get(name))
        try:
            good[name] = read(value)
        except (ValueError, OverflowError):
            stays, secret = getattr(before, name), name == _SECRET
            shown = "not set" if stays in (None, (), frozenset()) else "what it was" if secret else stays
            wrong = "..." if secret else value
            warn(f"instrument({name}={wrong!r}) is not valid: it must be {allowed}. It stays {shown}.")
    return good


def _choice(allowed: tuple[str, ...] | None) -> tuple[str, _Read]:
    def read(value: Any) -> Any:
        if allowed is None:
            return value
        if not isinstance(value, str) or value.lower() not in allowed:
            raise ValueError
        return value.lower()

    return f"one of {', '.join(allowed or ())}", read


def _amount(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)) or not 0 <= float(value) < inf:
        raise ValueError
    return float(value)


def _share(value: Any) -> float:
    if _amount(value) > 1:
        raise ValueError
    return float(value)


def _address(value: Any) -> str:
    if not isinstance(value, str) or not is_address(value):
        raise ValueError
    return value


def is_address(value: str) -> bool:
    """Whether a request can be sent there."""
    from urllib.parse import urlsplit  # only where there is an address

    try:
        parts = urlsplit(value)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a broken bracket; a port that is none
        return False
    return has_place and parts.scheme in ("http", "https") and value.isprintable() and " " not in value


def _names(value: Any) -> Any:
    if isinstance(value, (str, bytes)):  # each letter would be a name
        raise ValueError
    return value


_AMOUNT, _SEVERAL = ("a number, 0 or more", _amount), ('several names, as ("tenant", "team")', _names)
_NAMED: dict[str, tuple[str, _Read]] = {
    "slow_call_ms": _AMOUNT,
    "token_fetch_timeout": _AMOUNT,
    "daily_budget_usd": _AMOUNT,
    "monthly_budget_usd": _AMOUNT,
    "max_overhead": ("a number from 0 to 1", _share),
    "alert_webhook": (AN_ADDRESS, _address),
    "disabled_providers": _SEVERAL,
    "baggage_attributes": _SEVERAL,
}
