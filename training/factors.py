"""The factors of a virality score: what groups of features add to the log odds, against what they usually add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from features.catalogue import CATALOGUE
from features.columns import Floats
from features.lazy import Lazy
from features.targets import rank


@dataclass(frozen=True)
class Factor:
    """A group of features that is shown as one number.

    Attributes
    ----------
    groups, prefixes, columns
        Its features: all of these groups of the catalogue, all whose names begin so, and these by name.
    evidence
        Features of which at least one has to reach its number, or nothing is known that the factor could speak of;
        where it is empty, any of the factor's own features that is known will do.
    """

    meaning: str
    groups: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)

    def holds(self, name: str) -> bool:
        """Whether a feature belongs to the factor."""
        group = CATALOGUE[name].group if name in CATALOGUE else None
        return group in self.groups or name.startswith(self.prefixes) or name in self.columns


FACTORS: dict[str, Factor] = {
    "visual_appeal": Factor("what was measured on the picture", prefixes=("visual_",)),
    "audio_quality": Factor("what was measured on the sound", prefixes=("audio_",)),
    "trend_alignment": Factor(
        "how much the post's sound and hashtags are in use",
        groups=("momentum",),
        evidence={"sound_uses": 0, "hashtag_count": 1},
    ),
    "genre_popularity": Factor("how popular the post's genre is", groups=("genre",)),
    "account_history": Factor(
        "the account's outcomes, tempo and followers",
        groups=("account", "tempo", "audience"),
        evidence={"last_outcome": -np.inf, "hours_since_previous": 0, "log_followers": 0},
    ),
    "caption": Factor(
        "the caption's length, marks, language and words", groups=("text", "words"), evidence={"caption_length": 0}
    ),
    "timing": Factor("hour and weekday", groups=("timing",)),
    "format": Factor("media type, form and length", columns=("media_type", "form", "log_duration")),
}
"""Every factor, with the one place that says which features it is made of.

`population`, the code of the source, is in none: it says where the row came from, not what the post is like.
"""


def column_of(factor: str) -> str:
    """Return the name of a factor's column in an answer."""
    return f"factor_{factor}"


@dataclass(frozen=True)
class Factors:
    """What each factor's sum of contributions was at 0, 1, … 100 percent of the training rows.

    A factor of which the model reads no feature, or none that ever made a difference, has no quantiles.
    """

    names: Sequence[str]
    quantiles: Mapping[str, Sequence[float]]

    @classmethod
    def fit(cls, names: Sequence[str], contributions: Floats) -> Factors:
        """Take the quantiles of the sums over training rows."""
        sums = {name: _sum(contributions, _columns(factor, names)) for name, factor in FACTORS.items()}
        grid = np.linspace(0, 1, 101)
        quantiles = {name: np.quantile(sum_, grid).tolist() for name, sum_ in sums.items() if np.ptp(sum_) > 0}
        return cls(names, quantiles)

    @Lazy
    def parts(self) -> dict[str, _Part]:
        """The factors that the model can speak of, worked out once."""
        places = {name: place for place, name in enumerate(self.names)}
        found = {}
        for name, grid in self.quantiles.items():
            columns = _columns(FACTORS[name], self.names)
            evidence = {places[each]: least for each, least in FACTORS[name].evidence.items()}
            # Any number will do where no evidence is named.
            known = evidence or dict.fromkeys(columns, -np.inf)
            found[name] = _Part(np.array(grid), columns, tuple(known.items()))
        return found

    def values(self, matrix: Floats, contributions: Floats) -> dict[str, Floats]:
        """Return each factor of each row from 0 to 1; nan where nothing is known that it could speak of."""
        unknown = np.full(len(matrix), np.nan)
        return {
            name: self.parts[name].values(matrix, contributions) if name in self.parts else unknown for name in FACTORS
        }


@dataclass(frozen=True, eq=False)
class _Part:
    """A factor in one model: its quantiles, its columns, and those of its evidence with the least number of each."""

    grid: Floats
    columns: Sequence[int]
    evidence: Sequence[tuple[int, float]]

    def values(self, matrix: Floats, contributions: Floats) -> Floats:
        shares = rank(self.grid, _sum(contributions, self.columns)) / 100
        known = np.zeros(len(matrix), np.bool_)
        for place, least in self.evidence:
            known |= matrix[:, place] >= least
        return np.where(known, shares, np.nan)


def _columns(factor: Factor, names: Sequence[str]) -> list[int]:
    return [place for place, name in enumerate(names) if factor.holds(name)]


def _sum(contributions: Floats, columns: Sequence[int]) -> Floats:
    """Add columns, each to those before it: the order of `sum` could depend on how rows lie in memory."""
    if not columns:
        return np.zeros(len(contributions))
    return np.asarray(contributions[:, columns].cumsum(axis=1)[:, -1])
