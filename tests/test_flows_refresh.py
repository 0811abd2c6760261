"""Which posts a daily refresh is judged on."""

from types import SimpleNamespace

import numpy as np

from flows.refresh import newest_half
from training.split import DAY_S


def examples(days):
    return SimpleNamespace(published_s=np.array(days) * DAY_S)


def test_the_later_half_of_the_unseen_posts_is_judged_and_the_embargo_kept():
    found = newest_half(examples([1, 2, 10, 11, 12, 13, 14, 15]), np.array([4, 5, 6, 7]), embargo_days=3)
    assert found.judge.tolist() == [6, 7]
    assert found.train.tolist() == [0, 1, 2, 3]


def test_nothing_unseen_is_nothing_to_judge():
    assert newest_half(examples([1, 2]), np.array([], dtype=int), embargo_days=3) is None


def test_one_unseen_post_is_judged_by_itself():
    found = newest_half(examples([1, 9]), np.array([1]), embargo_days=3)
    assert (found.judge.tolist(), found.train.tolist()) == ([1], [0])
