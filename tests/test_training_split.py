"""Which rows are learned from and which are judged on."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import NotEnoughDataError
from training.split import DAY_S, Split, forward_folds, holdout_split

EMBARGO_DAYS = 3

posts = st.lists(st.tuples(st.integers(0, 400), st.sampled_from("abc")), min_size=1, max_size=80)


def daily(days: int, start: int = 0) -> np.ndarray:
    return (start + np.arange(days, dtype=np.int64)) * DAY_S


def columns(drawn: list[tuple[int, str]]) -> tuple[np.ndarray, list[str]]:
    ordered = sorted(drawn)
    return np.array([day for day, _ in ordered], dtype=np.int64) * DAY_S, [source for _, source in ordered]


def assert_honest(split: Split, published_s: np.ndarray, sources: list[str]) -> None:
    """No source is judged on posts as early as those it was learned from, embargo included."""
    labels = np.array(sources)
    assert not set(split.train) & set(split.judge)
    assert (np.diff(split.train) > 0).all()
    assert (np.diff(split.judge) > 0).all()
    assert len(split.frozen_s) == len(split.judge)
    assert (split.frozen_s <= published_s[split.judge]).all()
    for source in set(labels[split.judge]):
        learned = published_s[split.train[labels[split.train] == source]]
        judged = published_s[split.judge[labels[split.judge] == source]]
        frozen = split.frozen_s[labels[split.judge] == source]
        assert len(set(frozen)) == 1
        assert not len(learned) or learned.max() <= judged.min() - EMBARGO_DAYS * DAY_S


def test_the_holdout_is_the_latest_share_and_learning_ends_an_embargo_before_it() -> None:
    published_s = daily(101)
    split = holdout_split(published_s, ["a"] * 101, share=0.2, embargo_days=EMBARGO_DAYS)
    assert split.judge.tolist() == list(range(81, 101))
    assert split.train.tolist() == list(range(78))
    assert set(split.frozen_s.tolist()) == {80 * DAY_S}


def test_each_source_has_its_own_latest_share() -> None:
    published_s = np.concatenate([daily(50), daily(50, start=1000)])
    split = holdout_split(published_s, ["old"] * 50 + ["young"] * 50, share=0.2, embargo_days=EMBARGO_DAYS)
    assert split.judge.tolist() == [*range(40, 50), *range(90, 100)]
    assert 88 not in split.train
    assert 80 in split.train
    assert_honest(split, published_s, ["old"] * 50 + ["young"] * 50)


def test_a_source_of_a_single_post_is_left_to_the_final_fit() -> None:
    split = holdout_split(daily(101), ["a"] * 100 + ["b"], share=0.2, embargo_days=EMBARGO_DAYS)
    assert 100 not in split.judge
    assert 100 not in split.train


def test_folds_chain_forward_without_overlap_until_the_last_post() -> None:
    published_s = daily(200)
    folds = forward_folds(published_s, ["a"] * 200, folds=4, embargo_days=EMBARGO_DAYS)
    judged = np.concatenate([fold.judge for fold in folds])
    assert len(folds) == 4
    assert judged.tolist() == list(range(80, 200))
    assert all(len(a.train) < len(b.train) for a, b in pairwise(folds))


@given(posts)
def test_no_fold_learns_from_what_it_is_judged_on(drawn: list[tuple[int, str]]) -> None:
    published_s, sources = columns(drawn)
    try:
        folds = forward_folds(published_s, sources, folds=3, embargo_days=EMBARGO_DAYS)
    except NotEnoughDataError:
        return
    for fold in folds:
        assert_honest(fold, published_s, sources)


@given(posts)
def test_no_holdout_is_learned_from(drawn: list[tuple[int, str]]) -> None:
    published_s, sources = columns(drawn)
    try:
        split = holdout_split(published_s, sources, share=0.2, embargo_days=EMBARGO_DAYS)
    except NotEnoughDataError:
        return
    assert_honest(split, published_s, sources)


@pytest.mark.parametrize("posts", [0, 1, 50])
def test_posts_of_less_than_the_embargo_cannot_be_split(posts: int) -> None:
    published_s = np.arange(posts, dtype=np.int64) * 60
    with pytest.raises(NotEnoughDataError, match="import posts of a longer time"):
        holdout_split(published_s, ["a"] * posts, share=0.2, embargo_days=EMBARGO_DAYS)
    with pytest.raises(NotEnoughDataError, match="import posts of a longer time"):
        forward_folds(published_s, ["a"] * posts, folds=3, embargo_days=EMBARGO_DAYS)
