"""What is set on later rows: weights, the size of errors, intervals."""

import json
from typing import Any

import numpy as np
import pytest

from tests.training_world import recipe
from training.blend import Blend
from training.calibration import SHOWN_LEVELS, Calibration, blend_of, calibrate
from training.experts import EXPERTS
from training.judging import SPREAD_FEATURES, Judged

POSTS = 1500


def judged(**changes: Any) -> Judged:
    """A fold whose errors are three times as large for accounts of many followers."""
    draw = np.random.default_rng(7)
    rows = 2 * POSTS
    spread = draw.normal(size=(rows, len(SPREAD_FEATURES)))
    size = np.where(spread[:, SPREAD_FEATURES.index("log_followers")] > 0, 3.0, 1.0)
    answers = draw.normal(size=(rows, len(EXPERTS)))
    is_new = draw.random(rows) < 0.3
    fields: dict[str, Any] = {
        "learned": 100,
        "account": np.tile(draw.integers(0, 60, POSTS), 2),
        "outcome": draw.normal(10, 2, rows),
        "is_new": is_new,
        "answers": answers,
        "residual": 0.5 * answers[:, 0] + size * draw.normal(size=rows),
        "engagement_error": draw.normal(size=rows),
        "spread": spread,
        "contrast": np.full((rows, len(EXPERTS)), np.nan),
    }
    return Judged(**{**fields, **changes})


def test_the_blend_is_set_on_all_that_was_judged() -> None:
    parts = [judged(), judged(answers=judged().answers[:, ::-1])]
    names = ("answers", "residual", "is_new", "account")
    assert blend_of(parts) == Blend.fit(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def test_intervals_follow_the_errors_of_the_last_fold_most() -> None:
    quiet, loud = judged(residual=0.2 * judged().residual), judged()
    calmed, roused = calibrate(recipe(), [loud, quiet]), calibrate(recipe(), [quiet, loud])
    assert roused.primary.known[1] > 1.1 * calmed.primary.known[1]


def test_the_expected_error_follows_what_it_hangs_on() -> None:
    fold = judged()
    scale = calibrate(recipe(), [fold]).scale(fold.spread)
    large = fold.spread[:, SPREAD_FEATURES.index("log_followers")] > 0
    assert scale[large].mean() > 2 * scale[~large].mean()


def test_strangers_set_what_is_said_of_new_accounts_but_not_the_size_of_errors() -> None:
    fold = judged(is_new=np.zeros(2 * POSTS, bool))
    strange = judged(is_new=np.ones(2 * POSTS, bool), residual=10 * judged().residual)
    alone, both = calibrate(recipe(), [fold]), calibrate(recipe(), [fold], [strange])
    np.testing.assert_array_equal(both.spread.predict(fold.spread), alone.spread.predict(fold.spread))
    assert both.blend.known == alone.blend.known
    assert both.primary.known[1] == pytest.approx(alone.primary.known[1], rel=0.2)
    assert both.primary.new[1] > 5 * both.primary.known[1]


def test_intervals_hold_on_accounts_that_calibration_has_not_seen() -> None:
    fold = judged()
    half = fold.account < 30
    names = ("account", "outcome", "is_new", "answers", "residual", "engagement_error", "spread")

    def part(members: np.ndarray) -> Judged:
        return judged(**{name: getattr(fold, name)[members] for name in names})

    calibration = calibrate(recipe(), [part(half)])
    later = part(~half)
    forecast = calibration.blend.residual(later.answers, later.is_new)
    lower, upper = calibration.primary.interval(forecast, calibration.scale(later.spread), later.is_new)
    inside = (lower <= later.residual) & (later.residual <= upper)
    assert inside.mean() == pytest.approx(0.8, abs=0.03)


def test_intervals_hold_where_only_the_accounts_seen_explain_the_size_of_errors() -> None:
    draw = np.random.default_rng(7)
    account = np.repeat(np.arange(100), 50)
    size = np.exp(draw.normal(0, 1, 200))
    marks = draw.normal(size=(200, len(SPREAD_FEATURES)))

    def fold(first: int) -> Judged:
        accounts = account + first
        error = size[accounts] * draw.normal(size=len(accounts))
        quiet = np.zeros(len(accounts))
        return judged(
            account=accounts,
            outcome=quiet,
            is_new=quiet > 0,
            answers=np.zeros((len(accounts), len(EXPERTS))),
            residual=error,
            engagement_error=quiet,
            spread=marks[accounts],
        )

    calibration = calibrate(recipe(), [fold(0)])
    later = fold(100)
    lower, upper = calibration.primary.interval(np.zeros(len(later)), calibration.scale(later.spread), later.is_new)
    inside = (lower <= later.residual) & (later.residual <= upper)
    assert inside.mean() == pytest.approx(0.8, abs=0.06)


def test_one_account_alone_still_gets_intervals_from_rows_not_seen() -> None:
    alone = calibrate(recipe(), [judged(account=np.zeros(2 * POSTS, np.int64))])
    usual = calibrate(recipe(), [judged()])
    assert alone.primary.known[1] == pytest.approx(usual.primary.known[1], rel=0.1)


def test_forecasts_that_never_err_have_intervals_without_width() -> None:
    fold = judged()
    silent = judged(answers=np.zeros_like(fold.answers), residual=np.zeros(len(fold)))
    exact = calibrate(recipe(), [silent])
    lower, upper = exact.primary.interval(silent.residual, exact.scale(fold.spread), fold.is_new)
    np.testing.assert_allclose(upper - lower, 0.0, atol=1e-4)


def test_an_engagement_rate_never_known_has_no_interval() -> None:
    assert calibrate(recipe(), [judged(engagement_error=np.full(2 * POSTS, np.nan))]).engagement is None
    some = np.where(np.arange(2 * POSTS) < 900, np.nan, judged().engagement_error)
    assert calibrate(recipe(), [judged(engagement_error=some)]).engagement is not None


def test_every_shown_level_is_wider_than_the_one_below() -> None:
    levels = calibrate(recipe(), [judged()]).levels
    widths = [levels[level].known[1] - levels[level].known[0] for level in SHOWN_LEVELS]
    assert widths == sorted(widths)


@pytest.mark.parametrize("engagement", [True, False])
def test_a_calibration_comes_back_from_json(engagement: bool) -> None:
    error = judged().engagement_error if engagement else np.full(2 * POSTS, np.nan)
    calibration = calibrate(recipe(), [judged(engagement_error=error)])
    state = json.loads(json.dumps(calibration.to_dict(), allow_nan=False))
    assert Calibration.from_dict(state, calibration.spread) == calibration
