"""Whether probabilities of going viral come true: the share of posts that did, beside what was said of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from monitoring.decay import EFFECT_BIAS, LEAST_FACTOR
from monitoring.predictions import Role
from monitoring.sequential import Sides, Spread, radius
from monitoring.starts import Runs, Telling, difference, kept_runs, weigh
from training.evaluate import Interval, share_with_error


@dataclass(frozen=True)
class Calibration:
    """What came of probabilities, and whether as many posts went viral as was said.

    Attributes
    ----------
    measured
        Whether enough posts of enough accounts have matured to tell.
    broken
        Whether the share that went viral has left what was said by more than a quarter of that.
    since
        Monday of the week that the sequence started in which tells most clearly; None unless broken.
    posts, accounts
        What that sequence, or otherwise the latest one, rests on.
    promised, kept
        The mean probability there, and the share that went viral.
    lower, upper
        Ends of the sequence around `kept`.
    brier
        Mean squared error of all probabilities (Brier, 1950).
    gain
        The share that they save of the score of each version's base rate, with its 95 % interval over accounts.
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
    brier: float
    gain: Interval
    sentence: str

    def metrics(self) -> dict[str, float]:
        """Return what MLflow keeps of it under `production_...`."""
        found = {
            "brier": self.brier,
            "brier_gain": self.gain.value,
            "viral_share": self.kept,
            "probability": self.promised,
        }
        return {f"production_{name}": value for name, value in found.items() if math.isfinite(value)}


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
    brier, gain = _scores(matured, base_rates)
    runs = kept_runs(matured, at_s, min_posts, min_accounts)
    if runs is None or not runs.speaks.any():
        posts, accounts = (0, 0) if runs is None else (runs.posts_of(0), runs.accounts_of(0))
        silence = (
            f"It is too early to tell whether probabilities of going viral hold: {posts} posts of {accounts} accounts "
            f"have matured, and {min_posts} of {min_accounts} are needed"
        )
        unknown = (math.nan,) * 4
        return Calibration(False, False, None, posts, accounts, *unknown, brier, gain, silence)
    moved, spread = difference(runs.sums)
    with np.errstate(divide="ignore", invalid="ignore"):  # of weeks without posts, which do not speak
        said = runs.sums.promised.sum(axis=0) / runs.sums.posts.sum(axis=0)
        moved, spread = moved / said, Spread(spread.error / said, spread.freedom)
    width = radius(spread, effect=EFFECT_BIAS, rate=false_alarm_rate, sides=Sides.TWO)
    least = LEAST_FACTOR - 1
    found = weigh(runs, np.abs(moved), spread.error, np.abs(moved) - width, least, np.sign(moved))
    run = found.run
    promised = float(said[run])
    kept, lower, upper = (promised * max(0.0, 1 + float(moved[run] + step * width[run])) for step in (0, -1, 1))
    ends = (promised, kept, lower, min(upper, 1.0))
    since = runs.since[run] if found.alarm else None
    size = (runs.posts_of(run), runs.accounts_of(run))
    return Calibration(True, found.alarm, since, *size, *ends, brier, gain, _words(found, runs, ends, gain))


def _scores(matured: pl.DataFrame, base_rates: Mapping[str, float]) -> tuple[float, Interval]:
    """Return the Brier score, and what it saves of that of the base rate."""
    answered = matured.filter(pl.col("role") != str(Role.SHADOW)).with_columns(
        loss=(pl.col("truth") - pl.col("prediction")) ** 2
    )
    brier = float(answered["loss"].to_numpy().mean()) if answered.height else math.nan
    known = answered.filter(pl.col("sha256").is_in(list(base_rates)))
    if known.is_empty():
        return brier, Interval(math.nan, math.nan, math.nan)
    base = known["sha256"].replace_strict(dict(base_rates)).to_numpy()
    loss, of_base = known["loss"].to_numpy(), (known["truth"].to_numpy() - base) ** 2
    account = known["account_id"].rank("dense").to_numpy().astype(np.int64)
    share = float(1 - loss.mean() / of_base.mean())
    # The residual of a ratio of means: Cochran (1977), "Sampling Techniques", chapter 6.
    _, error = share_with_error(account, of_base - loss - share * of_base)
    half = 1.96 * error / float(of_base.mean())
    return brier, Interval(share, share - half, share + half)


def _words(found: Telling, runs: Runs, ends: tuple[float, float, float, float], gain: Interval) -> str:
    promised, kept, lower, upper = ends
    basis = f"{runs.posts_of(found.run)} posts of {runs.accounts_of(found.run)} accounts"
    measured = f"{kept:.1%} of them went viral where {promised:.1%} was said ({lower:.1%} to {upper:.1%}), on {basis}"
    if found.alarm:
        return (
            f"Probabilities of going viral have not held since about {runs.since[found.run]}: {measured}. Read them as "
            "an order, not as shares, and retrain, which fits them anew: clipcast run weekly."
        )
    saved = "" if math.isnan(gain.value) else f"; their squared error is {gain.value:.1%} below the base rate's"
    return f"Probabilities of going viral hold: {measured}{saved}. Nothing to do."
