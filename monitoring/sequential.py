"""Answers that may be looked at every day: confidence sequences for means of clustered posts, and e-values.

A confidence interval holds at one moment chosen beforehand; a confidence sequence holds at all moments at once, so a
test that is repeated daily and stops when it sees enough keeps its stated rate of false alarms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from features.errors import SettingsError

Floats = NDArray[np.float64]

FEWEST_FREE = 2.0
"""Degrees of freedom are not counted below this, where the boundary passes every effect anyway."""


class Sides(IntEnum):
    """Whether a sequence has one end, because only a rise or only a fall matters, or both."""

    ONE = 1
    TWO = 2


@dataclass(frozen=True)
class Spread:
    """How uncertain means are, one for each column of sums: standard error, and how far that itself can be trusted.

    `freedom` counts the accounts that carry the variance: posts of one account resemble each other, so it is accounts
    that count, and few large ones count less than their number.
    """

    error: Floats
    freedom: Floats


def cluster_spread(residuals: Floats, accounts: Floats) -> Spread:
    """Standard errors of linearised means from their residuals summed by account.

    Parameters
    ----------
    residuals
        Shape (accounts, means): what each account moves each mean by, summing to about 0 in a column.
    accounts
        How many accounts each mean rests on.

    Notes
    -----
    Linearised variance: Cochran (1977), "Sampling Techniques", chapter 6. Freedom by matching the variance of the
    estimated variance, after Satterthwaite (1946): all accounts where they weigh the same and are normal, fewer where
    some weigh more.
    """
    squares = residuals**2
    total, fourth = squares.sum(axis=0), (squares**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(total * accounts / (accounts - 1))
        freedom = 2 * total**2 / (fourth - total**2 / accounts)
    freedom = np.where(np.isfinite(freedom) & (freedom > 0), np.minimum(freedom, accounts - 1), accounts - 1)
    return Spread(np.where(accounts > 1, error, np.inf), np.maximum(freedom, FEWEST_FREE))


def radius(spread: Spread, *, effect: float, rate: float, sides: Sides) -> Floats:
    """Half the width of a confidence sequence around means that are looked at again and again.

    Parameters
    ----------
    effect
        How large a change one looks for, in the unit of the mean: the sequence is narrowest when that just shows.
    rate
        Probability that the sequence ever excludes the true mean.

    Notes
    -----
    Normal-mixture boundary of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform central limit
    theory and asymptotic confidence sequences", Annals of Statistics 52(6). Intrinsic time is information, one over
    the squared standard error: where accounts differ for good, posts do not count as independent, while estimates
    of growing information still walk like Brownian motion in it (Jennison and Turnbull 1997, J. Am. Stat. Assoc. 92).
    Beyond that paper, the boundary is widened as Student's t is wider than the normal, since accounts are few.
    """
    if not 0 < rate < 1 or not effect > 0:
        raise SettingsError(f"a sequence needs a rate within 0 and 1 and an effect above 0, not {rate} and {effect}")
    with np.errstate(divide="ignore", invalid="ignore"):
        time = effect**2 / spread.error**2
        inside = np.log1p(np.sqrt(1 + time) / (2 * rate)) if sides is Sides.ONE else np.log(np.sqrt(1 + time) / rate)
        boundary = np.sqrt(2 * (1 + 1 / time) * inside)
        return np.where(spread.error == 0, 0.0, spread.error * student(boundary, spread.freedom))


def student(normal: Floats, freedom: Floats) -> Floats:
    """Quantiles of Student's t that leave the same tail as quantiles of the normal do.

    Wallace (1959), "Bounds on normal approximations to Student's and the chi-square distributions", Annals of
    Mathematical Statistics 30(4).
    """
    with np.errstate(over="ignore"):
        shrunk = normal * (8 * freedom + 3) / (8 * freedom + 1)
        return np.sqrt(freedom * np.expm1(shrunk**2 / freedom))


def split_e_value(first: int, second: int, share: float, concentration: float = 100.0) -> float:
    """Evidence that accounts are not split as asked; its chance of ever passing 1/rate by luck is below rate.

    Parameters
    ----------
    first, second
        Accounts on either side so far, each counted once, since it stays where it is.
    share
        What the first side should get.
    concentration
        How close to `share` a wrong split is expected: as close as so many accounts would show.

    Notes
    -----
    The Dirichlet mixture, here of two, of Lindon and Malek (2022), "Anytime-valid inference for multinomial count
    data", NeurIPS 35.
    """
    if not 0 < share < 1 or min(first, second) < 0 or not concentration > 0:
        raise SettingsError(
            f"a split of {first} and {second} accounts at share {share} cannot be tested; "
            "pass counts from 0 and a share within 0 and 1"
        )
    a, b = concentration * share, concentration * (1 - share)
    log_e = _log_beta(a + first, b + second) - _log_beta(a, b)
    log_e -= first * math.log(share) + second * math.log1p(-share)
    return math.exp(min(log_e, 700.0))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
