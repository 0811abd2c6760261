"""Metrics of probabilities, each against its definition."""

import numpy as np
import pytest

from features.errors import NotEnoughDataError
from training.rated import Rated, RatedReport, rated_ladder
from training.virality_plots import reliability

RNG = np.random.default_rng(3)
POSTS = 600
ACCOUNT = RNG.integers(0, 50, POSTS)
CHANCE = np.round(RNG.beta(1, 8, POSTS), 2)
TRUTH = (RNG.random(POSTS) < CHANCE).astype(float)
LEVELS = {"account": np.where(ACCOUNT < 10, "new", "known")}


def rated(probability: np.ndarray, truth: np.ndarray = TRUTH) -> Rated:
    return Rated(ACCOUNT, truth, probability, LEVELS)


@pytest.fixture(scope="module")
def report() -> RatedReport:
    rungs = {
        "constant": rated(np.full(POSTS, 0.1)),
        "account anchor": rated(0.05 + CHANCE / 2),
        "model": rated(CHANCE),
    }
    return RatedReport(rungs, rated_ladder(rungs, replicates=200, seed=7), 0.1)


def test_the_metrics_are_what_their_names_say(report: RatedReport) -> None:
    found = {name: interval.value for name, interval in report.ladder.rungs["model"].items()}
    assert found["brier"] == pytest.approx(np.mean((TRUTH - CHANCE) ** 2))
    clipped = np.clip(CHANCE, 1e-4, 1 - 1e-4)
    assert found["log_loss"] == pytest.approx(-np.mean(np.log(np.where(TRUTH > 0, clipped, 1 - clipped))))
    viral, others = CHANCE[TRUTH > 0], CHANCE[TRUTH == 0]
    pairs = np.sign(viral[:, None] - others[None, :])
    assert found["auc"] == pytest.approx(np.mean((pairs + 1) / 2))
    border = np.sort(CHANCE)[-POSTS // 10]
    above, tied = border < CHANCE, border == CHANCE
    left = POSTS // 10 - above.sum()
    expected = (TRUTH[above].sum() + left * TRUTH[tied].mean()) / (POSTS // 10)
    assert found["precision_top_tenth"] == pytest.approx(expected)


def test_a_constant_tells_nothing_apart_and_is_calibrated_by_its_mean_alone(report: RatedReport) -> None:
    constant = report.ladder.rungs["constant"]
    assert constant["auc"].value == pytest.approx(0.5)
    assert constant["precision_top_tenth"].value == pytest.approx(TRUTH.mean())
    assert constant["calibration_error"].value == pytest.approx(abs(TRUTH.mean() - 0.1))


def test_the_gain_is_the_share_of_the_anchors_brier_score_that_the_model_saves(report: RatedReport) -> None:
    before, after = (report.ladder.rungs[rung]["brier"].value for rung in ("account anchor", "model"))
    assert report.anchor_gain.value == pytest.approx((before - after) / before)
    assert report.anchor_gain.low < report.anchor_gain.value < report.anchor_gain.high


def test_every_metric_lies_within_its_interval(report: RatedReport) -> None:
    for metrics in report.ladder.rungs.values():
        for interval in metrics.values():
            assert interval.low <= interval.value <= interval.high
    assert [row.level for row in report.ladder.slices] == ["known", "new"]


def test_where_nothing_went_viral_the_order_is_unknown_and_the_rest_is_not() -> None:
    none = np.zeros(POSTS)
    rungs = {name: rated(CHANCE, none) for name in ("constant", "account anchor", "model")}
    report = RatedReport(rungs, rated_ladder(rungs, replicates=100, seed=7), 0.0)
    metrics = report.metrics()
    assert "auc" not in metrics
    assert metrics["viral_share"] == 0.0
    assert metrics["brier"] == pytest.approx(np.mean(CHANCE**2))
    assert "unknown" in report.ladder.to_markdown()


def test_no_posts_are_refused_with_a_reason() -> None:
    empty = Rated(np.empty(0, np.int64), np.empty(0), np.empty(0))
    with pytest.raises(NotEnoughDataError, match="no posts"):
        rated_ladder({"account anchor": empty, "model": empty}, replicates=100, seed=7)


def test_what_probabilities_promise_is_their_mean() -> None:
    promise = rated(CHANCE).promise(0.8)
    assert (promise.check, promise.promised) == ("calibration", pytest.approx(CHANCE.mean()))
    assert promise.kept == TRUTH.mean()
    assert 0 < promise.error < 0.05


def test_the_reliability_curve_counts_each_post_once() -> None:
    bins = reliability(rated(CHANCE))
    assert sum(posts for *_, posts in bins) == POSTS
    means = [probability for probability, *_ in bins]
    assert means == sorted(means)
    assert sum(share.value * posts for _, share, posts in bins) == pytest.approx(TRUTH.sum())
