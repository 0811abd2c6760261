"""What it takes to go viral: to exceed the account anchor by more than nine posts in ten did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.columns import Bools, Floats, Ints
from features.fitted import Fitted
from features.words import WordTopics
from training.core import fit_features
from training.examples import Examples, inputs_of

if TYPE_CHECKING:
    from training.recipe import Recipe

SHARE = 0.1
"""The share of training posts that count as viral."""

OWN_POSTS = 300
"""A population of fewer training posts shares the threshold of all: its top tenth would be a matter of a few posts."""

EVERYWHERE = ""


@dataclass(frozen=True)
class Yardstick:
    """By how much an outcome has to exceed its anchor, in log1p of the primary count, for each population.

    Under no name, the threshold of all populations together, for those without one of their own.
    """

    thresholds: Mapping[str, float]

    @classmethod
    def fit(cls, populations: Sequence[str], excess: Floats) -> Yardstick:
        """Take the 90 % quantile of what training posts added to their anchors."""
        labels = np.asarray(populations)
        names, posts = np.unique(labels, return_counts=True)
        own = {
            str(name): excess[labels == name] for name, count in zip(names, posts, strict=True) if count >= OWN_POSTS
        }
        return cls({name: float(np.quantile(part, 1 - SHARE)) for name, part in {EVERYWHERE: excess, **own}.items()})

    def threshold(self, populations: Sequence[str]) -> Floats:
        """Return the threshold of each post."""
        return np.array([self.thresholds.get(name, self.thresholds[EVERYWHERE]) for name in populations])

    def is_viral(self, populations: Sequence[str], excess: Floats) -> Bools:
        """Whether each post exceeds its anchor by more than its threshold."""
        return np.asarray(excess > self.threshold(populations))


@dataclass(frozen=True)
class Truth:
    """Which posts went viral, as told by what some training rows know: by their prior and their yardstick.

    Two models are compared on the same truth, whichever rows either of them learned from.
    """

    fitted: Fitted
    yardstick: Yardstick
    base_rate: float

    @classmethod
    def of(cls, recipe: Recipe, examples: Examples, rows: Ints) -> Truth:
        """Learn from training rows what counts as viral."""
        # Anchors rest on priors alone, so no topics of words have to be learned for them.
        fitted = fit_features(recipe, examples, rows, WordTopics.empty())
        excess = excess_over_anchor(examples, rows, fitted)
        names = [examples.populations[row] for row in rows]
        yardstick = Yardstick.fit(names, excess)
        return cls(fitted, yardstick, float(yardstick.is_viral(names, excess).mean()))

    def viral(self, examples: Examples, rows: Ints) -> Floats:
        """Return 1 for each row that went viral, else 0."""
        excess = excess_over_anchor(examples, rows, self.fitted)
        return self.yardstick.is_viral([examples.populations[row] for row in rows], excess).astype(np.float64)


def excess_over_anchor(examples: Examples, rows: Ints, fitted: Fitted) -> Floats:
    """Return what each outcome adds to its account's anchor as known at its publication."""
    return examples.outcome[rows] - inputs_of(examples, rows, fitted, names=["anchor"]).anchor
