"""Which rows may be learned from and which are judged on: by time, within each source, with an embargo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from features.columns import Ints
from features.errors import NotEnoughDataError

DAY_S = 86_400


@dataclass(frozen=True)
class Split:
    """Positions of training rows and of later rows to judge on, both ascending.

    Attributes
    ----------
    frozen_s
        For each row to judge on, the start of its source's block: what a model served without a newer history
        would know.
    until_s
        For each training row, the same: an outcome that was seen only later may not be learned from.
    """

    train: Ints
    judge: Ints
    frozen_s: Ints
    until_s: Ints


def holdout_split(published_s: Ints, sources: Sequence[str], *, share: float, embargo_days: float) -> Split:
    """Seal the latest `share` of each source's rows; its training rows end `embargo_days` before them.

    Raises
    ------
    NotEnoughDataError
        Nothing is left to learn from, or nothing to judge on.
    """
    split = _block(published_s, sources, 1 - share, 1.0, embargo_days)
    if not len(split.train) or not len(split.judge):
        raise NotEnoughDataError(
            f"a holdout of the latest {share:.0%} leaves {len(split.train)} posts to learn from and "
            f"{len(split.judge)} to judge on: {_span(published_s, embargo_days)}"
        )
    return split


def forward_folds(
    published_s: Ints, sources: Sequence[str], *, folds: int, embargo_days: float, first: float = 0.4
) -> list[Split]:
    """Cut the rows after the `first` share into blocks, each judged by what came before it.

    This is forward chaining. Blocks with nothing before them, or nothing in them, are left out.

    Raises
    ------
    NotEnoughDataError
        No block is left.
    """
    edges = np.linspace(first, 1.0, folds + 1)
    splits = [_block(published_s, sources, opens, closes, embargo_days) for opens, closes in pairwise(edges)]
    splits = [split for split in splits if len(split.train) and len(split.judge)]
    if not splits:
        raise NotEnoughDataError(
            f"no fold has posts both before and after its start: {_span(published_s, embargo_days)}"
        )
    return splits


def _block(published_s: Ints, sources: Sequence[str], start: float, stop: float, embargo_days: float) -> Split:
    """Judge the rows of each source between two of its quantiles of time; learn from those well before."""
    labels = np.asarray(sources)
    train, judge = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    frozen_s = np.zeros(len(labels), np.int64)
    for source in np.unique(labels):
        rows = np.flatnonzero(labels == source)
        times = published_s[rows]
        opens = np.quantile(times, start)
        closes = np.quantile(times, stop) if stop < 1 else np.inf
        train[rows] = times <= opens - embargo_days * DAY_S
        judge[rows] = (times > opens) & (times <= closes)
        frozen_s[rows] = int(opens)
    return Split(np.flatnonzero(train), np.flatnonzero(judge), frozen_s[judge], frozen_s[train])


def _span(published_s: Ints, embargo_days: float) -> str:
    days = float(np.ptp(published_s)) / DAY_S if len(published_s) else 0.0
    return (
        f"{len(published_s)} posts within {days:.1f} days, and learning ends {embargo_days:g} days before "
        "judging; import posts of a longer time"
    )
