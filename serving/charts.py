"""Where the marks of the page's charts stand: plain numbers, which a template draws.

Positions are per cent of a chart's width, so that it fits any screen while its letters keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from serving import words

MARGIN = 4.0
"""Per cent of the width that stay empty on either side."""

MOST_TICKS = 6
MOST_DOTS = 200
"""Posts that are drawn, the latest; all of them count for the median."""

ROWS = 7
"""Rows in which dots stand, so that equal outcomes do not hide one another."""

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LEVELS = 4
"""Shades of the heat map on either side of none."""


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis of counts from `low` to `high`, in log1p."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> Axis:
        """Return an axis that holds all of the values, over a factor of ten at least."""
        logs = [math.log1p(max(value, 0.0)) for value in values]
        middle, half = (min(logs) + max(logs)) / 2, (max(logs) - min(logs)) / 2
        half = max(half * 1.06, math.log(10) / 2)
        return cls(max(0.0, middle - half), max(middle + half, math.log(10)))

    def at(self, value: float) -> float:
        """Return where a count stands."""
        share = (math.log1p(max(value, 0.0)) - self.low) / (self.high - self.low)
        return round(MARGIN + (100 - 2 * MARGIN) * min(max(share, 0.0), 1.0), 2)

    def ticks(self) -> list[Tick]:
        """Return round counts along the axis, powers of ten where these are enough."""
        low, high = math.expm1(self.low), math.expm1(self.high)
        powers = range(math.floor(math.log10(max(low, 1.0))), math.ceil(math.log10(high)) + 1)
        for steps in ((1,), (1, 3), (1, 2, 5)):
            round_counts = [step * 10.0**power for power in powers for step in steps]
            found = [value for value in round_counts if low - 1e-9 <= value <= high * (1 + 1e-9)]
            if len(found) >= 3:
                break
        else:
            found = found or [low, high]
        every = math.ceil(len(found) / MOST_TICKS)
        return [Tick(self.at(value), words.count(value)) for value in found[::every]]


@dataclass(frozen=True)
class Tick:
    """A mark along an axis, with its words."""

    x: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A post: where it stands, and in which row from the top."""

    x: float
    row: int


@dataclass(frozen=True)
class Strip:
    """A forecast over what is known of an account, along one axis."""

    dots: list[Dot]
    ticks: list[Tick]
    lower: float
    point: float
    upper: float
    median: float | None

    @property
    def width(self) -> float:
        """How wide the interval is."""
        return round(self.upper - self.lower, 2)

    @property
    def anchor(self) -> str:
        """To which side the words at the point go, so that they stay on the chart."""
        return "start" if self.point < 30 else "end" if self.point > 70 else "middle"


def strip(outcomes: Sequence[float], value: float, lower: float, upper: float) -> Strip:
    """Place a forecast with its interval over an account's known outcomes, all as counts, the latest last."""
    axis = Axis.around([*outcomes, value, lower, upper])
    dots = [Dot(axis.at(each), _row(number)) for number, each in enumerate(outcomes[-MOST_DOTS:])]
    middle = axis.at(median(outcomes)) if outcomes else None
    return Strip(dots, axis.ticks(), axis.at(lower), axis.at(value), axis.at(upper), middle)


@dataclass(frozen=True)
class Whisker:
    """A value with the ends of its interval on a scale from 0; the ends are None where they are unknown."""

    x: float
    low: float | None
    high: float | None


def whiskers(rows: Sequence[tuple[float, float | None, float | None]]) -> list[Whisker]:
    """Place values with their ends on one scale from 0 to the largest."""
    largest = max((number for row in rows for number in row if number is not None), default=0.0) or 1.0

    def at(number: float | None) -> float | None:
        return None if number is None else round(2 + 96 * min(max(number / largest, 0.0), 1.0), 2)

    return [Whisker(at(value) or 0.0, at(low), at(high)) for value, low, high in rows]


@dataclass(frozen=True)
class Cell:
    """An hour of the week: what it brings in words, its shade, and whether it is told from none."""

    words: str
    level: str
    sure: bool


@dataclass(frozen=True)
class HeatMap:
    """A week of hours in UTC, a row for each day, and the hour that brings most."""

    rows: list[tuple[str, list[Cell]]]
    best: str
    largest: str


def heat_map(surface: Sequence[Mapping[str, Any]]) -> HeatMap:
    """Return the week behind a surface of posting times: an hour's `time_utc` (ISO 8601), `boost`, `lower`, `upper`."""
    hours = {(at.weekday(), at.hour): each for each in surface for at in [_utc(each["time_utc"])]}
    largest = max((abs(float(each["boost"])) for each in surface), default=0.0)
    rows = [(name, [_cell(hours.get((day, hour)), largest) for hour in range(24)]) for day, name in enumerate(DAYS)]
    (day, hour), best = max(hours.items(), key=lambda item: float(item[1]["boost"]))
    named = f"{DAYS[day]} {hour:02d}:00 UTC, {_boost_words(best)}"
    return HeatMap(rows, named, words.percent(largest))


@dataclass(frozen=True)
class Bar:
    """A named share between 0 and 1; None is not known."""

    name: str
    share: float | None
    words: str


def bars(shares: Mapping[str, float | None]) -> list[Bar]:
    """Return bars in the order given."""
    return [
        Bar(name.replace("_", " "), share, "not known" if share is None else f"{share:.2f}")
        for name, share in shares.items()
    ]


def _row(number: int) -> int:
    """Scatter dots over the rows, neighbours apart, and the same each time (the golden ratio's fractions)."""
    return int((number * 0.6180339887498949) % 1 * ROWS)


def _utc(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(UTC)


def _cell(hour: Mapping[str, Any] | None, largest: float) -> Cell:
    if hour is None:
        return Cell("not known", "none", sure=False)
    boost = float(hour["boost"])
    shade = math.ceil(LEVELS * abs(boost) / largest - 1e-9) if largest else 0
    level = f"{'up' if boost > 0 else 'down'}-{shade}" if shade else "zero"
    return Cell(_boost_words(hour), level, sure=float(hour["lower"]) > 0 or float(hour["upper"]) < 0)


def _boost_words(hour: Mapping[str, Any]) -> str:
    boost, lower, upper = (words.percent(float(hour[name]), signed=True) for name in ("boost", "lower", "upper"))
    return f"{boost} ({lower} to {upper})"
