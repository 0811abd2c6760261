"""What a version keeps of its posts for monitoring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.training_world import built, known_frame, recipe
from training.baseline import BASELINE_FILE, Baseline
from training.examples import Examples
from training.performance import Performance
from training.performance_model import PerformanceModel
from training.report import report_on
from training.split import Split, holdout_split

TASK = Performance()


@pytest.fixture(scope="module")
def world() -> tuple[Examples, Split, PerformanceModel]:
    examples = built(known_frame("tiktok", 30, 12))
    split = holdout_split(examples.published_s, examples.sources, share=0.2, embargo_days=3)
    return examples, split, TASK.fit(recipe(parameters={"rounds": 5}, folds=1), examples, split.train)


def baseline_of(world: tuple[Examples, Split, PerformanceModel]) -> Baseline:
    examples, split, model = world
    report = report_on(TASK, model, examples, split, replicates=100, seed=7)
    return TASK.baseline(model, model, examples, split.judge, report)


def test_only_posts_that_the_evaluated_fit_had_not_seen_tell_how_far_off_it_was(world) -> None:
    examples, split, model = world
    found = baseline_of(world)
    assert found.posts.height == len(examples) == found.features.height
    assert found.judged["post_id"].to_list() == [examples.posts.post_id[row] for row in split.judge]
    np.testing.assert_array_equal(found.judged["truth"].to_numpy(), examples.outcome[split.judge])
    forecast = TASK.forecast(model, examples, split.judge)
    np.testing.assert_array_equal(found.judged["prediction"].to_numpy(), forecast.prediction)
    np.testing.assert_array_equal(found.judged["expected_error"].to_numpy(), forecast.expected_error)
    assert (found.judged["expected_error"] > 0).all()


def test_features_are_those_that_the_model_reads(world) -> None:
    examples, split, model = world
    read = TASK.inputs(model, examples, split.judge).matrix
    kept = baseline_of(world).features.select(model.names).to_numpy()
    np.testing.assert_array_equal(kept[split.judge], read)


def test_a_baseline_is_read_as_it_was_written_to_the_byte(world, tmp_path: Path) -> None:
    found = baseline_of(world)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.save(tmp_path / name)
    assert (tmp_path / "one" / BASELINE_FILE).read_bytes() == (tmp_path / "two" / BASELINE_FILE).read_bytes()
    again = Baseline.load(tmp_path / "one")
    assert again is not None
    assert again.posts.equals(found.posts)
    np.testing.assert_array_equal(again.features.to_numpy(), found.features.to_numpy())
    assert Baseline.load(tmp_path) is None


def test_only_the_newest_posts_are_kept(world, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.baseline.BASELINE_POSTS", 20)
    examples, _, _ = world
    found = baseline_of(world)
    assert found.posts["post_id"].to_list() == [examples.posts.post_id[row] for row in range(len(examples))][-20:]


def test_a_refit_is_held_against_what_its_recipe_was_judged_on_and_not_against_newer_posts(
    world, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples, split, model = world
    earlier = baseline_of(world)
    monkeypatch.setattr("training.baseline.BASELINE_POSTS", 200)
    report = report_on(TASK, model, examples, split, replicates=100, seed=7)
    refit = TASK.baseline(model, model, examples, split.judge, report, earlier_with(earlier, prediction=7.0))
    assert refit.judged["post_id"].to_list() == earlier.judged["post_id"].to_list()
    assert refit.judged["prediction"].unique().to_list() == [7.0]
    assert refit.features.height == refit.posts.height


def earlier_with(baseline: Baseline, **changed: float) -> Baseline:
    """The same with other numbers in what was judged."""
    is_judged = pl.col("truth").is_not_null()
    said = [pl.when(is_judged).then(value).otherwise(name).alias(name) for name, value in changed.items()]
    return Baseline(baseline.posts.with_columns(said), baseline.features)
