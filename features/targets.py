"""What is forecast: outcomes, what they mean where counts changed their meaning, and which rows have one yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from features.columns import DEFAULT_SOURCE, FAR_S, Floats, Ints, Posts
from features.events import DAY_S, Keys
from features.history import History, post_table
from features.schema import ENGAGEMENT, PRIMARY, Platform

SHORTS_COUNT_STARTS_S = int(datetime(2025, 3, 31, tzinfo=UTC).timestamp())
"""From this day on a view of a YouTube Short is any start of it (YouTube Help, "Shorts view counts")."""

LONGEST_SHORT_S = 180.0
"""A YouTube video longer than three minutes cannot be a Short."""

REFERENCE_DAYS = 90.0
REFERENCE_POSTS = 500
"""A reference holds the outcomes of so many days, or so many of the latest posts where those are fewer."""


def regimes(posts: Posts) -> list[str]:
    """Return what the primary count of each post means.

    ``likes`` on Instagram, ``views`` on TikTok and for long YouTube videos, ``starts`` for a Short published since its
    views count every start, ``mixed`` where a YouTube video may be a Short of either meaning.
    """
    if not len(posts):
        return []
    if posts.platform != Platform.YOUTUBE:
        return [PRIMARY[Platform(posts.platform)]] * len(posts)
    forms = posts.form
    is_short = np.array([form == "short" for form in forms], dtype=np.bool_)
    is_long = ~is_short & (
        (posts.duration_s > LONGEST_SHORT_S) | np.array([form == "long" for form in forms], dtype=np.bool_)
    )
    counts_starts = is_short & (posts.published_s >= SHORTS_COUNT_STARTS_S)
    return [str(regime) for regime in np.select([is_long, counts_starts], ["views", "starts"], "mixed")]


def populations(posts: Posts) -> list[str]:
    """Return the population of each post: its source and the regime of its count, which are never pooled."""
    sources = [source or DEFAULT_SOURCE for source in posts.source]
    return [f"{source}/{regime}" for source, regime in zip(sources, regimes(posts), strict=True)]


def primary_log(known: pl.DataFrame, look: str = "") -> Floats:
    """Return log1p of the primary count at a look: the outcome's, or the first mature one with ``look="first_"``."""
    if known.is_empty():
        return np.empty(0)
    count = known[look + PRIMARY[_platform(known)]].cast(pl.Float64).to_numpy()
    return np.asarray(np.log1p(count))


def engagement_log(known: pl.DataFrame, look: str = "") -> Floats:
    """Return the log of the engagement rate at a look, one reaction and one view added; nan where any is unknown."""
    if known.is_empty():
        return np.empty(0)
    rate = ENGAGEMENT[_platform(known)]

    def count(name: str) -> Floats:
        return known[name if name == "followers" else look + name].cast(pl.Float64).to_numpy()

    reactions = np.sum([count(part) for part in rate.parts], axis=0)
    return np.asarray(np.log((reactions + 1) / (count(rate.base) + 1)))


def history_of(known: pl.DataFrame) -> History:
    """Return the history that a frame of `known_posts` amounts to."""
    posts = Posts.from_frame(known)
    return History(
        post_table(posts, populations(posts)).with_columns(
            known_s=known["known_at"].dt.epoch("s").clip(-FAR_S, FAR_S),
            outcome=pl.Series(primary_log(known, "first_")).fill_nan(None),
            engagement=pl.Series(engagement_log(known, "first_")).fill_nan(None),
        )
    )


def mature(known: pl.DataFrame) -> pl.DataFrame:
    """Return the posts that have an outcome: the one place where immature rows are dropped."""
    if known.is_empty():
        return known
    return known.filter(pl.col("known_at").is_not_null() & pl.col(PRIMARY[_platform(known)]).is_not_null())


@dataclass(frozen=True)
class Reference:
    """The recent outcomes of each population, against which a post is scored from 0 to 100.

    Attributes
    ----------
    quantiles
        For each population the log outcomes at 0, 1, … 100 percent; under no name those of all together, for posts of
        a population never seen.
    """

    quantiles: dict[str, list[float]]

    @classmethod
    def fit(cls, populations: Sequence[str], outcome: Floats, published_s: Ints) -> Reference:
        """Take each population's outcomes of the latest days, or the latest posts where those are fewer."""
        names = Keys(populations)
        codes = names.codes(populations)
        quantiles = {}
        for code, name in sorted(enumerate(names.names), key=lambda pair: str(pair[1])):
            here = np.flatnonzero(codes == code)
            here = here[np.argsort(published_s[here], kind="stable")]
            recent = np.count_nonzero(published_s[here] >= published_s[here[-1]] - REFERENCE_DAYS * DAY_S)
            quantiles[name] = _percentiles(outcome[here[-max(int(recent), REFERENCE_POSTS) :]])
        return cls({**quantiles, "": _percentiles(outcome)})

    def score(self, populations: Sequence[str], outcome: Floats) -> Floats:
        """Return the percentile, 0 to 100, of each log outcome within its population's reference."""
        names = [name if name in self.quantiles else "" for name in populations]
        keys = Keys(names)
        codes = keys.codes(names)
        scores = np.empty(len(names))
        for code, name in enumerate(keys.names):
            here = codes == code
            scores[here] = rank(np.array(self.quantiles[name]), outcome[here])
        return scores


def _percentiles(values: Floats) -> list[float]:
    return [float(value) for value in np.quantile(values, np.linspace(0, 1, 101))]


def rank(grid: Floats, values: Floats) -> Floats:
    """Return where values fall on a grid of 101 quantiles, 0 to 100; within ties, the middle of the tie.

    Between two quantiles it is the lower one and a share of at most 1, so that rounding cannot turn the order round.
    """
    below = np.searchsorted(grid, values, side="left")
    above = np.searchsorted(grid, values, side="right") - 1
    low, high = np.maximum(above, 0), np.minimum(below, len(grid) - 1)
    gap = grid[high] - grid[low]
    share = np.divide(values - grid[low], gap, out=np.zeros(len(values)), where=gap > 0)
    ranks = np.where(above >= below, (below + above) / 2, low + share)
    return np.where(np.isnan(values), np.nan, ranks)


def _platform(known: pl.DataFrame) -> Platform:
    return Platform(known["platform"][0])
