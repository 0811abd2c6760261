"""Matured posts against what the holdouts of their versions promised, in a sequence for every week as a start.

One sequence since forever dilutes a change. So each week starts a new one, looked at from then on. Starting one at
each step and stopping at the first that tells bounds false alarms by the rate of one sequence per start: Shekhar and
Ramdas (2023), "Sequential changepoint detection via backward confidence sequences", ICML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from operator import add

import numpy as np
import polars as pl
from numpy.typing import NDArray

from monitoring.log import Role
from monitoring.sequential import Floats, Spread, cluster_spread

STARTS = 26
"""So many weeks back the earliest sequence starts."""

_DAY_S = 86_400
_MONDAY = date(1970, 1, 5)
_EXACT = 1e-12
_MEASURED = ("truth", "prediction", "lower", "upper")

Outcome = Callable[[pl.DataFrame], pl.Series]


@dataclass(frozen=True)
class Judged:
    """Which posts count: those answered by versions with a usable holdout, the newest `STARTS` weeks of them.

    `unjudged` counts the posts of the other versions; `week` numbers weeks from the one of 1970-01-05.
    """

    posts: pl.DataFrame
    holdouts: Mapping[str, pl.DataFrame]
    unjudged: int
    last_week: int


@dataclass(frozen=True)
class Expectation:
    """What one holdout promises the posts of each account, and how far each account of the holdout moves that.

    `level` is the holdout's mean, drawn towards the account's own mean by the share `own`, which is larger where the
    account has more posts and where accounts differ more. `residual` sums by account to how the holdout's mean moves.
    """

    level: Floats
    own: Floats
    residual: Floats


@dataclass(frozen=True)
class Sums:
    """Sums by account (rows) over the sequences or looks (columns).

    `values` of the posts, what was `promised` for them, their number in `posts`, and in `lent` how the holdouts' means
    move the promises that rest on them.
    """

    values: Floats
    promised: Floats
    posts: Floats
    lent: Floats

    def __add__(self, other: Sums) -> Sums:
        """Add the posts of another version, which has another promise."""
        return Sums(*(one + another for one, another in zip(self._parts(), other._parts(), strict=True)))

    def from_each(self) -> Sums:
        """Turn sums within columns into sums from each column to the last."""
        return Sums(*(part[:, ::-1].cumsum(axis=1)[:, ::-1] for part in self._parts()))

    def _parts(self) -> tuple[Floats, ...]:
        return self.values, self.promised, self.posts, self.lent

    @property
    def accounts(self) -> Floats:
        """How many accounts have posts, by column."""
        return np.asarray(np.count_nonzero(self.posts, axis=0), np.float64)


@dataclass(frozen=True)
class Runs:
    """All sequences at one look: the Monday that each started on, its sums, and whether it rests on enough to speak."""

    since: tuple[date, ...]
    sums: Sums
    speaks: NDArray[np.bool_]

    @property
    def latest(self) -> int:
        """The youngest sequence that speaks, or the eldest where none does."""
        return int(np.flatnonzero(self.speaks)[-1]) if self.speaks.any() else 0

    def posts_of(self, run: int) -> int:
        """How many posts a sequence rests on."""
        return int(self.sums.posts[:, run].sum())

    def accounts_of(self, run: int) -> int:
        """How many accounts a sequence rests on."""
        return int(self.sums.accounts[run])


@dataclass(frozen=True)
class Telling:
    """The sequence to report: `alarm` where it tells, `ended` where the latest posts no longer bear out what one told.

    `recent` is the latest sequence that speaks.
    """

    run: int
    alarm: bool
    ended: bool
    recent: int


def judge(matured: pl.DataFrame, holdouts: Mapping[str, pl.DataFrame], at_s: int, min_accounts: int) -> Judged:
    """Choose the posts that were known by `at_s` and that people saw a forecast of, and name their week."""
    usable = {sha256: rows for sha256, rows in holdouts.items() if rows["account_id"].n_unique() >= min_accounts}
    recent = _recent(matured, at_s)
    posts = recent.filter(pl.col("sha256").is_in(list(usable))).select("week", "sha256", "account_id", *_MEASURED)
    return Judged(posts, usable, recent.height - posts.height, _week(at_s))


def weekly_runs(judged: Judged, outcome: Outcome, scale: bool, min_posts: int, min_accounts: int) -> Runs | None:
    """Sum an outcome of each post over all sequences; None where no post counts.

    Parameters
    ----------
    outcome
        What is measured of each post, such as its absolute error, from a frame of posts or of a holdout.
    scale
        Divide each by its holdout's mean, so that versions which follow one another form one series.
    """
    if judged.posts.is_empty():
        return None
    answered = judged.posts["sha256"].unique()
    held = [rows["account_id"] for sha256, rows in judged.holdouts.items() if sha256 in answered]
    names = pl.concat([judged.posts["account_id"], *held]).unique(maintain_order=True)
    accounts = pl.DataFrame({"account_id": names}).with_row_index("account")
    first_week = int(judged.posts["week"].min())  # type: ignore[arg-type]  # polars cannot say that it is a number
    weeks = judged.last_week - first_week + 1
    rows = _numbered(judged.posts, accounts).with_columns(pl.col("week") - first_week)
    sums = reduce(
        add,
        (
            _version_sums(_numbered(judged.holdouts[str(sha256)], accounts), part, outcome, scale, (len(names), weeks))
            for (sha256,), part in rows.group_by("sha256", maintain_order=True)
        ),
    ).from_each()
    return _runs(sums, first_week, min_posts, min_accounts)


def kept_runs(matured: pl.DataFrame, at_s: int, min_posts: int, min_accounts: int) -> Runs | None:
    """Sum what came true and what its forecast said of it over all sequences; None where no post counts.

    Unlike the error, which a holdout promises, a probability itself says how often it comes true.
    """
    rows = _recent(matured, at_s)
    if rows.is_empty():
        return None
    first_week = int(rows["week"].min())  # type: ignore[arg-type]  # polars cannot say that it is a number
    numbered = rows.with_columns(pl.col("week") - first_week, account=pl.col("account_id").rank("dense") - 1)
    shape = (rows["account_id"].n_unique(), _week(at_s) - first_week + 1)
    columns = (rows["truth"].to_numpy(), rows["prediction"].to_numpy(), np.ones(rows.height))
    values, promised, posts = _by_account_and_week(numbered, shape, *columns)
    sums = Sums(values, promised, posts, np.zeros(shape)).from_each()
    return _runs(sums, first_week, min_posts, min_accounts)


def weigh(
    runs: Runs, moved: Floats, error: Floats, low: Floats, threshold: float, side: Floats | None = None
) -> Telling:
    """Choose the sequence to report, of changes that are bad where they are large.

    Of those that alarm it is the one with the most standard errors above the threshold, which for normal means is
    where a change most likely was. What the latest posts do not show any more has ended, so a sequence that still
    carries a bad month does not alarm for ever.
    """
    recent = runs.latest
    telling = runs.speaks & (low > threshold)
    if not telling.any():
        return Telling(recent, False, False, recent)
    run = int(np.argmax(np.where(telling, (moved - threshold) / error, -np.inf)))
    lasts = moved[recent] > threshold and (side is None or side[recent] == side[run])
    return Telling(run if lasts else recent, bool(lasts), not lasts, recent)


def _version_sums(
    held: pl.DataFrame, rows: pl.DataFrame, outcome: Outcome, scale: bool, shape: tuple[int, int]
) -> Sums:
    """Sum the posts of one version by account and week, held against its holdout."""
    held_values = outcome(held).to_numpy().astype(np.float64)
    unit = float(held_values.mean()) if scale else 1.0
    values, posts = _by_account_and_week(rows, shape, outcome(rows).to_numpy() / unit, np.ones(rows.height))
    return hold_against(
        expectation(held["account"].to_numpy().astype(np.int64), held_values / unit, shape[0]), values, posts
    )


def _by_account_and_week(rows: pl.DataFrame, shape: tuple[int, int], *columns: Floats) -> list[Floats]:
    """Sum each of some columns by the number of the account and the week of its rows."""
    cell = rows["account"].to_numpy().astype(np.int64) * shape[1] + rows["week"].to_numpy()
    return [np.bincount(cell, each, shape[0] * shape[1]).astype(np.float64).reshape(shape) for each in columns]


def _numbered(rows: pl.DataFrame, accounts: pl.DataFrame) -> pl.DataFrame:
    return rows.join(accounts, on="account_id", how="left", maintain_order="left")


def hold_against(expected: Expectation, values: Floats, posts: Floats) -> Sums:
    """Hold sums of one version's posts, by account and column, against the promise of its holdout."""
    lent = np.outer(expected.residual, (1 - expected.own) @ posts)
    return Sums(values, expected.level[:, None] * posts, posts, lent)


def expectation(account: NDArray[np.int64], values: Floats, accounts: int) -> Expectation:
    """What a holdout promises each of so many accounts, from its posts' values and their account's number.

    Accounts keep their ease or trouble from the holdout to production, so what each showed there is part of its
    promise, and a change of who posts is not taken for a change of the error. The share of an account's own mean is
    the best linear predictor's, with the components of variance from the analysis of variance (Searle, Casella and
    McCulloch 1992, "Variance Components"). Every share would give a mean that is right; this makes it precise.
    """
    count = np.bincount(account, minlength=accounts).astype(np.float64)
    total = np.bincount(account, values, accounts)
    whole, posts, groups = float(values.mean()), len(values), int((count > 0).sum())
    mean = np.divide(total, count, out=np.full(accounts, whole), where=count > 0)
    within = float(((values - mean[account]) ** 2).sum()) / max(posts - groups, 1)
    size = (posts - float(count @ count) / posts) / max(groups - 1, 1)
    among = float(count @ (mean - whole) ** 2) / max(groups - 1, 1)
    between = max(among - within, 0.0) / size if size > 0 else 0.0
    own = count * between / np.maximum(count * between + within, _EXACT)
    return Expectation(whole + own * (mean - whole), own, (total - count * whole) / posts)


def log_ratio(sums: Sums) -> tuple[Floats, Spread]:
    """Log of the mean over what was promised, and how uncertain that is, by column."""
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = sums.promised.sum(axis=0)
        ratio = sums.values.sum(axis=0) / whole
        residual = (sums.values - ratio * (sums.promised + sums.lent)) / (ratio * whole)
        return np.log(ratio), cluster_spread(residual, sums.accounts)


def difference(sums: Sums) -> tuple[Floats, Spread]:
    """Mean less what was promised, and how uncertain that is, by column."""
    with np.errstate(divide="ignore", invalid="ignore"):
        posts = sums.posts.sum(axis=0)
        moved = (sums.values - sums.promised).sum(axis=0) / posts
        residual = (sums.values - sums.promised - moved * sums.posts - sums.lent) / posts
        return moved, cluster_spread(residual, sums.accounts)


def _recent(matured: pl.DataFrame, at_s: int) -> pl.DataFrame:
    """The posts of the newest `STARTS` weeks whose forecast people saw, as known by then, with their week."""
    seen = matured.filter(pl.col("known_s") <= at_s, pl.col("role") != str(Role.SHADOW)).with_columns(
        week=(pl.col("known_s") // _DAY_S - (_MONDAY - date(1970, 1, 1)).days) // 7
    )
    return seen.filter(pl.col("week") > _week(at_s) - STARTS)


def _runs(sums: Sums, first_week: int, min_posts: int, min_accounts: int) -> Runs:
    speaks = (sums.posts.sum(axis=0) >= min_posts) & (sums.accounts >= min_accounts)
    weeks = sums.posts.shape[1]
    return Runs(tuple(_MONDAY + timedelta(weeks=first_week + week) for week in range(weeks)), sums, speaks)


def _week(at_s: int) -> int:
    return (at_s // _DAY_S - (_MONDAY - date(1970, 1, 1)).days) // 7
