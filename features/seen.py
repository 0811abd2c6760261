"""Which rows a store holds already, remembered as hashes so that millions of them fit into memory.

A row counts as seen when two hashes of its key and one of all its columns agree: 192 bits, which chance will
not make equal. The hashes live only as long as one append; nothing on disk depends on them.
"""

from collections.abc import Sequence

import polars as pl

_KEY = ("key", "key_check")
_MARK = {"key": pl.UInt64(), "key_check": pl.UInt64(), "row": pl.UInt64()}


class Seen:
    """The rows of one table, platform and source that were met so far.

    Parameters
    ----------
    columns
        The columns of the table that make up a row.
    key
        Those that name what the row speaks of; another row with the same key is a later revision.
    """

    def __init__(self, columns: Sequence[str], key: Sequence[str]) -> None:
        self._columns = list(columns)
        self._key = list(key)
        self._marks = pl.DataFrame(schema=_MARK)

    def remember(self, rows: pl.DataFrame) -> None:
        """Take note of rows that the store holds."""
        self._marks = pl.concat([self._marks, self._mark(rows)])

    def revise(self, rows: pl.DataFrame) -> pl.Series:
        """The revision of each row: 0 where its key is new, null where the row itself was met before.

        New rows count as met from now on, in the order given.
        """
        marks = self._mark(rows).with_row_index("at")
        # Only few of all rows ever met share a key with these; one hash is enough to find them fast.
        kin = self._marks.join(marks.select("key"), on="key", how="semi")
        fresh = marks.filter(pl.struct(*_MARK).is_first_distinct())
        fresh = fresh.join(kin, on=list(_MARK), how="anti", maintain_order="left")
        fresh = fresh.with_columns(_ordinal(fresh).alias("later"))
        earlier = kin.group_by(_KEY).agg(earlier=pl.len())
        fresh = fresh.join(earlier, on=_KEY, how="left")
        fresh = fresh.select("at", *_MARK, revision=(pl.col("earlier").fill_null(0) + pl.col("later")).cast(pl.Int32))
        self._marks = pl.concat([self._marks, fresh.select(*_MARK)])
        return marks.join(fresh, on="at", how="left", maintain_order="left")["revision"]

    def _mark(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The hashes of rows; nulls are equal to one another."""
        key = rows.select(self._key)
        return pl.DataFrame(
            {
                "key": key.hash_rows(seed=1),
                "key_check": key.hash_rows(seed=2),
                "row": rows.select(self._columns).hash_rows(seed=3),
            }
        )


def _ordinal(marks: pl.DataFrame) -> pl.Series:
    """How many rows with the same key stand before each row."""
    if not marks.select(_KEY).is_duplicated().any():
        return pl.repeat(0, marks.height, dtype=pl.Int64, eager=True)
    return marks.select(pl.int_range(pl.len()).over(_KEY)).to_series()
