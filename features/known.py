"""What was known of a platform's posts at a moment: the one input of training and of every look back.

A *look* is an observation that says the primary count. A post first observed while younger than the maturity
is known from that observation on, and each of its looks from when it was made. Where the first observation
came later, the post is taken to have been visible since its publication, and that observation to have been
made just at maturity, flagged ``assumed_known_at``: nothing else lets an unwatched past be replayed.
"""

from datetime import UTC, datetime, timedelta
from typing import Literal

import polars as pl

from features.schema import KNOWN, OUTCOMES, POST, Platform, primary
from features.store import Store

_POST = ["source", "post_id"]
_ACCOUNT = ["source", "account_id"]
_DAY = timedelta(days=1)


def known_posts(
    store: Store,
    platform: Platform | str,
    as_of: datetime | None = None,
    *,
    maturity_days: float = 3,
    horizon_days: float = 7,
) -> pl.DataFrame:
    """One row per post of a platform that was visible at `as_of`, sorted by publication.

    Parameters
    ----------
    as_of
        The moment, with its zone; without one, all that the store holds.
    maturity_days
        The age from which on a look counts as mature.
    horizon_days
        The age that forecasts speak of: the mature look nearest to it, in log age, is the outcome.

    Returns
    -------
    polars.DataFrame
        The columns of `KNOWN`. ``first_*`` are the counts of the first mature look, which may be read from
        ``known_at`` on; the plain counts are those of the outcome, seen at ``age_days``. ``followers`` are the
        latest known at publication or, flagged ``followers_backfilled``, the earliest known later. The same id
        in two sources is two posts, or two accounts. Of rows that contradict one another the one imported first
        stands.
    """
    manifest = store.manifest()
    stands = pl.col("revision") == 0
    posts = store.posts(platform, manifest).filter(stands).select(*POST, "source")
    observations = store.observations(platform, manifest).filter(stands)
    published = posts.select(*_POST, "published_at").collect()
    observed = observations.drop("platform", "revision").collect()
    seen = _with_times(published, observed, timedelta(days=maturity_days))
    if as_of is not None:
        seen = seen.filter(pl.col("visible_at") <= _in_utc(as_of))
    visible = posts.join(seen.select(_POST).unique().lazy(), on=_POST, how="semi").collect()
    if as_of is not None:
        seen = seen.filter(pl.col("seen_at") <= _in_utc(as_of))
    looks = seen.filter((pl.col("age") >= timedelta(days=maturity_days)) & pl.col(primary(platform)).is_not_null())
    known = _with_followers(visible, seen).join(_outcomes(looks, horizon_days), on=_POST, how="left")
    known = known.with_columns(pl.col("assumed_known_at").fill_null(False))
    return known.select(list(KNOWN)).sort("published_at", "post_id", "source")


def _in_utc(as_of: datetime) -> datetime:
    """A moment in UTC; one without a zone could mean any."""
    if as_of.tzinfo is None:
        raise ValueError(f"as_of {as_of} has no time zone; give one, as datetime.now(UTC) does")
    return as_of.astimezone(UTC)


def _with_times(published: pl.DataFrame, observed: pl.DataFrame, maturity: timedelta) -> pl.DataFrame:
    """Observations with the age of the post, and from when on they and their post count as seen.

    Whether a post was seen late depends on its first observation ever, also where that lies beyond the moment
    asked for: only so is a post that was really watched not known before somebody watched it.
    """
    seen = observed.join(published, on=_POST)
    first_at = seen.group_by(_POST).agg(first_at=pl.col("observed_at").min())
    late = pl.col("first_at") - pl.col("published_at") >= maturity
    assumed = late & (pl.col("observed_at") == pl.col("first_at"))
    matured_at = pl.col("published_at") + maturity
    return seen.join(first_at, on=_POST).with_columns(
        age=pl.col("observed_at") - pl.col("published_at"),
        assumed=assumed,
        seen_at=pl.when(assumed).then(matured_at).otherwise("observed_at"),
        visible_at=pl.when(late).then("published_at").otherwise("first_at"),
    )


def _outcomes(looks: pl.DataFrame, horizon_days: float) -> pl.DataFrame:
    """The first mature look of each post, and the one nearest to the horizon.

    Nearness is of log ages, since counts grow with every doubling of the age rather than with every day.
    """
    age_days = pl.col("age") / _DAY
    nearest = (age_days / horizon_days).log().abs().arg_min()
    return (
        looks.sort("observed_at")
        .group_by(_POST, maintain_order=True)
        .agg(
            pl.col("seen_at").first().alias("known_at"),
            pl.col("assumed").first().alias("assumed_known_at"),
            *(pl.col(name).first().alias(f"first_{name}") for name in OUTCOMES),
            age_days.first().alias("first_age_days"),
            *(pl.col(name).get(nearest) for name in OUTCOMES),
            age_days.get(nearest).alias("age_days"),
        )
    )


def _with_followers(posts: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """Posts with the followers their account had when they were published, as far as that was seen."""
    counted = seen.filter(pl.col("followers").is_not_null())
    # Looks of one moment may disagree, some being rounded: the largest is always the same one.
    counted = counted.group_by(*_ACCOUNT, "observed_at").agg(pl.col("followers").max())
    posts = posts.sort("published_at")
    before = _nearest_followers(posts, counted, "backward")
    after = _nearest_followers(posts, counted, "forward")
    return posts.with_columns(
        before.fill_null(after).alias("followers"),
        (before.is_null() & after.is_not_null()).alias("followers_backfilled"),
    )


def _nearest_followers(
    posts: pl.DataFrame, counted: pl.DataFrame, strategy: Literal["backward", "forward"]
) -> pl.Series:
    """The followers of each post's account at the look nearest to its publication, on one side of it."""
    return posts.select(*_ACCOUNT, "published_at").join_asof(
        counted.sort("observed_at"),
        left_on="published_at",
        right_on="observed_at",
        by=_ACCOUNT,
        strategy=strategy,
        check_sortedness=False,  # both are sorted by time, which cannot be checked per account
    )["followers"]
