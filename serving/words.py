"""Numbers and times as people read them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

UNKNOWN = "unknown"
THIN = "\u202f"
"""A narrow space that no line breaks at, between a number and its unit."""

MINUS = "\N{MINUS SIGN}"

_UNITS = ((1e12, "tn"), (1e9, "bn"), (1e6, "M"), (1e3, "k"))


def count(value: float | None) -> str:
    """Write a count with three digits at most and its unit.

    >>> [count(number).replace(THIN, " ") for number in (0.4, 639.1, 12_345, 999_950)]
    ['0', '639', '12.3 k', '1 M']
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    rounded = float(f"{value:.3g}") if abs(value) >= 1_000 else round(value)
    for unit, name in _UNITS:
        if abs(rounded) >= unit:
            return f"{rounded / unit:.3g}{THIN}{name}".replace("-", MINUS)
    return f"{rounded:.0f}".replace("-", MINUS)


def percent(share: float | None, *, signed: bool = False) -> str:
    """Write a share in per cent, to a tenth where it is small.

    >>> percent(0.0412).replace(THIN, " "), percent(0.8).replace(THIN, " "), percent(0.02, signed=True)[0]
    ('4.1 %', '80 %', '+')
    """
    if share is None or not math.isfinite(share):
        return UNKNOWN
    value = round(100 * share, 1 if abs(share) < 0.1 else 0) + 0.0  # no negative zero
    text = f"{value:g}" if abs(value) < 100 else f"{value:,.0f}"
    sign = "+" if signed and value > 0 else ""
    return f"{sign}{text}{THIN}%".replace("-", MINUS)


def decimal(value: float | None, digits: int = 2) -> str:
    """Write a number with so many digits behind the point."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:z.{digits}f}".replace("-", MINUS)


def whole(value: float | None) -> str:
    """Write a number without any digits behind the point."""
    return decimal(value, 0)


def milliseconds(value: float | None) -> str:
    """Write a short time.

    >>> milliseconds(0.423).replace(THIN, " "), milliseconds(1250).replace(THIN, " ")
    ('0.42 ms', '1.25 s')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value >= 1_000:
        return f"{value / 1_000:.3g}{THIN}s"
    return f"{value:.2g}{THIN}ms" if value < 9.95 else f"{value:.0f}{THIN}ms"


def moment(time: datetime) -> str:
    """Write a time in UTC, and say so.

    >>> moment(datetime(2026, 11, 2, 9, 5, tzinfo=UTC))
    '2 Nov 2026, 09:05 UTC'
    """
    at = time.astimezone(UTC)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at:%H:%M} UTC"


def day(time: datetime) -> str:
    """Write the day of a time in UTC.

    >>> day(datetime(2026, 11, 2, 9, 5, tzinfo=UTC))
    '2 Nov 2026'
    """
    return moment(time).partition(",")[0]


def short_day(of: date) -> str:
    """Write a day without its year.

    >>> short_day(date(2026, 5, 25))
    '25 May'
    """
    return f"{of.day} {_MONTHS[of.month - 1]}"


def age(passed: timedelta) -> str:
    """Write how long something has been so, in its largest unit.

    >>> age(timedelta(seconds=30)), age(timedelta(minutes=90)), age(timedelta(days=12))
    ('less than a minute', '1 hour', '12 days')
    """
    minutes = int(passed.total_seconds() // 60)
    if minutes < 1:
        return "less than a minute"
    for size, name in ((1_440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            number = minutes // size
            return f"{number:,} {name}{'s' * (number > 1)}"
    raise AssertionError("a minute or more is some number of minutes")


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""Not strftime's, which are those of the machine's language."""
