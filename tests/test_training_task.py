"""One contract for every model family, and how models are opened."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.errors import BundleError, NotEnoughDataError
from tests.training_world import known_frame, recipe
from training.examples import Examples
from training.recipe import Recipe
from training.split import holdout_split
from training.task import FAMILIES, Model, Task, family, load_model

pytestmark = pytest.mark.parametrize("name", sorted(FAMILIES))

ANSWERS = {
    "performance": ("lower", "prediction", "upper"),
    "virality": ("virality_lower", "virality_score", "virality_upper"),
}
"""The columns that every answer has: a number between the ends of its interval."""


def recipe_of(name: str) -> Recipe:
    return recipe(family(name).estimator)


@cache
def examples(name: str) -> Examples:
    return family(name).build(known_frame(), min_posts=1, min_accounts=1)


@cache
def fitted(name: str) -> Any:
    return family(name).fit(recipe_of(name), examples(name), np.arange(400))


def posts(name: str) -> pl.DataFrame:
    columns = ["platform", "post_id", "account_id", "published_at", "caption", "duration_s", "followers"]
    return examples(name).known.select(columns).tail(10)


def test_a_family_goes_by_its_name(name: str) -> None:
    task: Task[Any] = family(name)
    assert task.family == name


def test_too_few_posts_are_refused(name: str) -> None:
    with pytest.raises(NotEnoughDataError):
        family(name).build(known_frame(), min_posts=100_000, min_accounts=1)


def test_a_model_answers_one_row_for_each_post_in_their_order(name: str) -> None:
    answer = fitted(name).predict(posts(name))
    assert answer["post_id"].to_list() == posts(name)["post_id"].to_list()
    lower, value, upper = (answer[column] for column in ANSWERS[name])
    assert answer.select(ANSWERS[name]).null_count().sum_horizontal().item() == 0
    assert (lower <= value).all()
    assert (value <= upper).all()


def test_a_post_is_answered_alone_as_among_others_to_the_bit(name: str) -> None:
    alone = [fitted(name).predict(posts(name)[number], history=fitted(name).history) for number in range(3)]
    assert pl.concat(alone).equals(fitted(name).predict(posts(name)).head(3))


def test_a_model_is_opened_by_what_it_said_of_itself(name: str, tmp_path: Path) -> None:
    meta = fitted(name).save(tmp_path)
    assert meta["family"] == name
    assert {"platform", "features", "schema_hash"} <= set(meta)
    loaded: Model = load_model(tmp_path, meta)
    assert loaded.predict(posts(name)).equals(fitted(name).predict(posts(name)))


def test_fitting_twice_saves_the_same_bytes(name: str, tmp_path: Path) -> None:
    again = family(name).fit(recipe_of(name), examples(name), np.arange(400))
    contents = []
    for model, folder in ((fitted(name), tmp_path / "one"), (again, tmp_path / "two")):
        folder.mkdir()
        model.save(folder)
        contents.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert contents[0] == contents[1]


def test_a_report_speaks_of_the_later_rows_and_holds_the_model_last(name: str) -> None:
    split = holdout_split(examples(name).published_s, examples(name).sources, share=0.2, embargo_days=3)
    task = family(name)
    report = task.report(fitted(name), examples(name), split, recipe=recipe_of(name), replicates=100, seed=7)
    assert list(report.ladder.rungs) == ["constant", "account anchor", "model"]
    np.testing.assert_array_equal(report.model.account, examples(name).account[split.judge])
    assert report.model.losses.min() >= 0
    assert report.metrics()["holdout_posts"] == len(split.judge)
    assert np.isfinite(report.model.promise(0.8).kept)


def test_a_search_ends_in_a_recipe_that_can_be_fitted(name: str) -> None:
    start = recipe_of(name)
    task = family(name)
    folds = task.prepare(examples(name), np.arange(400), start)
    assert len(folds) == start.folds
    assert all(0 < fold.error(start) < 5 for fold in folds)


def test_a_family_that_this_clipcast_lacks_is_refused(name: str, tmp_path: Path) -> None:
    meta = {**fitted(name).save(tmp_path), "family": "horoscope"}
    with pytest.raises(BundleError, match=f"'horoscope', only {', '.join(FAMILIES)}"):
        load_model(tmp_path, meta)
