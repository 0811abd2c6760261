"""Runs of characters in captions, hashed into buckets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.ngrams import BUCKETS, READ_CHARACTERS, SIZES, Ngrams

WEIGHTS = np.random.default_rng(7).normal(size=BUCKETS)
CAPTIONS = st.lists(st.one_of(st.none(), st.text(max_size=40)), max_size=8)


def test_runs_are_counted_within_a_caption() -> None:
    one, two = Ngrams.of(["ab"]), Ngrams.of(["ab", "ab"])
    assert len(one.bucket) == sum(len(" ab ") - size + 1 for size in SIZES)
    assert len(two.bucket) == 2 * len(one.bucket)
    assert sorted(two.bucket) == sorted([*one.bucket, *one.bucket])


def test_equal_runs_share_a_bucket_and_others_seldom_do() -> None:
    assert len(set(Ngrams.of(["a"]).bucket)) == len(Ngrams.of(["a"]).bucket) - 1  # " " stands on either side
    letters = [chr(point) for point in range(0x4E00, 0x4E00 + READ_CHARACTERS)]
    runs = Ngrams.of(["".join(letters)]).bucket
    assert len(set(runs)) > 0.95 * len(runs)


def test_case_and_white_space_make_no_difference() -> None:
    plain, spaced = Ngrams.of(["hello you"]), Ngrams.of([" HELLO\n\tyou "])
    np.testing.assert_array_equal(plain.bucket, spaced.bucket)


@pytest.mark.parametrize("caption", [None, "", " \n"])
def test_a_caption_that_says_nothing_has_no_runs(caption: str | None) -> None:
    assert Ngrams.of([caption]).sums(WEIGHTS).tolist() == [0.0]


def test_a_repeated_caption_weighs_more_by_the_root_of_its_length() -> None:
    short, long = Ngrams.of(["ab " * 10, "ab " * 90]).sums(np.ones(BUCKETS))
    assert long / short == pytest.approx(3, rel=0.02)


def test_what_follows_the_characters_read_changes_nothing() -> None:
    start = "x" * READ_CHARACTERS
    np.testing.assert_array_equal(Ngrams.of([start]).bucket, Ngrams.of([start + "more"]).bucket)


def test_half_of_a_pair_of_surrogates_is_a_character_like_others() -> None:
    assert np.isfinite(Ngrams.of(["\ud83d and more"]).sums(WEIGHTS)).all()


@given(CAPTIONS)
def test_a_caption_alone_says_what_it_says_among_others(captions: list[str | None]) -> None:
    together = Ngrams.of(captions).sums(WEIGHTS)
    alone = [float(Ngrams.of([caption]).sums(WEIGHTS)[0]) for caption in captions]
    assert together.tolist() == alone


@given(CAPTIONS)
def test_sums_are_the_product_with_the_matrix(captions: list[str | None]) -> None:
    runs = Ngrams.of(captions)
    np.testing.assert_allclose(runs.matrix() @ WEIGHTS, runs.sums(WEIGHTS), atol=1e-9)
