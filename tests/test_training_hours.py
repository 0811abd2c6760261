"""What the hour of publication is worth, as measured out of fold."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.training_world import built, known_frame, recipe, world_of_hours
from training.audience import Spread
from training.blend import Blend
from training.contrasts import GRID_HOURS, evenly_spaced, moved, timing_contrasts
from training.core import Core, fit_core, fit_features
from training.examples import Examples, inputs_of
from training.experts import EXPERTS, KNOWN
from training.hours import UNMEASURED, Hours, Slope, in_words, measure_hours, slope_within
from training.judging import SPREAD_FEATURES, Judged
from training.performance_model import PerformanceModel
from training.task import load_model

HOUR_S = 3_600
TIMING = ("hour", "weekday", "local_hour", "local_weekday")


@cache
def core() -> tuple[Examples, Core]:
    examples = built(known_frame(accounts=20, weeks=10))
    rows = np.arange(len(examples))
    return examples, fit_core(recipe(), examples, rows, fit_features(recipe(), examples, rows))


def test_a_week_is_thinned_to_every_hour_of_the_day_once() -> None:
    assert sorted(GRID_HOURS % 24) == list(range(24))
    assert np.ptp(GRID_HOURS) == 161
    assert set(np.bincount(GRID_HOURS // 24 % 7)) == {3, 4}


def test_a_moved_post_changes_in_nothing_but_its_clocks() -> None:
    examples, fitted = core()
    rows = np.arange(len(examples) - 50, len(examples))
    inputs = inputs_of(examples, rows, fitted.fitted)
    posts = examples.posts.take(rows)
    same = moved(inputs, examples.names, posts, posts.published_s)
    np.testing.assert_array_equal(same.matrix, inputs.matrix)
    later = moved(inputs, examples.names, posts, posts.published_s + 31 * HOUR_S)
    before, after = (dict(zip(examples.names, each.matrix.T, strict=True)) for each in (inputs, later))
    for name in set(examples.names) - set(TIMING):
        np.testing.assert_array_equal(after[name], before[name])
    np.testing.assert_allclose(after["hour"], (before["hour"] + 31) % 24)
    np.testing.assert_allclose(after["local_hour"], (before["local_hour"] + 31) % 24)
    for name in ("weekday", "local_weekday"):
        days_on = (after[name] - before[name])[~np.isnan(before[name])] % 7
        assert set(days_on) == {1, 2}


def test_a_contrast_is_the_own_hour_less_the_mean_of_the_week() -> None:
    examples, fitted = core()
    rows = np.arange(len(examples) - 3, len(examples))
    inputs, posts = inputs_of(examples, rows, fitted.fitted), examples.posts.take(rows)
    contrasts = timing_contrasts(fitted.experts, examples.names, posts, inputs)
    for row in range(3):
        one, here = inputs.take(np.array([row])), posts.take(np.array([row]))
        at = [
            fitted.experts.answers(moved(one, examples.names, here, here.published_s + hours * HOUR_S))[0]
            for hours in GRID_HOURS
        ]
        expected = fitted.experts.answers(one)[0] - np.mean(at, axis=0)
        np.testing.assert_allclose(contrasts[row], expected, atol=1e-12)
    assert np.abs(contrasts[:, EXPERTS.index(KNOWN)]).max() > 0


def test_rows_are_evenly_spaced_and_no_more_than_asked_for() -> None:
    assert evenly_spaced(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert evenly_spaced(9, 3).tolist() == [0, 4, 8]
    assert evenly_spaced(0, 3).tolist() == []


def drawn(slope: float, accounts: int = 200, posts: int = 20, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Contrasts that come true by a slope, of accounts that differ in their level as they do in their hours."""
    draw = np.random.default_rng(seed)
    account = np.arange(accounts).repeat(posts)
    level = draw.normal(0, 1, accounts)[account]
    contrast = draw.normal(0, 0.1, accounts * posts) + 0.1 * level
    chance = draw.standard_t(5, accounts * posts)
    return contrast, slope * contrast + level + chance, account, np.zeros(accounts * posts, np.int64)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_the_slope_is_found_whatever_accounts_differ_in_beside(slope: float) -> None:
    found = [slope_within(*drawn(slope, seed=seed)) for seed in range(60)]
    off = np.array([(each.slope - slope) / each.error for each in found if each is not None])
    assert len(off) == 60
    assert np.mean(np.abs(off) < 1.96) >= 0.85
    assert abs(off.mean()) < 0.5
    assert 0.7 < off.std() < 1.4


def test_posts_that_err_together_count_for_less() -> None:
    contrast, left, account, part = drawn(0.0)
    once = slope_within(contrast, left, account, part)
    fivefold = slope_within(*(np.tile(column, 5) for column in (contrast, left, account, part)))
    assert once is not None
    assert fivefold is not None
    assert fivefold.slope == pytest.approx(once.slope)
    assert fivefold.error == pytest.approx(once.error, rel=0.01)
    assert (fivefold.posts, fivefold.accounts) == (5 * once.posts, once.accounts)


def test_nothing_is_said_where_nothing_can_be() -> None:
    contrast, left, account, part = drawn(1.0)
    assert slope_within(contrast, left, np.arange(len(account)), part) is None
    assert slope_within(np.full(len(account), 0.1), left, account, part) is None
    assert slope_within(1e-16 * contrast, left, account, part) is None
    few = account < 9
    assert slope_within(contrast[few], left[few], account[few], part[few]) is None


def test_the_belief_in_a_slope_is_shrunk_and_never_below_nothing() -> None:
    def belief(slope: float, error: float) -> tuple[float, float]:
        return Hours(Slope(slope, error, 100, 20), None, Spread()).belief(is_new=False)

    assert belief(1.0, 0.01)[0] == pytest.approx(1.0, abs=0.01)
    assert belief(1.0, 0.5) == (pytest.approx(0.5), pytest.approx(0.125))
    assert belief(-2.0, 0.5) == (0.0, pytest.approx(0.125))
    assert UNMEASURED.belief(is_new=False) == UNMEASURED.belief(is_new=True) == (0.0, 0.25)


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_forecasts_that_hold_at_every_hour_have_a_slope_of_one_and_those_of_noise_none(slope: float) -> None:
    contrast, left, account, _ = drawn(slope)
    names = np.zeros(len(EXPERTS))
    names[EXPERTS.index(KNOWN)] = 1.0
    said = 3.0 + contrast
    judged = Judged(
        learned=1,
        account=account,
        outcome=left,
        is_new=account % 2 == 0,
        answers=np.outer(said, names),
        residual=3.0 + left,
        engagement_error=left,
        spread=np.zeros((len(left), len(SPREAD_FEATURES))),
        contrast=np.outer(contrast, names),
    )
    whole = (1.0, 0.0, 0.0, 0.0, 0.0)
    hours = measure_hours([judged], Blend(whole, whole), core()[0], np.arange(100))
    for found in (hours.known, hours.new):
        assert found is not None
        assert found.slope == pytest.approx(slope, abs=3 * found.error)
        assert found.accounts == 100
    halved = measure_hours([judged], Blend((0.5, *whole[1:]), whole), core()[0], np.arange(100))
    assert halved.known is not None
    assert hours.known is not None
    assert halved.known.slope == pytest.approx(2 * hours.known.slope, abs=1e-4)


def test_a_planted_effect_of_hours_is_found_and_none_where_there_is_none() -> None:
    planted, nothing = (world_of_hours(effect)[1].hours for effect in (0.5, 0.0))
    assert planted is not None
    assert planted.known is not None
    assert planted.known.interval[0] > 0
    assert planted.known.interval[1] > 1
    assert planted.audience.hours > 0.12
    assert "more than noise" in in_words(planted)
    assert nothing is not None
    assert nothing.known is not None
    assert nothing.known.interval[0] < 0 < nothing.known.interval[1]
    assert nothing.audience.hours < 0.1
    assert "cannot be told from noise" in in_words(nothing)


def test_the_sentence_says_how_much_came_true_of_how_many() -> None:
    words = in_words(Hours(Slope(0.421, 0.1, 1_234, 56), None, Spread()))
    assert "by a factor of 0.42 (0.22 to 0.62; 1 is in full and 0 not at all; 1,234 posts of 56 known accounts" in words
    assert words.endswith("more than noise, and too bold.")
    assert "has not been measured" in in_words(None)


def test_what_was_measured_travels_with_the_model_and_older_ones_still_load(tmp_path: Path) -> None:
    _, model = world_of_hours(0.5)
    meta = model.save(tmp_path)
    loaded = load_model(tmp_path, meta)
    assert isinstance(loaded, PerformanceModel)
    assert loaded.hours == model.hours
    path = tmp_path / "model.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    del state["hours"]
    path.write_text(json.dumps(state), encoding="utf-8")
    older = load_model(tmp_path, meta)
    assert isinstance(older, PerformanceModel)
    assert older.hours is None
