"""Drift: whether the posts asked about still look like those that a version learned from, and in which features.

The distance of a feature is Kolmogorov and Smirnov's, with what is unknown as its lowest value, or for codes the
total variation: 0 is alike, 1 is apart. Posts of one account resemble each other, so what is usual comes from whole
accounts of the baseline drawn anew (cluster bootstrap: Field and Welsh, 2007, "Bootstrapping clustered data",
J. R. Statist. Soc. B 69(3), 369-390), never from tables that take posts to be independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.build import CATEGORICAL
from features.columns import Bools, Floats, Ints
from features.errors import NotEnoughDataError, SchemaError

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

SPARED = 2
"""Of an account of the baseline, one in so many posts at most stands for those asked about, beside the others."""

LEAST_EXCESS = 0.03
LEAST_DISTANCE = 0.2
"""Smaller moves are called none, of all features together beyond what is typical, and of forecasts or outcomes: among
hundreds of posts every difference is more than chance. Half a standard deviation of a normal is a distance of 0.2."""

DRAWS_PER_ALARM = 2
_DRAWS_AT_ONCE = 500
_MIN_ACCOUNTS = 2

Weights: TypeAlias = NDArray[np.float32]


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
        by `LEAST_EXCESS` at least; `drifted` is whether it does.
    broken
        Features that certainly ceased to say anything, features of time included.
    prediction_distance, target_distance
        The distance of the forecasts and of the outcomes so far; None where either side knows none. Their thresholds
        are at least `LEAST_DISTANCE`.
    left_out
        Features that were not held against the baseline, and why.
    """

    posts: int
    accounts: int
    features: tuple[FeatureDrift, ...]
    score: float
    threshold: float
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
    importance: Mapping[str, float],
    *,
    false_alarm_rate: float,
    seed: int,
    replicates: int = 200,
) -> Drift:
    """Hold the posts asked about against a version's baseline.

    The score is the mean distance of the features weighed by importance, in which many small moves of what matters
    add up. In 60 simulated looks at a rate of 1 %, at accounts that the baseline knows, it found every shift of the
    leading feature of 40 by half a standard deviation, and 88 % of such shifts of the third, where the largest weight
    alone found 83 %. At strangers only, it found 47 % of those of the leading feature, and the largest weight 87 %;
    but that also alarmed in 2.7 % of 150 looks at which nothing had changed, and the sum in 0.7 %.

    The score counts as drift above its threshold: its quantile between two groups drawn from the baseline, the one
    with the accounts and posts of the current window, but no less than any stretch of the baseline as long as the
    current one shows against the rest.

    Parameters
    ----------
    false_alarm_rate
        Share of looks at which each of the three tests alarms though nothing changed. At least two draws are made
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
    current = _Groups.of(current_posts)
    null = _Null(_Groups.of(baseline_posts), current, replicates, seed)

    broken = {name: _broken(name, *pair, null.baseline, current) for name, pair in values.items()}
    found = {
        name: _feature(name, _distance(*pair, is_code=name in CATEGORICAL), importance.get(name, 0.0), broken[name])
        for name, pair in values.items()
    }
    tested = sorted((found[name] for name in names if name not in left_out), key=_rank)
    total = math.fsum(each.importance for each in tested) or 1.0
    score = math.fsum(each.weight for each in tested) / total
    weighed = [(values[each.name][0], each.importance / total, each.name in CATEGORICAL) for each in tested]
    typical, by_chance = null.usual(weighed, false_alarm_rate)
    threshold = max(by_chance, typical + LEAST_EXCESS)
    prediction, target = (
        _distance_of(name, baseline_posts, current_posts, false_alarm_rate, replicates, seed)
        for name in ("prediction", "truth")
    )
    return Drift(
        posts=current_posts.height,
        accounts=len(current.sizes),
        features=tuple(tested),
        score=score,
        threshold=threshold,
        drifted=score > threshold,
        broken=tuple(sorted((each for each in found.values() if each.broken), key=_rank)),
        prediction_distance=prediction[0],
        prediction_threshold=prediction[1],
        target_distance=target[0],
        target_threshold=target[1],
        left_out=left_out,
    )


@dataclass(frozen=True)
class _Groups:
    """Posts by account and then by time.

    Attributes
    ----------
    order
        Position of each post in the frame.
    names, code, starts, sizes
        The accounts, the place there of each post's account, and where each one's posts begin and how many they are.
    """

    order: Ints
    names: list[str | None]
    code: Ints
    starts: Ints
    sizes: Ints
    published_s: Floats

    @classmethod
    def of(cls, posts: pl.DataFrame) -> _Groups:
        """Group posts; one without an account is by itself."""
        rows = posts.select(
            account=pl.when(pl.col("account_id").fill_null("") != "").then("account_id"),
            published_s=pl.col("published_at").dt.epoch("us") / 1e6,
        ).with_row_index("row")
        known = rows.with_columns(alone=pl.when(pl.col("account").is_null()).then("row"))
        ordered = known.sort("account", "alone", "published_s", "row", nulls_last=False)
        code = ordered.select(pl.struct("account", "alone").rle_id())["account"].cast(pl.Int64).to_numpy()
        sizes = np.bincount(code)
        return cls(
            order=ordered["row"].cast(pl.Int64).to_numpy(),
            names=ordered["account"].gather(np.cumsum(sizes) - sizes).to_list(),
            code=code,
            starts=np.cumsum(sizes) - sizes,
            sizes=sizes,
            published_s=ordered["published_s"].to_numpy(),
        )


@dataclass(frozen=True)
class _Null:
    """What is usual between two groups of posts of the baseline."""

    baseline: _Groups
    current: _Groups
    replicates: int
    seed: int

    def usual(self, columns: list[tuple[Floats, float, bool]], false_alarm_rate: float) -> tuple[float, float]:
        """Return what the sum of the weighted distances of columns is in the middle, and exceeds by chance at the rate.

        Each column comes with its weight, and whether it holds codes.
        """
        sorted_columns = [
            (_Sorted.of(values[self.baseline.order]), weight, is_code) for values, weight, is_code in columns
        ]

        def scores(differences: Weights) -> Floats:
            total = np.zeros(differences.shape[1])
            for column, weight, is_code in sorted_columns:
                if weight > 0:
                    total += weight * column.distances(differences, is_code=is_code)
            return total

        drawn = np.sort(np.concatenate([scores(block) for block in self._drawn()]))
        place = min(math.ceil((1 - false_alarm_rate) * (self.replicates + 1)), self.replicates)
        windows = self._windows()
        largest = scores(windows).max() if windows.shape[1] else 0.0
        return float(np.median(drawn)), float(max(drawn[place - 1], largest))

    def _drawn(self) -> Iterator[Weights]:
        """Yield how much more each post weighs in one drawn group than in the other, a column for each draw.

        One group has the accounts and posts of the current window: of an account that the baseline knows, as many of
        its posts there, one after the other, or as it can spare, and then each for several; for any other account,
        those of one drawn at random. The other group is the rest of the baseline, whose accounts are drawn anew in
        so far as strangers were asked about: beside posts of the same accounts it makes no difference which accounts
        the baseline happens to hold.
        """
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.replicates, _DRAWS_AT_ONCE):
            size = min(_DRAWS_AT_ONCE, self.replicates - start)
            yield np.stack([self._draw(rng) for _ in range(size)], axis=1, dtype=np.float32)

    def _draw(self, rng: np.random.Generator) -> Floats:
        baseline, sizes, own = self.baseline, self.current.sizes, self._own
        posts, accounts = len(baseline.code), len(baseline.sizes)
        is_known = own >= 0
        of_own = baseline.starts[own] + rng.integers(baseline.sizes[own])
        taken = np.where(is_known, np.minimum(sizes, baseline.sizes[own] // SPARED), sizes)
        first = np.where(is_known, of_own, rng.integers(0, posts, len(sizes))).repeat(taken)
        owner = baseline.code[first]
        nth = np.arange(len(first)) - (np.cumsum(taken) - taken).repeat(taken)
        chosen = baseline.starts[owner] + (first - baseline.starts[owner] + nth) % baseline.sizes[owner]
        drawn = np.bincount(chosen, (sizes / taken / sizes.sum()).repeat(taken), posts)

        rest = np.ones(posts)
        rest[chosen[is_known.repeat(taken)]] = 0  # an account's posts are held against its others, which stand for all
        rest *= (baseline.sizes / np.bincount(baseline.code, rest))[baseline.code]
        whole = np.bincount(rng.integers(0, accounts, accounts), minlength=accounts)[baseline.code]
        strangers = sizes[~is_known].sum() / sizes.sum()
        difference: Floats = drawn - (1 - strangers) * rest / posts - strangers * whole / whole.sum()
        return difference

    @cached_property
    def _own(self) -> Ints:
        """Return for each current account the same one of the baseline, -1 where that has too few posts to spare."""
        places = {name: place for place, name in enumerate(self.baseline.names) if name is not None}
        own = np.array([-1 if name is None else places.get(name, -1) for name in self.current.names], dtype=np.int64)
        found: Ints = np.where(self.baseline.sizes[own] >= SPARED, own, -1)
        return found

    def _windows(self) -> Weights:
        """Return the same for stretches of the baseline and the rest of it, a column for each stretch.

        Each lasts as long as the middle nine tenths of the current window would in full, and has as many posts.
        """
        low, high = np.quantile(self.current.published_s, [0.05, 0.95])
        masks = _stretches(self.baseline.published_s, (high - low) / 0.9, len(self.current.code))
        columns = [mask / mask.sum() - ~mask / (~mask).sum() for mask in masks]
        return np.array(columns, dtype=np.float32).reshape(len(columns), len(self.baseline.code)).T


@dataclass(frozen=True)
class _Sorted:
    """A column in ascending order, what is unknown first, with where each distinct value begins."""

    order: Ints
    starts: Ints

    @classmethod
    def of(cls, values: Floats) -> _Sorted:
        lowest = np.where(np.isnan(values), -np.inf, values)
        order = np.argsort(lowest, kind="stable")
        ascending = lowest[order]
        return cls(order, np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1])))

    def distances(self, differences: NDArray[np.floating], *, is_code: bool) -> Floats:
        """Return the distance that each column of weights, those of one group less the other's, makes."""
        moved = differences[self.order]
        if len(self.starts) < len(self.order):
            moved = np.add.reduceat(moved, self.starts, axis=0)
        if is_code:
            return np.asarray(np.abs(moved).sum(axis=0) / 2, dtype=np.float64)
        up_to = np.cumsum(moved, axis=0)
        return np.asarray(np.maximum(up_to.max(axis=0), -up_to.min(axis=0)), dtype=np.float64)


def _distance(baseline: Floats, current: Floats, *, is_code: bool) -> float:
    """Return how far the values of two groups of posts are apart."""
    weights = np.concatenate([np.full(len(baseline), -1 / len(baseline)), np.full(len(current), 1 / len(current))])
    [distance] = _Sorted.of(np.concatenate([baseline, current])).distances(weights[:, None], is_code=is_code)
    return min(max(float(distance), 0.0), 1.0)


def _stretches(published_s: Floats, least_s: float, least_posts: int) -> list[Bools]:
    """Cut times into stretches of at least a length and a number, and leave out one that is most of them."""
    ascending = np.sort(published_s)
    bounds = [0]
    while True:
        late_enough = int(np.searchsorted(ascending, ascending[bounds[-1]] + least_s))
        end = max(late_enough, bounds[-1] + least_posts)
        if end >= len(ascending):
            break
        bounds.append(end)
    # What begins at the last bound is too short to stand for itself, and belongs to the stretch before.
    starts = ascending[bounds[:-1]]
    pairs = zip(starts, [*starts[1:], np.inf], strict=False)
    masks = [(published_s >= start) & (published_s < end) for start, end in pairs]
    return [mask for mask in masks if 0 < 2 * mask.sum() <= len(mask)]


def _broken(name: str, before: Floats, now: Floats, baseline: _Groups, current: _Groups) -> str | None:
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


def _chance(alike: Bools, baseline: _Groups, current: _Groups) -> float:
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
    null = _Null(_Groups.of(before), _Groups.of(now), replicates, seed)
    values = _floats(before, name)
    distance = _distance(values, _floats(now, name), is_code=False)
    _, by_chance = null.usual([(values, 1.0, False)], false_alarm_rate)
    return distance, max(by_chance, LEAST_DISTANCE)


def _feature(name: str, distance: float, importance: float, broken: str | None) -> FeatureDrift:
    return FeatureDrift(name, distance, importance, distance * importance, broken)


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
