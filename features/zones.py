"""Time zones: local time at the account, where its country tells it."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from features.columns import Ints, Texts

_UNKNOWN = float("nan")

ONE_ZONE = {
    "AE": "Asia/Dubai", "AR": "America/Argentina/Buenos_Aires", "AT": "Europe/Vienna", "BD": "Asia/Dhaka",
    "BE": "Europe/Brussels", "BG": "Europe/Sofia", "BO": "America/La_Paz", "CH": "Europe/Zurich",
    "CO": "America/Bogota", "CR": "America/Costa_Rica", "CZ": "Europe/Prague", "DE": "Europe/Berlin",
    "DK": "Europe/Copenhagen", "DO": "America/Santo_Domingo", "DZ": "Africa/Algiers", "EE": "Europe/Tallinn",
    "EG": "Africa/Cairo", "ET": "Africa/Addis_Ababa", "FI": "Europe/Helsinki", "FR": "Europe/Paris",
    "GB": "Europe/London", "GH": "Africa/Accra", "GR": "Europe/Athens", "GT": "America/Guatemala",
    "HK": "Asia/Hong_Kong", "HR": "Europe/Zagreb", "HU": "Europe/Budapest", "IE": "Europe/Dublin",
    "IL": "Asia/Jerusalem", "IN": "Asia/Kolkata", "IQ": "Asia/Baghdad", "IR": "Asia/Tehran",
    "IS": "Atlantic/Reykjavik",
    "IT": "Europe/Rome", "JP": "Asia/Tokyo", "KE": "Africa/Nairobi", "KR": "Asia/Seoul", "LT": "Europe/Vilnius",
    "LV": "Europe/Riga", "MA": "Africa/Casablanca", "NG": "Africa/Lagos", "NL": "Europe/Amsterdam",
    "NO": "Europe/Oslo", "NP": "Asia/Kathmandu", "PE": "America/Lima", "PH": "Asia/Manila", "PK": "Asia/Karachi",
    "PL": "Europe/Warsaw", "PY": "America/Asuncion", "RO": "Europe/Bucharest", "RS": "Europe/Belgrade",
    "SA": "Asia/Riyadh", "SE": "Europe/Stockholm", "SG": "Asia/Singapore", "SK": "Europe/Bratislava",
    "TH": "Asia/Bangkok", "TN": "Africa/Tunis", "TR": "Europe/Istanbul", "TW": "Asia/Taipei",
    "TZ": "Africa/Dar_es_Salaam",
    "UY": "America/Montevideo", "VE": "America/Caracas", "VN": "Asia/Ho_Chi_Minh", "ZA": "Africa/Johannesburg",
}  # fmt: skip
"""Countries (ISO 3166-1) whose people live in one time zone; elsewhere local time is not known from the country."""


def local_offsets_s(countries: Texts, times_s: Ints) -> list[float]:
    """Return offsets of local time from UTC in seconds, nan where the zone is not known from the country."""
    pairs = zip(countries, times_s.tolist(), strict=True)
    return [_offset_s(country.upper(), time_s) if country else _UNKNOWN for country, time_s in pairs]


def _offset_s(country: str, time_s: int) -> float:
    if country not in ONE_ZONE:
        return _UNKNOWN
    offset = datetime.fromtimestamp(time_s, zone(ONE_ZONE[country])).utcoffset()
    return offset.total_seconds() if offset is not None else _UNKNOWN


@cache
def zone(name: str) -> ZoneInfo:
    """Return the zone, read once: `ZoneInfo` itself keeps no more than eight."""
    return ZoneInfo(name)
