"""What an account of a given size reaches before anything is known of it, and the anchor built on that.

The anchor is an empirical-Bayes estimate: the mean of the account's latest mature outcomes, shrunk towards a line on
its followers (Efron & Morris, 1975, Data analysis using Stein's estimator and its generalizations).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from features.columns import Column, Floats, Ints, choose
from features.events import Keys

RIDGE = 1.0
"""Keeps the slope of a line near 0 where accounts are too much of one size to tell it; nothing beside real data."""


@dataclass(frozen=True)
class Line:
    """Expected log value on log1p of followers, and the mean where the followers are unknown."""

    intercept: float
    slope: float
    mean: float

    @classmethod
    def fit(cls, log_followers: Floats, values: Floats, accounts: Ints) -> Line:
        """Fit by least squares to known values, every account weighing as much as the square root of its posts."""
        weight = 1 / np.sqrt(np.bincount(accounts)[accounts])
        mean = float(np.average(values, weights=weight))
        sized = np.isfinite(log_followers)
        if not sized.any():
            return cls(mean, 0.0, mean)
        weight, size, value = weight[sized], log_followers[sized], values[sized]
        centre, level = np.average(size, weights=weight), np.average(value, weights=weight)
        weighted = weight * (size - centre)
        slope = np.sum(weighted * (value - level)) / (np.sum(weighted * (size - centre)) + RIDGE)
        return cls(float(level - slope * centre), float(slope), mean)


NOTHING = Line(np.nan, np.nan, np.nan)


class Lines(NamedTuple):
    """The line of each post's population."""

    intercept: Column
    slope: Column
    mean: Column

    def at(self, log_followers: Column) -> Column:
        """Return the expected log value of each post from its population and followers alone."""
        return choose(log_followers >= 0, self.intercept + self.slope * log_followers, self.mean)


@dataclass(frozen=True)
class Prior:
    """A line for each population, and one for posts of a population never seen.

    That last line is None where no value was known at all: then nothing is expected of any post.
    """

    lines: Mapping[str, Line]
    everywhere: Line | None

    @classmethod
    def fit(
        cls, populations: Sequence[str], log_followers: Floats, values: Floats, accounts: Sequence[object]
    ) -> Prior:
        """Fit a line to the training rows of each population whose value is known."""
        known = np.isfinite(values)
        if not known.any():
            return cls({}, None)
        names, owners = Keys(populations), Keys(accounts).codes(accounts)
        codes = names.codes(populations)

        def line(rows: Ints) -> Line:
            return Line.fit(log_followers[rows], values[rows], owners[rows])

        rows_of = {name: np.flatnonzero(known & (codes == code)) for code, name in enumerate(names.names)}
        lines = {name: line(rows) for name, rows in rows_of.items() if len(rows)}
        return cls(lines, line(np.flatnonzero(known)))

    def table(self, populations: Sequence[str]) -> Floats:
        """Return `Lines` by the position of their population, a row each; the last is for one never seen."""
        lines = [*map(self._line, populations), self._line(None)]
        return np.array([[line.intercept, line.slope, line.mean] for line in lines])

    def levels(self, populations: Sequence[str]) -> list[float]:
        """Return the mean log value of each population."""
        return [self._line(population).mean for population in populations]

    def _line(self, population: str | None) -> Line:
        return self.lines.get(population or "", self.everywhere or NOTHING)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads: plain JSON."""
        return {
            "lines": {name: vars(line) for name, line in self.lines.items()},
            "everywhere": vars(self.everywhere) if self.everywhere else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Prior:
        """Read what `to_dict` wrote."""
        lines = {name: Line(**line) for name, line in data["lines"].items()}
        return cls(lines, Line(**data["everywhere"]) if data["everywhere"] else None)


def shrunken(total: Column, count: Column, prior: Column, weight: float) -> Column:
    """Return the mean of `count` values of that total, pulled towards the prior, which counts as `weight` values.

    >>> shrunken(12.0, 3.0, 2.0, 3.0)
    3.0
    """
    return (total + weight * prior) / (count + weight)
