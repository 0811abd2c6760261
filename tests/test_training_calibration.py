"""What is set on later rows: weights, the size of errors, intervals."""

import json
from typing import Any

import numpy as np
import pytest

from tests.training_world import recipe
from training.calibration import SHOWN_LEVELS, Calibration, best_weight, calibrate, residual_weights
from training.judging import SPREAD_FEATURES, Judged

POSTS = 1500


def judged(**changes: Any) -> Judged:
    """A fold whose errors are three times as large for accounts of many followers."""
    draw = np.random.default_rng(7)
    rows = 2 * POSTS
    spread = draw.normal(size=(rows, len(SPREAD_FEATURES)))
    size = np.where(spread[:, SPREAD_FEATURES.index("log_followers")] > 0, 3.0, 1.0)
    raw = draw.normal(size=rows)
    fields: dict[str, Any] = {
        "learned": 100,
        "account": np.tile(draw.integers(0, 60, POSTS), 2),
        "outcome": draw.normal(10, 2, rows),
        "is_new": draw.random(rows) < 0.3,
        "raw": raw,
        "residual": 0.5 * raw + size * draw.normal(size=rows),
        "engagement_error": draw.normal(size=rows),
        "spread": spread,
    }
    return Judged(**{**fields, **changes})


def test_the_best_weight_is_found_on_a_grid() -> None:
    raw = np.random.default_rng(7).normal(size=500)
    assert best_weight(0.5 * raw, raw) == pytest.approx(0.5)
    assert best_weight(-raw, raw) == 0.0
    assert best_weight(4 * raw, raw) == 1.0


def test_without_evidence_the_residual_is_taken_as_it_is() -> None:
    assert best_weight(np.empty(0), np.empty(0)) == 1.0
    known, new = residual_weights([judged(is_new=np.zeros(2 * POSTS, bool))])
    assert known == pytest.approx(0.5, abs=0.1)
    assert new == 1.0


def test_known_and_new_accounts_have_weights_of_their_own() -> None:
    fold = judged()
    residual = np.where(fold.is_new, 0.0, fold.raw)
    assert residual_weights([judged(residual=residual)]) == (1.0, 0.0)


def test_the_expected_error_follows_what_it_hangs_on() -> None:
    fold = judged()
    scale = calibrate(recipe(), [fold]).scale(fold.spread)
    large = fold.spread[:, SPREAD_FEATURES.index("log_followers")] > 0
    assert scale[large].mean() > 2 * scale[~large].mean()


def test_intervals_hold_on_accounts_that_calibration_has_not_seen() -> None:
    fold = judged()
    half = fold.account < 30
    names = ("account", "outcome", "is_new", "raw", "residual", "engagement_error", "spread")

    def part(members: np.ndarray) -> Judged:
        return judged(**{name: getattr(fold, name)[members] for name in names})

    calibration = calibrate(recipe(), [part(half)])
    later = part(~half)
    forecast = calibration.weight(later.is_new) * later.raw
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
            raw=quiet,
            residual=error,
            engagement_error=quiet,
            spread=marks[accounts],
        )

    calibration = calibrate(recipe(), [fold(0)])
    later = fold(100)
    lower, upper = calibration.primary.interval(later.raw, calibration.scale(later.spread), later.is_new)
    inside = (lower <= later.residual) & (later.residual <= upper)
    assert inside.mean() == pytest.approx(0.8, abs=0.06)


def test_one_account_alone_still_gets_intervals_from_rows_not_seen() -> None:
    alone = calibrate(recipe(), [judged(account=np.zeros(2 * POSTS, np.int64))])
    usual = calibrate(recipe(), [judged()])
    assert alone.primary.known[1] == pytest.approx(usual.primary.known[1], rel=0.1)


def test_forecasts_that_never_err_have_intervals_without_width() -> None:
    fold = judged()
    exact = calibrate(recipe(), [judged(residual=fold.raw)])
    lower, upper = exact.primary.interval(fold.raw, exact.scale(fold.spread), fold.is_new)
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
