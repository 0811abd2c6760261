"""What is known of earlier posts: the history that features look back on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from features.captions import Captions
from features.columns import Floats, Ints, Posts
from features.events import DAY_S, EventIndex, Keys
from features.records import track_records

MOMENTUM_DAYS = np.array([28, 7])
"""How far back the use of sounds and hashtags is counted: in the last four weeks, and in the last one."""

HISTORY_SCHEMA: dict[str, pl.DataType] = {
    "account_id": pl.String(),
    "population": pl.String(),
    "published_s": pl.Int64(),
    "known_s": pl.Int64(),
    "outcome": pl.Float64(),
    "engagement": pl.Float64(),
    "sound_id": pl.String(),
    "hashtags": pl.List(pl.String()),
}
"""One row per earlier post. `outcome` is log1p of the primary count at the first mature look and `engagement` the
log of the engagement rate then; both may be read from `known_s` on, and are null while the post is immature."""

_ORDER = ("published_s", "known_s", "outcome", "engagement", "account_id", "population")


class History:
    """Earlier posts of one platform, indexed for looking back.

    Parameters
    ----------
    table
        Columns of `HISTORY_SCHEMA`; the order of its rows does not matter.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        columns = (pl.col(name).cast(dtype) for name, dtype in HISTORY_SCHEMA.items())
        self.table = table.select(columns).sort(_ORDER)
        accounts = self.table["account_id"].to_list()
        populations = self.table["population"].to_list()
        self.accounts = Keys(accounts)
        self.populations = Keys(populations)
        self.account_populations = Keys(zip(accounts, populations, strict=True))

        pairs = self.account_populations.codes(zip(accounts, populations, strict=True))
        self.posts = self._index_posts(self.accounts.codes(accounts), len(self.accounts))
        self.outcomes = self._index_outcomes(pairs, len(self.account_populations))
        self.any_outcomes = self._index_outcomes(self.accounts.codes(accounts), len(self.accounts))
        self.sound_names, self.sounds = self._index_names(pl.col("sound_id"))
        self.hashtag_names, self.hashtags = self._index_names(pl.col("hashtags"))

    @classmethod
    def empty(cls) -> History:
        """Return a history that knows nothing."""
        return cls(pl.DataFrame(schema=HISTORY_SCHEMA))

    def joined(self, posts: Posts, populations: Sequence[str]) -> History:
        """Return what bears on `posts`: their accounts, sounds and hashtags, with the posts themselves added.

        A request of many posts is context for itself: an earlier post of the same request counts for tempo and
        momentum, though its outcome is unknown. A post that the history holds already, one of the same account and
        second, is not added. Nothing looks back on a single post, so that it is joined by nothing.
        """
        if len(posts) < 2:
            return self
        request = post_table(posts, populations)
        names = request["hashtags"].explode(empty_as_null=True).to_list()
        bearing = (
            self.posts.values["row"][self.posts.of_keys(self.accounts.codes(posts.account))],
            self.sounds.values["row"][self.sounds.of_keys(self.sound_names.codes(posts.sound))],
            self.hashtags.values["row"][self.hashtags.of_keys(self.hashtag_names.codes(names))],
        )
        held = self.table[np.unique(np.concatenate(bearing))]
        added = (
            request.with_columns(post_id=pl.Series(posts.post_id, dtype=pl.String))
            .unique(["account_id", "post_id"], keep="first", maintain_order=True)
            .join(held, on=["account_id", "published_s"], how="anti")
        )
        return History(pl.concat([held, added.drop("post_id")]))

    def snapshot(self) -> History:
        """Return the smallest history that gives every later post the same features.

        Of each account it keeps what the windows of a later post can hold, and whatever was published in the last
        `MOMENTUM_DAYS`; sounds and hashtags of older posts are forgotten.
        """
        if self.table.is_empty():
            return self
        newest_s = int(self.table["published_s"][-1])
        windows = [
            index.values["row"][index.reachable(newest_s)]
            for index in (self.posts, self.outcomes, self.any_outcomes)
        ]
        recent = pl.col("published_s") >= newest_s - int(MOMENTUM_DAYS.max()) * DAY_S
        kept = pl.int_range(pl.len()).is_in(np.unique(np.concatenate(windows)))
        return History(
            self.table.filter(recent | kept).with_columns(
                sound_id=pl.when(recent).then("sound_id"),
                hashtags=pl.when(recent).then("hashtags").otherwise(pl.lit([], pl.List(pl.String))),
            )
        )

    @cached_property
    def records(self) -> Floats:
        """The track record as of each of `outcomes`, shape (events + 1, records)."""
        return track_records(self.outcomes)

    def save(self, path: Path) -> None:
        """Write the table as parquet, the same bytes for the same rows."""
        self.table.write_parquet(path, compression="zstd", statistics=False)

    @classmethod
    def load(cls, path: Path) -> History:
        """Read a history that `save` wrote."""
        return cls(pl.read_parquet(path))

    def _index_posts(self, codes: Ints, size: int) -> EventIndex:
        published_s = self.table["published_s"].to_numpy()
        return EventIndex.build(
            codes, published_s, size, row=np.arange(len(codes)), published_s=published_s.astype(np.float64)
        )

    def _index_outcomes(self, codes: Ints, size: int) -> EventIndex:
        """Index posts that have an outcome by the time from which it is known."""
        known = (self.table["known_s"].is_not_null() & self.table["outcome"].is_not_null()).to_numpy()
        return EventIndex.build(
            np.where(known, codes, -1),
            self.table["known_s"].fill_null(0).to_numpy(),
            size,
            row=np.arange(len(codes)),
            outcome=self.table["outcome"].to_numpy(),
            engagement=self.table["engagement"].to_numpy(),
            published_s=self.table["published_s"].cast(pl.Float64).to_numpy(),
            population=self.populations.codes(self.table["population"]),
        )

    def _index_names(self, column: pl.Expr) -> tuple[Keys, EventIndex]:
        """Index the uses of each sound or hashtag by the time of publication."""
        uses = self.table.select("published_s", row=pl.int_range(pl.len()), name=column)
        if uses.schema["name"] == pl.List:
            uses = uses.explode("name", empty_as_null=True)
        uses = uses.drop_nulls("name")
        names = uses["name"].to_list()
        keys = Keys(names)
        codes = keys.codes(names)
        return keys, EventIndex.build(
            codes, uses["published_s"].to_numpy(), len(keys), row=uses["row"].to_numpy()
        )


def post_table(posts: Posts, populations: Sequence[str]) -> pl.DataFrame:
    """Return the rows of a history for posts of which no outcome is known."""
    unknown = [None] * len(posts)
    return pl.DataFrame(
        {
            "account_id": posts.account,
            "population": populations,
            "published_s": posts.published_s,
            "known_s": unknown,
            "outcome": unknown,
            "engagement": unknown,
            "sound_id": posts.sound,
            "hashtags": Captions(posts.caption).hashtags,
        },
        schema=HISTORY_SCHEMA,
    )
