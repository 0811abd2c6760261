"""What is expected of an account before anything is known of it, and the anchor built on that."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.fitted import Fitted
from features.prior import Line, Lines, Prior, shrunken
from tests.features_world import Made, features_of, fit, known_frame, rows_of, worlds

CODES = np.arange(100)


def line_of(size: list[float], value: list[float], accounts: list[int] | None = None) -> Line:
    owners = np.array(accounts) if accounts else CODES[: len(size)]
    return Line.fit(np.array(size), np.array(value), owners)


def test_a_line_is_found_where_accounts_differ_in_size() -> None:
    size = np.linspace(0, 16, 100)
    line = Line.fit(size, 3 + 0.6 * size, CODES)
    assert line.slope == pytest.approx(0.6, rel=1e-3)
    assert line.intercept == pytest.approx(3, rel=1e-2)


def test_accounts_all_of_one_size_give_their_mean_and_no_slope() -> None:
    line = line_of([7.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert (line.slope, line.intercept, line.mean) == (0.0, 3.0, 3.0)


def test_accounts_almost_of_one_size_do_not_send_large_ones_to_the_moon() -> None:
    line = line_of([7.0, 7.000001, 7.000002], [1.0, 5.0, 9.0])
    assert abs(line.slope) < 1e-4
    assert abs(line.intercept + line.slope * 20) < 10


def test_without_followers_a_line_is_the_mean() -> None:
    line = line_of([np.nan] * 3, [1.0, 2.0, 6.0])
    assert (line.slope, line.intercept, line.mean) == (0.0, 3.0, 3.0)


def test_a_busy_account_weighs_as_the_root_of_its_posts() -> None:
    line = line_of([5.0] * 17, [0.0] * 16 + [10.0], accounts=[3] * 16 + [8])
    assert line.mean == pytest.approx(10 / (4 + 1))


def test_a_population_has_its_own_line_and_one_never_seen_that_of_all() -> None:
    prior = Prior.fit(["a", "a", "b", "b"], np.full(4, np.nan), np.array([1.0, 1.0, 5.0, 5.0]), ["w", "x", "y", "z"])
    assert prior.levels(["a", "b", "never seen"]) == [1.0, 5.0, 3.0]
    table = prior.table(["b", "a"])
    assert Lines(*table[[0, 1, -1]].T).at(np.full(3, np.nan)).tolist() == [5.0, 1.0, 3.0]
    assert Lines(*table[-1].tolist()).at(np.nan) == 3.0


def test_a_population_without_known_values_takes_the_line_of_all() -> None:
    prior = Prior.fit(["a", "b"], np.array([1.0, 2.0]), np.array([4.0, np.nan]), ["x", "y"])
    assert set(prior.lines) == {"a"}
    assert prior.levels(["b"]) == [4.0]


def test_where_no_value_is_known_nothing_is_expected() -> None:
    prior = Prior.fit(["a"], np.array([1.0]), np.array([np.nan]), ["x"])
    again = Prior.from_dict(json.loads(json.dumps(prior.to_dict(), allow_nan=False)))
    assert again == prior
    assert np.isnan(Lines(*again.table(["a"]).T).at(np.array([1.0, np.nan]))).all()


def test_accounts_that_differ_in_invisible_characters_are_two() -> None:
    values = np.array([0.0] * 4 + [9.0])
    one, two = (
        Prior.fit(["p"] * 5, np.full(5, np.nan), values, accounts)
        for accounts in (["a", "a", "a", "a", "a"], ["a", "a", "a", "a", "a\u0000"])
    )
    assert one.levels(["p"])[0] == pytest.approx(1.8)
    assert two.levels(["p"])[0] == pytest.approx(3.0)


@given(worlds)
@settings(max_examples=40)
def test_whatever_was_fitted_is_finite_or_absent(world: list[Made]) -> None:
    if not any(post.views is not None and post.known_after_days is not None for post in world):
        return
    fitted = fit(known_frame(world))
    again = Fitted.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    features = features_of(rows_of(known_frame(world), fitted=again))
    assert np.isfinite(features["anchor"]).all()
    assert np.isfinite(features["prior"]).all()


@given(st.floats(0, 400), st.integers(0, 20), st.floats(0, 20), st.floats(0.5, 10))
def test_an_anchor_lies_between_the_mean_and_the_prior(total: float, count: int, prior: float, weight: float) -> None:
    anchor = shrunken(total * (count > 0), count, prior, weight)
    ends = sorted([prior, total / count if count else prior])
    assert ends[0] - 1e-9 <= anchor <= ends[1] + 1e-9


def test_more_outcomes_pull_the_anchor_further_from_the_prior() -> None:
    posts = [Made(hour=24 * day, views=10**6) for day in range(40)]
    features = features_of(rows_of(known_frame(posts)))
    distance = features["anchor"] - features["prior"]
    known = features["outcomes_known"]
    assert (np.diff(distance[known < 20]) >= 0).all()
    assert distance[-1] == pytest.approx((np.log1p(10**6) - features["prior"][-1]) * 20 / 22)


def test_categories_never_seen_have_no_code() -> None:
    fitted = fit(known_frame([Made(media_type="video"), Made(media_type=None, hour=1)]))
    posts = [Made(media_type=kind, hour=hour) for hour, kind in enumerate(["video", "image", None])]
    codes = features_of(rows_of(known_frame(posts), fitted=fitted))["media_type"]
    np.testing.assert_array_equal(codes, [0.0, np.nan, np.nan])
