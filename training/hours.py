"""What hours and weekdays are worth, as measured out of fold and within accounts: it travels with a model.

Two things are measured. How far the model's timing contrasts came true: the slope of what came true on what was
forecast (Cox, 1958, "Two further applications of a model for binary regression", whose slope is 1 for forecasts that
hold and 0 for noise). And how much accounts differ in their own hours, beyond what any model says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from features.columns import Bools, Floats, Ints
from features.zones import local_offsets_s
from training.audience import Spread, measure_spread
from training.blend import Blend
from training.calibration import primary_error
from training.examples import Examples
from training.judging import Judged

LEAST_ACCOUNTS = 10
"""With posts of fewer accounts nothing is said of a slope: its error could not be told."""

LEAST_CONTRAST = 1e-6
"""Contrasts that vary less than this, in log1p of the primary count, are rounding."""

SLOPE_SPREAD = 0.5
"""How far from 0 a slope is believed to lie before it was measured: at 1 contrasts come true in full."""

_DIGITS = 6


@dataclass(frozen=True)
class Slope:
    """How much of the timing contrasts came true between the posts of an account.

    Attributes
    ----------
    error
        Standard error, clustered by account.
    posts, accounts
        How many it rests on.
    """

    slope: float
    error: float
    posts: int
    accounts: int

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % interval."""
        return self.slope - 1.96 * self.error, self.slope + 1.96 * self.error


@dataclass(frozen=True)
class Hours:
    """What hours are worth; None where there was too little to measure it by.

    Attributes
    ----------
    known, new
        The slope for accounts with and without known outcomes.
    audience
        How far accounts differ in their own hours.
    """

    known: Slope | None
    new: Slope | None
    audience: Spread

    def slope(self, is_new: bool) -> Slope | None:
        """Return the slope for an account without or with known outcomes."""
        return self.new if is_new else self.known

    def belief(self, is_new: bool) -> tuple[float, float]:
        """Return mean and variance of the slope, shrunk towards 0; a slope below 0 shows noise and counts as 0."""
        prior, measured = SLOPE_SPREAD**2, self.slope(is_new)
        if measured is None:
            return 0.0, prior
        weight = prior / (prior + measured.error**2)
        return max(0.0, weight * measured.slope), weight * measured.error**2

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads: plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Hours:
        """Read what `to_dict` wrote."""
        known, new = (Slope(**data[name]) if data[name] else None for name in ("known", "new"))
        return cls(known, new, Spread(**data["audience"]))


UNMEASURED = Hours(None, None, Spread())
"""What is believed where nothing was measured."""


def measure_hours(judged: Sequence[Judged], blend: Blend, examples: Examples, rows: Ints) -> Hours:
    """Measure the slope on rows not learned from, and how far accounts differ on those that were."""
    contrast = np.concatenate([blend.residual(each.contrast, each.is_new) for each in judged])
    is_new = np.concatenate([each.is_new for each in judged])
    account = np.concatenate([each.account for each in judged])
    # The forecast with its contrast taken out errs by that much more.
    left = np.concatenate([primary_error(each, blend) for each in judged]) + contrast
    part = np.repeat(np.arange(len(judged)), [len(each) for each in judged])

    def slope(of: Bools) -> Slope | None:
        kept = of & np.isfinite(contrast)
        return slope_within(contrast[kept], left[kept], account[kept], part[kept])

    posts = examples.posts.take(rows)
    populations = [examples.populations[row] for row in rows]
    offsets_s = np.nan_to_num(local_offsets_s(posts.country, posts.published_s)).astype(np.int64)
    # The first mature look is what a history holds, by which an account is judged when it asks.
    audience = measure_spread(
        posts.published_s + offsets_s, examples.first_outcome[rows], [*zip(posts.account, populations, strict=True)]
    )
    return Hours(known=slope(~is_new), new=slope(is_new), audience=audience)


def slope_within(contrast: Floats, left: Floats, account: Ints, part: Ints) -> Slope | None:
    """Regress what the forecast left on its contrast, between the posts of an account within each part.

    Accounts that post at other hours differ in more than their hours, so they are not compared with one another. The
    error is the sandwich over accounts of `training.evaluate.coverage_with_error`. None where contrasts do not vary,
    or too few accounts have two posts.
    """
    _, code, count = np.unique(np.column_stack([part, account]), axis=0, return_inverse=True, return_counts=True)
    several = np.flatnonzero(count[code] > 1)
    accounts = len(np.unique(account[several]))
    if accounts < LEAST_ACCOUNTS:
        return None
    across, along = _centred(contrast, code)[several], _centred(left, code)[several]
    power = float(across @ across)
    if power <= LEAST_CONTRAST**2 * len(across):
        return None
    slope = float(across @ along) / power
    scores = np.bincount(np.unique(account[several], return_inverse=True)[1], across * (along - slope * across))
    error = float(np.sqrt(accounts / (accounts - 1) * (scores @ scores))) / power
    return Slope(_rounded(slope), _rounded(error), len(across), accounts)


def in_words(hours: Hours | None) -> str:
    """Say in a sentence what was found of the model's timing contrasts."""
    slope = hours.known if hours else None
    if slope is None:
        return "What the model says of the hour of publication has not been measured out of fold."
    low, high = slope.interval
    found = (
        f"What the model says of the hour of publication came true out of fold by a factor of {slope.slope:.2f} "
        f"({low:.2f} to {high:.2f}; 1 is in full and 0 not at all; {slope.posts:,} posts of {slope.accounts:,} known "
        "accounts, each compared with itself)"
    )
    if low <= 0:
        return f"{found}: it cannot be told from noise."
    return f"{found}: it is more than noise{', and too bold' if high < 1 else ', and too shy' if low > 1 else ''}."


def _centred(values: Floats, code: Ints) -> Floats:
    """Return values less the mean of their group."""
    mean = np.bincount(code, values) / np.maximum(np.bincount(code), 1)
    return np.asarray(values - mean[code])


def _rounded(value: float) -> float:
    """Drop digits that may differ from machine to machine."""
    return float(f"{value:.{_DIGITS}g}")
