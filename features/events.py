"""Events by key and time: what a history is held as, and how posts look back on it.

Looking back from one post or from a million is the same binary search, so training, batch prediction and the
service share this one path.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.columns import FAR_S, Column, Ints, choose
from features.errors import SchemaError
from features.lazy import Lazy

WINDOW = 20
"""The newest posts of an account that a feature looks at."""

LONG_WINDOW = 100
"""As many where a feature takes the long view of outcomes."""

DAY_S = 86_400

_REACH_S = 2 * FAR_S  # so that a look some weeks back from the earliest time stays with its key
_KEY_BIT = (2 * _REACH_S - 1).bit_length()
_MOST_KEYS = 1 << (62 - _KEY_BIT)
_UNKNOWN = -1
_NEWEST_FIRST = np.arange(LONG_WINDOW)[:, None]


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

    def code(self, name: object) -> int:
        """Return the code of a name."""
        return self._codes.get(name, _UNKNOWN)

    def codes(self, names: Iterable[object]) -> Ints:
        """Return the code of each name."""
        code = self._codes.get
        return np.array([code(name, _UNKNOWN) for name in names], dtype=np.int64)


@dataclass(frozen=True)
class EventIndex:
    """Events sorted by key and time.

    Attributes
    ----------
    stamps
        Key and time of each event in one integer.
    first
        Where each key's events start, which is where those of the key before end; the last entry, which the code -1
        finds, is the start of nothing.
    values
        What each event carries, by name. The last entry, which the position -1 finds, stands for no event: nan,
        or -1 in a column of codes.
    """

    stamps: Ints
    first: Ints
    values: Mapping[str, NDArray[Any]]

    @classmethod
    def build(cls, keys: Ints, times_s: Ints, size: int, **values: NDArray[Any]) -> EventIndex:
        """Sort events of `size` keys, those of one key and time as they stand; leave out those of the key -1.

        Raises
        ------
        SchemaError
            More keys than fit beside a time into one integer, some 270 million.
        """
        if size >= _MOST_KEYS:
            raise SchemaError(f"{size:,} keys are too many to index; are ids in a column of kinds, such as media_type?")
        kept = np.flatnonzero(keys >= 0)
        stamps = _stamps(keys[kept], times_s[kept])
        order = np.argsort(stamps, kind="stable")
        stamps = stamps[order]
        first = np.append(stamps.searchsorted(_stamps(np.arange(size + 1), -_REACH_S)), 0)
        sorted_values = {name: _with_none(column[kept][order]) for name, column in values.items()}
        return cls(stamps, first, sorted_values)

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def keys(self) -> Ints:
        """The key of each event."""
        return (self.stamps + _REACH_S) >> _KEY_BIT

    def before(self, keys: Column, times_s: Column) -> Earlier:
        """Look back from each time, which is not included itself."""
        first = self._views[1] if isinstance(keys, int) else self.first
        return Earlier(first[keys], self._found(keys, _stamps(keys, times_s)))

    def within(self, keys: Column, times_s: Column, days: Sequence[int]) -> list[Column]:
        """Count the events before each time for each number of days to look back."""
        stamps = _stamps(keys, times_s)
        stop = self._found(keys, stamps)
        return [stop - self._found(keys, stamps - each * DAY_S) for each in days]

    def windows(self, name: str, events: Ints, size: int = WINDOW) -> NDArray[Any]:
        """Return what each event, -1 for none, and those before it carry, newest first: shape (size, events).

        There are fewer rows where no event has so many before it, but one at least.
        """
        oldest = self._oldest[events]
        most = max(1, 1 + int((events - oldest).max()))
        positions = events - _NEWEST_FIRST[: min(size, most)]
        return self.values[name][np.where(positions >= oldest, positions, -1)]

    def reachable(self, time_s: int, size: int = WINDOW) -> Ints:
        """Return the positions of the events that windows of a size can hold which end at `time_s` or later."""
        keys = np.arange(len(self.first) - 2)
        stop = self.before(keys, np.full(len(keys), time_s)).stop
        return np.flatnonzero(np.arange(len(self)) >= stop[self.keys] - size)

    def _found(self, keys: Column, stamps: Column) -> Column:
        """Return the position of the first event of each key that is at its stamp or later."""
        if not isinstance(keys, int):
            return self.stamps.searchsorted(stamps)
        of_all, first = self._views
        return bisect_left(of_all, stamps, first[keys], first[keys + 1])

    @Lazy
    def _views(self) -> tuple[memoryview, memoryview]:
        """`stamps` and `first` for a single key: reading plain integers from them takes a fraction of the time."""
        return memoryview(self.stamps), memoryview(self.first)  # type: ignore[arg-type]

    @Lazy
    def _oldest(self) -> Ints:
        """The position of the oldest event of each event's key, and 0 for no event at the end."""
        return np.append(self.first[self.keys], 0)


class Earlier(NamedTuple):
    """The events of each post's key before it: those from position `start` up to `stop`, oldest first."""

    start: Column
    stop: Column

    @property
    def size(self) -> Column:
        """How many there are."""
        return self.stop - self.start

    def position(self, nth: int) -> Column:
        """Return the position of the `nth` newest event, -1 where there is none."""
        return choose(self.size >= nth, self.stop - nth, -1)


def paired(first: Column, second: Column, seconds: int) -> Column:
    """Return one code for a code and another below `seconds`, -1 where either is."""
    return choose((first < 0) | (second < 0), _UNKNOWN, first * seconds + second)


def _stamps(keys: Column, times_s: Column) -> Column:
    """Return key and time as one integer that sorts as the pair; that of the key -1 is below all others."""
    return (keys << _KEY_BIT) + times_s


def _with_none(column: NDArray[Any]) -> NDArray[Any]:
    none = np.nan if column.dtype.kind == "f" else _UNKNOWN
    return np.append(column, np.array(none, dtype=column.dtype))
