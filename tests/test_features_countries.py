"""Countries as their clocks show a moment."""

from datetime import UTC, datetime, timedelta
from importlib.resources import files

import numpy as np
import pytest

from features.countries import SEVERAL, UNPEOPLED, local_times, main_zones, offsets_s
from features.errors import SchemaError
from features.zones import ONE_ZONE, zone

MARCH, JULY, DECEMBER = (datetime(2026, month, 15, 12, tzinfo=UTC) for month in (3, 7, 12))


def listed() -> dict[str, list[str]]:
    """The zones of each country as the database lists them."""
    table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for line in table.splitlines():
        if not line.startswith("#"):
            code, _, place, *_ = line.split("\t")
            found.setdefault(code, []).append(place)
    return found


def clocks(moment: datetime, country: str) -> dict[str, str]:
    return {key: value["local_time"] for key, value in local_times(moment, [country]).items()}


def test_the_zones_of_the_us_stand_under_their_usual_names_all_year() -> None:
    winter, summer = (clocks(moment, "US") for moment in (DECEMBER, JULY))
    names = ["US_EST", "US_CST", "US_MST", "US_MST_PHOENIX", "US_PST", "US_AKST", "US_HST"]
    assert list(winter) == list(summer) == names
    assert winter["US_EST"] == "2026-12-15T07:00:00-05:00"
    assert summer["US_EST"] == "2026-07-15T08:00:00-04:00"
    assert (winter["US_PST"], summer["US_PST"]) == ("2026-12-15T04:00:00-08:00", "2026-07-15T05:00:00-07:00")
    assert (winter["US_MST"], summer["US_MST"]) == ("2026-12-15T05:00:00-07:00", "2026-07-15T06:00:00-06:00")
    assert summer["US_MST_PHOENIX"] == "2026-07-15T05:00:00-07:00"
    assert local_times(JULY, ["US"])["US_CST"]["zone"] == "America/Chicago"


@pytest.mark.parametrize(
    ("country", "keys"),
    [
        ("GB", ["GB_GMT"]),
        ("IE", ["IE_GMT"]),
        ("DE", ["DE_CET"]),
        ("IN", ["IN_IST"]),
        ("JP", ["JP_JST"]),
        ("AE", ["AE_UTC+04"]),
        ("NP", ["NP_UTC+0545"]),
        ("PT", ["PT_WET", "PT_UTC-01"]),
        ("ID", ["ID_WIB", "ID_WITA", "ID_WIT"]),
        ("BR", ["BR_UTC-03", "BR_UTC-04", "BR_UTC-05"]),
        ("au", ["AU_AEST", "AU_AEST_BRISBANE", "AU_ACST", "AU_ACST_DARWIN", "AU_AWST"]),
    ],
)
def test_keys_are_country_and_standard_time(country: str, keys: list[str]) -> None:
    assert list(main_zones(country)) == keys


@pytest.mark.parametrize(
    ("key", "last_before", "before", "after"),
    [
        ("US_EST", datetime(2026, 3, 8, 7, tzinfo=UTC), -5, -4),
        ("US_EST", datetime(2026, 11, 1, 6, tzinfo=UTC), -4, -5),
        ("US_PST", datetime(2027, 3, 14, 10, tzinfo=UTC), -8, -7),
        ("US_PST", datetime(2027, 11, 7, 9, tzinfo=UTC), -7, -8),
        ("GB_GMT", datetime(2026, 3, 29, 1, tzinfo=UTC), 0, 1),
        ("GB_GMT", datetime(2026, 10, 25, 1, tzinfo=UTC), 1, 0),
        ("DE_CET", datetime(2027, 3, 28, 1, tzinfo=UTC), 1, 2),
        ("DE_CET", datetime(2027, 10, 31, 1, tzinfo=UTC), 2, 1),
        ("AU_AEST", datetime(2026, 4, 4, 16, tzinfo=UTC), 11, 10),
        ("AU_AEST", datetime(2026, 10, 3, 16, tzinfo=UTC), 10, 11),
        ("AU_ACST", datetime(2027, 4, 3, 16, 30, tzinfo=UTC), 10.5, 9.5),
        ("AU_ACST", datetime(2027, 10, 2, 16, 30, tzinfo=UTC), 9.5, 10.5),
    ],
)
def test_clocks_change_at_the_very_second(key: str, last_before: datetime, before: float, after: float) -> None:
    moments = (last_before - timedelta(seconds=1), last_before)
    shown = [datetime.fromisoformat(clocks(moment, key[:2])[key]) for moment in moments]
    assert [each.utcoffset() for each in shown] == [timedelta(hours=before), timedelta(hours=after)]
    assert shown == list(moments)
    seconds = np.array([int(moment.timestamp()) for moment in moments])
    assert offsets_s(main_zones(key[:2])[key], seconds).tolist() == [before * 3600, after * 3600]


@pytest.mark.parametrize("key", ["AU_AEST_BRISBANE", "AU_ACST_DARWIN", "AU_AWST", "US_HST", "IN_IST"])
def test_some_clocks_never_change(key: str) -> None:
    offsets = {datetime.fromisoformat(clocks(moment, key[:2])[key]).utcoffset() for moment in (MARCH, JULY, DECEMBER)}
    assert len(offsets) == 1


@pytest.mark.parametrize("country", ["XX", "USA", "", "UK", "AQ", "\x1b[2J"])
def test_an_unknown_country_is_named_with_what_is_accepted(country: str) -> None:
    with pytest.raises(SchemaError, match="two letters of ISO 3166-1") as refused:
        local_times(JULY, ["DE", country])
    assert repr(country) in str(refused.value)


def test_a_country_of_one_entry_has_the_same_clock_throughout() -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=4 * step) for step in range(183)]
    for country, places in listed().items():
        if country not in SEVERAL and country not in UNPEOPLED:
            assert (
                len({tuple(moment.astimezone(zone(place)).utcoffset() for moment in moments) for place in places}) == 1
            )


def test_every_entry_of_a_country_of_several_is_a_zone_of_its_own() -> None:
    for country, zones in SEVERAL.items():
        assert set(zones.values()) <= set(listed()[country])
        assert len(set(zones.values())) == len(zones)


def test_features_and_answers_speak_of_the_same_clock() -> None:
    for country, place in ONE_ZONE.items():
        moments = (MARCH, JULY, DECEMBER)
        (first, *_) = main_zones(country).values()
        assert [each.astimezone(zone(first)).utcoffset() for each in moments] == [
            each.astimezone(zone(place)).utcoffset() for each in moments
        ]
