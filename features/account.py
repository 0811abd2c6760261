"""Features of the account: what its earlier posts reached, and how large it is.

Outcomes are in log1p of the primary count and, but for the anchor and the prior, relative to the anchor, so that
small and large accounts are alike.
"""

from __future__ import annotations

from features.catalogue import feature
from features.columns import Column
from features.events import DAY_S
from features.prior import shrunken
from features.rows import Rows

SAME_MEDIA_WEIGHT = 3.0
"""How many outcomes the anchor counts for in the mean of one media type."""


@feature("account")
def anchor(rows: Rows) -> Column:
    """Mean of the account's last 20 mature outcomes, shrunk towards the prior."""
    return rows.anchor


@feature("account")
def prior(rows: Rows) -> Column:
    """Outcome expected from population and followers alone."""
    return rows.prior


@feature("account")
def outcomes_known(rows: Rows) -> Column:
    """How many mature outcomes the anchor rests on, up to 20."""
    return rows.record.known


@feature("account")
def last_outcome(rows: Rows) -> Column:
    """The account's latest mature outcome, relative to the anchor."""
    return rows.record.newest - rows.anchor


@feature("account")
def last_five_mean(rows: Rows) -> Column:
    """Mean of the account's last five mature outcomes, relative to the anchor."""
    return rows.record.few_mean - rows.anchor


@feature("account")
def last_five_median(rows: Rows) -> Column:
    """Median of the account's last five mature outcomes, relative to the anchor."""
    return rows.record.few_median - rows.anchor


@feature("account")
def best_outcome(rows: Rows) -> Column:
    """The account's best of its last 20 mature outcomes, relative to the anchor."""
    return rows.record.best - rows.anchor


@feature("account")
def worst_outcome(rows: Rows) -> Column:
    """The account's worst of its last 20 mature outcomes, relative to the anchor."""
    return rows.record.worst - rows.anchor


@feature("account")
def outcome_spread(rows: Rows) -> Column:
    """Standard deviation of the account's last 20 mature outcomes; unknown below two."""
    return rows.record.spread


@feature("account")
def outcome_trend(rows: Rows) -> Column:
    """Mean of the account's last five mature outcomes less that of the fifteen before."""
    return rows.record.trend


@feature("account")
def long_mean(rows: Rows) -> Column:
    """Mean of the account's last 100 mature outcomes, relative to the anchor."""
    return rows.record.long_mean - rows.anchor


@feature("account")
def outcome_slope(rows: Rows) -> Column:
    """How fast the account's last 50 mature outcomes rise, in log per year; unknown below ten."""
    return rows.record.slope


@feature("account")
def same_media_mean(rows: Rows) -> Column:
    """Mean of the account's last 20 mature outcomes of the post's media type, relative to the anchor, shrunk to it."""
    likeness = rows.likeness
    return shrunken(likeness.total - likeness.known * rows.anchor, likeness.known, 0.0, SAME_MEDIA_WEIGHT)


@feature("account")
def other_population_mean(rows: Rows) -> Column:
    """Mean of the last 20 mature outcomes in any population, as if reached in the post's, relative to the anchor."""
    levels = rows.fitted.prior.levels(rows.history.populations.names)
    return rows.standing.above(levels) + rows.outcome_lines.mean - rows.anchor


@feature("account")
def outcome_age_days(rows: Rows) -> Column:
    """Days since the publication of the account's latest mature post."""
    return (rows.published_s - rows.history.any_outcomes.values["published_s"][rows.latest_outcome]) / DAY_S


@feature("account")
def engagement_anchor(rows: Rows) -> Column:
    """Mean log engagement rate of the account's last 20 mature posts, shrunk towards the prior."""
    return rows.engagement_anchor


@feature("audience")
def log_followers(rows: Rows) -> Column:
    """Natural log of one plus the followers."""
    return rows.log_followers
