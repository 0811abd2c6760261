"""Track records: what the newest outcomes of an account amount to.

What is known as of each outcome is worked out once for a whole history; a post only looks up the one it finds,
which is why a single row costs microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from features.columns import Column, Floats, Ints, choose
from features.events import DAY_S, LONG_WINDOW, WINDOW, EventIndex

FEW = 5
"""The newest outcomes that recent form is judged by."""

SLOPE_WINDOW = 50
"""The newest outcomes that a slope is fitted to."""

SLOPE_LEAST = 10
"""Fewer outcomes than this have no slope."""

_SLOPE_RIDGE = 3 * 30.0**2  # days squared: posts of one week tell little of a year
_YEAR_DAYS = 365.0
_BLOCK = 2_000  # windows in memory at once: few enough to stay near the processor


class Record(NamedTuple):
    """What the newest log outcomes of an account within a population amount to.

    They are a `WINDOW` of them at most, and more for the long mean and the slope, which is in log per year.
    """

    known: Column
    total: Column
    newest: Column
    best: Column
    worst: Column
    spread: Column
    trend: Column
    few_mean: Column
    few_median: Column
    engagements_known: Column
    engagement_total: Column
    long_mean: Column
    slope: Column

    @classmethod
    def table(cls, outcomes: EventIndex) -> Floats:
        """Work out the record as of each event: a row each, the last one that of no event."""
        return np.concatenate([np.transpose(cls._of_block(outcomes, events)) for events in _blocks(outcomes)])

    @classmethod
    def _of_block(cls, outcomes: EventIndex, events: Ints) -> Record:
        """Work out the record as of some events, from windows that are nan where there is nothing."""
        long = outcomes.windows("outcome", events, LONG_WINDOW)
        published_s = outcomes.windows("published_s", events, SLOPE_WINDOW)
        engagement = outcomes.windows("engagement", events)
        outcome = long[:WINDOW]
        few, others = outcome[:FEW], outcome[FEW:]
        return cls(
            known=_count(outcome),
            total=_total(outcome),
            newest=outcome[0],
            best=np.fmax.reduce(outcome, axis=0),
            worst=np.fmin.reduce(outcome, axis=0),
            spread=_spread(outcome),
            trend=_mean(few) - _mean(others),
            few_mean=_mean(few),
            few_median=_median(few),
            engagements_known=_count(engagement),
            engagement_total=_total(engagement),
            long_mean=_mean(long),
            slope=_slope(published_s / DAY_S, long[:SLOPE_WINDOW]),
        )


class Likeness(NamedTuple):
    """What the newest log outcomes of an account's posts of one kind amount to, a `WINDOW` of them at most."""

    known: Column
    total: Column

    @classmethod
    def table(cls, outcomes: EventIndex) -> Floats:
        """Work out what they amount to as of each event: a row each, the last one that of no event."""
        windows = (outcomes.windows("outcome", events) for events in _blocks(outcomes))
        return np.concatenate([np.transpose(cls(_count(window), _total(window))) for window in windows])


class Standing(NamedTuple):
    """What the newest log outcomes of an account in whatever population amount to, a `WINDOW` of them at most.

    They are not pooled, since their counts may mean different things: each is held against the level of its own
    population.

    Attributes
    ----------
    counts
        How many of them belong to each population.
    """

    total: Column
    counts: Sequence[Column]

    @staticmethod
    def table(outcomes: EventIndex, populations: int) -> Floats:
        """Work out total and counts as of each event: a row each, the last one that of no event."""
        table = np.empty((len(outcomes) + 1, 1 + populations))
        for events in _blocks(outcomes):
            population = outcomes.windows("population", events)
            table[events, 0] = _total(outcomes.windows("outcome", events))
            for code in range(populations):
                table[events, 1 + code] = np.count_nonzero(population == code, axis=0)
        return table

    def above(self, levels: Sequence[float]) -> Column:
        """Return the mean distance of the outcomes from the levels of their populations; nan without outcomes."""
        known = sum(self.counts)
        expected = sum(level * count for level, count in zip(levels, self.counts, strict=True))
        return (self.total - expected) / choose(known > 0, known, np.nan)


def _blocks(outcomes: EventIndex) -> list[Ints]:
    """Cut the events of an index, and -1 for none at the end, into blocks."""
    events = np.append(np.arange(len(outcomes)), -1)
    return np.array_split(events, len(events) // _BLOCK + 1)


def _count(window: Floats) -> Floats:
    count: Floats = np.isfinite(window).sum(axis=0).astype(np.float64)
    return count


def _total(window: Floats) -> Floats:
    """Return the sum of the known values, added one by one: that of a post does not depend on the others."""
    total = np.zeros(window.shape[1])
    for values in np.where(np.isfinite(window), window, 0.0):
        total += values
    return total


def _mean(window: Floats) -> Floats:
    """Return the mean of the known values, nan where there are none."""
    count = _count(window)
    mean: Floats = _total(window) / np.where(count > 0, count, np.nan)
    return mean


def _slope(days: Floats, value: Floats) -> Floats:
    """Return the yearly slope of values over time by ridge regression, nan for fewer than `SLOPE_LEAST`."""
    since, above = days - _mean(days), value - _mean(value)
    slope = _total(since * above) / (_total(since**2) + _SLOPE_RIDGE)
    return np.where(_count(value) >= SLOPE_LEAST, slope * _YEAR_DAYS, np.nan)


def _median(window: Floats) -> Floats:
    ascending = np.sort(window, axis=0)  # nan comes last
    count = np.isfinite(window).sum(axis=0)
    event = np.arange(window.shape[1])
    return np.asarray((ascending[(count - 1) // 2, event] + ascending[count // 2, event]) / 2)


def _spread(window: Floats) -> Floats:
    """Return the standard deviation, nan for fewer than two values."""
    variance = _mean((window - _mean(window)) ** 2)
    return np.where(_count(window) > 1, np.sqrt(variance), np.nan)
