"""Drift is found as often as it is there, no more often by chance than was said, and the feature at fault is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from features.build import NAMES
from features.errors import NotEnoughDataError, SchemaError
from monitoring.drift import LEAST_DISTANCE, OF_TIME, Drift, find_drift
from monitoring.words import drift_words

START = datetime(2026, 1, 1, tzinfo=UTC)
FEATURES = ("anchor", "log_followers", "caption_length", "hour", "capital_share", "log_duration")
IMPORTANCE = dict(zip(FEATURES, (0.4, 0.25, 0.15, 0.1, 0.06, 0.04), strict=True))


class Sample(NamedTuple):
    """Posts and their features, of equal height."""

    posts: pl.DataFrame
    features: pl.DataFrame

    def having(self, **columns: Any) -> Sample:
        size = self.posts.height
        series = [pl.Series(name, np.broadcast_to(values, size)) for name, values in columns.items()]
        own = [each for each in series if each.name in self.posts.columns]
        others = [each for each in series if each.name not in self.posts.columns]
        return Sample(self.posts.with_columns(own), self.features.with_columns(others))


class World:
    """Accounts whose posts resemble each other: half of the variance of every feature is between them."""

    def __init__(self, seed: int, accounts: int = 60) -> None:
        self.rng = np.random.default_rng(seed)
        self.effects = self.rng.normal(size=(accounts, len(FEATURES))) * np.sqrt(0.5)
        activity = self.rng.lognormal(0, 0.7, accounts)
        self.shares = activity / activity.sum()

    def sample(self, posts: int, *, day: float = 0, days: float = 7, names: str = "account") -> Sample:
        owners = self.rng.choice(len(self.shares), posts, p=self.shares)
        values = self.effects[owners] + self.rng.normal(size=(posts, len(FEATURES))) * np.sqrt(0.5)
        moments = [START + timedelta(days=each) for each in self.rng.uniform(day, day + days, posts)]
        columns = {
            "account_id": [f"{names} {owner}" for owner in owners],
            "published_at": pl.Series(moments, dtype=pl.Datetime("us", "UTC")),
            "prediction": values[:, 0],
            "truth": values[:, 1],
        }
        return Sample(pl.DataFrame(columns), pl.DataFrame(values, list(FEATURES), orient="row"))


def baseline_and_current(seed: int, *, strangers: bool = False) -> tuple[Sample, Sample]:
    world = World(seed)
    baseline = world.sample(1200, days=84)
    later = World(seed + 1_000) if strangers else world
    return baseline, later.sample(150, day=84, names="stranger" if strangers else "account")


def drift(baseline: Sample, current: Sample, **changed: Any) -> Drift:
    options = {"false_alarm_rate": 0.05, "seed": 1, "replicates": 100, **changed}
    outcomes = options.pop("outcomes", current.posts)
    return find_drift(*baseline, *current, outcomes, options.pop("importance", IMPORTANCE), **options)


@pytest.fixture(scope="module")
def pair() -> tuple[Sample, Sample]:
    return baseline_and_current(0)


@pytest.mark.parametrize("strangers", [False, True])
def test_where_nothing_changed_it_alarms_no_more_often_than_was_said(strangers: bool) -> None:
    """Of 16 looks at a rate of 5 %, 5 or more would alarm by chance in 1 of 1,000 such tests."""
    found = [drift(*baseline_and_current(seed, strangers=strangers), replicates=40) for seed in range(16)]
    alarms = {
        "features": sum(each.drifted for each in found),
        "prediction": sum(_more(each.prediction_distance, each.prediction_threshold) for each in found),
        "target": sum(_more(each.target_distance, each.target_threshold) for each in found),
    }
    assert max(alarms.values()) <= 4, alarms
    assert not any(each.broken for each in found)


def test_an_important_feature_shifted_by_half_a_standard_deviation_is_found() -> None:
    found = []
    for seed in range(6):
        baseline, current = baseline_and_current(seed)
        found.append(drift(baseline, current.having(anchor=current.features["anchor"] + 0.5), replicates=40))
    assert sum(each.drifted for each in found) >= 5
    assert all(each.features[0].name == "anchor" for each in found)


def test_a_feature_that_moved_far_is_found_though_the_mean_of_all_drowns_it() -> None:
    baseline, current = baseline_and_current(0)
    longer = current.having(log_duration=current.features["log_duration"] + 1)
    found = drift(baseline, longer, false_alarm_rate=0.01)
    assert found.score < found.threshold
    assert (found.farthest, found.drifted) == ("log_duration", True)
    assert found.excess is not None
    assert found.excess > found.excess_threshold >= LEAST_DISTANCE
    assert "in log duration, whose distance is " in drift_words(found, "tiktok")
    assert not drift(baseline, longer, false_alarm_rate=0.01, importance={**IMPORTANCE, "log_duration": 0.009}).drifted


def test_a_model_that_weighs_nothing_has_no_feature_that_drifts() -> None:
    baseline, current = baseline_and_current(0)
    found = drift(baseline, current.having(log_duration=9.0), importance={})
    assert (found.score, found.farthest, found.excess, found.drifted) == (0, None, None, False)


def test_a_feature_that_swings_from_week_to_week_has_to_move_farther() -> None:
    """Every fourth week posts are longer: to see such a week again is no drift, to see longer ones still is."""
    world = World(5)
    weeks = [
        each.having(log_duration=each.features["log_duration"] + (1.2 if number % 4 == 3 else 0.0))
        for number in range(12)
        for each in [world.sample(150, day=7 * number)]
    ]
    other = world.sample(150, day=105)

    def longer(by: float) -> Drift:
        return drift(_joined(weeks), other.having(log_duration=other.features["log_duration"] + by))

    assert not longer(1.2).drifted
    assert longer(4.0).farthest == "log_duration"
    assert longer(4.0).drifted


def _more(distance: float | None, threshold: float | None) -> bool:
    assert distance is not None
    assert threshold is not None
    return distance > threshold


def test_features_are_ranked_by_distance_times_importance(pair: tuple[Sample, Sample]) -> None:
    baseline, current = pair
    moved = current.having(log_duration=current.features["log_duration"] + 5, anchor=current.features["anchor"] + 1)
    found = drift(baseline, moved)
    assert [each.name for each in found.features[:2]] == ["anchor", "log_duration"]
    assert found.features[1].distance == pytest.approx(1, abs=0.01)
    weights = [each.weight for each in found.features]
    assert weights == sorted(weights, reverse=True)
    assert all(each.weight == each.distance * each.importance for each in found.features)
    assert (found.posts, found.accounts) == (150, current.posts["account_id"].n_unique())


def test_distances_are_those_of_kolmogorov_smirnov_and_total_variation(pair: tuple[Sample, Sample]) -> None:
    baseline, current = pair
    before, now = np.repeat([0.0, 1, 2, np.nan], 300), np.repeat([0.0, 1, np.nan], 50)
    found = drift(baseline.having(media_type=before), current.having(media_type=now))
    distances = {each.name: each.distance for each in found.features}
    assert distances["media_type"] == pytest.approx(1 / 4)
    for name in FEATURES:
        one, other = (np.sort(each.features[name].to_numpy()) for each in (baseline, current))
        at = np.concatenate([one, other])
        shares = [np.searchsorted(each, at, side="right") / len(each) for each in (one, other)]
        assert distances[name] == pytest.approx(np.abs(shares[0] - shares[1]).max())


def test_a_feature_that_becomes_unknown_moves_by_the_share_that_does(pair: tuple[Sample, Sample]) -> None:
    baseline, current = pair
    values = current.features["hour"].to_numpy().copy()
    values[:90] = np.nan
    with_nan = drift(baseline, current.having(hour=values))
    as_null = drift(baseline, Sample(current.posts, current.having(hour=values).features.fill_nan(None)))
    hour = next(each for each in with_nan.features if each.name == "hour")
    assert hour.distance >= 0.6
    assert with_nan == as_null
    assert with_nan.drifted


@pytest.mark.parametrize("value", [0.0, 7.25])
def test_a_feature_that_varied_and_is_one_value_for_all_is_broken(pair: tuple[Sample, Sample], value: float) -> None:
    baseline, current = pair
    [found] = drift(baseline, current.having(caption_length=value)).broken
    assert found.name == "caption_length"
    assert found.broken == (
        f"caption_length is {value:g} for all 150 posts asked about, and took 1,200 values in training: "
        "check what sends it"
    )


def test_a_feature_that_nobody_sends_any_more_is_broken(pair: tuple[Sample, Sample]) -> None:
    baseline, current = pair
    before = np.where(np.arange(1200) % 4 == 0, np.nan, 3.0)
    [found] = drift(baseline.having(digit_count=before), current.having(digit_count=np.nan)).broken
    assert found.broken == (
        "digit_count is unknown for all 150 posts asked about, and was known of 75% in training: check what sends it"
    )


def test_a_constant_feature_is_not_broken_where_chance_or_its_past_explains_it(pair: tuple[Sample, Sample]) -> None:
    baseline, current = pair
    mostly = np.where(np.arange(1200) % 25 == 0, 1.0, 0.0)
    assert drift(baseline.having(has_link=mostly), current.having(has_link=0.0)).broken == ()

    few = Sample(current.posts.head(99), current.features.head(99))
    assert drift(baseline, few.having(caption_length=0.0)).broken == ()

    one = current.having(account_id="account 3")
    assert drift(baseline, one.having(log_followers=4.0)).broken == ()


def test_what_moves_with_the_calendar_is_not_drift_and_broken_only_when_it_is_lost(
    pair: tuple[Sample, Sample],
) -> None:
    baseline, current = pair
    aged = baseline.having(hours_since_previous=np.linspace(1, 50, 1200), posts_last_day=np.arange(1200) % 5.0)
    now = current.having(hours_since_previous=5_000.0, posts_last_day=0.0)
    quiet, plain = drift(aged, now), drift(baseline, current)
    assert set(quiet.left_out) == {"hours_since_previous", "posts_last_day"}
    assert all(why.startswith("of time: ") for why in quiet.left_out.values())
    assert replace(quiet, left_out={}) == plain

    [lost] = drift(aged, now.having(hours_since_previous=np.nan)).broken
    assert lost.name == "hours_since_previous"


def test_every_feature_that_is_called_one_of_time_exists() -> None:
    assert set(OF_TIME) <= set(NAMES)
    clocks = {name for name in NAMES if name.startswith(("hours_since", "posts_last")) or name.endswith("_days")}
    assert clocks <= set(OF_TIME)


def test_columns_that_one_side_lacks_are_named_and_left_out(pair: tuple[Sample, Sample]) -> None:
    baseline, current = pair
    before = baseline.having(visual_a=np.nan, visual_b=np.nan, visual_c=1.0)
    found = drift(before, current.having(visual_a=np.nan, visual_b=2.0, visual_d=1.0))
    assert found.left_out == {
        "visual_a": "always unknown",
        "visual_b": "never known in training",
        "visual_c": "in training, but not asked about",
        "visual_d": "asked about, but not in training",
    }
    assert {each.name for each in found.features} == set(FEATURES)


def test_a_natural_week_of_the_baseline_as_far_from_the_others_raises_the_threshold() -> None:
    """Every fourth week is another one: to see such a week again is no drift."""
    world = World(5)

    def week(number: int) -> Sample:
        each = world.sample(150, day=7 * number)
        return each.having(anchor=each.features["anchor"] + (1.0 if number % 4 == 3 else 0.0))

    weeks = [week(number) for number in range(12)]
    steady = [world.sample(150, day=7 * number) for number in range(12)]
    other = week(15)
    assert not drift(_joined(weeks), other).drifted
    assert drift(_joined(steady), other).drifted


def _joined(samples: list[Sample]) -> Sample:
    return Sample(*(pl.concat(frames) for frames in zip(*samples, strict=True)))


def test_predictions_and_outcomes_are_held_against_those_that_are_known(pair: tuple[Sample, Sample]) -> None:
    baseline, current = pair
    half = pl.when(pl.int_range(pl.len()) % 2 == 0)
    judged = Sample(baseline.posts.with_columns(half.then("prediction"), half.then("truth")), baseline.features)
    moved = Sample(current.posts.with_columns(pl.col("prediction") + 1, truth=pl.lit(None, pl.Float64)), current[1])
    found = drift(judged, moved)
    assert _more(found.prediction_distance, found.prediction_threshold)
    assert (found.target_distance, found.target_threshold) == (None, None)
    lower = drift(judged, moved, outcomes=current.posts.with_columns(pl.col("truth") - 1))
    assert _more(lower.target_distance, lower.target_threshold)
    assert not drift(judged, current).drifted
    plain = drift(judged, current)
    assert not _more(plain.prediction_distance, plain.prediction_threshold)


def test_posts_without_an_account_stand_for_themselves(pair: tuple[Sample, Sample]) -> None:
    baseline, current = pair
    nobody = Sample(current.posts.with_columns(account_id=pl.lit("")), current.features)
    null = Sample(current.posts.with_columns(account_id=pl.lit(None, pl.String)), current.features)
    assert drift(baseline, nobody).accounts == 150
    assert drift(baseline, nobody) == drift(baseline, null)


def test_the_same_posts_in_another_order_give_the_same_answer(pair: tuple[Sample, Sample]) -> None:
    baseline, current = pair
    order = np.random.default_rng(1).permutation(1200)
    shuffled = Sample(baseline.posts[order], baseline.features[order])
    one, other = drift(baseline, current), drift(shuffled, current)
    assert (one.score, one.threshold) == pytest.approx((other.score, other.threshold), rel=1e-5)


def test_more_posts_asked_about_than_the_baseline_holds_are_judged_too(pair: tuple[Sample, Sample]) -> None:
    baseline, current = pair
    many = World(0).sample(2_000, day=84)
    assert not drift(baseline, many).drifted
    assert drift(baseline, many.having(anchor=many.features["anchor"] + 0.5)).drifted
    one_day = Sample(baseline.posts.with_columns(published_at=baseline.posts["published_at"][0]), baseline.features)
    assert drift(one_day, current).threshold > 0


def test_a_smaller_rate_asks_for_more(pair: tuple[Sample, Sample]) -> None:
    thresholds = [drift(*pair, false_alarm_rate=rate).threshold for rate in (0.5, 0.05, 0.005)]
    assert thresholds[0] <= thresholds[1] < thresholds[2]


def test_what_cannot_be_judged_is_refused(pair: tuple[Sample, Sample]) -> None:
    baseline, current = pair
    with pytest.raises(NotEnoughDataError, match="0 posts against a baseline of 60 accounts"):
        drift(baseline, Sample(current.posts.clear(), current.features.clear()))
    with pytest.raises(NotEnoughDataError, match="of 1 accounts"):
        drift(baseline.having(account_id="one"), current)
    with pytest.raises(SchemaError, match="150 posts and features of 149"):
        drift(baseline, Sample(current.posts, current.features.head(149)))
    with pytest.raises(SchemaError, match=r"a false-alarm rate of 1\.5 is none"):
        drift(baseline, current, false_alarm_rate=1.5)
