"""What ``instrument(...)`` is given, held to the same as what the environment says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from math import inf
from numbers import Real
from typing import Any, NamedTuple

_Read = Callable[[Any], Any]
"""The value as a setting has it; raises ``ValueError`` where it cannot be one."""
_SECRET = "alert_webhook"
AN_ADDRESS = "an http:// or https:// address with a host and without blanks"


class Amount(NamedTuple):
    """The numbers from 0 up to ``most``, of a unit."""

    unit: str
    most: float = inf

    @property
    def allowed(self) -> str:
        what = f"a number of {self.unit}" if self.unit else "a number"
        return f"{what}, 0 or more" if self.most == inf else f"{what} from 0 to {self.most:,.0f}"

    def has(self, number: float) -> bool:
        return 0 <= number <= self.most and number < inf

    def read(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (Real, Decimal)) or not self.has(float(value)):
            raise ValueError
        return float(value)


DOLLARS = Amount("dollars", 1_000_000)
"""A few times this is, in picodollars, what a 64-bit integer of Redis holds."""
MILLISECONDS, SECONDS, SHARE = Amount("milliseconds"), Amount("seconds", 86_400), Amount("", 1)


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


_SEVERAL = 'several names, as ("tenant", "team")', _names
_AMOUNTS = {
    "slow_call_ms": MILLISECONDS,
    "token_fetch_timeout": SECONDS,
    "daily_budget_usd": DOLLARS,
    "monthly_budget_usd": DOLLARS,
    "max_overhead": SHARE,
}
_NAMED: dict[str, tuple[str, _Read]] = {
    **{name: (amount.allowed, amount.read) for name, amount in _AMOUNTS.items()},
    "alert_webhook": (AN_ADDRESS, _address),
    "disabled_providers": _SEVERAL,
    "baggage_attributes": _SEVERAL,
}
