"""How numbers are written for people: three digits that matter, and the unit."""

from __future__ import annotations

from math import floor, log10


def seconds(value: float | None) -> str:
    """From nanoseconds to hours: ``812 µs``, ``12.4 ms``, ``1.24 s``, ``2m 05s``, ``3h 07m``; a dash for None."""
    if value is None:
        return "–"
    if value <= 0:
        return "0 s"
    for factor, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms"), (1.0, "s")):
        if (value * factor < 999.5 and unit != "s") or (unit == "s" and value < 99.95):
            return f"{_three_digits(value * factor)} {unit}"
    minutes, rest = divmod(round(value), 60)
    if value < 3599.5:
        return f"{minutes}m {rest:02}s"
    return f"{minutes // 60}h {minutes % 60:02}m"


def milliseconds(value: float | None) -> str:
    """Without the unit, for a column: ``0.51``, ``94.1``, ``1,164``; a dash for None."""
    return "–" if value is None else rate(value * 1000) if value > 0 else "0"


def dollars(value: float, digits: int = 3) -> str:
    """``$1,204``, ``$12.34``, ``$0.0241``, ``$0.00000213``; below a dollar, so many digits that matter."""
    if value == 0:
        return "$0"
    if abs(value) >= 1:
        return f"${value:,.0f}" if abs(value) >= 1000 else f"${value:,.2f}"
    return f"${value:.{min(12, digits - 1 - floor(log10(abs(value))))}f}"


def percent(fraction: float | None) -> str:
    """``61.2 %``; never ``0 %`` or ``100 %`` for what is not quite that; a dash for None."""
    if fraction is None:
        return "–"
    if 0 < fraction < 0.001:
        return "< 0.1 %"
    if 0.999 < fraction < 1:
        return "> 99.9 %"
    return f"{fraction * 100:.0f} %" if fraction in (0, 1) else f"{fraction * 100:.1f} %"


def whole_percent(fraction: float) -> str:
    """``7 %``; ``< 1 %`` for what is less, and ``> 99 %``."""
    if 0 < fraction < 0.01 or 0.99 < fraction < 1:
        return "< 1 %" if fraction < 0.5 else "> 99 %"
    return f"{fraction * 100:.0f} %"


def count(value: int) -> str:
    """``48,200``."""
    return f"{value:,}"


def short_count(value: float) -> str:
    """``950``, ``48.2 k``, ``3.91 M``, ``1.20 G``."""
    for factor, unit in ((1, ""), (1e3, " k"), (1e6, " M")):
        if value < factor * 999.5:
            return f"{value:.0f}" if factor == 1 else f"{_three_digits(value / factor)}{unit}"
    return f"{_three_digits(value / 1e9)} G"


def rate(value: float | None) -> str:
    """``42,186``, ``84.8``, ``0.31``; a dash for None."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 99.95 else _three_digits(value)


def plural(number: int, one: str, many: str | None = None) -> str:
    """``1 call``, ``1,204 calls``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _three_digits(value: float) -> str:
    """Of a value below 1,000."""
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def size(bytes: float | None) -> str:
    """``950 B``, ``48.2 kB``, ``3.91 MB``; a dash for None."""
    if bytes is None:
        return "–"
    for factor, unit in ((1.0, "B"), (1e3, "kB"), (1e6, "MB")):
        if bytes < factor * 999.5:
            return f"{bytes:.0f} B" if factor == 1 else f"{_three_digits(bytes / factor)} {unit}"
    return f"{_three_digits(bytes / 1e9)} GB"
