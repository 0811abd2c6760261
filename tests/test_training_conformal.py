"""Intervals that hold what they promise on errors like those they were set on."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.conformal import MIN_ROWS, Conformal

sizes = st.floats(-1e3, 1e3).filter(lambda number: abs(number) > 1e-6 or number == 0)
errors = st.lists(sizes, min_size=1, max_size=60)


def uniform(rows: int) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(rows), np.zeros(rows, dtype=bool)


@pytest.mark.parametrize("rows", [19, 50, 99, 400])
@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_a_new_error_falls_inside_as_often_as_promised(rows: int, coverage: float) -> None:
    draw = np.random.default_rng(rows)
    scale, is_new = uniform(rows)
    inside = []
    for _ in range(2000):
        *seen, one_more = draw.standard_t(3, rows + 1) + 0.3
        low, high = Conformal.fit(np.array(seen), scale, is_new, coverage).known
        inside.append(low <= one_more <= high)
    # Ranks are whole: up to two more of the rows + 1 places than asked for lie inside, and none fewer.
    slack = 3 * np.sqrt(coverage * (1 - coverage) / len(inside))
    assert coverage - slack <= np.mean(inside) <= coverage + 2 / (rows + 1) + slack


def test_the_ends_are_the_ranks_that_the_theory_names() -> None:
    error = np.arange(1.0, 100.0)
    scale, is_new = uniform(99)
    assert Conformal.fit(error, scale, is_new, 0.8).known == (10.0, 90.0)
    assert Conformal.fit(error[:9], *uniform(9), 0.8).known == (1.0, 9.0)
    assert Conformal.fit(error[:1], *uniform(1), 0.8).known == (1.0, 1.0)


@given(errors, st.floats(0.05, 0.95))
def test_a_forecast_lies_within_its_interval(found: list[float], coverage: float) -> None:
    error = np.array(found)
    scale, is_new = uniform(len(error))
    fitted = Conformal.fit(error, scale, is_new, coverage)
    lower, upper = fitted.interval(error, scale, is_new)
    assert (lower <= error).all()
    assert (error <= upper).all()


@given(errors)
def test_more_coverage_never_makes_an_interval_narrower(found: list[float]) -> None:
    error = np.array(found)
    ends = [Conformal.fit(error, *uniform(len(error)), level).known for level in (0.5, 0.7, 0.8, 0.9, 0.95)]
    lows, highs = np.transpose(ends)
    assert (np.diff(lows) <= 0).all()
    assert (np.diff(highs) >= 0).all()


@given(errors)
def test_turning_every_error_round_turns_the_interval_round(found: list[float]) -> None:
    error = np.array(found)
    low, high = Conformal.fit(error, *uniform(len(error)), 0.8).known
    assert Conformal.fit(-error, *uniform(len(error)), 0.8).known == (-high, -low)


def test_intervals_grow_with_the_expected_error() -> None:
    draw = np.random.default_rng(7)
    scale = draw.uniform(0.1, 5.0, 4000)
    error = scale * draw.normal(size=4000)
    is_new = np.zeros(4000, dtype=bool)
    lower, upper = Conformal.fit(error, scale, is_new, 0.8).interval(np.zeros(4000), scale, is_new)
    for group in (scale < 1, scale > 4):
        inside = (lower[group] <= error[group]) & (error[group] <= upper[group])
        assert inside.mean() == pytest.approx(0.8, abs=0.05)


def test_weights_count_as_often_as_an_error_occurs() -> None:
    draw = np.random.default_rng(7)
    error, times = draw.normal(size=300), draw.integers(1, 4, 300)
    weighted = Conformal.fit(error, *uniform(300), 0.8, times.astype(float)).known
    repeated = Conformal.fit(np.repeat(error, times), *uniform(times.sum()), 0.8).known
    assert weighted == pytest.approx(repeated, abs=0.05)
    assert Conformal.fit(error, *uniform(300), 0.8, np.full(300, 0.125)) == Conformal.fit(error, *uniform(300), 0.8)


def test_where_errors_grow_the_later_ones_set_the_interval() -> None:
    error = np.random.default_rng(7).normal(size=2000) * np.repeat([1.0, 2.0], 1000)
    late = Conformal.fit(error, *uniform(2000), 0.8, np.repeat([0.01, 1.0], 1000)).known
    assert late[1] == pytest.approx(Conformal.fit(error[1000:], *uniform(1000), 0.8).known[1], rel=0.05)


def test_new_accounts_have_ends_of_their_own_once_there_are_enough_of_them() -> None:
    draw = np.random.default_rng(7)
    is_new = np.arange(1000) < MIN_ROWS
    error = draw.normal(size=1000) * np.where(is_new, 3.0, 1.0)
    scale = np.ones(1000)
    enough = Conformal.fit(error, scale, is_new, 0.8)
    assert enough.new[1] > 2 * enough.known[1]
    too_few = Conformal.fit(error[1:], scale[1:], is_new[1:], 0.8)
    assert too_few.known[1] < too_few.new[1] < enough.new[1]


def test_an_interval_comes_back_from_json() -> None:
    fitted = Conformal((-1.25, 0.1 + 0.2), (-2.0, 3.0))
    assert Conformal.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted
