"""The features that the service logs are those that the batch path builds, and where they are not, that is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from monitoring.log import Prediction, PredictionLog, pack, read_predictions
from monitoring.predictions import Role
from monitoring.skew import find_skew
from registry.loading import Loaded
from serving import forecaster
from serving.posts import Post
from tests.test_serving_forecaster import Asked, version
from tests.training_world import built, known_frame, recipe
from training.answering import answer_posts
from training.performance import Performance
from training.performance_model import PerformanceModel

START = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def model() -> PerformanceModel:
    examples = built(known_frame("tiktok", 30, 12))
    return Performance().fit(recipe(parameters={"rounds": 5}, folds=1), examples, np.arange(len(examples)))


def odd_posts() -> list[Post]:
    """Posts as callers send them: of strangers, without a name, at this moment, with odd texts and numbers."""
    account = model().history.table["account_id"][0]
    asked: list[dict[str, Any]] = [
        {"account_id": account, "published_at": "2026-12-01T17:00:00Z", "caption": "Building a boat #diy"},
        {"account_id": account, "published_at": "2026-12-01T19:30:00.123456+02:00", "caption": "  #diy\n\n"},
        {"caption": "no account, no date, no name", "duration_s": 0.1 + 0.2, "followers": 2**53 - 1},
        {"caption": "another stranger #diy", "post_id": "one", "duration_s": -0.0, "country": "de"},
        {"account_id": account, "post_id": "one", "published_at": "2026-12-01T18:00:00Z", "caption": "Ελλάδα 🎉 #diy"},
        {"account_id": account, "post_id": "one", "published_at": "2026-12-01T18:00:30Z", "sound_id": "song\0"},
        {"account_id": "a stranger", "published_at": "2026-12-02T09:00:00Z", "caption": "by the name of one"},
        {"published_at": "2026-12-02T10:00:00Z", "caption": "by a stranger, an hour later"},
        {"account_id": "nobody knows", "media_type": "carousel", "format": "short", "language": "en-GB"},
    ]
    return [Post.model_validate({"platform": "tiktok", **each}) for each in asked]


@cache
def _logged(folder: Path) -> pl.DataFrame:
    """Predictions of single posts and of batches, written by the service's own log and read back."""
    asked = Asked(model(), shadow=True)
    asked.answers(odd_posts())
    asked.answers(odd_posts()[:3], at_once=False)
    asked.batch(odd_posts())
    asked.batch(odd_posts()[1:5])
    uri = f"sqlite:///{folder / 'predictions.db'}"
    with PredictionLog(uri) as log:
        for prediction in asked.logged:
            log.append(prediction)
    now = datetime.now(UTC)
    return read_predictions(uri, since=now - timedelta(hours=1), until=now + timedelta(hours=1))


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    return _logged(tmp_path_factory.mktemp("log"))


def loaded() -> Loaded:
    return version(model()).loaded


def with_features(rows: pl.DataFrame, place: int, features: bytes) -> pl.DataFrame:
    changed = rows["features"].to_list()
    changed[place] = features
    return rows.with_columns(features=pl.Series(changed, dtype=pl.Binary()))


def values(rows: pl.DataFrame, place: int) -> np.ndarray:
    return np.frombuffer(rows["features"][place], "<f8").copy()


def test_what_the_service_logged_is_what_the_batch_path_builds(logged: pl.DataFrame) -> None:
    found = find_skew(logged, loaded(), sample=1_000, seed=1)
    assert (found.checked, found.different) == (logged.height, 0)
    assert (found.features, found.examples, found.left_out) == ({}, (), {})
    assert logged["batch"].null_count() == len(odd_posts()) + 3
    assert logged["batch"].n_unique() == 3


def test_posts_of_a_batch_are_built_with_one_another(logged: pl.DataFrame) -> None:
    """Otherwise the test above would hold for posts that have nothing to do with each other."""
    alone = find_skew(logged.with_columns(batch=pl.lit(None, pl.String)), loaded(), sample=1_000, seed=1)
    assert alone.different >= 3
    assert "hours_since_previous" in alone.features


def test_the_order_of_the_rows_read_does_not_matter(logged: pl.DataFrame) -> None:
    found = find_skew(logged.reverse(), loaded(), sample=1_000, seed=1)
    assert (found.checked, found.different) == (logged.height, 0)


def test_one_unit_in_the_last_place_of_one_feature_is_found(logged: pl.DataFrame) -> None:
    place, column = 4, model().names.index("caption_length")
    features = values(logged, place)
    built = features[column]
    features[column] = np.nextafter(built, np.inf)
    found = find_skew(with_features(logged, place, pack(features)), loaded(), sample=1_000, seed=1)
    assert found.different == 1
    assert found.features == {"caption_length": 1}
    assert found.examples == ((logged["id"][place], "caption_length", features[column], built),)


def test_a_known_value_in_place_of_an_unknown_one_is_found(logged: pl.DataFrame) -> None:
    unknown = [
        (place, column)
        for place in range(logged.height)
        for column in np.flatnonzero(np.isnan(values(logged, place))).tolist()
    ]
    place, column = unknown[0]
    features = values(logged, place)
    features[column] = 0.0
    found = find_skew(with_features(logged, place, pack(features)), loaded(), sample=1_000, seed=1)
    assert found.features == {model().names[column]: 1}


def test_a_feature_that_the_service_zeroes_is_named_with_every_post_it_differs_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    column = model().names.index("log_duration")

    def zeroed(asked: Any, posts: Any, *, together: bool = False) -> Any:
        inputs, _ = answer_posts(asked.model, posts, together=together)
        matrix = inputs.matrix.copy()
        matrix[:, column] = 0.0
        return forecaster.Answered([{} for _ in posts.post_id], matrix)

    monkeypatch.setattr(forecaster, "answer", zeroed)
    asked = Asked(model())
    timed = [post.model_copy(update={"duration_s": 20.0}) for post in odd_posts()]
    asked.answers(timed)
    asked.batch(timed)
    found = find_skew(frame(asked.logged), loaded(), sample=1_000, seed=1)
    assert (found.checked, found.different, found.features) == (18, 18, {"log_duration": 18})
    assert {each.logged for each in found.examples} == {0.0}
    assert {each.built for each in found.examples} == {float(np.log1p(20.0))}
    assert len(found.examples) == 10


def test_a_sample_takes_whole_batches_and_is_the_same_for_a_seed(logged: pl.DataFrame) -> None:
    several = [find_skew(logged, loaded(), sample=1, seed=seed) for seed in range(12)]
    assert {each.checked for each in several} <= {1, 4, 9}
    assert len({each.checked for each in several}) > 1
    assert all(each.different == 0 and not each.left_out for each in several)
    assert find_skew(logged, loaded(), sample=5, seed=3) == find_skew(logged, loaded(), sample=5, seed=3)


def test_a_batch_that_the_window_cuts_is_left_out(logged: pl.DataFrame) -> None:
    batch = logged.filter(pl.col("batch").is_not_null())["batch"][0]
    first_gone = logged.filter(pl.col("id") != batch)
    found = find_skew(first_gone, loaded(), sample=1_000, seed=1)
    [(reason, posts)] = found.left_out.items()
    assert reason == "asked with posts that are not among the predictions read"
    assert (found.different, posts, found.checked) == (0, 8, first_gone.height - 8)

    last = logged["at"].max()
    assert isinstance(last, datetime)
    cut = find_skew(logged, loaded(), sample=1_000, seed=1, until=last + timedelta(seconds=1))
    assert (cut.checked, sum(cut.left_out.values())) == (12, 13)
    later = find_skew(logged, loaded(), sample=1_000, seed=1, until=last + timedelta(minutes=1))
    assert later.checked == logged.height


def test_rows_that_cannot_be_compared_are_named_and_the_others_compared(logged: pl.DataFrame) -> None:
    singles = logged.filter(pl.col("batch").is_null())
    inputs = singles["inputs"].to_list()
    inputs[1], inputs[2], inputs[3] = b"\xff", b"[]", inputs[3].replace(b'"tiktok"', b'"instagram"')
    broken = singles.with_columns(
        inputs=pl.Series(inputs, dtype=pl.Binary()),
        sha256=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("f" * 64)).otherwise("sha256"),
    )
    broken = with_features(broken, 4, pack([1.0, 2.0]))
    found = find_skew(broken, loaded(), sample=1_000, seed=1)
    assert (found.checked, found.different) == (singles.height - 5, 0)
    assert found.left_out == {
        f"answered by another version than {loaded().bundle.sha256[:12]}": 1,
        "inputs cannot be read, of a post or of one asked with it": 3,
        f"2 logged features, and the version reads {len(model().names)}": 1,
    }


def test_an_unreadable_post_takes_its_batch_with_it(logged: pl.DataFrame) -> None:
    batch = logged.filter(pl.col("batch").is_not_null()).sort("id")
    name = batch["batch"][0]
    rows = batch.filter(pl.col("batch") == name)
    changed = rows.with_columns(inputs=pl.when(pl.int_range(pl.len()) == 2).then(pl.lit(b"{")).otherwise("inputs"))
    found = find_skew(changed, loaded(), sample=1_000, seed=1)
    assert (found.checked, sum(found.left_out.values())) == (0, rows.height)


def test_nothing_asked_is_nothing_found(logged: pl.DataFrame) -> None:
    found = find_skew(logged.clear(), loaded(), sample=10, seed=1)
    assert (found.checked, found.different, found.left_out) == (0, 0, {})


def test_the_shadow_of_a_batch_is_built_by_its_own_version() -> None:
    asked = Asked(model(), model(), shadow=True)
    asked.batch(odd_posts())
    shadows = [each for each in asked.logged if each.role is Role.SHADOW]
    assert len(shadows) == 9
    other = replace(loaded(), bundle=replace(loaded().bundle, sha256="2" * 64))
    found = find_skew(frame(asked.logged), other, sample=100, seed=1)
    assert (found.checked, found.different) == (9, 0)
    assert found.left_out == {"answered by another version than 222222222222": 9}


def frame(logged: list[Prediction]) -> pl.DataFrame:
    """Predictions as `read_predictions` gives them, without a database."""
    names = ("id", "role", "batch", "account_id", "post_id", "inputs", "features", "sha256")
    at = [datetime.fromtimestamp(each.at, UTC) for each in logged]
    columns = {name: [getattr(each, name) for each in logged] for name in names}
    kinds = {"batch": pl.String(), "inputs": pl.Binary(), "features": pl.Binary()}
    return pl.DataFrame({**columns, "role": [str(each.role) for each in logged], "at": at}, schema_overrides=kinds)
