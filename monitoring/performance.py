"""How good predictions turned out to be: the ladder on matured outcomes, by version, week, slice and account."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.columns import Floats
from features.schema import TEXT
from monitoring.accuracy import MIDDLE
from monitoring.verdict import ALL
from training.evaluate import ANCHOR, MODEL, Interval, Ladder, Scored, SliceRow, ladder, share_with_error

VERSIONS = 12
"""The newest versions that get rows of their own: a daily refit makes many."""

LEAST_POSTS = 30
"""Fewer posts than this make no row: their interval would tell nothing."""

METRICS = ("mae_log", "r2", "spearman", "coverage")


@dataclass(frozen=True)
class Row:
    """What came of the predictions of one version in one week and slice; `ALL` stands for every one of them.

    `metrics` are those of the model, with 95 % intervals over accounts; `anchor_error` is the MAE of log of the
    account anchor on the same posts, `expected_error` what the versions said that theirs would be.
    """

    week: str
    version: str
    role: str
    slice: str
    level: str
    posts: int
    accounts: int
    metrics: dict[str, Interval]
    gain: Interval
    anchor_error: float
    expected_error: float

    def flat(self) -> dict[str, object]:
        """Return the row with a column for each end of each interval, None for what is unknown."""
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("metrics", "gain")}
        ends = {key: end for name, each in self.metrics.items() for key, end in each.to_dict(name).items()}
        found = {**plain, **ends, **self.gain.to_dict("gain")}
        return {
            key: None if isinstance(each, float) and not math.isfinite(each) else each for key, each in found.items()
        }


def performance(matured: pl.DataFrame, *, replicates: int, seed: int) -> list[Row]:
    """Return rows of each role: all predictions by slice and by week, and those of its newest versions by week.

    Parameters
    ----------
    matured
        What `read_matured` answers; rows without an anchor or a score, of versions that are gone or too old to have
        told them, are left out.
    """
    known = matured.drop_nulls(["anchor", "expected_error", "score_truth"]).with_columns(
        pl.from_epoch("known_s").dt.truncate("1w").dt.date().cast(TEXT).alias("week")
    )
    return [row for whose, part in _parts(known) for row in _rows(whose, part, replicates, seed)]


def account_table(matured: pl.DataFrame) -> pl.DataFrame:
    """Return how often each account's posts were forecast right, most posts first.

    ``right`` is the share put on the right side of the middle of their kind, ``inside`` the share within the interval,
    ``typical_factor`` by what factor the forecast was off in the middle.
    """
    inside = (pl.col("lower") <= pl.col("truth")) & (pl.col("truth") <= pl.col("upper"))
    right = (pl.col("score_prediction") > MIDDLE) == (pl.col("score_truth") > MIDDLE)
    off = (pl.col("truth") - pl.col("prediction")).abs()
    return (
        matured.filter(pl.col("role") != "shadow")
        .group_by("account_id")
        .agg(
            posts=pl.len().cast(pl.Int64),
            right=right.mean(),
            inside=inside.mean(),
            typical_factor=off.median().exp(),
        )
        .sort("posts", "account_id", descending=[True, False])
    )


def ladder_of(matured: pl.DataFrame, *, replicates: int, seed: int, sliced: bool = False) -> Ladder:
    """Hold predictions and the account anchor against what came true, with intervals over accounts."""
    truth = matured["truth"].to_numpy()
    accounts = matured["account_id"].rank("dense").to_numpy().astype(np.int64)
    slices: dict[str, NDArray[np.str_]] = {}
    if sliced:
        levels = [json.loads(each) for each in matured["slices"]]
        slices = {name: np.array([each[name] for each in levels], np.str_) for name in (levels[0] if levels else ())}
    unknown = np.full(len(truth), math.nan)

    def scored(prediction: str, lower: Floats, upper: Floats, score: Floats) -> Scored:
        return Scored(
            account=accounts,
            truth=truth,
            prediction=matured[prediction].to_numpy(),
            lower=lower,
            upper=upper,
            score_truth=matured["score_truth"].to_numpy(),
            score_prediction=score,
            slices=slices,
        )

    score = matured["score_prediction"].to_numpy()
    rungs = {
        ANCHOR: scored("anchor", unknown, unknown, score),
        MODEL: scored("prediction", matured["lower"].to_numpy(), matured["upper"].to_numpy(), score),
    }
    return ladder(rungs, float(np.median(truth)), replicates, seed)


def _parts(known: pl.DataFrame) -> Iterator[tuple[tuple[str, str, str], pl.DataFrame]]:
    """The groups that make rows, each with its week, version and role."""
    for (role,), of_role in known.group_by("role", maintain_order=True):
        yield (ALL, ALL, str(role)), of_role
        for (week,), of_week in of_role.group_by("week", maintain_order=True):
            yield (str(week), ALL, str(role)), of_week
        newest = of_role["version"].unique().sort(descending=True).head(VERSIONS)
        for number in newest:
            of_version = of_role.filter(pl.col("version") == number)
            semver = of_version["semver"][-1]
            yield (ALL, semver, str(role)), of_version
            for (week,), of_week in of_version.group_by("week", maintain_order=True):
                yield (str(week), semver, str(role)), of_week


def _rows(whose: tuple[str, str, str], part: pl.DataFrame, replicates: int, seed: int) -> Iterator[Row]:
    if part.height < LEAST_POSTS:
        return
    found = ladder_of(part, replicates=replicates, seed=seed, sliced=whose[:2] == (ALL, ALL))
    expected = part["expected_error"].to_numpy()
    levels = [json.loads(each) for each in part["slices"]] if found.slices else []
    yield _row(whose, (ALL, ALL), found, accuracy_with_ends(part), float(expected.mean()))
    for each in found.slices:
        if each.posts >= LEAST_POSTS:
            inside = np.array([level[each.slice] == each.level for level in levels])
            right = accuracy_with_ends(part.filter(pl.Series(inside)))
            yield _row(whose, (each.slice, each.level), each, right, float(expected[inside].mean()))


def accuracy_with_ends(matured: pl.DataFrame) -> Interval:
    """Return the share of posts put on the right side of the middle of their kind, with its 95 % interval."""
    right = (matured["score_prediction"] > MIDDLE) == (matured["score_truth"] > MIDDLE)
    accounts = matured["account_id"].rank("dense").to_numpy().astype(np.int64)
    share, error = share_with_error(accounts, right.cast(pl.Float64).to_numpy())
    return Interval(share, max(share - 1.96 * error, 0.0), min(share + 1.96 * error, 1.0))


def _row(
    whose: tuple[str, str, str],
    where: tuple[str, str],
    found: Ladder | SliceRow,
    accuracy: Interval,
    expected_error: float,
) -> Row:
    rungs = found.rungs
    return Row(
        *whose,
        *where,
        posts=found.posts,
        accounts=found.accounts,
        metrics={"accuracy": accuracy, **{name: rungs[MODEL][name] for name in METRICS}},
        gain=found.gain,
        anchor_error=rungs[ANCHOR]["mae_log"].value,
        expected_error=expected_error,
    )
