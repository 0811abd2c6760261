"""The challenger against the champion on posts that have matured, with an answer that may be looked at every day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from monitoring.log import Role
from monitoring.sequential import Floats, Sides, Spread, cluster_spread, radius, split_e_value
from registry.gate import Design

EFFECT = 0.05
"""The gain that the sequence looks for: it is narrowest where so much just shows."""

Verdict = Literal["challenger better", "champion better", "equal within the margin", "undecided"]

Ints = NDArray[np.int64]

_LARGEST = 700.0  # of which a float can be the exponential


@dataclass(frozen=True)
class Comparison:
    """What the challenger's forecasts save of the champion's error, and what follows.

    `design` is shadow, where both forecast the same posts, or split, where each had accounts of its own. `gain` is
    a share of the champion's mean absolute error in log1p, `lower` and `upper` the ends of its sequence; the three are
    nan where nothing can be said yet.
    """

    champion_version: int
    challenger_version: int
    design: Design
    posts: int
    accounts: int
    gain: float
    lower: float
    upper: float
    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class ErrorSums:
    """Sums by account (rows) over one or more looks (columns): absolute errors of both sides, and their posts.

    Where both forecast the same posts their numbers are equal; where each has accounts of its own, one of them is 0.
    """

    champion: Floats
    champion_posts: Floats
    challenger: Floats
    challenger_posts: Floats

    @property
    def accounts(self) -> Floats:
        """How many accounts have posts, by column."""
        return np.asarray(np.count_nonzero(self.champion_posts + self.challenger_posts, axis=0), np.float64)


@dataclass(frozen=True)
class SplitCheck:
    """Whether the accounts are split as asked: `e_value` is the evidence that they are not."""

    e_value: float
    mismatch: bool
    sentence: str


def compare_shadow(
    matured: pl.DataFrame,
    *,
    false_alarm_rate: float,
    min_gain: float,
    min_posts: int,
    min_accounts: int,
    pair: tuple[int, int] | None = None,
) -> Comparison | None:
    """Compare on posts that the champion answered while the challenger was asked in its shadow, post by post.

    Parameters
    ----------
    matured
        Predictions with their outcomes, of one model.
    false_alarm_rate
        Probability that the sequence ever leaves out the true gain, however often it is looked at.
    min_gain
        The margin: a gain must lie above it, or below its negative, to be one.
    min_posts, min_accounts
        Fewer say nothing yet.
    pair
        Versions of champion and challenger; by default the pair whose outcomes began to be known last.

    Returns
    -------
    Comparison | None
        None where no post was forecast by both.
    """
    beside = _errors(matured, Role.CHAMPION).join(
        _errors(matured, Role.SHADOW).drop("known_s"), on=["account_id", "post_id"], suffix="_challenger"
    )
    if pair is None and not beside.is_empty():
        begun = beside.group_by("version", "version_challenger").agg(pl.col("known_s").min())
        newest = begun.sort("known_s", "version_challenger", "version").row(-1, named=True)
        pair = newest["version"], newest["version_challenger"]
    rows = beside if pair is None else beside.filter(version=pair[0], version_challenger=pair[1])
    if pair is None or rows.is_empty():
        return None
    account, accounts = _codes(rows["account_id"])
    posts = _column(account, np.ones(rows.height), accounts)
    before, after = (_column(account, rows[name].to_numpy(), accounts) for name in ("error", "error_challenger"))
    moved, spread = log_ratio_of_errors(ErrorSums(before, posts, after, posts))
    enough = rows.height >= min_posts and accounts >= min_accounts
    found = _Estimate(pair, Design.SHADOW, rows.height, accounts, float(moved[0]), spread, enough)
    return _judge(found, false_alarm_rate, min_gain, f"{min_posts} posts of {min_accounts} accounts")


def compare_split(
    matured: pl.DataFrame,
    *,
    false_alarm_rate: float,
    min_gain: float,
    min_posts: int,
    min_accounts: int,
    pair: tuple[int, int] | None = None,
) -> Comparison | None:
    """Compare posts of accounts that the champion answers with posts of accounts that the challenger answers.

    The parameters are those of `compare_shadow`; each side needs `min_posts` and `min_accounts`. Outcomes count that
    became known while both versions had some. Where the anchor of every post is known, luck in who got which account
    is taken out by how far off the anchor is on either side, which no version moves (Deng, Xu, Kohavi and Walker
    2013, "Improving the sensitivity of online controlled experiments by utilizing pre-experiment data", WSDM).
    """
    champion, challenger = _errors(matured, Role.CHAMPION), _errors(matured, Role.CHALLENGER)
    found = _together(champion, challenger, pair)
    if found is None:
        return None
    pair, first_s, last_s = found
    known = pl.col("known_s").is_between(first_s, last_s)
    sides = [side.filter(known, version=version) for side, version in zip((champion, challenger), pair, strict=True)]
    rows = pl.concat(side.with_columns(side=pl.lit(number)) for number, side in enumerate(sides))
    account, accounts = _codes(rows["side"].cast(pl.String) + rows["account_id"])
    on_second = rows["side"].to_numpy() == 1
    errors = _split_sums(account, rows["error"].to_numpy(), on_second, accounts)
    anchors = None
    if rows["anchor_error"].fill_null(math.nan).is_finite().all():
        anchors = _split_sums(account, rows["anchor_error"].to_numpy(), on_second, accounts)
    moved, spread = log_ratio_of_errors(errors, anchors)
    enough = all(side.height >= min_posts and side["account_id"].n_unique() >= min_accounts for side in sides)
    estimate = _Estimate(pair, Design.SPLIT, rows.height, accounts, float(moved[0]), spread, enough)
    return _judge(estimate, false_alarm_rate, min_gain, f"{min_posts} posts of {min_accounts} accounts on either side")


def find_split_mismatch(
    champion_accounts: int, challenger_accounts: int, share: float, false_alarm_rate: float
) -> SplitCheck:
    """Tell whether the challenger gets the share of the accounts that it should; the test may be repeated daily.

    Accounts are counted once each: they are drawn once and stay, while their posts say nothing about the draw.
    """
    e_value = split_e_value(challenger_accounts, champion_accounts, share)
    total = champion_accounts + challenger_accounts
    if not total:
        return SplitCheck(e_value, False, "No account is in the split yet. Wait for posts to be asked about.")
    got = f"{challenger_accounts} of {total} accounts ({challenger_accounts / total:.1%}) where {share:.1%} was asked"
    if e_value >= 1 / false_alarm_rate:
        return SplitCheck(
            e_value,
            True,
            f"The split between champion and challenger is broken: the challenger got {got}, which luck does not "
            f"explain (evidence {e_value:.3g} to 1). Compare nothing on it: look for accounts that are logged on one "
            "side only, then start the split anew.",
        )
    return SplitCheck(e_value, False, f"The split is as asked as far as one can tell: the challenger got {got}.")


def log_ratio_of_errors(sums: ErrorSums, anchors: ErrorSums | None = None) -> tuple[Floats, Spread]:
    """Log of the challenger's mean absolute error over the champion's by column, and how uncertain that is.

    `anchors` holds the same sums of the anchor's errors; the difference between the sides that they foretell is taken
    off.
    """
    moved, residual = _linearised(sums)
    if anchors is not None:
        luck, foretold = _linearised(anchors)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.nan_to_num((residual * foretold).sum(axis=0) / (foretold**2).sum(axis=0))
        moved, residual = moved - slope * luck, residual - slope * foretold
    return moved, cluster_spread(residual, sums.accounts)


def _linearised(sums: ErrorSums) -> tuple[Floats, Floats]:
    """Return the log ratio of the means, and what each account moves it by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        before, before_posts, after, after_posts = (
            part.sum(axis=0) for part in (sums.champion, sums.champion_posts, sums.challenger, sums.challenger_posts)
        )
        moved = np.log((after / after_posts) / (before / before_posts))
        residual = sums.challenger / after - sums.challenger_posts / after_posts
        return moved, residual - sums.champion / before + sums.champion_posts / before_posts


@dataclass(frozen=True)
class _Estimate:
    pair: tuple[int, int]
    design: Design
    posts: int
    accounts: int
    moved: float
    spread: Spread
    enough: bool


def _judge(found: _Estimate, rate: float, min_gain: float, needed: str) -> Comparison:
    """Turn an estimate into a verdict and its sentence."""
    basis = f"{found.posts} posts of {found.accounts} accounts"
    versions = f"Challenger version {found.pair[1]} against champion version {found.pair[0]} ({found.design})"
    size = (*found.pair, found.design, found.posts, found.accounts)
    if not found.enough or not math.isfinite(found.moved):
        words = f"{versions}: undecided, {basis} so far, and {needed} are needed. Wait for more posts to mature."
        return Comparison(*size, math.nan, math.nan, math.nan, "undecided", words)
    half = float(radius(found.spread, effect=EFFECT, rate=rate, sides=Sides.TWO)[0])
    gain, lower, upper = (-math.expm1(min(found.moved + step, _LARGEST)) for step in (0.0, half, -half))
    verdict = _verdict(lower, upper, min_gain)
    words = (
        f"{versions}: {verdict}. The gain is {gain:.1%} of the champion's error ({lower:.1%} to {upper:.1%}), "
        f"on {basis}. {_NEXT[verdict]}"
    )
    return Comparison(*size, gain, lower, upper, verdict, words)


def _verdict(lower: float, upper: float, min_gain: float) -> Verdict:
    if lower > min_gain:
        return "challenger better"
    if upper < -min_gain:
        return "champion better"
    return "equal within the margin" if -min_gain < lower and upper < min_gain else "undecided"


_NEXT: dict[Verdict, str] = {
    "challenger better": "Stop here: the evidence is enough to bring the challenger before the gate.",
    "champion better": "Stop here: take the challenger out and keep the champion.",
    "equal within the margin": "Stop here: keep the champion, nothing is gained by a change.",
    "undecided": "Go on: looking again tomorrow costs nothing.",
}


def _errors(matured: pl.DataFrame, role: Role) -> pl.DataFrame:
    """Return the absolute errors of one role, a post once for each version."""
    rows = (
        matured.filter(role=str(role))
        .sort("known_s")
        .unique(["version", "account_id", "post_id"], keep="last", maintain_order=True)
    )
    return rows.select(
        "version",
        "account_id",
        "post_id",
        "known_s",
        error=(pl.col("truth") - pl.col("prediction")).abs(),
        anchor_error=(pl.col("truth") - pl.col("anchor")).abs(),
    )


def _together(
    champion: pl.DataFrame, challenger: pl.DataFrame, pair: tuple[int, int] | None
) -> tuple[tuple[int, int], int, int] | None:
    """Return the newest pair of versions with outcomes in the same time, and the first and last second of that."""
    first, last = pl.col("known_s").min().alias("first"), pl.col("known_s").max().alias("last")
    times = champion.group_by("version").agg(first, last)
    both = times.join(challenger.group_by("version").agg(first, last), how="cross", suffix="_challenger").select(
        pl.col("version", "version_challenger"),
        first=pl.max_horizontal("first", "first_challenger"),
        last=pl.min_horizontal("last", "last_challenger"),
    )
    both = both.filter(pl.col("first") <= pl.col("last"), pl.col("version") != pl.col("version_challenger"))
    if pair is not None:
        both = both.filter(version=pair[0], version_challenger=pair[1])
    if both.is_empty():
        return None
    newest = both.sort("first", "version_challenger", "version").row(-1, named=True)
    return (newest["version"], newest["version_challenger"]), newest["first"], newest["last"]


def _codes(accounts: pl.Series) -> tuple[Ints, int]:
    code = accounts.rank("dense").to_numpy().astype(np.int64) - 1
    return code, int(code.max()) + 1


def _column(account: Ints, values: Floats, accounts: int) -> Floats:
    return np.bincount(account, values, accounts).astype(np.float64)[:, None]


def _split_sums(account: Ints, error: Floats, on_second: NDArray[np.bool_], accounts: int) -> ErrorSums:
    second = on_second.astype(np.float64)
    parts = (error * (1 - second), 1 - second, error * second, second)
    return ErrorSums(*(_column(account, part, accounts) for part in parts))
