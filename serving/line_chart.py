"""Where the marks of a chart of weeks stand: per cent of its width and height, which a template draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from serving import words
from serving.charts import MARGIN

MOST_WEEKS = 5
"""So many weeks are named along the axis, and so many steps of the values at most."""

FINEST = 0.05
"""The smallest step between values, so that two digits tell them apart."""

MOST_SPOTS = 13
"""Of more weeks only some have their points drawn."""

ALONE = 1.5
"""Half the width of the interval of a week that has no neighbours."""

Ends = tuple[float, float]
Spot = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """A week or a value along its axis, with its words."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """One value a week: its points, and through them a path for every run of weeks without a gap.

    `spots` are the points to draw: all of them if they are few, else some, and those that no path goes through.
    """

    name: str
    points: list[Spot]
    paths: list[str]
    spots: list[Spot]


@dataclass(frozen=True)
class LineChart:
    """Lines over weeks, the first with its intervals as bands; `promised` is where a line across stands."""

    lines: list[Line]
    bands: list[str]
    weeks: list[Mark]
    values: list[Mark]
    promised: float | None


@dataclass(frozen=True)
class Scale:
    """An axis of round steps, the largest value on top."""

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, values: Sequence[float], most: float = math.inf) -> Scale:
        """Return the scale with the fewest round steps that holds values from 0 to `most`."""
        low, high = max(0.0, min(values)), min(most, max(values))
        step = _round_step(max((high - low) / (MOST_WEEKS - 1), FINEST))
        bottom = step * math.floor(low / step + 1e-9)
        top = min(most, max(step * math.ceil(high / step - 1e-9), step))
        return cls(min(bottom, top - step), top, step)

    def at(self, value: float) -> float:
        """Return where a value stands, in per cent from the top."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * (1 - min(max(share, 0.0), 1.0)), 2)

    def marks(self, write: Callable[[float], str]) -> list[Mark]:
        """Return its round values, the lowest first."""
        steps = range(math.floor((self.high - self.low) / self.step + 1e-9) + 1)
        return [Mark(self.at(value), write(value)) for value in (self.low + self.step * step for step in steps)]


def line_chart(
    weeks: Sequence[date],
    lines: Mapping[str, Sequence[float | None]],
    ends: Sequence[Ends | None],
    write: Callable[[float], str],
    *,
    promised: float | None = None,
    most: float = math.inf,
) -> LineChart | None:
    """Place values by week, None where there is none, on one scale; None where there is no value at all.

    Parameters
    ----------
    weeks
        Their first days, in order.
    ends
        Of the first line, by week.
    most
        No value can be larger.
    """
    told = [value for values in lines.values() for value in values if value is not None]
    if not told:
        return None
    beside = [end for both in ends if both is not None for end in both]
    scale = Scale.around([*told, *beside, *([] if promised is None else [promised])], most)
    across = _across(weeks)
    return LineChart(
        lines=[_line(name, weeks, across, values, scale) for name, values in lines.items()],
        bands=[_band(run, across, ends, scale) for run in _runs(weeks, ends)],
        weeks=_week_marks(weeks, across),
        values=scale.marks(write),
        promised=None if promised is None else scale.at(promised),
    )


def _across(weeks: Sequence[date]) -> list[float]:
    """Where weeks stand by their distance in time; a single one stands in the middle."""
    first, days = weeks[0], (weeks[-1] - weeks[0]).days
    width = 100 - 2 * MARGIN
    return [round(MARGIN + width * ((week - first).days / days if days else 0.5), 2) for week in weeks]


def _line(
    name: str, weeks: Sequence[date], across: Sequence[float], values: Sequence[float | None], scale: Scale
) -> Line:
    points = {at: (across[at], scale.at(value)) for at, value in enumerate(values) if value is not None}
    runs = list(_runs(weeks, values))
    every = math.ceil(len(weeks) / MOST_SPOTS)
    spots = [points[at] for run in runs for at in run if at % every == 0 or len(run) == 1]
    return Line(name, list(points.values()), [_path([points[at] for at in run]) for run in runs if len(run) > 1], spots)


def _band(run: Sequence[int], across: Sequence[float], ends: Sequence[Ends | None], scale: Scale) -> str:
    """The outline of the intervals of neighbouring weeks; that of a single week is a narrow box."""
    known = [(across[at], *both) for at in run if (both := ends[at]) is not None]
    if len(known) == 1:
        [(x, low, high)] = known
        known = [(round(x - ALONE, 2), low, high), (round(x + ALONE, 2), low, high)]
    upper = [(x, scale.at(high)) for x, _, high in known]
    return _path([*upper, *((x, scale.at(low)) for x, low, _ in reversed(known))])


def _runs(weeks: Sequence[date], values: Sequence[object | None]) -> Iterator[list[int]]:
    """Runs of neighbouring weeks that have a value."""
    known = [at for at, value in enumerate(values) if value is not None]
    run = known[:1]
    for before, at in pairwise(known):
        if weeks[at] - weeks[before] > timedelta(weeks=1):
            yield run
            run = []
        run.append(at)
    if run:
        yield run


def _week_marks(weeks: Sequence[date], across: Sequence[float]) -> list[Mark]:
    """Name a few of the weeks, far enough from each other."""
    apart = (100 - 2 * MARGIN) / (MOST_WEEKS - 1) - 1e-6
    found: list[Mark] = []
    for week, at in zip(weeks, across, strict=True):
        if not found or at - found[-1].at >= apart:
            found.append(Mark(at, words.short_day(week)))
    return found


def _path(points: Sequence[Spot]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is no smaller."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(each * power for each in (1.0, 2.0, 5.0, 10.0) if each * power >= least * (1 - 1e-9))
