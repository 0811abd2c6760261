"""Drift: whether the posts asked about still look like those that a version learned from, and in which features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import polars as pl

from features.build import CATEGORICAL
from features.columns import Bools, Floats
from features.errors import NotEnoughDataError, SchemaError
from monitoring.distances import Groups, Null, Usual, distance

SNAPSHOT = "looks back on the snapshot that the version carries, which grows older by the day"
COUNTER = "grows with every post of the account"

OF_TIME: Mapping[str, str] = MappingProxyType(
    {
        "outcome_age_days": SNAPSHOT,
        "hours_since_previous": SNAPSHOT,
        "hours_since_fifth": SNAPSHOT,
        "hours_since_twentieth": SNAPSHOT,
        "posts_last_day": SNAPSHOT,
        "posts_last_week": SNAPSHOT,
        "sound_uses": SNAPSHOT,
        "sound_momentum": SNAPSHOT,
        "hashtag_uses": SNAPSHOT,
        "hashtag_momentum": SNAPSHOT,
        "outcomes_known": COUNTER,
    }
)
"""Features that move with the calendar by themselves, and why; that is no drift. The other features of an account
say how it did, not when; hour and weekday go round."""

CONSTANT_POSTS = 100
"""So many posts with one and the same value make a feature that varied suspect."""

VARIED_BELOW = 0.95
"""A feature varied where its most frequent value has a smaller share."""

CERTAIN = 1e-6
"""So unlikely it must be that the accounts asked about are alike by chance before a feature is called broken."""

LEAST_EXCESS = 0.03
LEAST_DISTANCE = 0.2
"""Smaller moves are called none, of all features together and of a single one beyond what is typical, and of forecasts
or outcomes: among hundreds of posts every difference is more than chance. Half a standard deviation of a normal is a
distance of 0.2."""

LEAST_SHARE = 0.01
"""A feature with a smaller share of the model's whole gain is no drift by itself, however far it moved."""

DRAWS_PER_ALARM = 2
_MIN_ACCOUNTS = 2


@dataclass(frozen=True)
class FeatureDrift:
    """How far a feature moved, 0 to 1, and what that weighs: times its share of the model's gain."""

    name: str
    distance: float
    importance: float
    weight: float
    broken: str | None


@dataclass(frozen=True)
class Drift:
    """What was found between a version's baseline and the posts asked about.

    Attributes
    ----------
    posts, accounts
        How many were asked about.
    features
        All that were held against the baseline, the one with the largest weight first.
    score, threshold
        Mean distance of the features, weighed by importance, and what it exceeds by chance at the false-alarm rate, but
        by `LEAST_EXCESS` at least.
    farthest, excess, excess_threshold
        The feature that matters and moved farthest beyond what is usual of it, by how much it did, and what that
        exceeds by chance at the rate, but `LEAST_DISTANCE` at least; None where no feature matters.
    drifted
        Whether the score or the excess is beyond its threshold.
    broken
        Features that certainly ceased to say anything, features of time included.
    prediction_distance, target_distance
        The distance of the forecasts and of the outcomes; None where either side knows none. Their thresholds are at
        least `LEAST_DISTANCE`.
    left_out
        Features that were not held against the baseline, and why.
    """

    posts: int
    accounts: int
    features: tuple[FeatureDrift, ...]
    score: float
    threshold: float
    farthest: str | None
    excess: float | None
    excess_threshold: float
    drifted: bool
    broken: tuple[FeatureDrift, ...]
    prediction_distance: float | None
    prediction_threshold: float | None
    target_distance: float | None
    target_threshold: float | None
    left_out: Mapping[str, str]


def find_drift(
    baseline_posts: pl.DataFrame,
    baseline_features: pl.DataFrame,
    current_posts: pl.DataFrame,
    current_features: pl.DataFrame,
    outcomes: pl.DataFrame,
    importance: Mapping[str, float],
    *,
    false_alarm_rate: float,
    seed: int,
    replicates: int = 200,
) -> Drift:
    """Hold the posts asked about against a version's baseline.

    Two tests complete each other. The score is the mean distance of the features weighed by importance, in which many
    small moves of what matters add up; the excess is how much farther than usual a single feature moved, which the
    mean of many would drown.

    What is usual comes from two groups drawn from the baseline, the one with the accounts and posts of the current
    window, and from stretches of the baseline as long as the current one against the rest. The threshold of the score
    is its quantile over the draws, but no less than any stretch shows. Usual of a single feature is its middle over
    the draws, but no less than any stretch shows; the threshold of the excess is the quantile of the largest one.

    Parameters
    ----------
    outcomes
        What has become of posts meanwhile, ``truth`` with ``account_id`` and ``published_at``: seldom those asked about
        lately, whose outcomes are still to come.
    false_alarm_rate
        Share of looks at which each of the four tests alarms though nothing changed. At least two draws are made
        for each alarm in so many looks.

    Raises
    ------
    NotEnoughDataError
        Nothing was asked about, or the baseline has fewer than two accounts.
    SchemaError
        Posts and features are not of one height, or the rate is none.
    """
    _check(baseline_posts, baseline_features, current_posts, current_features, false_alarm_rate)
    replicates = max(replicates, math.ceil(DRAWS_PER_ALARM / false_alarm_rate))
    names, left_out = _compared(baseline_features, current_features)
    values = {name: (_floats(baseline_features, name), _floats(current_features, name)) for name in names}
    current = Groups.of(current_posts)
    null = Null(Groups.of(baseline_posts), current, replicates, seed)

    found = [_feature(name, *pair, importance.get(name, 0.0), null.baseline, current) for name, pair in values.items()]
    tested = sorted((each for each in found if each.name not in left_out), key=_rank)
    matter = [each for each in tested if each.importance > 0]
    usual = null.usual([(values[each.name][0], each.name in CATEGORICAL) for each in matter])
    score, threshold = _together(matter, usual, false_alarm_rate)
    least = LEAST_SHARE * math.fsum(importance.values())
    farthest, excess, excess_threshold = _by_itself(matter, usual, least, false_alarm_rate)
    prediction, target = (
        _distance_of(name, baseline_posts, posts, false_alarm_rate, replicates, seed)
        for name, posts in (("prediction", current_posts), ("truth", outcomes))
    )
    return Drift(
        posts=current_posts.height,
        accounts=len(current.sizes),
        features=tuple(tested),
        score=score,
        threshold=threshold,
        farthest=farthest,
        excess=excess,
        excess_threshold=excess_threshold,
        drifted=score > threshold or (excess is not None and excess > excess_threshold),
        broken=tuple(sorted((each for each in found if each.broken), key=_rank)),
        prediction_distance=prediction[0],
        prediction_threshold=prediction[1],
        target_distance=target[0],
        target_threshold=target[1],
        left_out=left_out,
    )


def _together(features: list[FeatureDrift], usual: Usual, false_alarm_rate: float) -> tuple[float, float]:
    """Return the mean distance of features weighed by importance, and its threshold."""
    total = math.fsum(each.importance for each in features) or 1.0
    typical, by_chance = usual.weighed(np.array([each.importance / total for each in features]), false_alarm_rate)
    return math.fsum(each.weight for each in features) / total, max(by_chance, typical + LEAST_EXCESS)


def _by_itself(
    features: list[FeatureDrift], usual: Usual, least_importance: float, false_alarm_rate: float
) -> tuple[str | None, float | None, float]:
    """Return which feature that matters moved farthest beyond what is usual of it, by how much, and the threshold."""
    matter = np.array([each.importance >= least_importance for each in features], np.bool_)
    threshold = max(usual.excess_by_chance(matter, false_alarm_rate), LEAST_DISTANCE)
    if not matter.any():
        return None, None, threshold
    excess = np.where(matter, usual.excess(np.array([each.distance for each in features])), -np.inf)
    place = int(np.argmax(excess))
    return features[place].name, float(excess[place]), threshold


def _broken(name: str, before: Floats, now: Floats, baseline: Groups, current: Groups) -> str | None:
    """Say that a feature has ceased to vary, or to be known, where no chance explains that."""
    value = now[0]
    is_lost = bool(np.isnan(now).all())
    if len(now) < CONSTANT_POSTS or not (is_lost or (now == value).all()) or (name in OF_TIME and not is_lost):
        return None
    known, counts = np.unique(before, return_counts=True)  # which counts all unknown ones as one value
    if counts.max() >= VARIED_BELOW * len(before):
        return None
    alike = (np.isnan(before) if is_lost else before == value)[baseline.order]
    if _chance(alike, baseline, current) >= CERTAIN:
        return None
    asked = f"for all {len(now):,} posts asked about"
    if is_lost:
        share = 1 - np.isnan(before).mean()
        return f"{name} is unknown {asked}, and was known of {share:.0%} in training: check what sends it"
    values = f"{np.isfinite(known).sum():,} values"
    return f"{name} is {value:.6g} {asked}, and took {values} in training: check what sends it"


def _chance(alike: Bools, baseline: Groups, current: Groups) -> float:
    """Return how likely all posts of as many accounts as in the current window are alike.

    Each account is one of the baseline, whose posts are alike at its own rate, or one never seen, which is alike.
    """
    share = np.bincount(baseline.code, alike) / baseline.sizes
    sizes, accounts = np.unique(current.sizes, return_counts=True)
    logs = [np.log((np.sum(share**size) + 1) / (len(share) + 1)) for size in sizes]
    return float(np.exp(accounts @ np.array(logs)))


def _distance_of(
    name: str, baseline: pl.DataFrame, current: pl.DataFrame, false_alarm_rate: float, replicates: int, seed: int
) -> tuple[float, float] | tuple[None, None]:
    """Return distance and threshold of a column of posts, of those that it is known of."""
    before, now = (frame.filter(pl.col(name).is_finite()) for frame in (baseline, current))
    if now.is_empty() or before["account_id"].n_unique() < _MIN_ACCOUNTS:
        return None, None
    null = Null(Groups.of(before), Groups.of(now), replicates, seed)
    values = _floats(before, name)
    _, by_chance = null.usual([(values, False)]).weighed(np.ones(1), false_alarm_rate)
    return distance(values, _floats(now, name), is_code=False), max(by_chance, LEAST_DISTANCE)


def _feature(
    name: str, before: Floats, now: Floats, importance: float, baseline: Groups, current: Groups
) -> FeatureDrift:
    moved = distance(before, now, is_code=name in CATEGORICAL)
    return FeatureDrift(name, moved, importance, moved * importance, _broken(name, before, now, baseline, current))


def _rank(feature: FeatureDrift) -> tuple[float, float, str]:
    return -feature.weight, -feature.distance, feature.name


def _compared(baseline: pl.DataFrame, current: pl.DataFrame) -> tuple[list[str], dict[str, str]]:
    """Return the features that both have, and which features are not held against each other for what reason."""
    left_out = {name: "asked about, but not in training" for name in current.columns if name not in baseline.columns}
    names = []
    for name in baseline.columns:
        if name not in current.columns:
            left_out[name] = "in training, but not asked about"
        elif not np.isfinite(_floats(baseline, name)).any():
            known_now = np.isfinite(_floats(current, name)).any()
            left_out[name] = "never known in training" if known_now else "always unknown"
        else:
            names.append(name)
            if name in OF_TIME:
                left_out[name] = f"of time: {OF_TIME[name]}"
    return names, left_out


def _floats(frame: pl.DataFrame, name: str) -> Floats:
    return frame[name].cast(pl.Float64).to_numpy()


def _check(
    baseline_posts: pl.DataFrame,
    baseline_features: pl.DataFrame,
    current_posts: pl.DataFrame,
    current_features: pl.DataFrame,
    false_alarm_rate: float,
) -> None:
    pairs = {"baseline": (baseline_posts, baseline_features), "current window": (current_posts, current_features)}
    for whose, (posts, features) in pairs.items():
        if posts.height != features.height:
            raise SchemaError(
                f"the {whose} has {posts.height:,} posts and features of {features.height:,}; hand over the same posts"
            )
    if not 0 < false_alarm_rate < 1:
        raise SchemaError(f"a false-alarm rate of {false_alarm_rate} is none; give one between 0 and 1, such as 0.01")
    accounts = baseline_posts["account_id"].n_unique()
    if current_posts.is_empty() or accounts < _MIN_ACCOUNTS:
        raise NotEnoughDataError(
            f"{current_posts.height} posts against a baseline of {accounts} accounts tell nothing of drift; "
            "wait for predictions, and train on more accounts"
        )
