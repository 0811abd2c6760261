"""Posts as columns: the form in which every feature reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import SchemaError

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Texts: TypeAlias = Sequence[str | None]
Column: TypeAlias = Any
"""Numbers of posts: an array over them, or for a post that stands alone the number itself."""

MEASURED_PREFIXES = ("visual_", "audio_")
DEFAULT_SOURCE = "default"

FAR_S = 1 << 32
"""Times are held to this many seconds around 1970, the years 1833 to 2106, which is what indexes of time can hold."""


_ONE = (bool, np.bool_)


def choose(condition: Any, yes: Column, no: Column) -> Column:
    """Return `yes` where the condition holds, else `no`."""
    if isinstance(condition, _ONE):
        return yes if condition else no
    return np.where(condition, yes, no)


@dataclass(frozen=True)
class Posts:
    """Posts of one platform, one entry per post in every column; unknown is None or nan, never 0.

    Attributes
    ----------
    published_s
        Publication, in seconds since 1970-01-01 UTC.
    duration_s
        Length of the video in seconds.
    followers
        Followers of the account as known at publication.
    measured
        Whatever was measured on picture and sound: columns that start with ``visual_`` or ``audio_``.
    """

    platform: str
    post_id: Texts
    account: Texts
    source: Texts
    published_s: Ints
    caption: Texts
    media_type: Texts
    duration_s: Floats
    sound: Texts
    form: Texts
    language: Texts
    country: Texts
    followers: Floats
    measured: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.post_id)

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Posts:
        """Read a frame in the import format, or one of `known_posts`.

        A column that the frame lacks is unknown throughout; so is a number that cannot be, an infinite one or an
        amount below 0.

        Raises
        ------
        SchemaError
            The posts are of several platforms, or a publication date is missing.
        """
        columns = {series.name: series for series in frame.get_columns()}

        def texts(name: str) -> Texts:
            return columns[name].to_list() if name in columns else [None] * frame.height

        def numbers(name: str, least: float = 0.0) -> Floats:
            if name not in columns:
                return np.full(frame.height, np.nan)
            values = columns[name].cast(pl.Float64).to_numpy()
            return np.where((values >= least) & np.isfinite(values), values, np.nan)

        return cls(
            platform=_platform(columns["platform"]),
            post_id=texts("post_id"),
            account=texts("account_id"),
            source=texts("source"),
            published_s=_seconds(columns["published_at"]),
            caption=texts("caption"),
            media_type=texts("media_type"),
            duration_s=numbers("duration_s"),
            sound=texts("sound_id"),
            form=texts("format"),
            language=texts("language"),
            country=texts("country"),
            followers=numbers("followers"),
            measured={name: numbers(name, -np.inf) for name in columns if name.startswith(MEASURED_PREFIXES)},
        )

    def slice(self, start: int, stop: int) -> Posts:
        """Return the posts from `start` up to `stop`."""
        return Posts(
            platform=self.platform,
            measured={name: values[start:stop] for name, values in self.measured.items()},
            **{name: getattr(self, name)[start:stop] for name in _PER_POST},
        )

    def take(self, rows: Ints) -> Posts:
        """Return the posts at the given positions."""
        positions = rows.tolist()
        columns: dict[str, Any] = {}
        for name in _PER_POST:
            values = getattr(self, name)
            is_array = isinstance(values, np.ndarray)
            columns[name] = values[rows] if is_array else [values[position] for position in positions]
        measured = {name: values[rows] for name, values in self.measured.items()}
        return Posts(platform=self.platform, measured=measured, **columns)


_PER_POST = tuple(name for name in Posts.__dataclass_fields__ if name not in ("platform", "measured"))


def _platform(column: pl.Series) -> str:
    """Return the one platform of a column, or nothing for a column of no rows."""
    names = set(column.to_list())
    if len(names) > 1:
        raise SchemaError(
            f"posts of {', '.join(sorted(map(str, names)))} stand together; hand over one platform at a time"
        )
    return str(names.pop()) if names else ""


def _seconds(times: pl.Series) -> Ints:
    """Return times as whole seconds since 1970-01-01 UTC, no further from it than `FAR_S`."""
    if times.null_count():
        raise SchemaError(
            f"{times.null_count()} posts lack their {times.name}, before which nothing of them can be known; "
            "leave them out"
        )
    microseconds = times.cast(pl.Datetime("us", "UTC")).cast(pl.Int64).to_numpy()
    seconds: Ints = np.maximum(np.minimum(microseconds // 1_000_000, FAR_S), -FAR_S)
    return seconds
