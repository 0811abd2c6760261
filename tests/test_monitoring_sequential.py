"""Answers that may be looked at every day."""

from __future__ import annotations

import math

import numpy as np
import pytest

from features.errors import SettingsError
from monitoring.sequential import Sides, Spread, cluster_spread, radius, split_e_value, student
from training.evaluate import share_with_error


def spread_of(error: float, freedom: float = 1e9) -> Spread:
    return Spread(np.array([error]), np.array([freedom]))


def test_the_error_of_a_share_is_the_one_that_evaluation_reports() -> None:
    rng = np.random.default_rng(1)
    account = rng.integers(0, 30, 400)
    inside = (rng.random(400) < 0.5 + 0.01 * account).astype(float)
    residual = np.bincount(account, (inside - inside.mean()) / 400)[:, None]
    found = cluster_spread(residual, np.array([30.0]))
    assert found.error[0] == pytest.approx(share_with_error(account, inside)[1], rel=1e-9)


def test_the_width_is_that_of_the_paper_in_posts_and_prior() -> None:
    posts, deviation, rate, rho = 500, 2.0, 0.05, 0.1
    time = posts * deviation**2 * rho**2
    both = math.sqrt(2 * (time + 1) / (posts**2 * rho**2) * math.log(math.sqrt(time + 1) / rate))
    one = math.sqrt(2 * (time + 1) / (posts**2 * rho**2) * math.log(1 + math.sqrt(time + 1) / (2 * rate)))
    error = deviation / math.sqrt(posts)
    effect = rho * deviation**2  # what the prior on the effect is worth once divided by the variance of a post
    assert radius(spread_of(error), effect=effect, rate=rate, sides=Sides.TWO)[0] == pytest.approx(both)
    assert radius(spread_of(error), effect=effect, rate=rate, sides=Sides.ONE)[0] == pytest.approx(one)


def test_the_quantiles_of_student_are_close_to_the_exact_ones() -> None:
    from scipy.stats import norm, t

    for freedom in (5.0, 12.0, 30.0, 200.0):
        normal = np.array([2.0, 3.0, 3.7])
        exact = t.isf(norm.sf(normal), freedom)
        np.testing.assert_allclose(student(normal, np.full(3, freedom)), exact, rtol=0.035)


def test_one_account_that_carries_the_variance_counts_as_few() -> None:
    even = cluster_spread(np.random.default_rng(2).standard_normal((200, 1)), np.array([200.0]))
    lone = cluster_spread(np.append(np.full(199, 0.1), 50.0)[:, None], np.array([200.0]))
    assert even.freedom[0] > 100
    assert lone.freedom[0] < 5


def test_a_mean_of_one_account_is_not_known_at_all() -> None:
    found = cluster_spread(np.array([[0.5]]), np.array([1.0]))
    assert np.isinf(radius(found, effect=0.1, rate=0.05, sides=Sides.ONE)[0])


def test_daily_looks_at_accounts_that_differ_for_good_keep_the_rate_where_an_ordinary_interval_does_not() -> None:
    rng, rate, worlds, accounts, days = np.random.default_rng(3), 0.05, 400, 40, 60
    sequence = ordinary = 0
    for _ in range(worlds):
        level = 0.7 * rng.standard_normal((accounts, 1))
        posts = rng.poisson(0.3, (accounts, days)).cumsum(axis=1).astype(float)
        noise = np.sqrt(np.diff(posts, prepend=0.0, axis=1)) * rng.standard_t(5, (accounts, days))
        values = posts * level + noise.cumsum(axis=1)
        total = posts.sum(axis=0)
        mean = values.sum(axis=0) / total
        found = cluster_spread((values - mean * posts) / total, np.count_nonzero(posts, axis=0).astype(float))
        late = total >= 100
        sequence += bool((np.abs(mean) > radius(found, effect=0.2, rate=rate, sides=Sides.TWO))[late].any())
        ordinary += bool((np.abs(mean) > 1.96 * found.error)[late].any())
    assert sequence / worlds <= rate
    assert ordinary / worlds > 2.5 * rate


def test_the_evidence_against_a_right_split_is_one_on_average() -> None:
    accounts, share = 25, 0.2
    chances = [math.comb(accounts, k) * share**k * (1 - share) ** (accounts - k) for k in range(accounts + 1)]
    mean = sum(chance * split_e_value(k, accounts - k, share) for k, chance in enumerate(chances))
    assert mean == pytest.approx(1.0)


def test_the_evidence_against_a_wrong_split_grows_without_overflowing() -> None:
    assert split_e_value(50, 950, 0.1) > 100
    assert split_e_value(105, 895, 0.1) < 1
    assert math.isfinite(split_e_value(1_000_000, 0, 0.1))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_nothing_or_all_cannot_be_tested(share: float) -> None:
    with pytest.raises(SettingsError, match="share within 0 and 1"):
        split_e_value(3, 4, share)


@pytest.mark.parametrize(("rate", "effect"), [(0.0, 0.1), (1.0, 0.1), (0.05, 0.0)])
def test_a_sequence_without_a_rate_or_an_effect_is_refused(rate: float, effect: float) -> None:
    with pytest.raises(SettingsError, match="rate within 0 and 1"):
        radius(spread_of(0.1), effect=effect, rate=rate, sides=Sides.ONE)
