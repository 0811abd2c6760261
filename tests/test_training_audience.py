"""An account's own hours: what its past outcomes say of them, and how far accounts differ."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from training.audience import BLOCKS, EFFECTS, Spread, effects_of, evidence_of, measure_spread

DAY_S = 86_400
HOUR_S = 3_600


def account(seed: int, posts: int = 100, hours: Any = 0.0, weekdays: Any = 0.0, a_day: int = 1) -> tuple[Any, Any]:
    """Local times and outcomes of an account with effects of its own, and a level that drifts."""
    draw = np.random.default_rng(seed)
    days = np.sort(draw.choice(3 * posts, posts // a_day, replace=False)).repeat(a_day)
    local_s = np.sort(days * DAY_S + draw.integers(0, 24, posts) * HOUR_S)
    effects = np.append(np.ones(BLOCKS) * hours, np.ones(EFFECTS - BLOCKS) * weekdays)
    level = 5 + np.cumsum(draw.normal(0, 0.05, posts))
    return local_s, level + effects_of(local_s) @ effects + draw.normal(0, 0.8, posts)


def crowd(accounts: int, spread: float, **others: Any) -> tuple[Any, Any, list[int]]:
    draw = np.random.default_rng(3)
    parts = [account(seed, hours=draw.normal(0, spread, BLOCKS), **others) for seed in range(accounts)]
    owner = np.repeat(np.arange(accounts), [len(times) for times, _ in parts]).tolist()
    return *(np.concatenate(column) for column in zip(*parts, strict=True)), owner


def told(local_s: Any, outcome: Any, spread: Spread) -> Any:
    """The effects that outcomes and beliefs amount to."""
    found = evidence_of(local_s, outcome, effects_of(local_s), spread.luck)
    assert found is not None
    noise = found.noise(spread)
    return np.linalg.solve(found.products / noise + np.diag(1 / spread.variances), found.answers / noise)


def test_effects_are_the_block_of_the_hour_and_the_weekday() -> None:
    sunday_evening = 3 * DAY_S + 21 * HOUR_S + 1_800  # the first of January 1970 was a Thursday
    (row,) = effects_of(np.array([sunday_evening]))
    assert np.flatnonzero(row).tolist() == [5, BLOCKS + 6]
    assert effects_of(np.array([-1]))[0, [5, BLOCKS + 2]].tolist() == [1, 1]


def test_much_evidence_is_believed_and_little_is_not() -> None:
    evening = np.where(np.arange(BLOCKS) == 5, 1.0, 0.0)
    belief = Spread(hours=0.2, weekdays=0.1)
    few, many = (told(*account(1, posts=posts, hours=evening), belief) for posts in (12, 2_000))
    assert many[5] - many[:5].mean() == pytest.approx(1.0, abs=0.1)
    assert 0 <= few[5] - few[:5].mean() < 0.4


def test_a_drift_of_the_level_is_no_effect_of_hours() -> None:
    """An account that moved from mornings to evenings while it grew."""
    draw = np.random.default_rng(5)
    days = np.arange(200)
    local_s = days * DAY_S + np.where(days < 100, 9, 21) * HOUR_S
    outcome = 3 + 0.02 * days + draw.normal(0, 0.3, 200)
    effects = told(local_s, outcome, Spread(hours=0.3, weekdays=0.1))
    assert abs(effects[5] - effects[2]) < 0.1


@pytest.mark.parametrize("luck", [0.0, 0.3, 0.8])
def test_outcomes_are_weighed_as_by_a_model_with_a_level_a_spell_and_luck_a_day(luck: float) -> None:
    """Against the plain formula of generalised least squares with levels as free parameters."""
    local_s, outcome = account(2, posts=40, a_day=2)
    found = evidence_of(local_s, outcome, effects_of(local_s), luck)
    same_day = local_s[:, None] // DAY_S == local_s // DAY_S
    inverse = np.linalg.inv((1 - luck) * np.eye(40) + luck * same_day)
    levels = np.eye(2).repeat(20, axis=0)
    away = inverse - inverse @ levels @ np.linalg.inv(levels.T @ inverse @ levels) @ levels.T @ inverse
    assert found is not None
    np.testing.assert_allclose(found.products, effects_of(local_s).T @ away @ effects_of(local_s), atol=1e-9)
    assert found.squares <= outcome @ away @ outcome + 1e-9
    assert found.freedom == 38


def test_one_outcome_far_out_changes_little() -> None:
    local_s, outcome = account(4)
    viral = outcome.copy()
    viral[50] += 12
    belief = Spread(hours=0.3, weekdays=0.3)
    assert np.abs(told(local_s, viral, belief) - told(local_s, outcome, belief)).max() < 0.25


def test_few_outcomes_say_nothing() -> None:
    local_s, outcome = account(1, posts=9)
    assert evidence_of(local_s, outcome, effects_of(local_s), 0.3) is None
    one_day = np.arange(30) * 60
    assert evidence_of(one_day, np.arange(30.0), effects_of(one_day), 0.3) is None


def test_how_far_accounts_differ_is_found_and_not_where_they_do_not() -> None:
    found, nothing = (measure_spread(*crowd(60, spread)) for spread in (0.3, 0.0))
    assert found.hours == pytest.approx(0.3, abs=0.1)
    assert nothing.hours < 0.06
    assert max(found.weekdays, nothing.weekdays) < 0.08
    assert found.noise == pytest.approx(0.8, rel=0.1)
    assert (found.accounts, nothing.luck) == (60, 0.0)


def test_luck_that_the_posts_of_a_day_share_is_no_effect_of_weekdays() -> None:
    local_s, outcome, owner = crowd(60, 0.0, a_day=4)
    day = np.unique(np.column_stack([owner, local_s // DAY_S]), axis=0, return_inverse=True)[1]
    luck = np.random.default_rng(8).normal(0, 0.8, day.max() + 1)[day]
    plain, lucky = (measure_spread(local_s, each, owner) for each in (outcome, outcome + luck))
    assert plain.luck == 0.0
    assert lucky.luck == pytest.approx(0.5, abs=0.11)
    assert lucky.weekdays < 0.1


def test_accounts_without_enough_posts_leave_what_was_believed() -> None:
    local_s, outcome = account(1, posts=15)
    assert measure_spread(local_s, outcome, ["a"] * 15) == Spread()
    level = np.zeros(100)
    assert measure_spread(account(1)[0], level, ["a"] * 100) == Spread()
    assert replace(Spread(), hours=0.5).variances[0] == 0.25
