"""Scores by fold, and on accounts never seen."""

from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from features.errors import NotEnoughDataError
from features.fitted import Fitted
from tests.training_world import built, known_frame, recipe
from training import held_out, judging
from training.blend import Blend
from training.core import fit_features
from training.cross_validation import FoldScore, cross_validate, fold_scores
from training.evaluate import ANCHOR, CONSTANT, MODEL
from training.examples import Examples
from training.held_out import held_out_accounts
from training.judging import SPREAD_FEATURES, STRANGER_PARTS, Judged, OutOfFold, judge_folds, judge_strangers
from training.performance import Performance
from training.performance_model import PerformanceModel
from training.split import forward_folds

TASK = Performance()


@cache
def examples() -> Examples:
    return built(known_frame(accounts=60))


@cache
def model() -> PerformanceModel:
    return TASK.fit(recipe(), examples(), np.arange(len(examples())))


def test_a_model_carries_the_scores_of_its_recipe() -> None:
    assert cross_validate(recipe(), examples(), np.arange(len(examples()))) == model().folds
    assert len(model().folds) == recipe().folds


def test_later_folds_learn_from_more_posts() -> None:
    learned = [fold.learned for fold in model().folds]
    assert learned == sorted(learned)
    assert sum(fold.judged for fold in model().folds) == pytest.approx(0.6 * len(examples()), rel=0.02)


def test_fresh_history_is_no_worse_than_that_of_the_start() -> None:
    assert sum(fold.mae for fold in model().folds) <= sum(fold.frozen_mae for fold in model().folds)


def test_scores_are_those_of_weighed_forecasts_fresh_and_frozen_apart() -> None:
    outcome = np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0])
    error = np.array([0.1, -0.2, 0.3, 1.0, -1.0, 1.0])
    fold = Judged(
        learned=5,
        account=np.zeros(6, np.int64),
        outcome=outcome,
        is_new=np.zeros(6, bool),
        answers=np.array([[2.0, 9, 9, 9]] * 3 + [[4.0, 9, 9, 9]] * 3),
        residual=error + 0.5 * np.array([2.0, 2.0, 2.0, 4.0, 4.0, 4.0]),
        engagement_error=np.zeros(6),
        spread=np.zeros((6, len(SPREAD_FEATURES))),
        contrast=np.full((6, 4), np.nan),
    )
    (score,) = fold_scores([fold], Blend((0.5, 0, 0, 0), (1.0, 0, 0, 0)))
    assert (score.learned, score.judged) == (5, 3)
    assert score.mae == pytest.approx(0.2)
    assert score.frozen_mae == pytest.approx(1.0)
    assert score.anchor_mae == pytest.approx((1.1 + 0.8 + 1.3) / 3)
    assert score.r2 == pytest.approx(1 - 0.14 / 2)
    assert score.frozen_r2 == pytest.approx(1 - 3 / 2)


def test_outcomes_that_do_not_vary_have_no_share_explained() -> None:
    fold = Judged(
        learned=1,
        account=np.zeros(2, np.int64),
        outcome=np.zeros(2),
        is_new=np.zeros(2, bool),
        answers=np.zeros((2, 4)),
        residual=np.zeros(2),
        engagement_error=np.zeros(2),
        spread=np.zeros((2, len(SPREAD_FEATURES))),
        contrast=np.full((2, 4), np.nan),
    )
    (score,) = fold_scores([fold], Blend((1.0, 0, 0, 0), (1.0, 0, 0, 0)))
    assert score.r2 is None
    assert FoldScore.from_dict(score.to_dict()) == score


def test_strangers_are_judged_once_each_by_experts_who_never_saw_their_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taught: list[np.ndarray] = []
    original = judging.training_inputs

    def watched(recipe, examples, rows, fitted):  # type: ignore[no-untyped-def]
        taught.append(rows)
        return original(recipe, examples, rows, fitted)

    monkeypatch.setattr(judging, "training_inputs", watched)
    rows = np.arange(100, len(examples()))
    codes = fit_features(recipe(), examples(), rows).categories
    found = judge_strangers(recipe(), examples(), rows, codes)
    assert len(found) == STRANGER_PARTS
    assert sum(map(len, found)) == len(rows)
    for part, learned in zip(found, taught, strict=True):
        assert part.is_new.all()
        assert not set(part.account) & set(examples().account[learned])
        assert set(learned) <= set(rows)


def test_accounts_held_out_are_forecast_as_accounts_nobody_knows() -> None:
    found = held_out_accounts(model(), recipe(), examples(), np.arange(len(examples())), replicates=50)
    again = held_out_accounts(model(), recipe(), examples(), np.arange(len(examples())), replicates=50)
    assert found == again
    assert list(found.rungs) == [CONSTANT, ANCHOR, MODEL]
    assert {row.level for row in found.slices if row.slice == "account"} == {"new"}
    assert 0 < found.accounts < 0.4 * 60
    error = found.rungs[MODEL]["mae_log"]
    assert error.low <= error.value <= error.high
    assert error.value > model().folds[-1].mae


def test_the_accounts_held_out_teach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[np.ndarray] = []
    original = held_out.fit_core

    def watched(recipe, examples, rows, fitted):  # type: ignore[no-untyped-def]
        learned.append(rows)
        return original(recipe, examples, rows, fitted)

    monkeypatch.setattr(held_out, "fit_core", watched)
    views: list[set[str]] = []
    history = held_out.History

    def watched_history(table):  # type: ignore[no-untyped-def]
        views.append(set(table["account_id"]))
        return history(table)

    monkeypatch.setattr(held_out, "History", watched_history)
    found = held_out_accounts(model(), recipe(), examples(), np.arange(len(examples())), replicates=10)
    (rows,), (accounts,) = learned, views
    taught = {examples().posts.account[row] for row in rows}
    assert taught <= accounts
    assert len(set(examples().posts.account) - accounts) == found.accounts


def test_one_account_cannot_be_held_out() -> None:
    known = known_frame()
    alone = built(known.filter(known["account_id"] == known["account_id"].value_counts(sort=True)["account_id"][0]))
    every = np.arange(len(alone))
    fitted = TASK.fit(recipe(), alone, every)
    assert judge_strangers(recipe(), alone, every, fitted.core.fitted.categories) == []
    with pytest.raises(NotEnoughDataError, match="more accounts"):
        held_out_accounts(fitted, recipe(), alone, every, replicates=10)


def test_codes_of_categories_mean_the_same_in_every_fold() -> None:
    known = known_frame(accounts=60)
    two_days = pl.col("published_at") > known["published_at"][-40] - timedelta(days=2)
    rows = built(known.with_columns(source=pl.when(two_days).then(pl.lit("a late source")).otherwise("source")))
    every = np.arange(len(rows))
    codes = fit_features(recipe(), rows, every).categories
    folds = judge_folds(recipe(), rows, every, codes)
    splits = forward_folds(rows.published_s, rows.sources, folds=recipe().folds, embargo_days=3)
    column, known_code = SPREAD_FEATURES.index("population"), codes["population"].index("simulated/views")
    assert known_code > 0
    for fold, split in zip(folds, splits, strict=True):
        expected = [rows.sources[row] == "simulated" for row in split.judge]
        np.testing.assert_array_equal(fold.spread[:, column] == known_code, expected * 2)


def test_a_split_is_judged_as_a_fold_is() -> None:
    every = np.arange(len(examples()))
    unseen = TASK.out_of_fold(recipe(), examples(), every)
    last = forward_folds(examples().published_s, examples().sources, folds=recipe().folds, embargo_days=3)[-1]
    learned = examples().known_by(last.train, last.until_s)
    again = TASK.judged(TASK.fit(recipe(), learned, last.train, unseen), examples(), last)
    for name, column in vars(unseen.folds[-1]).items():
        np.testing.assert_array_equal(getattr(again, name), column, err_msg=name)


def test_a_fold_far_shorter_than_the_others_is_left_out() -> None:
    unseen = TASK.out_of_fold(recipe(), examples(), np.arange(len(examples())))
    last = unseen.folds[-1]
    few = Judged(**{name: column if name == "learned" else column[:6] for name, column in vars(last).items()})
    assert unseen.followed_by(few) is unseen
    assert unseen.followed_by(last).folds == (*unseen.folds, last)


def test_a_value_new_in_a_later_fold_leaves_the_codes_of_the_others() -> None:
    first = OutOfFold({"media_type": ("reel", "video")}, (), ())
    fitted = replace(Fitted.empty(), categories={"media_type": ("image", "video")})
    assert fitted.coded_after(first.categories).categories == {"media_type": ("reel", "video", "image")}
