"""The factors of a virality score: which features they speak of, and when they keep silent."""

import numpy as np
import pytest

from features.build import NAMES
from features.catalogue import CATALOGUE
from training.factors import FACTORS, Factors

ALL = [*NAMES, "audio_tempo", "visual_cuts"]


@pytest.fixture
def contributions() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(500, len(ALL)))


def known(**values: float) -> np.ndarray:
    """One post of which nothing is known but these features."""
    return np.array([[values.get(name, np.nan) for name in ALL]])


def said(factors: Factors, matrix: np.ndarray, contributions: np.ndarray) -> dict[str, float]:
    return {name: float(values[0]) for name, values in factors.values(matrix, contributions).items()}


def test_every_feature_but_the_source_speaks_in_exactly_one_factor() -> None:
    for name in ALL:
        holding = [factor for factor in FACTORS if FACTORS[factor].holds(name)]
        assert len(holding) == (0 if name == "population" else 1), name


def test_the_evidence_of_a_factor_is_a_feature() -> None:
    for factor in FACTORS.values():
        assert set(factor.evidence) <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("values", "speaks"),
    [
        ({}, set()),
        ({"anchor": 5.0, "prior": 5.0, "outcomes_known": 0.0, "posts_last_week": 0.0}, set()),
        ({"last_outcome": -0.5}, {"account_history"}),
        ({"log_followers": 9.0}, {"account_history"}),
        ({"caption_length": 0.0, "hashtag_uses": 0.0, "hashtag_momentum": 0.0, "hashtag_count": 0.0}, {"caption"}),
        ({"caption_length": 30.0, "hashtag_count": 2.0}, {"caption", "trend_alignment"}),
        ({"sound_uses": 0.0}, {"trend_alignment"}),
        ({"visual_cuts": -3.0}, {"visual_appeal"}),
        ({"audio_tempo": 90.0}, {"audio_quality"}),
        ({"hour": 9.0, "weekday": 1.0}, {"timing"}),
        ({"log_duration": 3.0}, {"format"}),
    ],
)
def test_a_factor_of_which_no_input_is_known_is_silent(contributions, values, speaks) -> None:
    found = said(Factors.fit(ALL, contributions), known(**values), contributions[:1])
    assert {name for name, value in found.items() if np.isfinite(value)} == speaks


def test_a_genre_is_silent_until_there_is_a_feature_of_it(contributions) -> None:
    assert "genre_popularity" not in Factors.fit(ALL, contributions).quantiles


def test_a_factor_is_the_share_of_training_rows_to_which_its_features_added_less(contributions) -> None:
    factors = Factors.fit(ALL, contributions)
    timing = [place for place, name in enumerate(ALL) if CATALOGUE.get(name) and CATALOGUE[name].group == "timing"]
    sums = contributions[:, timing].sum(axis=1)
    for row in (0, 7, 99):
        found = said(factors, known(hour=1.0), contributions[row : row + 1])["timing"]
        assert found == pytest.approx(np.mean(sums < sums[row]), abs=0.011)
    more, less = contributions[:1] + 100, contributions[:1] - 100
    assert said(factors, known(hour=1.0), more)["timing"] == 1.0
    assert said(factors, known(hour=1.0), less)["timing"] == 0.0


def test_a_factor_whose_features_never_made_a_difference_is_silent(contributions) -> None:
    contributions[:, [place for place, name in enumerate(ALL) if name.startswith("visual_")]] = 0.0
    found = said(Factors.fit(ALL, contributions), known(visual_cuts=1.0), contributions[:1])
    assert np.isnan(found["visual_appeal"])


def test_a_row_has_the_factors_that_it_has_among_others(contributions) -> None:
    factors = Factors.fit(ALL, contributions)
    matrix = np.repeat(known(hour=1.0, caption_length=3.0, last_outcome=0.0), 500, axis=0)
    together = factors.values(matrix, np.asfortranarray(contributions))
    for row in range(0, 500, 50):
        alone = said(factors, matrix[row : row + 1], contributions[row : row + 1])
        for name, values in together.items():
            np.testing.assert_array_equal(values[row], alone[name])
