"""Events by key and time: what a history is held as, and how posts look back on it.

Looking back from one post or from a million is the same binary search, so training, batch prediction and the
service share this one path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.columns import FAR_S, Ints

WINDOW = 20
"""Earlier posts of an account that a feature may look at."""

DAY_S = 86_400

_ORIGIN_S = -2 * FAR_S  # so that a look some weeks back from the earliest time stays above 0
_TIME_BITS = (4 * FAR_S - 1).bit_length()
_UNKNOWN = -1
_NEWEST_FIRST = np.arange(1, WINDOW + 1)


class Keys:
    """Codes for names, in order of first appearance; what was never seen has the code -1."""

    def __init__(self, names: Iterable[object]) -> None:
        self._codes: dict[Any, int] = {name: code for code, name in enumerate(dict.fromkeys(names))}

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def names(self) -> list[Any]:
        """Every name in the order of the codes."""
        return list(self._codes)

    def codes(self, names: Iterable[object]) -> Ints:
        """Return the code of each name."""
        known = self._codes.get
        return np.array([known(name, _UNKNOWN) for name in names], dtype=np.int64)


@dataclass(frozen=True)
class EventIndex:
    """Events sorted by key and time.

    Attributes
    ----------
    stamps
        Key and time of each event in one integer.
    first
        Where each key's events start; the last entry, which the code -1 finds, is the start of nothing.
    values
        What each event carries, by name. The last entry, which the position -1 finds, stands for no event: nan,
        or -1 in a column of codes.
    """

    stamps: Ints
    first: Ints
    values: Mapping[str, NDArray[Any]]

    @classmethod
    def build(cls, keys: Ints, times_s: Ints, size: int, **values: NDArray[Any]) -> EventIndex:
        """Sort events of `size` keys, those of one key and time as they stand; leave out those of the key -1."""
        kept = np.flatnonzero(keys >= 0)
        stamps = _stamps(keys[kept], times_s[kept])
        order = np.argsort(stamps, kind="stable")
        stamps = stamps[order]
        first = np.append(stamps.searchsorted(np.arange(size) << _TIME_BITS), 0)
        sorted_values = {name: _with_none(column[kept][order]) for name, column in values.items()}
        return cls(stamps, first, sorted_values)

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def keys(self) -> Ints:
        """The key of each event."""
        return self.stamps >> _TIME_BITS

    def before(self, keys: Ints, times_s: Ints) -> Earlier:
        """Look back from each time, which is not included itself."""
        stamps = _stamps(keys, times_s)
        return Earlier(self, stamps, self.first[keys], self.stamps.searchsorted(stamps))

    def upto(self, events: Ints) -> Earlier:
        """Look back from just behind each event, which is included."""
        return Earlier(self, self.stamps[events], self.first[self.keys[events]], events + 1)

    def of_keys(self, keys: Ints) -> Ints:
        """Return the positions of every event of the given keys."""
        known = np.unique(keys[keys >= 0])
        start = self.first[known]
        sizes = self.stamps.searchsorted((known + 1) << _TIME_BITS) - start
        return np.arange(sizes.sum()) + np.repeat(start - (np.cumsum(sizes) - sizes), sizes)

    def reachable(self, time_s: int) -> Ints:
        """Return the positions of the events that windows can hold which end at `time_s` or later."""
        keys = np.arange(len(self.first) - 1)
        stop = self.before(keys, np.full(len(keys), time_s)).stop
        return np.flatnonzero(np.arange(len(self)) >= stop[self.keys] - WINDOW)


@dataclass(frozen=True)
class Earlier:
    """The events of each post's key before it: those from position `start` up to `stop`, oldest first."""

    index: EventIndex
    stamps: Ints
    start: Ints
    stop: Ints

    @cached_property
    def count(self) -> Ints:
        """How many there are, per post."""
        return self.stop - self.start

    @cached_property
    def newest(self) -> Ints:
        """The position of the newest event, -1 where there is none."""
        return np.where(self.stop > self.start, self.stop - 1, -1)

    @cached_property
    def window(self) -> Ints:
        """The positions of the newest events, newest first, shape (`WINDOW`, posts)."""
        return self.back(_NEWEST_FIRST)

    def back(self, steps: Ints) -> Ints:
        """Return the positions of the newest event (1), the one before it (2) and so on, shape (steps, posts)."""
        positions = self.stop - steps[:, None]
        return np.where(positions >= self.start, positions, -1)

    def within(self, days: Ints) -> Ints:
        """Count the events of the last so many days, shape (days, posts)."""
        return self.stop - self.index.stamps.searchsorted(self.stamps - (days * DAY_S)[:, None])


def _stamps(keys: Ints, times_s: Ints) -> Ints:
    """Return key and time as one integer that sorts as the pair; that of the key -1 is below all others."""
    return (keys << _TIME_BITS) + (times_s - _ORIGIN_S)


def _with_none(column: NDArray[Any]) -> NDArray[Any]:
    none = np.nan if column.dtype.kind == "f" else -1
    return np.append(column, np.array(none, dtype=column.dtype))
