"""The slices that forecasts are reported and gated by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.columns import Bools, Ints
from training.examples import Examples

FOLLOWER_TIERS = ("<10k", "10k-100k", "100k-1M", "1M+")
_TIER_ENDS = (1e4, 1e5, 1e6)
UNKNOWN = "unknown"


def slices_of(examples: Examples, rows: Ints, is_new: Bools) -> dict[str, NDArray[np.str_]]:
    """Return each row's level in every slice."""
    posts = examples.posts.take(rows)
    tiers = np.array([*FOLLOWER_TIERS, UNKNOWN])[
        np.where(np.isnan(posts.followers), -1, np.searchsorted(_TIER_ENDS, posts.followers, side="right"))
    ]
    media = np.array([media or UNKNOWN for media in posts.media_type])
    both = [f"{tier} {kind}" for tier, kind in zip(tiers, media, strict=True)]
    return {
        "account": np.where(is_new, "new", "known"),
        "followers": tiers,
        "media type": media,
        "source": np.array([examples.sources[row] for row in rows]),
        "followers x media type": np.array(both),
    }
