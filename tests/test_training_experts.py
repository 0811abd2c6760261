"""The experts: who learns from which rows, and how they are kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training_world import recipe
from training.examples import Inputs
from training.experts import (
    EXPERTS,
    KNOWN,
    KNOWN_LINE,
    STRANGER,
    STRANGER_CAPTION,
    STRANGER_LINE,
    Experts,
    Lessons,
    fit_experts,
    fit_known,
    fit_others,
    fit_regressor,
)
from training.regressor import Table

POSTS = 400


def lessons() -> Lessons:
    """Rows of forty accounts: what is true of the first half, the known accounts, is untrue of the others."""
    draw = np.random.default_rng(7)
    matrix = draw.normal(size=(2 * POSTS, 3))
    sign = np.where(np.arange(2 * POSTS) < POSTS, 1.0, -1.0)
    return Lessons(
        table=Table(matrix, ("a", "b", "c"), frozenset()),
        target=sign * matrix[:, 0] + 0.1 * draw.normal(size=2 * POSTS),
        known=np.arange(POSTS),
        strangers=np.arange(POSTS, 2 * POSTS),
        account=np.tile(np.arange(40), 20),
        captions=["dance" if row % 2 else "pasta" for row in range(2 * POSTS)],
    )


def inputs(is_new: bool = True) -> Inputs:
    """What experts are asked about: all of the rows, of accounts that are new or not."""
    rows, unused = lessons(), np.zeros(2 * POSTS)
    return Inputs(rows.table.matrix, unused, unused, np.full(2 * POSTS, is_new), rows.captions)


@pytest.fixture(scope="module")
def experts() -> Experts:
    return fit_experts(recipe(), lessons())


def test_each_expert_learns_from_rows_of_its_own(experts: Experts) -> None:
    answers = experts.answers(inputs())
    assert answers.shape == (2 * POSTS, len(EXPERTS))
    for name, sign in ((KNOWN, 1), (KNOWN_LINE, 1), (STRANGER, -1), (STRANGER_LINE, -1)):
        assert sign * np.corrcoef(answers[:, EXPERTS.index(name)], lessons().table.matrix[:, 0])[0, 1] > 0.9


def test_who_is_not_asked_says_nothing(experts: Experts) -> None:
    asked = np.random.default_rng(7).random((2 * POSTS, len(EXPERTS))) < [0.5, 0.0, 0.5, 1.0, 0.5]
    some, all_ = (experts.answers(inputs(), who) for who in (asked, None))
    np.testing.assert_array_equal(some, np.where(asked, all_, 0.0))


def test_those_on_strangers_say_nothing_of_known_accounts(experts: Experts) -> None:
    known, new = experts.answers(inputs(is_new=False)), experts.answers(inputs())
    assert all(new[:, column].any() for column in range(len(EXPERTS)))
    np.testing.assert_array_equal(known[:, :2], new[:, :2])
    assert not known[:, 2:].any()


def test_captions_are_read_for_what_the_line_on_strangers_leaves() -> None:
    rows = lessons()
    shifted = replace(rows, target=rows.target + np.where(np.arange(2 * POSTS) % 2, 1.0, -1.0))
    answers = fit_others(recipe("linear"), shifted).answers(inputs())
    said = answers[:, EXPERTS.index(STRANGER_CAPTION)]
    assert said[1] > 0.5
    assert said[0] < -0.5


def test_a_search_changes_none_but_the_expert_on_known_accounts() -> None:
    fewer = recipe(parameters={**recipe().parameters, "rounds": 3})
    matrix = lessons().table.matrix
    assert (fit_known(fewer, lessons()).predict(matrix) != fit_known(recipe(), lessons()).predict(matrix)).any()
    few, many = (fit_others(each, lessons()).answers(inputs()) for each in (fewer, recipe()))
    np.testing.assert_array_equal(few, many)


def test_an_account_of_many_posts_does_not_outweigh_the_others() -> None:
    crowd = lessons()
    loud = np.where(crowd.account == 0, 1, crowd.account)  # accounts 0 and 1 as one
    change = fit_others(recipe("linear"), replace(crowd, account=loud)).answers(inputs())
    assert (change != fit_others(recipe("linear"), crowd).answers(inputs()))[:, EXPERTS.index(STRANGER_LINE)].any()


def test_the_anchor_estimator_has_no_experts() -> None:
    silent = fit_experts(recipe("anchor", {}), lessons())
    assert not silent.answers(inputs()).any()
    assert not silent.importance(np.ones(len(EXPERTS))).any()


def test_importance_counts_experts_by_their_weight(experts: Experts) -> None:
    alone = experts.importance(np.array([0.0, 0.0, 0.7, 0.0, 0.4]))
    np.testing.assert_allclose(alone, experts.members[STRANGER].importance())
    assert experts.importance(np.array([0.5, 0.2, 0.1, 0.0, 0.4])).sum() == pytest.approx(1)


def test_experts_come_back_from_their_files(experts: Experts, tmp_path: Path) -> None:
    experts.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "known.lgb.txt",
        "known_line.linear.json",
        "stranger.lgb.txt",
        "stranger_caption.json",
        "stranger_line.linear.json",
    ]
    np.testing.assert_array_equal(Experts.load(tmp_path).answers(inputs()), experts.answers(inputs()))


def test_a_target_that_is_nowhere_known_teaches_nothing() -> None:
    table = Table(np.random.default_rng(7).normal(size=(50, 2)), ("a", "b"), frozenset())
    for known in (0, 1):
        target = np.full(50, np.nan)
        target[:known] = 3.0
        assert not fit_regressor(recipe("linear"), table, target, np.arange(50)).predict(table.matrix).any()
    target[:2] = 3.0
    assert fit_regressor(recipe("linear"), table, target, np.arange(50)).predict(table.matrix).any()
