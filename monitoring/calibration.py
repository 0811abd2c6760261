"""Whether probabilities of going viral come true: the share of posts that did, beside what was said of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from monitoring.predictions import Role
from monitoring.sequential import Sides, Spread, radius
from monitoring.starts import Runs, Telling, difference, kept_runs, weigh
from training.evaluate import Interval, share_with_error

EFFECT = 0.3
"""Changes of the share, as a part of it, that the sequences look for: they are narrowest where that much just shows."""

LEAST_CHANGE = 0.25
"""A change by a smaller part of the share is never called one: whole platforms swing by that."""


@dataclass(frozen=True)
class Scores:
    """How good probabilities were: the share that went viral, their mean, and their squared error.

    `brier` is the mean squared error (Brier, 1950), `gain` the share that they save of the score of each version's base
    rate, with its 95 % interval over accounts.
    """

    posts: int
    viral_share: float
    probability: float
    brier: float
    gain: Interval

    def metrics(self) -> dict[str, float]:
        """Return what MLflow keeps of it under `production_...`."""
        found = {
            "posts": float(self.posts),
            "viral_share": self.viral_share,
            "probability": self.probability,
            "brier": self.brier,
            "brier_gain": self.gain.value,
        }
        return {f"production_{name}": value for name, value in found.items() if math.isfinite(value)}


@dataclass(frozen=True)
class Calibration:
    """Whether as many posts went viral as was said.

    Attributes
    ----------
    measured
        Whether enough posts of enough accounts have matured to tell.
    broken
        Whether the share that went viral has left what was said by more than `LEAST_CHANGE`.
    since
        Monday of the week that the sequence started in which tells most clearly; None unless broken.
    posts, accounts
        What that sequence, or otherwise the latest one, rests on.
    promised, kept
        The mean probability there, and the share that went viral.
    lower, upper
        Ends of the sequence around `kept`.
    scores
        Of all of them, by the recipe that answers.
    """

    measured: bool
    broken: bool
    since: date | None
    posts: int
    accounts: int
    promised: float
    kept: float
    lower: float
    upper: float
    scores: Scores
    sentence: str


def find_calibration(
    matured: pl.DataFrame,
    base_rates: Mapping[str, float],
    *,
    at_s: int,
    false_alarm_rate: float,
    min_posts: int,
    min_accounts: int,
) -> Calibration:
    """Tell whether the share of posts that went viral is what was said of them.

    Parameters
    ----------
    matured
        Predictions of virality with their outcomes: ``truth`` is 1 where a post went viral, ``prediction`` the
        probability.
    base_rates
        The share of viral posts that each version learned from, by its hash; posts of others say nothing of the gain.
    at_s
        The moment of the look, in seconds since 1970 UTC.
    false_alarm_rate
        Probability, for each week as a start, that the sequence ever leaves out the true share.
    min_posts, min_accounts
        Fewer say nothing yet.
    """
    scores = scores_of(matured, base_rates)
    runs = kept_runs(matured, at_s, min_posts, min_accounts)
    if runs is None or not runs.speaks.any():
        posts, accounts = (0, 0) if runs is None else (runs.posts_of(0), runs.accounts_of(0))
        silence = (
            f"It is too early to tell whether probabilities of going viral hold: {posts} posts of {accounts} accounts "
            f"have matured; it takes {min_posts} of {min_accounts} accounts"
        )
        unknown = (math.nan,) * 4
        return Calibration(False, False, None, posts, accounts, *unknown, scores, silence)
    moved, spread = difference(runs.sums)
    with np.errstate(divide="ignore", invalid="ignore"):  # of weeks without posts, which do not speak
        said = runs.sums.promised.sum(axis=0) / runs.sums.posts.sum(axis=0)
        moved, spread = moved / said, Spread(spread.error / said, spread.freedom)
    width = radius(spread, effect=EFFECT, rate=false_alarm_rate, sides=Sides.TWO)
    found = weigh(runs, np.abs(moved), spread.error, np.abs(moved) - width, LEAST_CHANGE, np.sign(moved))
    run = found.run
    promised = float(said[run])
    kept, lower, upper = (promised * max(0.0, 1 + float(moved[run] + step * width[run])) for step in (0, -1, 1))
    ends = (promised, kept, lower, min(upper, 1.0))
    since = runs.since[run] if found.alarm else None
    size = (runs.posts_of(run), runs.accounts_of(run))
    return Calibration(True, found.alarm, since, *size, *ends, scores, _words(found, runs, ends, scores.gain))


def scores_of(matured: pl.DataFrame, base_rates: Mapping[str, float]) -> Scores:
    """Score probabilities that people saw; the parameters are those of `find_calibration`."""
    answered = matured.filter(pl.col("role") != str(Role.SHADOW))
    truth, chance = answered["truth"].to_numpy(), answered["prediction"].to_numpy()
    if not len(truth):
        return Scores(0, math.nan, math.nan, math.nan, Interval(math.nan, math.nan, math.nan))
    loss = (truth - chance) ** 2
    gain = _gain(answered.with_columns(loss=loss), base_rates)
    return Scores(len(truth), float(truth.mean()), float(chance.mean()), float(loss.mean()), gain)


def _gain(answered: pl.DataFrame, base_rates: Mapping[str, float]) -> Interval:
    known = answered.filter(pl.col("sha256").is_in(list(base_rates)))
    if known.is_empty():
        return Interval(math.nan, math.nan, math.nan)
    base = known["sha256"].replace_strict(dict(base_rates)).to_numpy()
    loss, of_base = known["loss"].to_numpy(), (known["truth"].to_numpy() - base) ** 2
    account = known["account_id"].rank("dense").to_numpy().astype(np.int64)
    share = float(1 - loss.mean() / of_base.mean())
    # The residual of a ratio of means: Cochran (1977), "Sampling Techniques", chapter 6.
    _, error = share_with_error(account, of_base - loss - share * of_base)
    half = 1.96 * error / float(of_base.mean())
    return Interval(share, share - half, share + half)


def _words(found: Telling, runs: Runs, ends: tuple[float, float, float, float], gain: Interval) -> str:
    promised, kept, lower, upper = ends
    basis = f"{runs.posts_of(found.run)} posts of {runs.accounts_of(found.run)} accounts"
    measured = (
        f"{kept:.1%} of the posts went viral where {promised:.1%} was said ({lower:.1%} to {upper:.1%}), on {basis}"
    )
    if found.alarm:
        return (
            f"Probabilities of going viral are off since about {runs.since[found.run]}: {measured}. Read them as "
            "an order, not as shares, until they are fitted anew: clipcast run weekly."
        )
    side = "below" if gain.value >= 0 else "above"
    saved = "" if math.isnan(gain.value) else f"; their squared error is {abs(gain.value):.1%} {side} the base rate's"
    return f"Probabilities of going viral are not shown to be off: {measured}{saved}. Nothing to do."
