"""An account's own audience: what its past outcomes say of hours of the day and weekdays.

A linear mixed model (Laird & Ware, 1982, "Random-effects models for longitudinal data"): an outcome is the level of its
spell of posts, an effect of its block of local hours, one of its weekday, the luck of its day, and chance. Effects and
luck are drawn around 0 with variances that all accounts share, set by their marginal likelihood (empirical Bayes), so
that an account of few posts is told little of its own hours and one of many more.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from features.columns import Floats, Ints
from features.events import DAY_S, LONG_WINDOW

BLOCK_HOURS = 4
"""Local hours that are taken together."""

BLOCKS, WEEKDAYS = 24 // BLOCK_HOURS, 7
EFFECTS = BLOCKS + WEEKDAYS

SPELL = 20
"""Posts over which an account's level is taken to stand still."""

LEAST_POSTS = 10
"""Outcomes of an account, fewer of which say nothing of its hours."""

MOST_ACCOUNTS = 200
"""Accounts, evenly spaced, by which it is measured how far they differ."""

SPREADS = (0.0, 0.03, 0.06, 0.1, 0.15, 0.22, 0.32, 0.46, 0.66)
"""Standard deviations of effects that are held against one another, in logs."""

EXPECTED_SPREAD = 0.1
"""How far effects are believed to spread before anything was measured: hours move most accounts by less than 20 %."""

LUCKS = (0.0, 0.15, 0.3, 0.5, 0.75)
"""Correlations of the posts of one day that are held against one another."""

NOISE_POSTS = 10.0
"""How many posts all accounts' noise counts for beside an account's own."""

_OUTLIERS = 3.0
_ROBUST = 1.4826  # the median absolute deviation of a normal variable, as a share of its standard one
_SPARE = 1e-9
_DIGITS = 4


@dataclass(frozen=True)
class Spread:
    """What accounts share.

    Attributes
    ----------
    hours, weekdays, noise
        Standard deviations, in logs: of the effects of hours and weekdays between accounts, and of chance.
    luck
        Correlation of the chances of posts of one day.
    accounts
        How many it was measured on.
    """

    hours: float = EXPECTED_SPREAD
    weekdays: float = EXPECTED_SPREAD
    noise: float = 1.0
    luck: float = 0.2
    accounts: int = 0

    @property
    def variances(self) -> Floats:
        """The variance of each effect."""
        return np.repeat([self.hours**2, self.weekdays**2], [BLOCKS, WEEKDAYS])


@dataclass(frozen=True, eq=False)
class Evidence:
    """What outcomes say of the columns of a design, weighed by the luck of days.

    Attributes
    ----------
    products, answers
        Of the columns with one another, and with the outcomes.
    squares, freedom
        The weighed squares of the outcomes, and their degrees of freedom.
    volume
        Log determinant of luck and levels, by which the likelihood of one luck is held against that of another.
    """

    products: Floats
    answers: Floats
    squares: float
    freedom: int
    volume: float

    def noise(self, spread: Spread) -> float:
        """Return the variance of chance: the account's own, pulled towards that of all."""
        return (self.squares + NOISE_POSTS * spread.noise**2) / (self.freedom + NOISE_POSTS)


def effects_of(local_s: Ints) -> Floats:
    """Return which effects bear on posts of some local times: 0 or 1, shape (posts, effects)."""
    block = local_s % DAY_S // (3600 * BLOCK_HOURS)
    weekday = (local_s // DAY_S + 3) % WEEKDAYS  # the first of January 1970 was a Thursday
    return np.concatenate([np.eye(BLOCKS)[block], np.eye(WEEKDAYS)[weekday]], axis=1)


def evidence_of(local_s: Ints, outcome: Floats, design: Floats, luck: float) -> Evidence | None:
    """Weigh an account's outcomes, in order of publication, against a design; None where they are too few.

    Generalised least squares, levels of spells taken out. Outcomes far out are first pulled in to three robust
    deviations from their spell's mean.
    """
    days, day = np.unique(local_s // DAY_S, return_inverse=True)
    spells = max(1, len(outcome) // SPELL)
    freedom = len(outcome) - spells
    if len(outcome) < LEAST_POSTS or len(days) <= spells:
        return None
    of_day, of_spell = np.eye(len(days))[day], np.eye(spells)[np.arange(len(outcome)) * spells // len(outcome)]
    level = of_spell @ ((of_spell.T @ outcome) / of_spell.sum(axis=0))
    most = max(_OUTLIERS * _ROBUST * float(np.median(np.abs(outcome - level))), _SPARE)
    outcome = np.clip(outcome - level, -most, most)
    posts = of_day.sum(axis=0)
    whole = 1 - luck + luck * posts
    precision = (np.eye(len(outcome)) - of_day @ (of_day * (luck / whole)).T) / (1 - luck)
    known = precision @ of_spell
    inner = of_spell.T @ known
    precision = precision - known @ np.linalg.solve(inner, known.T)
    weighed = design.T @ precision
    return Evidence(
        products=weighed @ design,
        answers=weighed @ outcome,
        squares=float(outcome @ precision @ outcome),
        freedom=freedom,
        volume=float((np.log(whole) + (posts - 1) * np.log(1 - luck)).sum() + np.linalg.slogdet(inner)[1]),
    )


def measure_spread(local_s: Ints, outcome: Floats, account: Sequence[Hashable]) -> Spread:
    """Measure how far accounts differ in their own hours and weekdays, and how large luck and chance are.

    The luck is the likeliest of `LUCKS` if hours mean nothing. `SPREADS` are weighed by their marginal likelihood and
    by what is believed beforehand, a half-Cauchy distribution around `EXPECTED_SPREAD`; the answer is the mean of the
    variances.
    """
    owned = _owned(local_s, account)
    by_luck = [
        [evidence_of(local_s[rows], outcome[rows], effects_of(local_s[rows]), luck) for rows in owned] for luck in LUCKS
    ]
    known = [[each for each in found if each is not None and each.squares > _SPARE] for found in by_luck]
    if not known[0]:
        return Spread()
    fit = [sum(-each.volume - each.freedom * np.log(each.squares) for each in found) for found in known]
    # Where nobody posts twice a day all are equally likely, and the first, no luck, is to win whatever the rounding.
    best = int(np.argmax(np.round(fit, _DIGITS)))
    found = known[best]
    chance = sum(each.squares for each in found) / sum(each.freedom for each in found)
    pooled = Spread(noise=float(np.sqrt(chance)))
    scale = np.array([each.noise(pooled) for each in found])
    products = np.array([each.products for each in found]) / scale[:, None, None]
    answers = np.array([each.answers for each in found]) / scale[:, None]
    pairs = np.array([*product(SPREADS, SPREADS)])
    likelihood = np.array([_likelihood(Spread(*pair).variances, products, answers) for pair in pairs])
    belief = np.gradient(SPREADS) / (1 + np.square(SPREADS) / EXPECTED_SPREAD**2)
    share = np.exp(likelihood - likelihood.max()) * np.outer(belief, belief).ravel()
    hours, weekdays = np.sqrt(share @ np.square(pairs) / share.sum()).round(_DIGITS).tolist()
    return Spread(hours, weekdays, round(pooled.noise, _DIGITS), LUCKS[best], len(found))


def _owned(local_s: Ints, account: Sequence[Hashable]) -> list[Ints]:
    """Return the rows of an account's latest posts in order, for some of the accounts that post enough."""
    codes = {name: code for code, name in enumerate(dict.fromkeys(account))}
    code = np.array([codes[name] for name in account])
    order = np.lexsort((local_s, code))
    owned = np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
    owned = [rows[-LONG_WINDOW:] for rows in owned if len(rows) >= 2 * LEAST_POSTS]
    some = np.linspace(0, len(owned) - 1, min(len(owned), MOST_ACCOUNTS)).round().astype(np.int64)
    return [owned[each] for each in some]


def _likelihood(variances: Floats, products: Floats, answers: Floats) -> float:
    """Return the log marginal likelihood of effects of some variances over all accounts, up to a constant."""
    root = np.sqrt(variances)
    precision = np.eye(len(root)) + root[:, None] * products * root
    pulled = answers * root
    solved = np.linalg.solve(precision, pulled[:, :, None])[:, :, 0]
    return float(0.5 * (pulled * solved).sum() - 0.5 * np.linalg.slogdet(precision)[1].sum())
