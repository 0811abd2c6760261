"""What is known of earlier posts: the history that features look back on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.captions import hashtags_of
from features.columns import Ints, Posts
from features.events import DAY_S, LONG_WINDOW, EventIndex, Keys
from features.lazy import Lazy
from features.records import Likeness, Record, Standing

MOMENTUM_DAYS = (28, 7)
"""The long and the short time in which the uses of sounds and hashtags are counted."""

HISTORY_SCHEMA: dict[str, pl.DataType] = {
    "account_id": pl.String(),
    "population": pl.String(),
    "media_type": pl.String(),
    "published_s": pl.Int64(),
    "known_s": pl.Int64(),
    "outcome": pl.Float64(),
    "engagement": pl.Float64(),
    "sound_id": pl.String(),
    "hashtags": pl.String(),
}
"""One row per earlier post. `outcome` is log1p of the primary count at the first mature look and `engagement` the
log of the engagement rate then; both may be read from `known_s` on, and are null while the post is immature.
`hashtags` are separated by spaces."""

_PART = 50_000  # values of a column held as objects at once
_ORDER = ("published_s", "known_s", "outcome", "engagement", "account_id", "population", "media_type")


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
        accounts, populations = self.table["account_id"], self.table["population"]
        self.accounts = Keys(_each(accounts))
        self.populations = Keys(sorted(populations.unique()))
        self.account_populations = Keys(_pairs(_each(accounts), populations))
        codes = self.accounts.codes(_each(accounts))
        pairs = self.account_populations.codes(_pairs(_each(accounts), populations))
        self.posts = self._index_posts(codes, len(self.accounts))
        self.outcomes = self._index_outcomes(pairs, len(self.account_populations))
        self.account_media = Keys(_pairs(pairs.tolist(), self.table["media_type"]))
        media = self.account_media.codes(_pairs(pairs.tolist(), self.table["media_type"]))
        self.media_outcomes = self._index_outcomes(media, len(self.account_media))
        self.any_outcomes = self._index_outcomes(codes, len(self.accounts))
        uses = self.table.select(
            "published_s", "sound_id", pl.col("hashtags").str.split(" "), row=pl.int_range(pl.len())
        )
        self.sound_names, self.sounds = _index_uses(uses, "sound_id")
        self.hashtag_names, self.hashtags = _index_uses(uses.explode("hashtags"), "hashtags")

    @classmethod
    def empty(cls) -> History:
        """Return a history that knows nothing."""
        return cls(pl.DataFrame(schema=HISTORY_SCHEMA))

    def joined(self, posts: Posts, populations: Sequence[str]) -> History:
        """Return what bears on `posts`: their accounts, sounds and hashtags, with the posts themselves added.

        A request of many posts is context for itself: an earlier post of the same request counts for tempo and
        momentum, though its outcome is unknown. A post that the history holds already, one of the same account and
        second, is not added. On a single post nothing looks back, so that this history serves it as it is.
        """
        if len(posts) < 2:
            return self
        request = post_table(posts, populations)
        held = self.table[self._bearing_on(request)]
        added = (
            request.with_columns(post_id=pl.Series(posts.post_id, dtype=pl.String))
            .unique(["account_id", "post_id"], keep="first", maintain_order=True)
            .join(held, on=["account_id", "published_s"], how="anti")
        )
        return History(pl.concat([held, added.drop("post_id")]))

    def snapshot(self) -> History:
        """Return the smallest history that gives every later post the same features.

        Of each account it keeps what the windows of a later post can hold, and whatever was published in the
        longest of the `MOMENTUM_DAYS`; sounds and hashtags of older posts are forgotten.
        """
        if self.table.is_empty():
            return self
        newest_s = int(self.table["published_s"][-1])
        looked_at = [
            self.posts.values["row"][self.posts.reachable(newest_s)],
            self.outcomes.values["row"][self.outcomes.reachable(newest_s, LONG_WINDOW)],
            self.media_outcomes.values["row"][self.media_outcomes.reachable(newest_s)],
        ]
        within_reach = pl.int_range(pl.len()).is_in(np.unique(np.concatenate(looked_at)))
        recent = pl.col("published_s") >= newest_s - max(MOMENTUM_DAYS) * DAY_S
        kept = self.table.filter(within_reach | recent)
        return History(kept.with_columns(pl.when(recent).then(pl.col("sound_id", "hashtags"))))

    @Lazy
    def records(self) -> Record:
        """The track record as of each of `outcomes`."""
        return Record.of(self.outcomes)

    @Lazy
    def likenesses(self) -> Likeness:
        """What an account's posts of one media type amount to, as of each of `media_outcomes`."""
        return Likeness.of(self.media_outcomes)

    @Lazy
    def standings(self) -> Standing:
        """The standing as of each of `any_outcomes`."""
        return Standing.of(self.any_outcomes, len(self.populations))

    def save(self, path: Path) -> None:
        """Write the table as parquet, the same bytes for the same rows."""
        self.table.write_parquet(path, compression="zstd", statistics=False)

    @classmethod
    def load(cls, path: Path) -> History:
        """Read a history that `save` wrote."""
        return cls(pl.read_parquet(path))

    def _bearing_on(self, request: pl.DataFrame) -> Ints:
        """Return the rows of the request's accounts, and of its sounds and hashtags as far back as these count."""
        accounts = self.posts.of_keys(self.accounts.codes(request["account_id"].unique()))
        sounds = self.sounds.of_keys(self.sound_names.codes(request["sound_id"].unique()))
        tags = request["hashtags"].str.split(" ").explode().unique()
        tagged = self.hashtags.of_keys(self.hashtag_names.codes(tags))
        uses = np.concatenate([self.sounds.values["row"][sounds], self.hashtags.values["row"][tagged]])
        since_s = request["published_s"].to_numpy().min() - max(MOMENTUM_DAYS) * DAY_S
        counted = uses[self.table["published_s"].to_numpy()[uses] >= since_s]
        return np.unique(np.concatenate([self.posts.values["row"][accounts], counted]))

    def _index_posts(self, codes: Ints, size: int) -> EventIndex:
        published_s = self.table["published_s"].to_numpy()
        rows = np.arange(len(codes))
        return EventIndex.build(codes, published_s, size, row=rows, published_s=published_s.astype(np.float64))

    def _index_outcomes(self, codes: Ints, size: int) -> EventIndex:
        """Index the posts that have an outcome by the time from which it is known."""
        known = (self.table["known_s"].is_not_null() & self.table["outcome"].is_not_null()).to_numpy()
        return EventIndex.build(
            np.where(known, codes, -1),
            self.table["known_s"].fill_null(0).to_numpy(),
            size,
            row=np.arange(len(codes)),
            outcome=self.table["outcome"].to_numpy(),
            engagement=self.table["engagement"].to_numpy(),
            published_s=self.table["published_s"].cast(pl.Float64).to_numpy(),
            population=self.populations.codes(_each(self.table["population"])),
        )


def post_table(posts: Posts, populations: Sequence[str]) -> pl.DataFrame:
    """Return the rows of a history for posts of which no outcome is known."""
    unknown = [None] * len(posts)
    return pl.DataFrame(
        {
            "account_id": posts.account,
            "population": populations,
            "media_type": posts.media_type,
            "published_s": posts.published_s,
            "known_s": unknown,
            "outcome": unknown,
            "engagement": unknown,
            "sound_id": posts.sound,
            "hashtags": hashtags_of(posts.caption),
        },
        schema=HISTORY_SCHEMA,
    )


def _index_uses(uses: pl.DataFrame, column: str) -> tuple[Keys, EventIndex]:
    """Index the uses of sounds or hashtags by the time of publication."""
    used = uses.drop_nulls(column)
    keys = Keys(_each(used[column]))
    codes = keys.codes(_each(used[column]))
    return keys, EventIndex.build(codes, used["published_s"].to_numpy(), len(keys), row=used["row"].to_numpy())


def _each(column: pl.Series) -> Iterator[str]:
    """Walk through a column, part by part, so that its values are never all held as objects."""
    return chain.from_iterable(column.slice(start, _PART).to_list() for start in range(0, len(column), _PART))


def _pairs(ones: Iterable[Any], others: pl.Series) -> Iterator[tuple[Any, str]]:
    return zip(ones, _each(others), strict=True)
