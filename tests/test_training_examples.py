"""Rows of training: which posts, with what history, in what order."""

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from features.columns import FAR_S
from features.errors import NotEnoughDataError
from tests.training_world import DAY_S, built, known_frame, recipe
from training.core import fit_features
from training.examples import Examples, Inputs, inputs_of, with_history_until
from training.split import holdout_split


@cache
def examples() -> Examples:
    return built(known_frame())


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.arange(100, 400)


def fields(inputs: Inputs) -> list[np.ndarray]:
    return [inputs.matrix, inputs.anchor, inputs.engagement_anchor, inputs.is_new]


def assert_equal(left: Inputs, right: Inputs) -> None:
    for one, other in zip(fields(left), fields(right), strict=True):
        np.testing.assert_array_equal(one, other)


def test_posts_without_an_outcome_are_no_rows_but_remain_history() -> None:
    known = known_frame()
    immature = known["known_at"].is_null().sum()
    assert immature > 0
    assert len(examples()) == known.height - immature
    assert examples().history.table.height == known.height


def test_rows_stand_in_order_of_publication() -> None:
    assert (np.diff(examples().published_s) >= 0).all()


@pytest.mark.parametrize("wanted", [{"min_posts": 10_000}, {"min_accounts": 1_000}])
def test_too_few_posts_or_accounts_are_refused_with_what_to_do(wanted: dict[str, int]) -> None:
    with pytest.raises(NotEnoughDataError, match="import more posts"):
        built(known_frame(), **wanted)


def test_no_posts_at_all_are_refused_whatever_the_minimum() -> None:
    with pytest.raises(NotEnoughDataError, match="0 mature posts"):
        built(known_frame().head(0), min_posts=0, min_accounts=0)


def test_one_row_has_the_inputs_it_has_among_others(rows: np.ndarray) -> None:
    fitted = fit_features(recipe(), examples(), rows)
    whole = inputs_of(examples(), rows, fitted)
    for position in (0, 17, len(rows) - 1):
        alone = inputs_of(examples(), rows[position : position + 1], fitted)
        np.testing.assert_array_equal(alone.matrix[0], whole.matrix[position])
        assert alone.anchor[0] == whole.anchor[position]


def test_features_can_be_asked_for_by_name_and_in_any_order(rows: np.ndarray) -> None:
    fitted = fit_features(recipe(), examples(), rows)
    names = ["log_followers", "anchor", "visual_brightness"]
    asked = inputs_of(examples(), rows, fitted, names=names).matrix
    whole = inputs_of(examples(), rows, fitted).matrix
    columns = [examples().names.index(name) for name in names[:2]]
    np.testing.assert_array_equal(asked[:, :2], whole[:, columns])
    assert np.isnan(asked[:, 2]).all()


def test_history_up_to_publication_is_all_the_history_there_is(rows: np.ndarray) -> None:
    fitted = fit_features(recipe(), examples(), rows)
    fresh = inputs_of(examples(), rows, fitted)
    much_later = examples().published_s[rows] + 100 * DAY_S
    assert_equal(with_history_until(examples(), rows, fitted, fresh, much_later), fresh)


def test_without_any_history_every_account_is_new_and_its_anchor_the_prior(rows: np.ndarray) -> None:
    fitted = fit_features(recipe(), examples(), rows)
    fresh = inputs_of(examples(), rows, fitted)
    none = with_history_until(examples(), rows, fitted, fresh, np.full(len(rows), -FAR_S))
    assert not fresh.is_new.all()
    assert none.is_new.all()
    np.testing.assert_allclose(none.anchor, none.matrix[:, examples().names.index("prior")])
    assert np.isnan(none.matrix[:, examples().names.index("last_outcome")]).all()


def test_a_model_keeps_no_outcome_of_a_post_that_it_did_not_learn_from(rows: np.ndarray) -> None:
    learned = examples().history_of_rows(rows).table
    assert learned.height == examples().history.table.height
    known = learned.filter(pl.col("known_s").is_not_null())
    assert known.height == len(rows)
    assert sorted(known["outcome"]) == sorted(
        examples().history.table.filter(
            pl.col("published_s").is_between(*examples().published_s[rows[[0, -1]]].tolist())
            & pl.col("known_s").is_not_null()
        )["outcome"]
    )
    assert learned.filter(pl.col("known_s").is_null())["engagement"].null_count() == learned.height - len(rows)


def test_a_model_of_all_rows_keeps_the_whole_history() -> None:
    assert examples().history_of_rows(np.arange(len(examples()))) is examples().history


def test_an_outcome_seen_after_the_split_is_learned_as_it_was_first_seen() -> None:
    everything = built(known_frame())
    split = holdout_split(everything.published_s, everything.sources, share=0.3, embargo_days=3)
    known = everything.known_by(split.train, split.until_s)
    late = split.train[everything.seen_s[split.train] > split.until_s]
    early = np.setdiff1d(split.train, late)
    assert len(late)
    assert (known.outcome[late] == everything.first_outcome[late]).all()
    assert (known.outcome[late] != everything.outcome[late]).any()
    assert (known.outcome[early] == everything.outcome[early]).all()
    assert (known.outcome[split.judge] == everything.outcome[split.judge]).all()


def test_no_later_look_changes_what_is_learned_before_the_split() -> None:
    """Whatever the last looks after the split said, a model of the rows before it is the same."""
    everything = built(known_frame())
    split = holdout_split(everything.published_s, everything.sources, share=0.3, embargo_days=3)
    late = everything.seen_s > split.until_s.max()
    other = replace(everything, outcome=np.where(late, everything.outcome + 5, everything.outcome))
    learned = [each.known_by(split.train, split.until_s).outcome[split.train] for each in (everything, other)]
    assert (learned[0] == learned[1]).all()
