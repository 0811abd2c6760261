"""What features learn from the training rows; it travels with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.columns import Floats, Posts, Texts
from features.events import Keys
from features.lazy import Lazy
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
        words: WordTopics | None = None,
    ) -> Fitted:
        """Learn from training rows alone: their outcomes and engagement rates in logs, topics unless given."""
        log_followers = np.log1p(posts.followers)
        return cls(
            prior=Prior.fit(populations, log_followers, outcome, posts.account),
            engagement_prior=Prior.fit(populations, log_followers, engagement, posts.account),
            words=words or WordTopics.fit(posts.caption, seed=seed),
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

    def coded_after(self, categories: Mapping[str, tuple[str, ...]]) -> Fitted:
        """Return the same with the codes of other categories, and codes above those for values they lack."""
        return replace(
            self,
            categories={
                name: tuple(dict.fromkeys((*categories[name], *values))) for name, values in self.categories.items()
            },
        )

    @Lazy
    def codes(self) -> dict[str, Keys]:
        """The codes of the values of each categorical column."""
        return {column: Keys(values) for column, values in self.categories.items()}

    @Lazy
    def outcome_lines(self) -> Floats:
        """Lines of the log outcome by the code of the population, a row each."""
        return self.prior.table(self.categories["population"])

    @Lazy
    def engagement_lines(self) -> Floats:
        """Lines of the log engagement rate by the code of the population, a row each."""
        return self.engagement_prior.table(self.categories["population"])

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


def _values(column: Texts) -> tuple[str, ...]:
    return tuple(sorted({value for value in column if value}))
