"""Whether a model has become worse than its holdout promised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from false_alarms import TESTS, World, alarms, follow
from monitoring.decay import Bias, Coverage, Decay, find_bias, find_coverage, find_decay
from monitoring.starts import STARTS, expectation

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
WEEKS = 16
AT = MONDAY + timedelta(weeks=WEEKS) - timedelta(seconds=1)
ACCOUNTS = 60
ASKED: Mapping[str, Any] = {"false_alarm_rate": 0.01, "tolerance": 0.05, "min_posts": 200, "min_accounts": 20}


@dataclass(frozen=True)
class Made:
    posts: pl.DataFrame
    holdout: pl.DataFrame


def frame(rng: np.random.Generator, posts: int, scale: np.ndarray[Any, Any]) -> pl.DataFrame:
    account = rng.integers(0, ACCOUNTS, posts)
    prediction = rng.normal(8, 1, posts)
    truth = prediction + scale[account] * rng.standard_normal(posts)
    half = 1.3 * np.ones(posts)
    return pl.DataFrame(
        {
            "account_id": [f"a{each}" for each in account],
            "truth": truth,
            "prediction": prediction,
            "lower": prediction - half,
            "upper": prediction + half,
        }
    )


def made(seed: int = 1, posts_a_week: int = 150, holdout: int = 1500) -> Made:
    rng = np.random.default_rng(seed)
    scale = np.exp(0.4 * rng.standard_normal(ACCOUNTS))
    count = posts_a_week * WEEKS
    posts = frame(rng, count, scale).with_columns(
        role=pl.lit("champion"),
        version=pl.lit(1),
        sha256=pl.lit("one"),
        post_id=pl.int_range(count).cast(pl.String),
        known_s=pl.Series(int(MONDAY.timestamp()) + np.sort(rng.integers(0, WEEKS * 7 * 86_400, count))),
        anchor=pl.lit(None, pl.Float64),
        expected_error=pl.lit(None, pl.Float64),
    )
    return Made(posts, frame(rng, holdout, scale))


def week() -> pl.Expr:
    return (pl.col("known_s") - int(MONDAY.timestamp())) // (7 * 86_400)


def with_errors(world: Made, change: Callable[[pl.Expr], pl.Expr], when: pl.Expr) -> pl.DataFrame:
    error = pl.col("truth") - pl.col("prediction")
    changed = pl.when(when).then(pl.col("prediction") + change(error)).otherwise(pl.col("truth"))
    return world.posts.with_columns(truth=changed)


def decay_of(posts: pl.DataFrame, holdouts: Mapping[str, pl.DataFrame], at: datetime = AT, **asked: Any) -> Decay:
    return find_decay(posts, holdouts, at_s=int(at.timestamp()), **(ASKED | asked))


def bias_of(posts: pl.DataFrame, world: Made) -> Bias:
    return find_bias(posts, {"one": world.holdout}, at_s=int(AT.timestamp()), **ASKED)


def coverage_of(posts: pl.DataFrame, world: Made) -> Coverage:
    return find_coverage(posts, {"one": world.holdout}, at_s=int(AT.timestamp()), **ASKED)


def test_where_nothing_changes_nothing_is_reported() -> None:
    world = made()
    found = decay_of(world.posts, {"one": world.holdout})
    assert found.measured
    assert not found.decayed
    assert found.since is None
    assert found.lower < 1 < found.ratio + 0.2
    assert "not shown to have risen" in found.sentence
    assert not bias_of(world.posts, world).moved
    assert not coverage_of(world.posts, world).fallen


def test_errors_that_grew_by_half_are_found_with_the_week_when_that_began() -> None:
    world = made()
    posts = with_errors(world, lambda error: error * 1.5, week() >= 10)
    found = decay_of(posts, {"one": world.holdout})
    assert found.decayed
    assert found.since is not None
    assert abs(found.since - (MONDAY + timedelta(weeks=10)).date()) <= timedelta(weeks=1)
    assert 1.05 < found.lower < 1.5 < found.ratio + 0.15
    assert found.error == pytest.approx(found.promised * found.ratio)
    recent = posts.filter(pl.col("known_s") >= int(datetime.combine(found.since, MONDAY.timetz()).timestamp()))
    assert found.error == pytest.approx((recent["truth"] - recent["prediction"]).abs().mean())
    assert (found.posts, found.accounts) == (recent.height, recent["account_id"].n_unique())
    for said in (f"{found.since}", f"{found.posts} posts of {found.accounts} accounts", "clipcast run weekly"):
        assert said in found.sentence


def test_a_change_late_in_a_long_quiet_time_is_not_diluted_by_it() -> None:
    world = made(posts_a_week=400)
    posts = with_errors(world, lambda error: error * 1.5, week() >= WEEKS - 1)
    found = decay_of(posts, {"one": world.holdout})
    assert found.decayed
    assert found.since == (MONDAY + timedelta(weeks=WEEKS - 1)).date()


def test_errors_that_are_back_where_they_were_are_no_decay_any_more() -> None:
    world = made()
    posts = with_errors(world, lambda error: error * 2.0, week().is_between(4, 11))
    then = MONDAY + timedelta(weeks=12) - timedelta(seconds=1)
    assert decay_of(posts, {"one": world.holdout}, then).decayed
    found = decay_of(posts, {"one": world.holdout})
    assert not found.decayed
    assert "is back" in found.sentence


def test_outcomes_that_came_later_than_asked_for_do_not_count() -> None:
    world = made()
    posts = with_errors(world, lambda error: error * 3.0, week() >= 8)
    found = decay_of(posts, {"one": world.holdout}, MONDAY + timedelta(weeks=8) - timedelta(seconds=1))
    assert not found.decayed
    assert found.measured


def test_what_nobody_saw_does_not_count() -> None:
    world = made()
    wrong = with_errors(world, lambda error: error * 5.0, pl.lit(True)).with_columns(role=pl.lit("shadow"))
    found = decay_of(pl.concat([world.posts, wrong]), {"one": world.holdout})
    assert not found.decayed
    assert found.posts <= world.posts.height


def test_only_so_many_weeks_back_are_looked_at() -> None:
    world = made()
    found = decay_of(world.posts, {"one": world.holdout}, AT + timedelta(weeks=STARTS), min_posts=1)
    assert not found.measured
    assert "no post has matured" in found.sentence


def test_versions_that_follow_one_another_are_held_each_against_its_own_promise() -> None:
    world = made()
    double = pl.col("prediction") + 2 * (pl.col("truth") - pl.col("prediction"))
    posts = with_errors(world, lambda error: error * 2.0, week() >= 8).with_columns(
        sha256=pl.when(week() >= 8).then(pl.lit("two")).otherwise(pl.lit("one"))
    )
    holdouts = {"one": world.holdout, "two": world.holdout.with_columns(truth=double)}
    found = decay_of(posts, holdouts, min_posts=posts.height // 2 + 100)  # so that only those over both may speak
    assert found.measured
    assert not found.decayed
    assert found.ratio == pytest.approx(1.0, abs=0.1)
    assert decay_of(posts, {"one": world.holdout, "two": world.holdout}).decayed


def test_a_holdout_without_many_accounts_is_no_baseline_and_its_posts_are_named() -> None:
    world = made()
    posts = world.posts.with_columns(sha256=pl.when(week() < 3).then(pl.lit("lost")).otherwise(pl.lit("one")))
    found = decay_of(posts, {"one": world.holdout, "lost": world.holdout.head(3)})
    lost = posts.filter(sha256="lost").height
    assert found.measured
    assert f"{lost} posts of versions without a usable baseline" in found.sentence
    none = decay_of(posts.filter(sha256="lost"), {})
    assert not none.measured
    assert f"the {lost} matured posts were answered by versions without a baseline" in none.sentence


@pytest.mark.parametrize("asked", [{"min_posts": 10_000}, {"min_accounts": ACCOUNTS + 1}])
def test_too_little_says_nothing_but_what_is_needed(asked: dict[str, int]) -> None:
    world = made()
    posts = with_errors(world, lambda error: error * 5.0, pl.lit(True))
    holdout = world.holdout if "min_posts" in asked else pl.concat([world.holdout, extra_accounts()])
    found = decay_of(posts, {"one": holdout}, **asked)
    assert not found.measured
    assert not found.decayed
    assert f"{posts.height} posts of {ACCOUNTS} accounts" in found.sentence
    assert str(next(iter(asked.values()))) in found.sentence


def extra_accounts() -> pl.DataFrame:
    rows = made(2).holdout.head(40)
    return rows.with_columns(account_id=pl.lit("new") + pl.int_range(40).cast(pl.String))


def test_hard_accounts_that_post_more_than_before_are_not_a_rise_of_the_error() -> None:
    world = made(posts_a_week=300, holdout=6000)
    error = (pl.col("truth") - pl.col("prediction")).abs().mean()
    hard = world.holdout.group_by("account_id").agg(error.alias("e")).sort("e").tail(ACCOUNTS // 2)["account_id"]
    posts = world.posts.filter((week() < 8) | pl.col("account_id").is_in(hard.to_list()))
    late = posts.filter(week() >= 8)
    rise = (late["truth"] - late["prediction"]).abs().to_numpy().mean() / world.holdout.select(error).item()
    found = decay_of(posts, {"one": world.holdout})
    assert rise > 1.2  # a mean that knows nothing of accounts would be much above its promise
    assert not found.decayed
    assert found.ratio == pytest.approx(1.0, abs=0.1)


def test_a_share_of_an_accounts_own_is_promised_it_and_more_where_it_posted_more() -> None:
    rng = np.random.default_rng(4)
    account = np.repeat(np.arange(40), np.where(np.arange(40) < 20, 5, 50))
    level = rng.normal(1, 0.5, 40)
    values = level[account] + rng.standard_normal(len(account))
    found = expectation(account, values, 41)
    assert 0 < found.own[:20].max() < found.own[20:40].min() < 1
    assert found.own[40] == 0
    assert found.level[40] == pytest.approx(values.mean())
    assert np.abs(found.level[20:40] - level[20:]).mean() < np.abs(values.mean() - level[20:]).mean() / 2
    assert found.residual.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("test", TESTS, ids=[test.name for test in TESTS])
def test_sequences_that_start_every_week_and_are_looked_at_daily_alarm_no_more_often_than_stated(test: Any) -> None:
    world = World(40, 100, 250, 0.2)
    found = [alarms(*follow(np.random.default_rng([5, each]), world, test, 1.0), 0.0)[0] for each in range(40)]
    assert np.mean(found) <= 0.01


def test_outcomes_that_are_counted_otherwise_move_nearly_all_accounts_alike() -> None:
    world = made()
    found = bias_of(with_errors(world, lambda error: error + np.log(2.8), week() >= 10), world)
    assert found.moved
    assert found.redefined
    assert found.alike > 0.9
    assert 1.5 < found.lower < found.factor < found.upper
    assert found.factor == pytest.approx(2.8, rel=0.2)
    assert "may count otherwise than before" in found.sentence
    assert found.since is not None
    assert abs(found.since - (MONDAY + timedelta(weeks=10)).date()) <= timedelta(weeks=1)


def test_outcomes_that_moved_in_some_accounts_only_are_a_shift_but_no_other_count() -> None:
    world = made()
    some = (week() >= 10) & (pl.col("account_id").str.tail(1).cast(pl.Int64) < 5)
    found = bias_of(with_errors(world, lambda error: error - np.log(8.0), some), world)
    assert found.moved
    assert found.factor < 1
    assert not found.redefined
    assert "slices" in found.sentence


def test_a_bias_that_the_holdout_had_too_is_not_new() -> None:
    world = made()
    held = world.holdout.with_columns(pl.col("truth") + 1.0)
    found = bias_of(world.posts.with_columns(pl.col("truth") + 1.0), replace(world, holdout=held))
    assert found.measured
    assert not found.moved


def test_weeks_in_which_a_whole_platform_does_a_tenth_better_are_not_called_a_shift() -> None:
    (test,) = (each for each in TESTS if each.name.startswith("outcomes moved"))
    world = World(150, 300, 3000, 0.2, swing=0.1)
    found = [follow(np.random.default_rng([12, each]), world, test, 1.0) for each in range(20)]
    assert np.mean([alarms(*each, test.threshold)[0] for each in found]) <= 0.01
    assert np.mean([alarms(*each, np.log1p(ASKED["tolerance"]))[0] for each in found]) > 0.01
    whole = bias_of(with_errors(made(), lambda error: error + np.log(1.2), pl.lit(True)), made())
    assert whole.lower > 1.05
    assert not whole.moved


def test_intervals_that_hold_less_often_than_in_the_holdout_are_found() -> None:
    world = made()
    found = coverage_of(with_errors(world, lambda error: error * 2.0, week() >= 8), world)
    assert found.fallen
    assert found.coverage < found.upper < found.promised - 0.05
    assert found.since is not None
    assert abs(found.since - (MONDAY + timedelta(weeks=8)).date()) <= timedelta(weeks=1)
    assert f"{found.coverage:.0%}" in found.sentence


def test_posts_without_an_interval_do_not_count_as_outside_of_it() -> None:
    world = made()
    nothing = pl.when(week() >= 8).then(float("nan"))
    posts = world.posts.with_columns(lower=nothing.otherwise("lower"), upper=nothing.otherwise("upper"))
    found = coverage_of(posts, world)
    assert found.measured
    assert not found.fallen


def test_forecasts_that_are_always_right_are_no_decay() -> None:
    world = made()
    found = decay_of(world.posts.with_columns(truth=pl.col("prediction")), {"one": world.holdout})
    assert not found.decayed
    assert found.error == 0
