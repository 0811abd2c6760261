"""Frames become columns: what is missing is unknown, what cannot be is not believed."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from features.columns import FAR_S, Posts, choose
from features.errors import SchemaError
from tests.features_world import Made, known_frame


def frame(**columns: object) -> pl.DataFrame:
    """Return two posts of the import format with nothing but what is required, and the given columns."""
    required = {
        "platform": ["tiktok", "tiktok"],
        "post_id": ["1", "2"],
        "account_id": ["ann", "bob"],
        "published_at": [datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC)],
    }
    return pl.DataFrame({**required, **columns})


def test_a_column_that_the_frame_lacks_is_unknown_throughout() -> None:
    posts = Posts.from_frame(frame())
    assert (posts.caption, posts.sound, posts.country) == ([None, None],) * 3
    assert np.isnan(posts.followers).all()
    assert np.isnan(posts.duration_s).all()
    assert posts.measured == {}
    assert len(posts) == 2


def test_counts_are_read_whatever_their_type() -> None:
    for values in ([10, None], [10.0, None], pl.Series([10, None], dtype=pl.Int32)):
        np.testing.assert_array_equal(Posts.from_frame(frame(followers=values)).followers, [10.0, np.nan])
    nothing = pl.Series([None, None], dtype=pl.Null)
    assert np.isnan(Posts.from_frame(frame(followers=nothing)).followers).all()


@pytest.mark.parametrize("impossible", [-1.0, float("inf"), float("-inf"), float("nan")])
def test_an_amount_that_cannot_be_is_unknown(impossible: float) -> None:
    posts = Posts.from_frame(frame(followers=[impossible, 0.0], duration_s=[impossible, 0.0]))
    np.testing.assert_array_equal(posts.followers, [np.nan, 0.0])
    np.testing.assert_array_equal(posts.duration_s, [np.nan, 0.0])


def test_measured_columns_may_be_negative_but_not_infinite() -> None:
    posts = Posts.from_frame(frame(visual_contrast=[-3.5, float("inf")], audio_energy=[None, 1], other=[1, 2]))
    assert set(posts.measured) == {"visual_contrast", "audio_energy"}
    np.testing.assert_array_equal(posts.measured["visual_contrast"], [-3.5, np.nan])
    np.testing.assert_array_equal(posts.measured["audio_energy"], [np.nan, 1.0])


def test_times_are_whole_seconds_rounded_down_before_1970_too() -> None:
    times = [datetime(1969, 12, 31, 23, 59, 58, 500_000, UTC), datetime(1970, 1, 1, 0, 0, 1, 999_999, UTC)]
    assert Posts.from_frame(frame(published_at=times)).published_s.tolist() == [-2, 1]


def test_times_further_off_than_can_be_held_are_held_at_the_end() -> None:
    times = [datetime(1000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)]
    assert Posts.from_frame(frame(published_at=times)).published_s.tolist() == [-FAR_S, FAR_S]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_are_read_in_whichever_unit_they_are_held(unit: str) -> None:
    as_held = frame().with_columns(pl.col("published_at").dt.cast_time_unit(unit))
    assert Posts.from_frame(as_held).published_s.tolist() == [1_735_689_600, 1_735_776_000]


def test_a_post_without_publication_date_is_refused() -> None:
    dates = pl.Series([None, datetime(2025, 1, 1, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC"))
    with pytest.raises(SchemaError, match="1 posts lack their published_at"):
        Posts.from_frame(frame(published_at=dates))


def test_posts_of_several_platforms_are_refused() -> None:
    with pytest.raises(SchemaError, match="tiktok, youtube stand together"):
        Posts.from_frame(frame(platform=["tiktok", "youtube"]))


def test_a_frame_of_no_rows_is_posts_of_no_platform() -> None:
    posts = Posts.from_frame(known_frame([]).head(0))
    assert len(posts) == 0
    assert posts.platform == ""
    assert posts.published_s.dtype == np.int64


def test_slices_and_picks_take_every_column_along() -> None:
    known = known_frame([Made(account=name, hour=hour, followers=hour) for hour, name in enumerate("abcd")])
    posts = Posts.from_frame(known.with_columns(visual_x=pl.Series([0.0, 1.0, 2.0, 3.0])))
    middle = posts.slice(1, 3)
    picked = posts.take(np.array([3, 0, 3]))
    assert (middle.account, middle.followers.tolist(), middle.measured["visual_x"].tolist()) == (
        ["b", "c"],
        [1, 2],
        [1, 2],
    )
    assert (picked.account, picked.followers.tolist(), picked.measured["visual_x"].tolist()) == (
        ["d", "a", "d"],
        [3, 0, 3],
        [3, 0, 3],
    )
    assert len(posts.take(np.empty(0, np.int64))) == 0
    assert picked.platform == middle.platform == "youtube"


def test_choosing_is_the_same_for_columns_and_for_numbers() -> None:
    assert choose(np.array([True, False]), 1.0, np.array([2.0, 3.0])).tolist() == [1.0, 3.0]
    assert choose([True, False], 1.0, 2.0).tolist() == [1.0, 2.0]
    assert choose(True, 1.0, 2.0) == choose(np.bool_(True), 1.0, 2.0) == 1.0
    assert choose(np.bool_(False), 1.0, 2.0) == 2.0
