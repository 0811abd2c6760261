"""The slices that forecasts are reported and gated by."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.columns import Bools, Ints, Posts, Texts
from training.examples import Examples

FOLLOWER_TIERS = ("<10k", "10k-100k", "100k-1M", "1M+")
_TIER_ENDS = (1e4, 1e5, 1e6)
UNKNOWN, OTHER = "unknown", "other"

MEDIA_TYPES = 8
"""So many media types, the most frequent, are told apart; a file may hold any words for them."""

_SHORT_WORDS = re.compile(r"\w[\w -]{0,23}")


def slices_of(examples: Examples, rows: Ints, is_new: Bools) -> dict[str, NDArray[np.str_]]:
    """Return each row's level in every slice."""
    return slices_of_posts(examples.posts.take(rows), [examples.sources[row] for row in rows], is_new)


def slices_of_posts(posts: Posts, sources: Sequence[str], is_new: Bools) -> dict[str, NDArray[np.str_]]:
    """Return each post's level in every slice."""
    tiers = np.array([*FOLLOWER_TIERS, UNKNOWN])[
        np.where(np.isnan(posts.followers), -1, np.searchsorted(_TIER_ENDS, posts.followers, side="right"))
    ]
    media = _media_levels(posts.media_type)
    both = [f"{tier} {kind}" for tier, kind in zip(tiers, media, strict=True)]
    return {
        "account": np.where(is_new, "new", "known"),
        "followers": tiers,
        "media type": media,
        "source": np.array(sources, dtype=np.str_),
        "followers x media type": np.array(both, dtype=np.str_),
    }


def _media_levels(media_types: Texts) -> NDArray[np.str_]:
    """Return each row's media type where it is among the frequent ones, and words that fit a table."""
    found = Counter(kind for kind in media_types if kind and _SHORT_WORDS.fullmatch(kind))
    frequent = dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:MEDIA_TYPES])
    return np.array([kind if kind in frequent else OTHER if kind else UNKNOWN for kind in media_types])
