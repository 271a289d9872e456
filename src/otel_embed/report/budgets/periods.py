"""Days and months in a time zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Literal, NamedTuple

PeriodKind = Literal["day", "month"]


class Period(NamedTuple):
    """From ``start_ns`` up to ``end_ns``, Unix times in nanoseconds."""

    kind: PeriodKind
    key: str
    """``2026-11-25`` or ``2026-11``."""
    start_ns: int
    end_ns: int


class Calendar:
    """Where days begin. A day on which clocks change has 23 or 25 hours."""

    def __init__(self, zone: tzinfo = timezone.utc) -> None:
        self.zone = zone

    @classmethod
    def named(cls, name: str | None, warn: Callable[[str], None]) -> Calendar:
        """That of an IANA time zone; an unknown one gives one warning, and UTC."""
        if name is None or name.upper() == "UTC":
            return cls()
        from zoneinfo import ZoneInfo  # only where a zone is named

        try:
            return cls(ZoneInfo(name))
        except (KeyError, ValueError, OSError):  # unknown; no name of a zone; a folder of zones
            warn(
                f"OTEL_EMBED_BUDGET_TIMEZONE={name!r} is not valid: it must be a time zone of the IANA database that"
                " this machine knows, such as Europe/Berlin (where it knows none, install tzdata). It stays UTC."
            )
            return cls()

    def period(self, kind: PeriodKind, at_ns: int) -> Period:
        """The day or month that a moment belongs to."""
        local = datetime.fromtimestamp(at_ns // 10**9, self.zone)
        first = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if kind == "day":
            following = (first.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=self.zone)
            return Period(kind, f"{first:%Y-%m-%d}", _ns(first), _ns(following))
        first = first.replace(day=1)
        year, month = (first.year, first.month + 1) if first.month < 12 else (first.year + 1, 1)
        return Period(kind, f"{first:%Y-%m}", _ns(first), _ns(first.replace(year=year, month=month)))

    def at(self, ns: int) -> datetime:
        return datetime.fromtimestamp(ns // 10**9, self.zone)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9
