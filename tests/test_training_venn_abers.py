"""Calibrated probabilities: what they promise where the truth is known."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from training.venn_abers import LOWEST, PLACES, STEP, VennAbers

GRID = LOWEST + STEP * np.arange(PLACES)


def fitted(margin: np.ndarray, viral: np.ndarray, account: np.ndarray | None = None) -> VennAbers:
    owners = np.arange(len(margin)) if account is None else account
    return VennAbers.fit(margin, viral, owners, np.ones(len(margin)), coverage=0.8, seed=7)


def world(posts: int, seed: int, accounts: int | None = None) -> tuple[np.ndarray, ...]:
    """Margins that are three times too sure of themselves, beside the probabilities that are true."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-2.2, 0.6, posts)
    account = np.arange(posts)
    if accounts is not None:
        account = rng.integers(0, accounts, posts)
        odds = odds + rng.normal(0, 1.5, accounts)[account]  # what the margin does not know of the account
    truth = 1 / (1 + np.exp(-odds))
    known = odds if accounts is None else rng.normal(-2.2, 0.6, posts)
    return 3 * known + 2, (rng.random(posts) < truth).astype(float), account, truth


def as_defined(margin: np.ndarray, viral: np.ndarray, asked: float) -> tuple[float, float]:
    """The two probabilities as Vovk and Petej define them, from the posts themselves."""
    ends = []
    for label in (0.0, 1.0):
        scores, labels = np.append(margin, asked), np.append(viral, label)
        order = np.argsort(scores, kind="stable")
        levels, place = np.unique(scores[order], return_inverse=True)
        count, happened = np.bincount(place), np.bincount(place, labels[order])
        heights = isotonic_regression(happened / count, weights=count).x
        ends.append(float(heights[np.searchsorted(levels, asked)]))
    return ends[0], ends[1]


def test_the_table_holds_what_the_definition_gives_for_each_place() -> None:
    rng = np.random.default_rng(1)
    margin = GRID[rng.integers(60, 140, 50)]
    viral = (rng.random(50) < 0.3).astype(float)
    table = fitted(margin, viral, np.zeros(50, dtype=np.int64))  # one account: nothing is added to the two
    for place in (0, 59, 80, 100, 139, PLACES - 1):
        p0, p1 = as_defined(margin, viral, GRID[place])
        assert table.lower[place] == round(p0, 6)
        assert table.upper[place] == round(p1, 6)
        assert abs(table.probability[place] - p1 / (1 - p0 + p1)) < 1e-6


@settings(max_examples=20)
@given(st.integers(0, 60), st.integers(1, 8), st.integers(0, 10_000), st.floats(0, 1))
def test_probabilities_rise_within_their_ends_whatever_was_seen(
    posts: int, accounts: int, seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    viral = (rng.random(posts) < share).astype(float)
    table = fitted(rng.normal(-2, 4, posts), viral, rng.integers(0, accounts, posts))
    found = table.at(np.linspace(-30, 30, 200))
    assert (found.lower >= 0).all()
    assert (found.lower <= found.probability).all()
    assert (found.probability <= found.upper).all()
    assert (found.upper <= 1).all()
    assert (np.diff(found.probability) >= -1e-6).all()


def test_odds_that_are_too_sure_of_themselves_come_out_right() -> None:
    margin, viral, _, _ = world(4_000, seed=2)
    table = fitted(margin, viral)
    later, _, _, truth = world(20_000, seed=3)
    said = table.at(later).probability
    raw = 1 / (1 + np.exp(-later))
    for low, high in ((0, 0.06), (0.06, 0.12), (0.12, 0.2), (0.2, 1)):
        inside = (truth >= low) & (truth < high)
        assert abs(said[inside].mean() - truth[inside].mean()) < 0.02
    assert np.abs(said - truth).mean() < 0.2 * np.abs(raw - truth).mean()


def test_the_interval_holds_the_true_probability_about_as_often_as_it_says() -> None:
    held = []
    for seed in range(20):
        margin, viral, account, _ = world(1_500, seed, accounts=60)
        found = fitted(margin, viral, account).at(np.array([3 * -2.2 + 2]))
        truth = np.mean(1 / (1 + np.exp(-(np.random.default_rng(99).normal(0, 1.5, 100_000) - 2.2 + 0))))
        # All margins say as little here, so the truth at each is the mean over accounts.
        held.append(bool(found.lower[0] <= truth <= found.upper[0]))
    assert sum(held) >= 12


def test_posts_of_few_accounts_leave_more_open_than_as_many_of_strangers() -> None:
    margin, viral, account, _ = world(1_500, seed=5, accounts=20)
    together, apart = fitted(margin, viral, account), fitted(margin, viral)
    at = np.quantile(margin, [0.3, 0.5, 0.7])
    width, width_apart = ((found.upper - found.lower).mean() for found in (together.at(at), apart.at(at)))
    assert width > 1.3 * width_apart


def test_later_posts_count_for_more_where_they_are_given_more_weight() -> None:
    margin, viral = np.zeros(200), np.repeat([0.0, 1.0], 100)
    weight = np.repeat([0.1, 1.0], 100)
    table = VennAbers.fit(margin, viral, np.arange(200), weight, coverage=0.8, seed=7)
    assert table.at(np.zeros(1)).probability[0] > 0.85


def test_without_any_post_nothing_is_known() -> None:
    found = fitted(np.empty(0), np.empty(0)).at(np.zeros(1))
    assert (found.lower[0], found.probability[0], found.upper[0]) == (0.0, 0.5, 1.0)


def test_the_table_survives_json_to_the_bit() -> None:
    margin, viral, _, _ = world(300, seed=4)
    table = fitted(margin, viral)
    again = VennAbers.from_dict(json.loads(json.dumps(table.to_dict())))
    for one, other in zip(table.at(margin), again.at(margin), strict=True):
        np.testing.assert_array_equal(one, other)
