"""What is known of earlier posts: the history that features look back on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from features.captions import hashtags_of
from features.columns import Column, Floats, Ints, Posts
from features.events import DAY_S, LONG_WINDOW, EventIndex, Keys, paired
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
        held = self.table.filter(self._bearing_on(request))
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

    @property
    def accounts(self) -> Keys:
        """Codes of the accounts."""
        return self._by_account[0]

    @property
    def populations(self) -> Keys:
        """Codes of the populations, in the order of their names."""
        return self._by_population[0]

    @property
    def media_types(self) -> Keys:
        """Codes of the media types."""
        return self._by_media[0]

    def within_population(self, account: Column, population: Column) -> Column:
        """Return the code, by which `outcomes` are held, of accounts within populations."""
        return paired(account, population, len(self.populations))

    def within_media(self, account_population: Column, media_type: Column) -> Column:
        """Return the code, by which `media_outcomes` are held, of a `within_population` within media types."""
        return paired(account_population, media_type, len(self.media_types))

    @Lazy
    def posts(self) -> EventIndex:
        """The posts of each account by the time of publication."""
        (keys, codes), published_s = self._by_account, self.table["published_s"].to_numpy()
        rows = np.arange(len(codes))
        return EventIndex.build(codes, published_s, len(keys), row=rows, published_s=published_s.astype(np.float64))

    @Lazy
    def outcomes(self) -> EventIndex:
        """The outcomes of each account within each population by the time from which they are known."""
        return self._index_outcomes(self._within_population, len(self.accounts) * len(self.populations))

    @Lazy
    def any_outcomes(self) -> EventIndex:
        """The outcomes of each account in whatever population."""
        return self._index_outcomes(self._by_account[1], len(self.accounts))

    @Lazy
    def media_outcomes(self) -> EventIndex:
        """The outcomes of each account within each population and media type."""
        codes = self.within_media(self._within_population, self._by_media[1])
        return self._index_outcomes(codes, len(self.accounts) * len(self.populations) * len(self.media_types))

    @property
    def sound_names(self) -> Keys:
        """Codes of the sounds."""
        return self._sounds[0]

    @property
    def sounds(self) -> EventIndex:
        """The uses of each sound by the time of publication."""
        return self._sounds[1]

    @property
    def hashtag_names(self) -> Keys:
        """Codes of the hashtags."""
        return self._hashtags[0]

    @property
    def hashtags(self) -> EventIndex:
        """The uses of each hashtag by the time of publication."""
        return self._hashtags[1]

    @Lazy
    def records(self) -> Floats:
        """The `Record` as of each of `outcomes`, the last row that of none."""
        return Record.table(self.outcomes)

    @Lazy
    def likenesses(self) -> Floats:
        """The `Likeness` as of each of `media_outcomes`, the last row that of none."""
        return Likeness.table(self.media_outcomes)

    @Lazy
    def standings(self) -> Floats:
        """Total and counts of the `Standing` as of each of `any_outcomes`, the last row that of none."""
        return Standing.table(self.any_outcomes, len(self.populations))

    def save(self, path: Path) -> None:
        """Write the table as parquet, the same bytes for the same rows."""
        self.table.write_parquet(path, compression="zstd", statistics=False)

    @classmethod
    def load(cls, path: Path) -> History:
        """Read a history that `save` wrote."""
        return cls(pl.read_parquet(path))

    def _bearing_on(self, request: pl.DataFrame) -> pl.Expr:
        """Tell the rows of the request's accounts, and of its sounds and hashtags as far back as these count."""
        since_s = request["published_s"].min() - max(MOMENTUM_DAYS) * DAY_S  # type: ignore[operator]
        tags = request["hashtags"].drop_nulls().str.split(" ").explode().unique()
        of_account = pl.col("account_id").is_in(request["account_id"].unique().implode())
        of_sound = pl.col("sound_id").is_in(request["sound_id"].drop_nulls().unique().implode())
        tagged = pl.col("hashtags").str.split(" ").list.eval(pl.element().is_in(tags.implode())).list.any()
        used = (of_sound.fill_null(value=False) | tagged.fill_null(value=False)) & (pl.col("published_s") >= since_s)
        return of_account | used

    @Lazy
    def _by_account(self) -> tuple[Keys, Ints]:
        return _coded(self.table["account_id"])

    @Lazy
    def _by_population(self) -> tuple[Keys, Ints]:
        return _coded(self.table["population"], sorted(self.table["population"].unique()))

    @Lazy
    def _by_media(self) -> tuple[Keys, Ints]:
        return _coded(self.table["media_type"])

    @Lazy
    def _within_population(self) -> Ints:
        codes: Ints = self.within_population(self._by_account[1], self._by_population[1])
        return codes

    @Lazy
    def _sounds(self) -> tuple[Keys, EventIndex]:
        return _index_uses(self.table["published_s"], self.table["sound_id"])

    @Lazy
    def _hashtags(self) -> tuple[Keys, EventIndex]:
        uses = self.table.select("published_s", pl.col("hashtags").str.split(" ")).explode("hashtags")
        return _index_uses(uses["published_s"], uses["hashtags"])

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
            population=self._by_population[1],
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


def _index_uses(published_s: pl.Series, names: pl.Series) -> tuple[Keys, EventIndex]:
    """Index the uses of sounds or hashtags by the time of publication."""
    used = names.is_not_null()
    keys, codes = _coded(names.filter(used))
    return keys, EventIndex.build(codes, published_s.filter(used).to_numpy(), len(keys))


def _coded(column: pl.Series, names: Sequence[object] | None = None) -> tuple[Keys, Ints]:
    """Return the distinct values of a column, in order of first appearance unless given, and the code of each row."""
    keys = Keys(column.unique(maintain_order=True) if names is None else names)
    codes = pl.DataFrame({"name": pl.Series(keys.names, dtype=column.dtype)}).with_row_index("code")
    found = column.to_frame("name").join(codes, on="name", how="left", nulls_equal=True, maintain_order="left")
    return keys, found["code"].cast(pl.Int64).to_numpy()
