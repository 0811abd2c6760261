"""Features of sounds and hashtags: how much they are in use at the time of publication.

Counts are of the posts in the store, so they speak of the accounts that are followed, not of the platform.
"""

from __future__ import annotations

import numpy as np

from features.catalogue import feature
from features.columns import Floats
from features.history import MOMENTUM_DAYS
from features.rows import Rows

_WEEK_SHARE = float(MOMENTUM_DAYS[1] / MOMENTUM_DAYS[0])


@feature(
    "momentum",
    sound_uses="Posts with the same sound in the 28 days before; unknown without a sound.",
    sound_momentum="Log ratio of the sound's uses in the last week to a quarter of those; unknown without a sound.",
)
def sounds(rows: Rows) -> Floats:
    """Use of the sound and whether it rises."""
    return _use_and_rise(rows.sound_uses)


@feature(
    "momentum",
    hashtag_uses="Posts in the 28 days before with the most used of the post's hashtags; 0 without one.",
    hashtag_momentum="Log ratio of the most uses of a hashtag in the last week to a quarter of those; 0 without one.",
)
def hashtags(rows: Rows) -> Floats:
    """Use of the hashtags and whether it rises."""
    return _use_and_rise(rows.hashtag_uses)


def _use_and_rise(uses: Floats) -> Floats:
    month, week = uses
    return np.array([month, np.log((week + 1) / (month * _WEEK_SHARE + 1))])
