"""The performance family: what it promises of forecasts, intervals and bytes."""

from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features import build
from features.errors import BundleError, NotEnoughDataError, SchemaError
from features.history import History
from tests.training_world import built, known_frame, recipe
from training.blend import Blend
from training.evaluate import ANCHOR, MODEL
from training.examples import Examples
from training.performance import Performance
from training.performance_model import PerformanceModel
from training.split import Split, holdout_split
from training.task import load_model

COUNTS = ("views", "likes", "comments", "shares", "saves")
OUTCOMES = [*COUNTS, *(f"first_{name}" for name in COUNTS)]
LATER = ["known_at", "assumed_known_at", "first_age_days", "age_days", "followers_backfilled", *OUTCOMES]
TASK = Performance()


@cache
def examples(platform: str = "tiktok") -> Examples:
    return built(known_frame(platform))


@cache
def split() -> Split:
    return holdout_split(examples().published_s, examples().sources, share=0.2, embargo_days=3)


@cache
def model() -> PerformanceModel:
    return TASK.fit(recipe(), examples(), split().train)


def unpublished(known: pl.DataFrame) -> pl.DataFrame:
    """Posts as somebody sends them who asks for a forecast."""
    return known.drop(LATER)


def latest(rows: int = 40) -> pl.DataFrame:
    return unpublished(examples().known[split().judge[-rows:]])


def saved(fitted: PerformanceModel, folder: Path) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    fitted.save(folder)
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def without(known: pl.DataFrame, *columns: str) -> pl.DataFrame:
    return known.with_columns(pl.lit(None, known.schema[name]).alias(name) for name in columns)


def test_the_model_beats_the_account_anchor_on_later_posts() -> None:
    large = built(known_frame(accounts=120, weeks=30))
    parts = holdout_split(large.published_s, large.sources, share=0.2, embargo_days=3)
    learned = TASK.fit(recipe(parameters={"rounds": 60}), large, parts.train)
    rungs = TASK.rungs(learned, large, parts.judge, train_median=float(np.median(large.outcome[parts.train])))
    error = {name: np.abs(rung.truth - rung.prediction).mean() for name, rung in rungs.items()}
    assert error[MODEL] < 0.99 * error[ANCHOR]
    scored = rungs[MODEL]
    inside = (scored.lower <= scored.truth) & (scored.truth <= scored.upper)
    assert inside.mean() == pytest.approx(0.8, abs=0.05)
    assert list(rungs) == ["constant", ANCHOR, MODEL]


def test_every_forecast_lies_within_its_interval_and_no_count_is_below_zero() -> None:
    answer = model().predict(latest())
    for name in ("", "engagement_rate_", "score_"):
        middle = answer[name.rstrip("_") or "prediction"]
        assert (answer[f"{name}lower"] <= middle).all()
        assert (middle <= answer[f"{name}upper"]).all()
        assert (answer[f"{name}lower"] >= 0).all()
    assert (answer["score_upper"] <= 100).all()


def test_a_loaded_model_answers_as_the_saved_one(tmp_path: Path) -> None:
    meta = model().save(tmp_path)
    loaded = load_model(tmp_path, meta)
    assert loaded.predict(latest()).equals(model().predict(latest()))
    assert saved(loaded, tmp_path / "again") == {  # type: ignore[arg-type]
        file.name: file.read_bytes() for file in sorted(tmp_path.iterdir()) if file.is_file()
    }


def test_a_model_for_other_features_is_refused(tmp_path: Path) -> None:
    meta = model().save(tmp_path)
    with pytest.raises(BundleError, match="train again"):
        load_model(tmp_path, {**meta, "schema_hash": "0" * 64})


def test_two_fits_give_the_same_bytes_however_many_run_side_by_side(tmp_path: Path) -> None:
    first = saved(model(), tmp_path / "first")
    again = TASK.fit(recipe(threads=3), built(known_frame()), split().train)
    assert saved(again, tmp_path / "again") == first


def test_no_outcome_after_the_cut_changes_a_byte(tmp_path: Path) -> None:
    known = known_frame()
    cut = examples().known["published_at"][int(split().train[-1])]
    later = pl.col("published_at") > cut
    order = np.random.default_rng(1).permutation(known.height)
    shuffled = known.with_columns(
        pl.when(later & pl.col("known_at").is_not_null())
        .then(pl.col(name).fill_null(0).gather(pl.Series(order)) * 3 + 7)
        .otherwise(name)
        .alias(name)
        for name in OUTCOMES
    )
    assert not shuffled["views"].equals(known["views"])
    others = TASK.fit(recipe(), built(shuffled), split().train)
    assert saved(others, tmp_path / "shuffled") == saved(model(), tmp_path / "given")


def test_a_forecast_does_not_depend_on_the_posts_beside_it() -> None:
    posts = latest().unique("account_id", keep="last", maintain_order=True)
    context = examples().history
    batch = model().predict(posts, context)
    for position in range(0, posts.height, 5):
        assert model().predict(posts[position : position + 1], context).equals(batch[position : position + 1])


def test_earlier_posts_of_one_request_are_context_for_later_ones() -> None:
    attentive = TASK.fit(recipe("linear"), examples(), split().train)
    post = latest(1).with_columns(account_id=pl.lit("nobody"))
    hour_before = post.with_columns(post_id=pl.lit("before"), published_at=pl.col("published_at") - timedelta(hours=1))
    alone = attentive.predict(post)
    together = attentive.predict(pl.concat([post, hour_before]))
    assert together["prediction"][0] != alone["prediction"][0]
    assert together["prediction"][1] == attentive.predict(hour_before)["prediction"][0]


def test_a_residual_of_no_weight_leaves_the_anchor() -> None:
    untrusted = replace(model(), calibration=replace(model().calibration, blend=Blend((0.0,) * 5, (0.0,) * 5)))
    rows = split().judge
    forecast = TASK.forecast(untrusted, examples(), rows)
    np.testing.assert_array_equal(forecast.prediction, TASK.inputs(untrusted, examples(), rows).anchor)
    inside = untrusted.inside(TASK.inputs(untrusted, examples(), rows), examples().outcome[rows])
    np.testing.assert_array_equal(
        inside[0.8],
        (forecast.lower <= examples().outcome[rows]) & (examples().outcome[rows] <= forecast.upper),
    )


def test_chunks_side_by_side_change_no_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model().predict(latest())
    monkeypatch.setattr(build, "CHUNK", 7)
    for threads in (1, 3):
        assert model().predict(latest(), threads=threads).equals(whole)
    assert model().predict(latest().clear(), threads=3).is_empty()


def test_answers_come_in_the_order_asked() -> None:
    posts = latest()
    turned = posts.reverse()
    assert model().predict(turned)["post_id"].to_list() == turned["post_id"].to_list()
    assert model().predict(turned).sort("post_id").equals(model().predict(posts).sort("post_id"))


def test_an_account_never_seen_gets_a_wider_relative_interval() -> None:
    answer = model().predict(latest())
    strangers = model().predict(latest().with_columns(account_id=pl.lit("never seen")))
    assert answer["account_known"].any()
    assert not strangers["account_known"].any()

    def width(frame: pl.DataFrame) -> float:
        return float((frame["upper"].log1p() - frame["lower"].log1p()).mean() or 0.0)

    assert width(strangers) > width(answer)


def test_a_source_never_seen_is_read_as_the_default_one() -> None:
    posts = latest()
    elsewhere = posts.with_columns(source=pl.lit("elsewhere"))
    unsaid = posts.drop("source")
    assert model().predict(elsewhere).equals(model().predict(posts))
    assert model().predict(unsaid).equals(model().predict(posts))


def test_a_post_needs_no_more_than_its_identity_and_date() -> None:
    bare = latest().select("platform", "post_id", "account_id", "published_at")
    answer = model().predict(bare)
    assert answer.height == bare.height
    assert answer["prediction"].is_finite().all()


def test_nothing_asked_is_answered_with_nothing() -> None:
    answer = model().predict(latest().head(0))
    assert answer.is_empty()
    assert answer.columns == model().predict(latest()).columns


def test_posts_of_another_platform_are_refused() -> None:
    with pytest.raises(SchemaError, match="this model forecasts tiktok"):
        model().predict(latest().with_columns(platform=pl.lit("youtube")))


def test_more_history_changes_the_forecast_of_a_known_account() -> None:
    posts = latest()
    assert not model().predict(posts, History.empty()).equals(model().predict(posts))


def degenerate(name: str) -> pl.DataFrame:
    known = known_frame()
    busiest = known["account_id"].value_counts(sort=True)["account_id"][0]
    is_odd = pl.int_range(pl.len()) % 120 == 0
    shifted = known.with_columns(
        pl.col("published_at", "known_at") + timedelta(days=400),
        source=pl.lit("later"),
        post_id=pl.col("post_id") + "-later",
    )
    frames = {
        "200 posts": known.head(200),
        "one account": known.filter(pl.col("account_id") == busiest),
        "equal outcomes": known.with_columns(pl.lit(1000, pl.Int64).alias(name) for name in OUTCOMES),
        "no outcome above zero": known.with_columns(pl.lit(0, pl.Int64).alias(name) for name in OUTCOMES),
        "no captions": without(known, "caption"),
        "no followers": without(known, "followers"),
        "nothing but views": without(
            known, "caption", "followers", "media_type", "duration_s", "sound_id", "language", *COUNTS[1:],
            *(f"first_{name}" for name in COUNTS[1:]),
        ),
        "only new accounts": known.with_columns(account_id=pl.col("post_id")),
        "a source of five posts": known.with_columns(
            source=pl.when(is_odd).then(pl.lit("small")).otherwise("source")
        ),
        "sources a year apart": pl.concat([known, shifted]).sort("published_at", "post_id"),
    }  # fmt: skip
    return frames[name]


@pytest.mark.parametrize("name", [
    "200 posts", "one account", "equal outcomes", "no outcome above zero", "no captions", "no followers",
    "nothing but views", "only new accounts", "a source of five posts", "sources a year apart",
])  # fmt: skip
def test_odd_data_give_a_model_that_answers_finite_numbers(name: str, tmp_path: Path) -> None:
    known = degenerate(name)
    rows = built(known)
    parts = holdout_split(rows.published_s, rows.sources, share=0.2, embargo_days=3)
    fitted = TASK.fit(recipe(parameters={"rounds": 5}), rows, parts.train)
    answer = load_model(tmp_path, fitted.save(tmp_path)).predict(unpublished(known.tail(30)))
    for column in ("prediction", "lower", "upper", "score", "score_lower", "score_upper"):
        assert answer[column].is_finite().all()
    rates = answer["engagement_rate"]
    assert rates.null_count() == (rates.len() if name == "nothing but views" else 0)


def test_posts_of_a_single_day_cannot_be_learned_from() -> None:
    known = known_frame()
    start = known["published_at"].min()
    same_day = known.with_columns(published_at=start + (pl.col("published_at") - start) / 200).with_columns(
        known_at=pl.col("published_at") + timedelta(days=3)
    )
    rows = built(same_day)
    with pytest.raises(NotEnoughDataError, match="longer time"):
        TASK.fit(recipe(), rows, np.arange(len(rows)))


@pytest.mark.parametrize("platform", ["instagram", "youtube"])
@pytest.mark.parametrize("estimator", ["linear", "xgboost", "anchor"])
def test_every_platform_can_be_learned_by_every_estimator(platform: str, estimator: str, tmp_path: Path) -> None:
    rows = examples(platform)
    fitted = TASK.fit(recipe(estimator, {"rounds": 5} if estimator == "xgboost" else {}), rows, np.arange(len(rows)))
    posts = unpublished(rows.known.tail(20))
    assert load_model(tmp_path, fitted.save(tmp_path)).predict(posts).equals(fitted.predict(posts))


def test_nothing_that_is_saved_is_a_pickle(tmp_path: Path) -> None:
    files = saved(model(), tmp_path)
    assert sorted(files) == [
        "engagement.lgb.txt", "history.parquet", "known.lgb.txt", "known_line.linear.json", "model.json",
        "spread.lgb.txt", "stranger.lgb.txt", "stranger_caption.json", "stranger_line.linear.json",
    ]  # fmt: skip
    assert not any(content.startswith(b"\x80") for content in files.values())


def test_another_coverage_widens_every_interval() -> None:
    wide = TASK.fit(recipe(coverage=0.95), examples(), split().train).predict(latest())
    usual = model().predict(latest())
    assert wide["prediction"].equals(usual["prediction"])
    assert (wide["upper"] >= usual["upper"]).all()
    assert (wide["lower"] <= usual["lower"]).all()
