"""Track records: what the newest outcomes of an account amount to.

The record as of each outcome is worked out once for a whole history; a post only looks up the one it finds, which
is why a single row costs microseconds.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from features.columns import Floats
from features.events import WINDOW, EventIndex

FEW = 5
"""The newest outcomes that recent form is judged by."""

_BLOCK = 50_000  # windows held in memory at once


class Record(IntEnum):
    """What a track record says of the newest outcomes, `WINDOW` at most."""

    TOTAL = 0
    ENGAGEMENT_TOTAL = 1
    COUNT = 2
    ENGAGEMENT_COUNT = 3
    SPREAD = 4
    TREND = 5
    NEWEST = 6
    FEW_MEAN = 7
    FEW_MEDIAN = 8
    BEST = 9
    WORST = 10


TOTALS = slice(Record.TOTAL, Record.ENGAGEMENT_TOTAL + 1)
COUNTS = slice(Record.COUNT, Record.ENGAGEMENT_COUNT + 1)
SHAPE = slice(Record.SPREAD, Record.TREND + 1)
LEVELS = slice(Record.NEWEST, Record.WORST + 1)


def track_records(outcomes: EventIndex) -> Floats:
    """Return the record as of each event, shape (records, events + 1); the last is that of no outcome."""
    records = np.empty((len(Record), len(outcomes) + 1))
    records[:, -1:] = _records(np.full((WINDOW, 1), np.nan), np.full((WINDOW, 1), np.nan))
    for start in range(0, len(outcomes), _BLOCK):
        events = np.arange(start, min(start + _BLOCK, len(outcomes)))
        window = outcomes.upto(events).window
        records[:, events] = _records(outcomes.values["outcome"][window], outcomes.values["engagement"][window])
    return records


def mean_of(window: Floats) -> Floats:
    """Return the mean of the known values of windows, shape (window, posts), nan where there are none."""
    count = _count(window)
    mean: Floats = _total(window) / np.where(count > 0, count, np.nan)
    return mean


def _records(outcome: Floats, engagement: Floats) -> Floats:
    """Return the records of windows, newest first and nan where there is nothing; shape (records, posts)."""
    few, others = outcome[:FEW], outcome[FEW:]
    columns = {
        Record.TOTAL: _total(outcome),
        Record.ENGAGEMENT_TOTAL: _total(engagement),
        Record.COUNT: _count(outcome),
        Record.ENGAGEMENT_COUNT: _count(engagement),
        Record.SPREAD: _spread(outcome),
        Record.TREND: mean_of(few) - mean_of(others),
        Record.NEWEST: outcome[0],
        Record.FEW_MEAN: mean_of(few),
        Record.FEW_MEDIAN: _median(few),
        Record.BEST: np.fmax.reduce(outcome, axis=0),
        Record.WORST: np.fmin.reduce(outcome, axis=0),
    }
    return np.array([columns[record] for record in Record])


def _count(window: Floats) -> Floats:
    return np.isfinite(window).sum(axis=0).astype(np.float64)


def _total(window: Floats) -> Floats:
    """Return the sum of the known values, added one by one: that of a post does not depend on the others."""
    totals: Floats = np.where(np.isfinite(window), window, 0.0).cumsum(axis=0)
    return totals[-1]


def _median(window: Floats) -> Floats:
    ascending = np.sort(window, axis=0)  # nan comes last
    count = np.isfinite(window).sum(axis=0)
    post = np.arange(window.shape[1])
    return np.asarray((ascending[(count - 1) // 2, post] + ascending[count // 2, post]) / 2)


def _spread(window: Floats) -> Floats:
    """Return the standard deviation, nan for fewer than two values."""
    variance = mean_of((window - mean_of(window)) ** 2)
    return np.where(_count(window) > 1, np.sqrt(variance), np.nan)
