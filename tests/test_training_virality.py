"""The virality family: what counts as viral, what may be learned from, and what its answers promise."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.columns import Posts
from features.errors import BundleError, SchemaError
from features.fitted import Fitted
from features.targets import populations
from tests.training_world import built, known_frame, recipe
from training.account_line import READS, AccountLine
from training.answering import inputs_for, reads_alike
from training.core import fit_features
from training.examples import Examples
from training.factors import FACTORS
from training.odds import Lessons, OutOfFold, folds_of
from training.performance import Performance
from training.split import Split, holdout_split
from training.task import load_model
from training.tune import tune
from training.virality import Virality
from training.virality_card import render_virality_card
from training.virality_model import ViralityModel, answer_of
from training.yardstick import OWN_POSTS, Truth, Yardstick

TASK = Virality()
RECIPE = recipe(TASK.estimator)
COLUMNS = ["platform", "post_id", "account_id", "published_at", "caption", "duration_s", "followers", "source"]


@cache
def examples() -> Examples:
    return built(known_frame(accounts=60))


@cache
def split() -> Split:
    return holdout_split(examples().published_s, examples().sources, share=0.2, embargo_days=3)


@cache
def known() -> Examples:
    return examples().known_by(split().train, split().until_s)


@cache
def out_of_fold() -> OutOfFold:
    return TASK.out_of_fold(RECIPE, known(), split().train)


@cache
def model() -> ViralityModel:
    return TASK.fit(RECIPE, known(), split().train, out_of_fold())


def latest(rows: int = 30) -> pl.DataFrame:
    return examples().known[split().judge[-rows:]].select(COLUMNS)


def saved(fitted: ViralityModel, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    fitted.save(folder)
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_a_tenth_of_the_training_posts_of_each_population_is_viral() -> None:
    rng = np.random.default_rng(1)
    names = ["calm"] * 500 + ["wild"] * 500 + ["rare"] * (OWN_POSTS - 1)
    excess = np.concatenate([rng.normal(0, 1, 500), rng.normal(0, 5, 500), rng.normal(0, 1, OWN_POSTS - 1)])
    yardstick = Yardstick.fit(names, excess)
    viral = yardstick.is_viral(names, excess)
    assert viral[:500].mean() == viral[500:1000].mean() == 0.1
    assert yardstick.threshold(["rare"]) == yardstick.threshold(["never seen"]) == np.quantile(excess, 0.9)


def test_posts_that_all_did_alike_are_not_viral() -> None:
    assert not Yardstick.fit(["one"] * 50, np.zeros(50)).is_viral(["one"] * 50, np.zeros(50)).any()


def test_what_counts_as_viral_is_told_by_training_rows_alone() -> None:
    outcome = examples().outcome.copy()
    outcome[split().judge] += 5.0
    told, other = (
        Truth.of(RECIPE, seen.known_by(split().train, split().until_s), split().train)
        for seen in (examples(), replace(examples(), outcome=outcome))
    )
    assert told.yardstick == other.yardstick
    assert told.base_rate == pytest.approx(0.1, abs=0.002)
    assert told.viral(examples(), split().judge).mean() < 0.5


def test_a_report_learns_nothing_of_what_counts_from_the_rows_that_it_judges() -> None:
    outcome = examples().outcome.copy()
    outcome[split().judge] += 20.0
    report = TASK.report(model(), replace(examples(), outcome=outcome), split(), recipe=RECIPE, replicates=100, seed=7)
    assert report.model.truth.all()
    assert report.base_rate == Truth.of(RECIPE, known(), split().train).base_rate


def test_a_copy_without_history_is_judged_beside_its_prior_as_if_the_account_were_new() -> None:
    rows = split().train
    lessons = Lessons.of(RECIPE, known(), rows, fit_features(RECIPE, known(), rows))
    anchor, prior = (lessons.table.matrix[:, known().names.index(name)] for name in ("anchor", "prior"))
    fresh, stale, strange = np.array_split(np.arange(len(lessons.table)), 3)
    names = [known().populations[row] for row in rows]
    np.testing.assert_array_equal(anchor[strange], prior[strange])
    for copy, beside in ((fresh, fresh), (stale, fresh), (strange, strange)):
        viral = lessons.yardstick.is_viral(names, known().outcome[rows] - anchor[beside])
        np.testing.assert_array_equal(lessons.viral[copy], viral)
    assert (lessons.viral[strange] != lessons.viral[fresh]).any()
    assert lessons.base_rate == lessons.viral[fresh].mean()


def test_a_fold_learns_from_no_look_that_came_after_its_start() -> None:
    first = folds_of(RECIPE, known(), split().train)[0]
    late = first.train[known().seen_s[first.train] > first.until_s]
    assert len(late)
    outcome = known().outcome.copy()
    outcome[late] += 3.0
    again = TASK.out_of_fold(RECIPE, replace(known(), outcome=outcome), split().train)
    np.testing.assert_array_equal(again.folds[0].margin, out_of_fold().folds[0].margin)
    np.testing.assert_array_equal(again.folds[0].line, out_of_fold().folds[0].line)


def test_both_models_of_a_comparison_are_judged_on_the_same_truth() -> None:
    other = TASK.fit(RECIPE, examples(), np.arange(300))
    reports = [
        TASK.report(each, examples(), split(), recipe=RECIPE, replicates=100, seed=7) for each in (model(), other)
    ]
    np.testing.assert_array_equal(reports[0].model.truth, reports[1].model.truth)
    assert (reports[0].model.probability != reports[1].model.probability).any()


def test_the_truth_is_that_of_the_model_that_learned_from_the_same_rows() -> None:
    truth = Truth.of(RECIPE, known(), split().train)
    assert truth.yardstick == model().odds.yardstick
    assert truth.fitted.prior == model().fitted.prior
    assert truth.base_rate == model().odds.base_rate


def test_the_future_changes_nothing_of_a_fit(tmp_path: Path) -> None:
    """Outcomes of later posts in another order, and later looks at earlier ones: the same bytes."""
    seen = examples()
    outcome, engagement = seen.outcome.copy(), seen.engagement.copy()
    outcome[split().judge] = outcome[split().judge][::-1]
    engagement[split().judge] = engagement[split().judge][::-1]
    late = split().train[seen.seen_s[split().train] > split().until_s]
    outcome[late] += 3.0
    changed = replace(seen, outcome=outcome, engagement=engagement).known_by(split().train, split().until_s)
    again = TASK.fit(replace(RECIPE, threads=2), changed, split().train)
    assert saved(again, tmp_path / "again") == saved(model(), tmp_path / "first")


def test_folds_judge_later_posts_by_what_was_known_when_they_began() -> None:
    folds = out_of_fold().folds
    assert [fold.learned for fold in folds] == sorted(fold.learned for fold in folds)
    assert len(folds) == RECIPE.folds
    for fold in folds:
        assert fold.base_rate == pytest.approx(0.1, abs=0.02)
    longer = out_of_fold().followed_by(TASK.judged(model(), examples(), split()))
    assert len(longer.folds) == len(folds) + 1
    assert longer.folds[-1].learned == len(split().train)


def test_answers_are_probabilities_with_all_that_is_promised_beside_them() -> None:
    answer = model().predict(latest())
    for name in ("virality_score", "virality_lower", "virality_upper", "confidence"):
        assert answer[name].is_between(0, 1).all()
    width = answer["virality_upper"] - answer["virality_lower"]
    np.testing.assert_array_equal(answer["confidence"], 1 - width)
    assert answer["viral_above"].min() > 0
    assert {f"factor_{name}" for name in FACTORS} <= set(answer.columns)
    for name in FACTORS:
        assert answer[f"factor_{name}"].is_between(0, 1).all()  # nulls are left out
    assert answer["factor_genre_popularity"].null_count() == answer.height
    assert answer["factor_visual_appeal"].null_count() == answer.height
    assert (answer["factor_caption"].is_null() == latest()["caption"].is_null()).all()


def test_inputs_computed_beforehand_give_the_same_answer() -> None:
    posts = Posts.from_frame(latest())
    names = populations(posts)
    inputs = inputs_for(model(), posts, names, model().history.joined(posts, names))
    assert answer_of(posts.post_id, [model().forecast(inputs, names)]).equals(model().predict(latest()))


def test_a_performance_model_of_the_same_rows_reads_the_same_inputs() -> None:
    task = Performance()
    rows = np.arange(300)
    performance = task.fit(recipe(folds=1), examples(), rows)
    virality = TASK.fit(replace(RECIPE, folds=1), examples(), rows)
    assert reads_alike(performance, virality)
    assert not reads_alike(performance, model())


def test_a_post_is_viral_when_it_exceeds_what_its_answer_said() -> None:
    rows = split().judge
    inputs = TASK.inputs(model(), examples(), rows)
    names = [examples().populations[row] for row in rows]
    above = model().forecast(inputs, names).viral_above
    viral = Truth.of(RECIPE, known(), split().train).viral(examples(), rows)
    np.testing.assert_array_equal(examples().outcome[rows] > above, viral > 0)


def test_contributions_add_up_to_the_log_odds() -> None:
    inputs = TASK.inputs(model(), examples(), split().judge)
    sums = model().contributions(inputs.matrix).sum(axis=1)
    left = model().odds.margin(model().names, inputs.matrix) - sums
    np.testing.assert_allclose(left, left[0], atol=1e-9)  # what trees expect of a row of which nothing is known


def test_the_account_alone_can_serve_and_says_nothing_of_the_post(tmp_path: Path) -> None:
    line = TASK.fit(replace(RECIPE, estimator="anchor", parameters={}), known(), split().train)
    answer = line.predict(latest())
    assert answer["factor_account_history"].null_count() == 0
    for name in set(FACTORS) - {"account_history"}:
        assert answer[f"factor_{name}"].null_count() == answer.height
    rung = TASK.report(model(), examples(), split(), recipe=RECIPE, replicates=100, seed=7).rungs["account anchor"]
    served = TASK.report(line, examples(), split(), recipe=RECIPE, replicates=100, seed=7).model
    np.testing.assert_array_equal(served.probability, rung.probability)  # what ships is what was measured
    assert load_model(tmp_path, line.save(tmp_path)).predict(latest()).equals(answer)


def test_the_line_reads_the_account_and_no_word_of_the_post() -> None:
    rng = np.random.default_rng(1)
    names = [*READS, "hour", "caption_length"]
    matrix = rng.normal(5, 2, (400, len(names)))
    viral = (rng.random(400) < 1 / (1 + np.exp(2 - matrix[:, 1] / 3))).astype(float)
    line = AccountLine.fit(names, matrix, viral)
    other = matrix.copy()
    other[:, -2:] = -1.0
    np.testing.assert_array_equal(line.margin(names, matrix), line.margin(names, other))
    assert np.corrcoef(line.margin(names, matrix), matrix[:, 1])[0, 1] > 0.8
    assert 1 / (1 + np.exp(-line.margin(names, matrix))).mean() > 0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_line_on_posts_that_all_went_one_way_stays_finite(share: float) -> None:
    matrix = np.random.default_rng(1).normal(5, 1, (50, len(READS)))
    margin = AccountLine.fit(READS, matrix, np.full(50, share)).margin(READS, matrix)
    assert np.isfinite(margin).all()
    assert ((margin > 0) == (share > 0.5)).all()


def test_where_nothing_ever_went_viral_the_answer_is_a_small_probability() -> None:
    counts = [pl.lit(1000, pl.Int64).alias(f"{look}views") for look in ("", "first_")]
    alike = built(known_frame().with_columns(counts))
    fitted = TASK.fit(RECIPE, alike, np.arange(len(alike)))
    assert fitted.odds.trees is None
    assert fitted.predict(alike.known.tail(5).select(COLUMNS))["virality_score"].max() < 0.05


def test_probabilities_come_true_in_a_world_where_odds_hang_on_the_hour() -> None:
    """Views redrawn so that a post at night goes viral twenty times as often: found, and given as it is."""
    frame = known_frame(accounts=90, weeks=20)
    rng = np.random.default_rng(5)
    dark = (pl.col("published_at").dt.hour() < 8).alias("dark")
    jump = rng.random(frame.height) < np.where(frame.select(dark)["dark"], 0.25, 0.01)
    views = np.round(np.exp(8.0 + 0.3 * rng.normal(size=frame.height) + 4.0 * jump)).astype(int)
    made = built(frame.with_columns(pl.Series(f"{look}views", views) for look in ("", "first_")))
    night = made.published_s % 86_400 < 8 * 3_600
    parts = holdout_split(made.published_s, made.sources, share=0.2, embargo_days=3)
    odds = recipe(TASK.estimator, {"rounds": 60, "min_data_in_leaf": 20})
    fitted = TASK.fit(odds, made.known_by(parts.train, parts.until_s), parts.train)
    report = TASK.report(fitted, made, parts, recipe=odds, replicates=100, seed=7)
    said, viral, dark = report.model.probability, report.model.truth, night[parts.judge]
    assert said[dark].mean() > 3 * said[~dark].mean()
    for part in (dark, ~dark):
        assert abs(said[part].mean() - viral[part].mean()) < 0.08
    assert report.ladder.rungs["model"]["auc"].low > 0.65
    assert report.anchor_gain.low > 0
    assert fitted.importance()["hour"] == max(fitted.importance().values())
    timing = fitted.predict(made.known[parts.judge].select(COLUMNS), history=made.history)["factor_timing"].to_numpy()
    assert timing[dark].mean() > timing[~dark].mean() + 0.3


@pytest.mark.parametrize("name", TASK.compared)
def test_everything_that_a_month_compares_can_be_searched(name: str) -> None:
    start = replace(RECIPE, estimator=name, parameters={}, folds=1)
    rows = split().train[:300]
    found = tune(known(), rows, start, trials=2, storage=None, study_name="s", prepare=TASK.prepare)
    assert len(found.trials) == (1 if name == "anchor" else 2)
    assert 0 < found.score < 0.25
    assert found.recipe.estimator == name


def test_posts_of_another_platform_and_models_of_other_features_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="forecasts tiktok"):
        model().predict(latest().with_columns(platform=pl.lit("youtube")))
    with pytest.raises(BundleError, match="features of schema"):
        load_model(tmp_path, {**model().save(tmp_path), "schema_hash": "another"})


def test_no_posts_get_no_answers() -> None:
    assert model().predict(latest().head(0)).height == 0


def test_topics_that_are_given_are_not_learned() -> None:
    fitted = Truth.of(RECIPE, known(), split().train).fitted
    assert isinstance(fitted, Fitted)
    assert fitted.to_dict()["words"] != model().fitted.to_dict()["words"]
    assert fitted.prior == model().fitted.prior


def test_what_is_told_of_a_version_names_every_factor() -> None:
    report = TASK.report(model(), examples(), split(), recipe=RECIPE, replicates=100, seed=7)
    told = TASK.told(model(), examples(), split().judge, report, 0.8)
    assert told.virality is not None
    assert [factor.name for factor in told.virality.factors] == [f"factor_{name}" for name in FACTORS]
    assert told.render is render_virality_card
    assert min(told.virality.thresholds.values()) > 0
