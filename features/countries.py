"""Countries and their time zones: one moment as clocks show it where people of a country live.

From the time zone database that the package tzdata ships (public domain): its table `zone.tab` lists the zones of each
country. Countries whose zones differ are in `SEVERAL` below, with those where nearly all of their people live.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files

import numpy as np

from features.columns import Ints
from features.errors import SchemaError, quoted
from features.zones import zone

SEVERAL: Mapping[str, Mapping[str, str]] = {
    "AU": {
        "AEST": "Australia/Sydney", "AEST_BRISBANE": "Australia/Brisbane", "ACST": "Australia/Adelaide",
        "ACST_DARWIN": "Australia/Darwin", "AWST": "Australia/Perth",
    },
    "BR": {"UTC-03": "America/Sao_Paulo", "UTC-04": "America/Manaus", "UTC-05": "America/Rio_Branco"},
    "CA": {
        "EST": "America/Toronto", "CST": "America/Winnipeg", "CST_REGINA": "America/Regina", "MST": "America/Edmonton",
        "PST": "America/Vancouver", "AST": "America/Halifax", "NST": "America/St_Johns",
    },
    "CD": {"WAT": "Africa/Kinshasa", "CAT": "Africa/Lubumbashi"},
    "CL": {"UTC-04": "America/Santiago", "UTC-03": "America/Punta_Arenas"},
    "CN": {"CST": "Asia/Shanghai"},
    "EC": {"UTC-05": "America/Guayaquil", "UTC-06": "Pacific/Galapagos"},
    "ES": {"CET": "Europe/Madrid", "WET": "Atlantic/Canary"},
    "FM": {"UTC+11": "Pacific/Pohnpei", "UTC+10": "Pacific/Chuuk"},
    "GL": {"UTC-02": "America/Nuuk", "AST": "America/Thule"},
    "ID": {"WIB": "Asia/Jakarta", "WITA": "Asia/Makassar", "WIT": "Asia/Jayapura"},
    "KI": {"UTC+12": "Pacific/Tarawa", "UTC+14": "Pacific/Kiritimati"},
    "MN": {"UTC+08": "Asia/Ulaanbaatar", "UTC+07": "Asia/Hovd"},
    "MX": {
        "CST": "America/Mexico_City", "CST_MATAMOROS": "America/Matamoros", "EST": "America/Cancun",
        "MST": "America/Hermosillo", "MST_JUAREZ": "America/Ciudad_Juarez", "PST": "America/Tijuana",
    },
    "NZ": {"NZST": "Pacific/Auckland"},
    "PF": {"UTC-10": "Pacific/Tahiti"},
    "PG": {"UTC+10": "Pacific/Port_Moresby", "UTC+11": "Pacific/Bougainville"},
    "PT": {"WET": "Europe/Lisbon", "UTC-01": "Atlantic/Azores"},
    "RU": {
        "MSK": "Europe/Moscow", "EET": "Europe/Kaliningrad", "UTC+04": "Europe/Samara", "UTC+05": "Asia/Yekaterinburg",
        "UTC+06": "Asia/Omsk", "UTC+07": "Asia/Novosibirsk", "UTC+08": "Asia/Irkutsk", "UTC+09": "Asia/Yakutsk",
        "UTC+10": "Asia/Vladivostok", "UTC+11": "Asia/Sakhalin", "UTC+12": "Asia/Kamchatka",
    },
    "UA": {"EET": "Europe/Kyiv"},
    "US": {
        "EST": "America/New_York", "CST": "America/Chicago", "MST": "America/Denver", "MST_PHOENIX": "America/Phoenix",
        "PST": "America/Los_Angeles", "AKST": "America/Anchorage", "HST": "Pacific/Honolulu",
    },
}  # fmt: skip
"""Zones of countries that have several, by what their standard time is usually called; the first is the one that most
people live in or near. A place with clocks of its own under the same name adds the place. Names stay the same all year,
and when a country comes to change its clocks."""

UNPEOPLED = ("AQ", "UM")
"""Where the table has zones, and nobody lives whom a post could be for."""

_JANUARY, _JULY = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC)


def main_zones(country: str) -> Mapping[str, str]:
    """Return the main time zones of a country by keys such as ``US_EST``: the country and the name of standard time.

    Where the database knows no such name it is written as ``AE_UTC+04``.

    Raises
    ------
    SchemaError
        There is no such country.
    """
    code = country.upper()
    if code in SEVERAL:
        return {f"{code}_{name}": place for name, place in SEVERAL[code].items()}
    if code not in _first_zones():
        raise SchemaError(
            f"there is no country {quoted(country)}; a target country is a code of two letters of ISO 3166-1, such as "
            "US, GB, DE, BR or IN"
        )
    place = _first_zones()[code]
    return {f"{code}_{_standard_name(place)}": place}


def local_times(moment: datetime, countries: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return a moment as clocks show it in each main zone of some countries, daylight saving included."""
    zones = {key: place for country in countries for key, place in main_zones(country).items()}
    return {
        key: {"zone": place, "local_time": moment.astimezone(zone(place)).isoformat()} for key, place in zones.items()
    }


def offsets_s(place: str, times_s: Ints) -> Ints:
    """Return the offset of a zone's local time from UTC at each time, all in seconds."""
    clock = zone(place)
    ahead = (datetime.fromtimestamp(time_s, clock).utcoffset() for time_s in times_s.tolist())
    return np.array([int(each.total_seconds()) if each else 0 for each in ahead], dtype=np.int64)


@cache
def _first_zones() -> Mapping[str, str]:
    """The first zone of each country in the table: that of most people, unless others stand in the way."""
    table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in table.splitlines() if line and not line.startswith("#")]
    return {code: place for code, _, place, *_ in reversed(rows) if code not in UNPEOPLED}


@cache
def _standard_name(place: str) -> str:
    """Return what standard time is called: the lesser offset of January and July, at a date that stays."""
    clocks = [moment.astimezone(zone(place)) for moment in (_JANUARY, _JULY)]
    standard = min(clocks, key=lambda clock: clock.utcoffset() or timedelta(0))
    name = standard.tzname() or ""
    return name if name.isalpha() else f"UTC{name}"
