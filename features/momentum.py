"""Features of sounds and hashtags: how much they are in use at the time of publication.

Counts are of the posts in the store, so they speak of the accounts that are followed, not of the platform.
"""

from __future__ import annotations

import numpy as np

from features.catalogue import feature
from features.columns import Column
from features.history import MOMENTUM_DAYS
from features.rows import Rows

_SHORT_SHARE = min(MOMENTUM_DAYS) / max(MOMENTUM_DAYS)


@feature("momentum")
def sound_uses(rows: Rows) -> Column:
    """Posts with the same sound in the 28 days before; unknown without a sound."""
    return rows.sound_uses[0]


@feature("momentum")
def sound_momentum(rows: Rows) -> Column:
    """Log ratio of the sound's uses in the last week to a quarter of those in four; unknown without a sound."""
    return _rising(*rows.sound_uses)


@feature("momentum")
def hashtag_uses(rows: Rows) -> Column:
    """Posts in the 28 days before with the most used of the post's hashtags; 0 without one."""
    return rows.hashtag_uses[0]


@feature("momentum")
def hashtag_momentum(rows: Rows) -> Column:
    """Log ratio of the most uses of a hashtag in the last week to a quarter of those in four; 0 without one."""
    return _rising(*rows.hashtag_uses)


def _rising(long: Column, short: Column) -> Column:
    return np.log((short + 1) / (long * _SHORT_SHARE + 1))
