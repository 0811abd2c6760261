"""Features of the moment of publication, in UTC and where the account lives."""

from __future__ import annotations

from features.catalogue import feature
from features.columns import Column
from features.events import DAY_S
from features.rows import Rows


@feature("timing")
def hour(rows: Rows) -> Column:
    """Hour of the day in UTC, with its fraction."""
    return rows.published_s % DAY_S / 3600


@feature("timing")
def weekday(rows: Rows) -> Column:
    """Day of the week in UTC, Monday 0."""
    return _weekday(rows.published_s)


@feature("timing")
def local_hour(rows: Rows) -> Column:
    """Hour of the day where the account lives; unknown without a country of one time zone."""
    return rows.local_s % DAY_S / 3600


@feature("timing")
def local_weekday(rows: Rows) -> Column:
    """Day of the week where the account lives, Monday 0; unknown without a country of one time zone."""
    return _weekday(rows.local_s)


def _weekday(seconds: Column) -> Column:
    """Return the weekday of seconds since the first of January 1970, which was a Thursday."""
    return (seconds // DAY_S + 3) % 7
