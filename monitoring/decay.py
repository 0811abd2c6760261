"""Has a model become worse than its holdout promised: in its error, to one side, or in how often its interval holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from monitoring.sequential import Sides, radius
from monitoring.starts import Judged, Outcome, Runs, Telling, difference, judge, log_ratio, weekly_runs, weigh

EFFECT_RATIO = 0.2
"""Changes of the log of the error that the sequences look for: they are narrowest where that much just shows."""

EFFECT_BIAS = 0.3
"""The same for a shift of the outcomes, in log1p of the count."""

EFFECT_COVERAGE = 0.1
"""The same for the share of posts inside their interval."""

LEAST_FACTOR = 1.25
"""A shift by less is never called one: whole platforms swing by a tenth from week to week, in all accounts at once,
which errors clustered by account cannot know."""

ALIKE = 0.9
"""Where more than this share of the accounts moved to one side, how the count is made is suspected."""

_ALIKE_POSTS, _ALIKE_ACCOUNTS = 3, 10
_LARGEST = 700.0  # of which a float can be the exponential


@dataclass(frozen=True)
class Decay:
    """Whether the error has risen above what the holdouts promised.

    Attributes
    ----------
    measured
        Whether any sequence rests on enough posts and accounts to speak.
    since
        Monday of the week that the sequence started in which tells most clearly; None without decay.
    posts, accounts, error
        What that sequence, or without decay the latest one, rests on, and its mean absolute error in log1p.
    promised
        Mean absolute error of the holdouts for the same versions and accounts.
    ratio, lower
        `error` over `promised`, and the lower end of its sequence.
    """

    measured: bool
    decayed: bool
    since: date | None
    posts: int
    accounts: int
    error: float
    promised: float
    ratio: float
    lower: float
    sentence: str


@dataclass(frozen=True)
class Bias:
    """Whether outcomes have moved to one side of their forecasts, compared with the holdouts.

    `factor` is how many times outcomes are what forecasts and holdout would lead to expect, `lower` and `upper` the
    ends of its sequence, `alike` the share of the accounts that moved to the same side (nan where too few can tell),
    and `redefined` whether so many did that the metric may be counted otherwise.
    """

    measured: bool
    moved: bool
    since: date | None
    posts: int
    accounts: int
    factor: float
    lower: float
    upper: float
    alike: float
    redefined: bool
    sentence: str


@dataclass(frozen=True)
class Coverage:
    """Whether fewer outcomes fall inside their interval than in the holdouts; `upper` is the sequence's upper end."""

    measured: bool
    fallen: bool
    since: date | None
    posts: int
    accounts: int
    coverage: float
    promised: float
    upper: float
    sentence: str


def find_decay(
    matured: pl.DataFrame,
    holdouts: Mapping[str, pl.DataFrame],
    *,
    at_s: int,
    false_alarm_rate: float,
    tolerance: float,
    min_posts: int,
    min_accounts: int,
) -> Decay:
    """Tell whether the mean absolute error has risen by more than `tolerance`, a share of what the holdouts promised.

    Parameters
    ----------
    matured
        Predictions with their outcomes, of one model; a shadow's do not count.
    holdouts
        Rows judged out of sample, by the hash of the version that they promise for.
    at_s
        Outcomes known later than this, in seconds since 1970, do not count.
    false_alarm_rate
        Probability that a sequence ever alarms though nothing rose; one starts each week.
    min_posts, min_accounts
        A sequence that rests on fewer does not speak yet, and a holdout of fewer accounts promises nothing.
    """
    erring = {sha256: rows for sha256, rows in holdouts.items() if _absolute_error(rows).sum() > 0}
    judged = judge(matured, erring, at_s, min_accounts)
    runs = weekly_runs(judged, _absolute_error, True, min_posts, min_accounts)
    if runs is None or not runs.speaks.any():
        silence = _silence("the error has risen", judged, runs, min_posts, min_accounts)
        return Decay(False, False, None, *_size(runs), math.nan, math.nan, math.nan, math.nan, silence)
    moved, spread = log_ratio(runs.sums)
    low = moved - radius(spread, effect=EFFECT_RATIO, rate=false_alarm_rate, sides=Sides.ONE)
    found = weigh(runs, moved, spread.error, low, math.log1p(tolerance))
    error = _mean(judged, runs, found.run, _absolute_error)
    ratio, lower = math.exp(moved[found.run]), math.exp(low[found.run])
    numbers = (error, error / ratio if ratio else math.nan, ratio, lower)
    sentence = _decay_words(found, runs, numbers, math.exp(moved[found.recent])) + _unjudged(judged)
    return Decay(True, found.alarm, _since(runs, found), *_size(runs, found.run), *numbers, sentence)


def find_bias(
    matured: pl.DataFrame,
    holdouts: Mapping[str, pl.DataFrame],
    *,
    at_s: int,
    false_alarm_rate: float,
    tolerance: float,
    min_posts: int,
    min_accounts: int,
) -> Bias:
    """Tell whether outcomes have moved to one side of their forecasts by more than `tolerance`, a share of the count.

    The parameters are those of `find_decay`; a tolerance below that of `LEAST_FACTOR` counts as that. The
    mean error with its sign is held against the holdout's, in log1p.
    """
    judged = judge(matured, holdouts, at_s, min_accounts)
    runs = weekly_runs(judged, _signed_error, False, min_posts, min_accounts)
    if runs is None or not runs.speaks.any():
        silence = _silence("outcomes have moved to one side", judged, runs, min_posts, min_accounts)
        return Bias(False, False, None, *_size(runs), math.nan, math.nan, math.nan, math.nan, False, silence)
    moved, spread = difference(runs.sums)
    width = radius(spread, effect=EFFECT_BIAS, rate=false_alarm_rate, sides=Sides.TWO)
    found = weigh(runs, np.abs(moved), spread.error, np.abs(moved) - width, bias_threshold(tolerance), np.sign(moved))
    shift, half = float(moved[found.run]), float(width[found.run])
    alike = _alike(runs, found.run, shift)
    ends = (math.exp(shift), math.exp(shift - half), math.exp(min(shift + half, _LARGEST)))
    redefined = found.alarm and alike > ALIKE
    sentence = _bias_words(found, runs, ends, alike, redefined) + _unjudged(judged)
    return Bias(True, found.alarm, _since(runs, found), *_size(runs, found.run), *ends, alike, redefined, sentence)


def find_coverage(
    matured: pl.DataFrame,
    holdouts: Mapping[str, pl.DataFrame],
    *,
    at_s: int,
    false_alarm_rate: float,
    tolerance: float,
    min_posts: int,
    min_accounts: int,
) -> Coverage:
    """Tell whether the share of outcomes inside their interval is more than `tolerance` below the holdouts' share.

    The parameters are those of `find_decay`; posts and holdout rows without an interval do not count.
    """
    has_interval = pl.col("lower").is_finite() & pl.col("upper").is_finite()
    known = {sha256: rows.filter(has_interval) for sha256, rows in holdouts.items()}
    judged = judge(matured.filter(has_interval), known, at_s, min_accounts)
    runs = weekly_runs(judged, _inside, False, min_posts, min_accounts)
    if runs is None or not runs.speaks.any():
        silence = _silence("intervals hold less often", judged, runs, min_posts, min_accounts)
        return Coverage(False, False, None, *_size(runs), math.nan, math.nan, math.nan, silence)
    moved, spread = difference(runs.sums)
    width = radius(spread, effect=EFFECT_COVERAGE, rate=false_alarm_rate, sides=Sides.ONE)
    found = weigh(runs, -moved, spread.error, -moved - width, tolerance)
    run = found.run
    coverage = _mean(judged, runs, run, _inside)
    numbers = (coverage, coverage - float(moved[run]), min(1.0, coverage + float(width[run])))
    sentence = _coverage_words(found, runs, numbers) + _unjudged(judged)
    return Coverage(True, found.alarm, _since(runs, found), *_size(runs, run), *numbers, sentence)


def bias_threshold(tolerance: float) -> float:
    """Return the smallest shift in log1p of the count that is called one."""
    return math.log(max(1 + tolerance, LEAST_FACTOR))


def _absolute_error(rows: pl.DataFrame) -> pl.Series:
    return (rows["truth"] - rows["prediction"]).abs()


def _signed_error(rows: pl.DataFrame) -> pl.Series:
    return rows["truth"] - rows["prediction"]


def _inside(rows: pl.DataFrame) -> pl.Series:
    return ((rows["lower"] <= rows["truth"]) & (rows["truth"] <= rows["upper"])).cast(pl.Float64)


def _mean(judged: Judged, runs: Runs, run: int, outcome: Outcome) -> float:
    """Mean of an outcome over the posts of one sequence, in its own unit."""
    first_week = judged.last_week - len(runs.since) + 1 + run
    return float(outcome(judged.posts.filter(pl.col("week") >= first_week)).to_numpy().mean())


def _alike(runs: Runs, run: int, shift: float) -> float:
    """Share of the accounts with a few posts whose own mean moved to the side of the whole; nan for few accounts."""
    posts = runs.sums.posts[:, run]
    enough = posts >= _ALIKE_POSTS
    if enough.sum() < _ALIKE_ACCOUNTS:
        return math.nan
    moved = (runs.sums.values - runs.sums.promised)[enough, run]
    return float((np.sign(moved) == np.sign(shift)).mean())


def _size(runs: Runs | None, run: int = 0) -> tuple[int, int]:
    return (0, 0) if runs is None else (runs.posts_of(run), runs.accounts_of(run))


def _since(runs: Runs, found: Telling) -> date | None:
    return runs.since[found.run] if found.alarm else None


def _count(runs: Runs, run: int) -> str:
    posts, accounts = _size(runs, run)
    return f"{posts} posts of {accounts} accounts"


def _basis(runs: Runs, run: int) -> str:
    return f"{_count(runs, run)} since {runs.since[run]}"


def _silence(what: str, judged: Judged, runs: Runs | None, min_posts: int, min_accounts: int) -> str:
    if runs is None and judged.unjudged:
        return (
            f"Nobody can tell whether {what}: the {judged.unjudged} matured posts were answered by versions without "
            f"a baseline of at least {min_accounts} accounts. The next version that is trained brings one: "
            "clipcast run weekly."
        )
    found = "no post has matured" if runs is None else _basis(runs, 0)
    return (
        f"It is too early to tell whether {what}: {found}, and {min_posts} posts of {min_accounts} accounts are "
        f"needed. Wait for more posts to mature.{_unjudged(judged)}"
    )


def _unjudged(judged: Judged) -> str:
    if not judged.unjudged or judged.posts.is_empty():
        return ""
    return f" {judged.unjudged} posts of versions without a usable baseline are left out."


def _decay_words(found: Telling, runs: Runs, numbers: tuple[float, float, float, float], recent: float) -> str:
    error, promised, ratio, lower = numbers
    off = f"{error:.2f} in log (a factor of {math.exp(error):.1f})"
    measured = f"{off} where {promised:.2f} was promised, {ratio:.2f} times as much"
    if found.alarm:
        return (
            f"The error has risen since about {runs.since[found.run]}: {measured} (at least {lower:.2f} times), on "
            f"{_count(runs, found.run)}; in the latest posts it is {recent:.2f} times. Posts may have become harder "
            "to forecast, or what the model learned no longer holds. See the drift report for what changed, then "
            "retrain: clipcast run weekly."
        )
    if found.ended:
        return f"The error had risen and is back: {measured}, on {_basis(runs, found.run)}. Nothing to do but watch."
    return f"The error is not shown to have risen: {measured}, on {_basis(runs, found.run)}. Nothing to do."


def _bias_words(found: Telling, runs: Runs, ends: tuple[float, float, float], alike: float, redefined: bool) -> str:
    factor, lower, upper = ends
    measured = f"outcomes are {factor:.2f} times what forecasts and holdout lead to expect ({lower:.3g} to {upper:.3g})"
    basis = _basis(runs, found.run)
    if not found.alarm:
        start = "Outcomes had moved and are back" if found.ended else "No lasting shift is shown"
        return f"{start}: {measured}, on {basis}. Nothing to do but watch."
    start = (
        f"Forecasts are off to one side since about {runs.since[found.run]}: {measured}, on {_count(runs, found.run)}."
    )
    if redefined:
        return (
            f"{start} {alike:.0%} of the accounts moved alike, so the platform may count otherwise than before: check "
            "its announcements, and how the posts were collected, before anything is trained on the new counts."
        )
    share = "" if math.isnan(alike) else f" {alike:.0%} of the accounts moved alike."
    return (
        f"{start}{share} Reach may have changed for some of the accounts. See the slices for which, then retrain: "
        "clipcast run weekly."
    )


def _coverage_words(found: Telling, runs: Runs, numbers: tuple[float, float, float]) -> str:
    coverage, promised, upper = numbers
    measured = f"{coverage:.0%} of the outcomes were inside their interval where {promised:.0%} was promised"
    basis = _basis(runs, found.run)
    if found.alarm:
        return (
            f"Intervals are too narrow since about {runs.since[found.run]}: {measured} (at most {upper:.0%}), on "
            f"{_count(runs, found.run)}. Forecasts are surer of themselves than they should be: trust their ranges "
            "less, and retrain, which fits the intervals anew: clipcast run weekly."
        )
    start = "Intervals held too seldom and hold again" if found.ended else "Intervals hold"
    return f"{start}: {measured}, on {basis}. Nothing to do but watch."
