"""What features learn from the training rows; it travels with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from features.columns import Floats, Ints, Posts, Texts
from features.events import Keys
from features.prior import Prior
from features.words import WordTopics


@dataclass(frozen=True)
class Fitted:
    """Priors, word topics and the codes of categories.

    Attributes
    ----------
    categories
        For each categorical column its known values; the position is the code.
    anchor_weight
        How many outcomes the prior counts for in an anchor.
    """

    prior: Prior
    engagement_prior: Prior
    words: WordTopics
    categories: Mapping[str, tuple[str, ...]]
    anchor_weight: float

    @classmethod
    def fit(
        cls,
        posts: Posts,
        populations: list[str],
        outcome: Floats,
        engagement: Floats,
        *,
        anchor_weight: float,
        seed: int,
    ) -> Fitted:
        """Learn from training rows alone: their outcomes and engagement rates in logs."""
        log_followers = np.log1p(posts.followers)
        return cls(
            prior=Prior.fit(populations, log_followers, outcome, posts.account),
            engagement_prior=Prior.fit(populations, log_followers, engagement, posts.account),
            words=WordTopics.fit(posts.caption, seed=seed),
            categories={
                "media_type": _values(posts.media_type),
                "form": _values(posts.form),
                "population": _values(populations),
            },
            anchor_weight=anchor_weight,
        )

    @classmethod
    def empty(cls) -> Fitted:
        """Return what is there before anything was fitted: enough for features that read nothing fitted."""
        return cls(Prior({}, None), Prior({}, None), WordTopics.empty(), {}, 1.0)

    def codes(self, column: str, values: Texts) -> Ints:
        """Return the code of each value of a categorical column, -1 where it is unknown or was never seen."""
        return self._codes[column].codes(values)

    def priors(self, populations: Ints, log_followers: Floats) -> Floats:
        """Return the log outcome and engagement rate expected from population and followers, shape (2, posts)."""
        intercept, slope, mean = self._lines.take(populations, axis=2)
        return np.where(np.isnan(log_followers), mean, intercept + slope * log_followers)

    def levels(self, populations: Ints) -> Floats:
        """Return the mean log outcome of each population."""
        return self._lines[2, 0].take(populations)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads: plain JSON."""
        return {
            "prior": self.prior.to_dict(),
            "engagement_prior": self.engagement_prior.to_dict(),
            "words": self.words.to_dict(),
            "categories": {name: list(values) for name, values in self.categories.items()},
            "anchor_weight": self.anchor_weight,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fitted:
        """Read what `to_dict` wrote."""
        return cls(
            prior=Prior.from_dict(data["prior"]),
            engagement_prior=Prior.from_dict(data["engagement_prior"]),
            words=WordTopics.from_dict(data["words"]),
            categories={name: tuple(values) for name, values in data["categories"].items()},
            anchor_weight=data["anchor_weight"],
        )

    @cached_property
    def _codes(self) -> dict[str, Keys]:
        return {column: Keys(values) for column, values in self.categories.items()}

    @cached_property
    def _lines(self) -> Floats:
        """Intercepts, slopes and means of both priors by population, shape (3, 2, populations + 1).

        The last, which the code -1 finds, is for a population never seen.
        """
        names = self.categories["population"]
        return np.stack([prior.parameters(names) for prior in (self.prior, self.engagement_prior)], axis=1)


def _values(column: Texts) -> tuple[str, ...]:
    return tuple(sorted({value for value in column if value}))
