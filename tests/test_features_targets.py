"""What is forecast: regimes and populations, outcomes and rates, scores against a reference."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.columns import Posts
from features.targets import (
    REFERENCE_DAYS,
    REFERENCE_POSTS,
    SHORTS_COUNT_STARTS_S,
    Reference,
    engagement_log,
    history_of,
    mature,
    populations,
    primary_log,
    regimes,
)
from tests.features_world import DAY_S, START, Made, known_frame

SINCE_HOUR = (SHORTS_COUNT_STARTS_S - int(START.timestamp())) // 3_600
logs = st.floats(0, 25)


def regime_of(platform: str = "youtube", **post: object) -> str:
    return regimes(Posts.from_frame(known_frame([Made(**post)], platform)))[0]


@pytest.mark.parametrize(
    ("form", "duration_s", "hour", "regime"),
    [
        ("short", 20.0, SINCE_HOUR, "starts"),
        ("short", 20.0, SINCE_HOUR - 1, "mixed"),
        ("short", None, SINCE_HOUR, "starts"),
        ("short", 600.0, SINCE_HOUR, "starts"),
        ("long", 20.0, SINCE_HOUR, "views"),
        ("long", None, 0, "views"),
        (None, 181.0, SINCE_HOUR, "views"),
        (None, 180.0, SINCE_HOUR, "mixed"),
        (None, None, SINCE_HOUR, "mixed"),
    ],
)
def test_what_a_view_means_on_youtube(form: str | None, duration_s: float | None, hour: int, regime: str) -> None:
    assert regime_of(form=form, duration_s=duration_s, hour=hour) == regime


@pytest.mark.parametrize(("platform", "regime"), [("tiktok", "views"), ("instagram", "likes")])
def test_elsewhere_there_is_one_meaning(platform: str, regime: str) -> None:
    assert regime_of(platform, form="short", hour=SINCE_HOUR) == regime


def test_a_population_is_a_source_and_a_meaning() -> None:
    known = known_frame([Made(source="mine", form="long"), Made(hour=1, form="long")])
    posts = Posts.from_frame(known)
    assert populations(posts) == ["mine/views", "default/views"]
    assert populations(Posts.from_frame(known.drop("source"))) == ["default/views"] * 2


@pytest.mark.parametrize(("platform", "count"), [("tiktok", "views"), ("instagram", "likes"), ("youtube", "views")])
def test_the_primary_count_is_read_in_logs_and_unknown_stays_unknown(platform: str, count: str) -> None:
    known = known_frame([Made(**{count: 0}), Made(hour=1, **{count: 99}), Made(hour=2, **{count: None})], platform)
    np.testing.assert_allclose(primary_log(known), [0, np.log(100), np.nan])
    np.testing.assert_allclose(primary_log(known.with_columns(first_views=7, first_likes=7), "first_"), np.log(8))


def test_the_rate_of_engagement_is_per_view_or_per_follower() -> None:
    post = [Made(views=99, likes=10, followers=999)]
    rates = {platform: np.exp(engagement_log(known_frame(post, platform))[0]) for platform in ("tiktok", "instagram")}
    assert rates["tiktok"] == pytest.approx((10 + 1 + 1 + 1 + 1) / 100)
    assert rates["instagram"] == pytest.approx((10 + 1 + 1) / 1_000)


@pytest.mark.parametrize("platform", ["tiktok", "instagram", "youtube"])
def test_a_rate_over_nothing_is_finite_and_one_of_unknown_parts_unknown(platform: str) -> None:
    posts = [Made(views=0, likes=0, followers=0), Made(hour=1, likes=None), Made(hour=2, views=None, followers=None)]
    rates = engagement_log(known_frame(posts, platform))
    assert np.isfinite(rates[0])
    assert np.isnan(rates[1:]).all()


def test_only_posts_with_a_known_outcome_are_mature() -> None:
    known = known_frame([Made(), Made(hour=1, known_after_days=None), Made(hour=2, views=None)])
    assert mature(known)["post_id"].to_list() == ["p000"]
    assert mature(known.head(0)).is_empty()


def test_no_posts_have_no_outcomes_and_no_history() -> None:
    empty = known_frame([])
    assert len(primary_log(empty)) == len(engagement_log(empty)) == 0
    assert history_of(empty).table.is_empty()


def test_a_history_reads_the_first_mature_look_from_the_time_it_became_known() -> None:
    known = known_frame([Made(views=50), Made(hour=5, known_after_days=None)]).with_columns(views=10**6)
    table = history_of(known).table
    assert table["outcome"].to_list() == [np.log1p(50), None]
    assert (table["known_s"] - table["published_s"]).to_list() == [3 * DAY_S, None]


@given(st.lists(logs, min_size=1, max_size=300), st.lists(logs, min_size=2, max_size=30))
@settings(max_examples=200)
def test_a_score_rises_with_the_outcome_and_lies_between_0_and_100(past: list[float], asked: list[float]) -> None:
    values = np.array(past)
    reference = Reference.fit(["p"] * len(past), values, np.arange(len(past)))
    outcomes = np.sort(np.concatenate([asked, values, np.nextafter(values, -1), np.nextafter(values, 99)]))
    scores = reference.score(["p"] * len(outcomes), outcomes)
    assert (np.diff(scores) >= 0).all()
    assert scores.min() >= 0
    assert scores.max() <= 100
    ends = reference.score(["p", "p"], np.array([-1.0, 99.0]))
    assert ends.tolist() == [0, 100]


def test_a_score_is_the_share_of_the_reference_below() -> None:
    reference = Reference.fit(["p"] * 1_001, np.linspace(0, 10, 1_001), np.zeros(1_001, np.int64))
    np.testing.assert_allclose(reference.score(["p"] * 3, np.array([2.5, 5.0, 9.99])), [25, 50, 99.9])


def test_within_a_tie_the_score_is_its_middle() -> None:
    reference = Reference.fit(["p"] * 101, np.array([0.0] * 51 + [1.0] * 50), np.zeros(101, np.int64))
    assert reference.score(["p"] * 2, np.array([0.0, 1.0])).tolist() == [25, 75.5]
    same = Reference.fit(["p"] * 3, np.full(3, 7.0), np.zeros(3, np.int64))
    assert same.score(["p"] * 3, np.array([6.9, 7.0, 7.1])).tolist() == [0, 50, 100]


def test_an_unknown_outcome_has_no_score() -> None:
    reference = Reference.fit(["p"], np.array([1.0]), np.array([0]))
    assert np.isnan(reference.score(["p"], np.array([np.nan]))).all()
    assert len(reference.score([], np.empty(0))) == 0


def test_a_population_is_scored_within_itself_and_one_never_seen_among_all() -> None:
    reference = Reference.fit(["low"] * 50 + ["high"] * 50, np.arange(100.0), np.zeros(100, np.int64))
    low, high, other = reference.score(["low", "high", "never seen"], np.full(3, 49.0))
    assert (low, high) == (100, 0)
    assert other == pytest.approx(49 / 99 * 100)


def test_a_reference_is_recent_but_holds_enough_posts() -> None:
    days = np.arange(2 * REFERENCE_POSTS)
    published_s = days * DAY_S
    rare = Reference.fit(["p"] * len(days), days.astype(float), published_s)
    assert rare.quantiles["p"][0] == REFERENCE_POSTS
    often = Reference.fit(["p"] * len(days), days.astype(float), published_s // 50)
    assert often.quantiles["p"][0] == 0
    dense = Reference.fit(["p"] * len(days), days.astype(float), published_s // 10)
    assert dense.quantiles["p"][0] == 2 * REFERENCE_POSTS - 1 - REFERENCE_DAYS * 10


def test_a_reference_does_not_hang_on_the_order_of_posts() -> None:
    published_s = np.arange(900) * DAY_S
    outcome = np.sin(published_s)
    turned = np.arange(900)[::-1]
    reference = Reference.fit(["p"] * 900, outcome, published_s)
    assert Reference.fit(["p"] * 900, outcome[turned], published_s[turned]).quantiles["p"] == reference.quantiles["p"]


def test_frames_of_the_platforms_have_the_columns_that_outcomes_are_read_from() -> None:
    assert isinstance(known_frame([Made()]).schema["first_views"], pl.Int64)
