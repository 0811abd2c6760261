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
from training.task import FAMILIES, Model, Task, family, load_model

pytestmark = pytest.mark.parametrize("name", sorted(FAMILIES))


@cache
def examples(name: str) -> Examples:
    return family(name).build(known_frame(), min_posts=1, min_accounts=1)


@cache
def fitted(name: str) -> Any:
    return family(name).fit(recipe(), examples(name), np.arange(400))


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
    assert {"prediction", "lower", "upper"} <= set(answer.columns)
    assert answer.select("prediction", "lower", "upper").null_count().sum_horizontal().item() == 0
    assert (answer["lower"] <= answer["prediction"]).all()
    assert (answer["prediction"] <= answer["upper"]).all()


def test_a_model_is_opened_by_what_it_said_of_itself(name: str, tmp_path: Path) -> None:
    meta = fitted(name).save(tmp_path)
    assert meta["family"] == name
    assert {"platform", "features", "schema_hash"} <= set(meta)
    loaded: Model = load_model(tmp_path, meta)
    assert loaded.predict(posts(name)).equals(fitted(name).predict(posts(name)))


def test_fitting_twice_saves_the_same_bytes(name: str, tmp_path: Path) -> None:
    again = family(name).fit(recipe(), examples(name), np.arange(400))
    contents = []
    for model, folder in ((fitted(name), tmp_path / "one"), (again, tmp_path / "two")):
        folder.mkdir()
        model.save(folder)
        contents.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert contents[0] == contents[1]


def test_the_ladder_speaks_of_the_rows_asked_for(name: str) -> None:
    rows = np.arange(450, 550)
    rungs = family(name).rungs(fitted(name), examples(name), rows, train_median=5.0)
    assert list(rungs)[-1] == "model"
    for rung in rungs.values():
        np.testing.assert_array_equal(rung.truth, examples(name).outcome[rows])


def test_a_family_that_this_clipcast_lacks_is_refused(name: str, tmp_path: Path) -> None:
    meta = {**fitted(name).save(tmp_path), "family": "horoscope"}
    with pytest.raises(BundleError, match=f"'horoscope', only {name}"):
        load_model(tmp_path, meta)
