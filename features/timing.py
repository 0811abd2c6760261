"""Features of the moment of publication, in UTC and where the account lives."""

from __future__ import annotations

from features.catalogue import feature
from features.columns import Floats
from features.events import DAY_S
from features.rows import Rows


@feature(
    "timing",
    hour="Hour of the day in UTC, with its fraction.",
    local_hour="Hour of the day where the account lives; unknown without a country of one time zone.",
)
def hours(rows: Rows) -> Floats:
    """Hours of the day, with their fractions."""
    return rows.clocks_s % DAY_S / 3600


@feature(
    "timing",
    weekday="Day of the week in UTC, Monday 0.",
    local_weekday="Day of the week where the account lives, Monday 0; unknown without a country of one time zone.",
)
def weekdays(rows: Rows) -> Floats:
    """Days of the week; the first of January 1970 was a Thursday."""
    return (rows.clocks_s // DAY_S + 3) % 7
