"""From raw values to the types of the import format, column by column, with a reason for what cannot pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import polars as pl

from features.schema import (
    COUNTS,
    FORMATS,
    IDENTIFIERS,
    IMPORT,
    LONGEST_BYTES,
    LONGEST_NAME_BYTES,
    TIMES,
    Platform,
    values_required,
)

REJECT = {"row": pl.Int64(), "column": pl.String(), "reason": pl.String()}

EARLIEST, LATEST = 2005, 2100
"""Years within which a time is taken for real: no platform is older, and 1970 is a time never set."""

CLOCKS_DIFFER = timedelta(hours=1)
"""How far the clock of a source may be ahead of this machine's."""

_HEAD = 1_000  # characters shown of a text that is too long
_EXACT = 2**53  # below this a float tells every whole number from the next

Fault: TypeAlias = tuple[str, str, pl.Expr]
"""A column, what is wrong with it, and where that is so."""


@dataclass(frozen=True)
class Parsed:
    """Rows in the import format, and those set aside.

    Attributes
    ----------
    clean
        The columns of the import format, in its order and types.
    rejects
        ``row``, ``column``, ``reason`` and the raw values of each row set aside.
    """

    clean: pl.DataFrame
    rejects: pl.DataFrame


def parse(raw: pl.DataFrame, *, for_prediction: bool = False, latest: datetime | None = None) -> Parsed:
    """Give every column its type; a row with any value that cannot pass is set aside whole.

    Parameters
    ----------
    latest
        Nobody can have looked later than this; not asked of posts to predict.
    """
    present = raw.columns[1:]
    parsed = raw.select(
        _value(name, raw.schema[name]) if name in present else pl.lit(None, dtype).alias(name)
        for name, dtype in IMPORT.items()
    )
    filled = raw.select(_filled(name, raw.schema[name]).alias(f"raw {name}") for name in present)
    faults = _empty_faults(for_prediction) + [fault for name in present for fault in _faults(name)]
    faults.append(("published_at", "is after observed_at", pl.col("published_at") > pl.col("observed_at")))
    if latest is not None and not for_prediction:
        future = "lies in the future: it is ahead of this machine's clock"
        faults.append(("observed_at", future, pl.col("observed_at") > latest + CLOCKS_DIFFER))
    marks = parsed.hstack(filled).select(
        where.fill_null(False).alias(str(number)) for number, (_, _, where) in enumerate(faults)
    )
    return _divide(raw, parsed, marks, faults)


def unknown_platform(raw: pl.DataFrame) -> tuple[int, str] | None:
    """The first row, and its value, whose platform is none that clipcast knows."""
    known = [str(platform) for platform in Platform]
    platform = pl.col("platform").cast(pl.String)
    found = raw.lazy().filter(~platform.is_in(known) & (platform != "")).select("row", platform).head(1).collect()
    return found.row(0) if found.height else None


def _divide(raw: pl.DataFrame, parsed: pl.DataFrame, marks: pl.DataFrame, faults: Sequence[Fault]) -> Parsed:
    """Part the rows without a fault from those with one, each of which is told its first."""
    bad = marks.select(pl.any_horizontal(pl.all())).to_series()
    if not bad.any():
        return Parsed(parsed, pl.DataFrame())
    first = np.argmax(marks.filter(bad).to_numpy(), axis=1)
    told = pl.DataFrame(
        {
            "row": raw["row"].filter(bad),
            "column": [faults[k][0] for k in first],
            "reason": [faults[k][1] for k in first],
        },
        schema=REJECT,
    )
    values = raw.filter(bad).select(pl.exclude("row").cast(pl.String)).with_columns(_shown())
    return Parsed(parsed.filter(~bad), pl.concat([told, values], how="horizontal"))


def _shown() -> pl.Expr:
    """Every value whole, but for one that nobody could look at or repair by hand."""
    value = pl.all()
    return pl.when(value.str.len_bytes() > LONGEST_BYTES).then(value.str.head(_HEAD) + "…").otherwise(value)


def _value(name: str, dtype: pl.DataType) -> pl.Expr:
    """The values of one column in their own type; null where they are unknown or cannot be understood."""
    if name in TIMES:
        return _time(name, dtype).alias(name)
    if name in COUNTS:
        return _count(name, dtype).alias(name)
    if name == "duration_s":
        number = pl.col(name).cast(pl.Float64, strict=False)
        # Adding 0 turns -0.0 into 0.0, which would otherwise be two spellings of one value.
        return (pl.when(number.is_finite()).then(number) + 0.0).alias(name)
    text = pl.col(name).cast(pl.String)
    blank = text.str.strip_chars() == "" if name in IDENTIFIERS else text == ""
    return pl.when(~blank).then(text).alias(name)


def _filled(name: str, dtype: pl.DataType) -> pl.Expr:
    """Whether a raw value says anything at all: neither empty nor, in parquet, not a number."""
    column = pl.col(name)
    if dtype == pl.String:
        return column.is_not_null() & (column != "")
    return column.is_not_null() & column.is_not_nan() if dtype.is_float() else column.is_not_null()


def _time(name: str, dtype: pl.DataType) -> pl.Expr:
    """A time in UTC, from ISO 8601 with a zone or from a column of times."""
    if dtype != pl.String:
        return pl.col(name).cast(pl.Datetime("us", "UTC"))
    # ISO 8601 writes T between date and time; a space is what pandas and SQL write.
    text = pl.col(name).str.replace(" ", "T", literal=True)
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)


def _count(name: str, dtype: pl.DataType) -> pl.Expr:
    """A whole number, also where a tool with no integers that may be missing wrote it as `12.0`."""
    whole = pl.col(name).cast(pl.Int64, strict=False)
    if dtype.is_integer():
        return whole
    number = pl.col(name).cast(pl.Float64, strict=False)
    exact = (number == number.floor()) & (number.abs() < _EXACT)
    as_whole = pl.when(exact).then(number).cast(pl.Int64, strict=False)
    return pl.coalesce(whole, as_whole) if dtype == pl.String else as_whole


def _empty_faults(for_prediction: bool) -> list[Fault]:
    """Required values that are not there; those that cannot be understood are left to `_faults`."""
    return [
        (name, "is empty", pl.col(name).is_null() if name in IDENTIFIERS else ~pl.col(f"raw {name}"))
        for name in values_required(for_prediction=for_prediction)
    ]


def _faults(name: str) -> list[Fault]:
    """What may be wrong with a value that is there."""
    column, filled = pl.col(name), pl.col(f"raw {name}")
    lost = filled & column.is_null()
    if name in TIMES:
        year = column.dt.year()
        outside = ~year.is_between(EARLIEST, LATEST, closed="left")
        return [
            (name, "is not a time with its zone, as 2026-01-31T12:00:00Z", lost),
            (name, f"lies outside the years {EARLIEST} to {LATEST - 1}", outside),
        ]
    if name in COUNTS:
        return [(name, "is not a whole number", lost), (name, "is negative", column < 0)]
    if name == "duration_s":
        return [(name, "is not a number", lost), (name, "is negative", column < 0)]
    if name == "format":
        return [(name, f"is neither {' nor '.join(FORMATS)}", ~column.is_in(list(FORMATS)))]
    longest = LONGEST_BYTES if name == "caption" else LONGEST_NAME_BYTES
    return [(name, f"is longer than {longest:,} bytes", column.str.len_bytes() > longest)]
