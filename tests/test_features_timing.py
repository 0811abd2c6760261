"""The moment of publication, in UTC and where the account lives."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.zones import ONE_ZONE, local_offsets_s
from tests.features_world import Made, features_of, known_frame, rows_of

HOUR_S = 3_600


def clocks_at(moments: list[datetime], country: str | None) -> dict[str, np.ndarray]:
    """Return the timing of posts published at some moments, given in order."""
    known = known_frame([Made(hour=hour, country=country) for hour in range(len(moments))])
    moved = known.with_columns(published_at=pl.Series(moments, dtype=pl.Datetime("us", "UTC")))
    return features_of(rows_of(moved))


@given(st.integers(-600_000_000, 4_000_000_000), st.sampled_from(sorted(ONE_ZONE)))
@settings(max_examples=200)
def test_clocks_show_what_a_calendar_shows(published_s: int, country: str) -> None:
    published = datetime.fromtimestamp(published_s, UTC)
    clocks = clocks_at([published], country)
    local = published.astimezone(ZoneInfo(ONE_ZONE[country]))
    for prefix, time in (("", published), ("local_", local)):
        assert clocks[f"{prefix}weekday"][0] == time.weekday()
        assert clocks[f"{prefix}hour"][0] == pytest.approx(time.hour + time.minute / 60 + time.second / 3600)


@pytest.mark.parametrize(
    ("before", "hours"),
    [
        (datetime(2025, 3, 30, 0, 59, 59, tzinfo=UTC), [1, 3]),  # clocks go forward at 01:00 UTC
        (datetime(2025, 10, 26, 0, 59, 59, tzinfo=UTC), [2, 2]),  # and back: one local hour comes twice
    ],
)
def test_local_time_jumps_with_daylight_saving(before: datetime, hours: list[int]) -> None:
    clocks = clocks_at([before, before + timedelta(seconds=1)], "DE")
    assert np.floor(clocks["local_hour"]).tolist() == hours
    assert clocks["local_hour"][1] % 1 == 0


def test_local_time_may_be_another_day() -> None:
    clocks = clocks_at([datetime(2025, 6, 1, 20, tzinfo=UTC)], "JP")
    assert (clocks["weekday"][0], clocks["local_weekday"][0]) == (6, 0)
    assert (clocks["hour"][0], clocks["local_hour"][0]) == (20, 5)


@pytest.mark.parametrize("country", [None, "", "US", "BR", "xx"])
def test_local_time_is_unknown_without_a_country_of_one_zone(country: str | None) -> None:
    clocks = clocks_at([datetime(2025, 6, 1, 20, tzinfo=UTC)], country)
    assert np.isnan(clocks["local_hour"]).all()
    assert np.isnan(clocks["local_weekday"]).all()
    assert clocks["hour"].tolist() == [20]


def test_countries_are_read_in_upper_and_lower_case() -> None:
    offsets = local_offsets_s(["IN", "in", None], np.zeros(3, np.int64))
    assert offsets[:2] == [5.5 * HOUR_S] * 2
    assert np.isnan(offsets[2])


@pytest.mark.parametrize("country", sorted(ONE_ZONE))
def test_every_zone_is_known_here(country: str) -> None:
    assert -12 * HOUR_S <= local_offsets_s([country], np.array([1_750_000_000]))[0] <= 14 * HOUR_S
