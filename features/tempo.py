"""Features of tempo: how often the account posts, known at publication whether its posts are mature or not."""

from __future__ import annotations

import numpy as np

from features.catalogue import feature
from features.columns import Floats
from features.events import WINDOW
from features.rows import Rows

_STEPS_BACK = np.array([1, 5, 20])
_DAYS = np.array([1, 7])


@feature(
    "tempo",
    hours_since_previous="Hours since the account's previous post, mature or not.",
    hours_since_fifth="Hours since the account's fifth post before this one.",
    hours_since_twentieth="Hours since the account's twentieth post before this one.",
)
def hours_since(rows: Rows) -> Floats:
    """Hours since earlier posts of the account."""
    earlier_s = rows.history.posts.values["published_s"][rows.earlier_posts.back(_STEPS_BACK)]
    return (rows.posts.published_s - earlier_s) / 3600


@feature(
    "tempo",
    posts_last_day="The account's posts in the 24 hours before, up to 20.",
    posts_last_week="The account's posts in the seven days before, up to 20.",
)
def posts_within(rows: Rows) -> Floats:
    """Posts of the account in the last days, as many as a snapshot holds."""
    return np.minimum(rows.earlier_posts.within(_DAYS), WINDOW)
