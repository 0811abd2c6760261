"""Features of the account: what its earlier posts reached, and how large it is.

Outcomes are in log1p of the primary count and, but for the anchor and the prior, relative to the anchor, so that
small and large accounts are alike.
"""

from __future__ import annotations

import numpy as np

from features.catalogue import feature
from features.columns import Floats
from features.events import DAY_S
from features.records import LEVELS, SHAPE, Record, mean_of
from features.rows import Rows


@feature(
    "account",
    anchor="Mean of the account's last 20 mature outcomes, shrunk towards the prior.",
    engagement_anchor="Mean log engagement rate of the account's last 20 mature posts, shrunk towards the prior.",
)
def anchors(rows: Rows) -> Floats:
    """What the account's mature posts lead to expect."""
    return rows.anchors


@feature("account")
def prior(rows: Rows) -> Floats:
    """Outcome expected from population and followers alone."""
    return rows.prior


@feature("account")
def outcomes_known(rows: Rows) -> Floats:
    """How many mature outcomes the anchor rests on, up to 20."""
    return rows.records[Record.COUNT]


@feature(
    "account",
    last_outcome="The account's latest mature outcome, relative to the anchor.",
    last_five_mean="Mean of the account's last five mature outcomes, relative to the anchor.",
    last_five_median="Median of the account's last five mature outcomes, relative to the anchor.",
    best_outcome="The account's best of its last 20 mature outcomes, relative to the anchor.",
    worst_outcome="The account's worst of its last 20 mature outcomes, relative to the anchor.",
)
def outcome_levels(rows: Rows) -> Floats:
    """What the account's mature posts reached, relative to the anchor."""
    return rows.records[LEVELS] - rows.anchor


@feature(
    "account",
    outcome_spread="Standard deviation of the account's last 20 mature outcomes; unknown below two.",
    outcome_trend="Mean of the account's last five mature outcomes less that of the fifteen before.",
)
def outcome_shape(rows: Rows) -> Floats:
    """How the account's mature outcomes scatter and move."""
    return rows.records[SHAPE]


@feature("account")
def other_population_mean(rows: Rows) -> Floats:
    """Mean of the account's last 20 mature outcomes in any population, each against its level, less the anchor's."""
    outcomes, fitted = rows.history.any_outcomes.values, rows.fitted
    window = rows.any_outcomes.window
    level = np.append(fitted.levels(fitted.codes("population", rows.history.populations.names)), np.nan)
    standing = mean_of(outcomes["outcome"][window] - level[outcomes["population"][window]])
    return standing - (rows.anchor - fitted.levels(rows.population_codes))


@feature("account")
def outcome_age_days(rows: Rows) -> Floats:
    """Days since the publication of the account's latest mature post."""
    latest_s = rows.history.any_outcomes.values["published_s"][rows.any_outcomes.newest]
    return (rows.posts.published_s - latest_s) / DAY_S


@feature("audience")
def log_followers(rows: Rows) -> Floats:
    """Natural log of one plus the followers."""
    return rows.log_followers
