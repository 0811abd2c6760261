"""The account: what its mature posts reached, how large it is, how often it posts."""

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.account import SAME_MEDIA_WEIGHT
from features.events import LONG_WINDOW, WINDOW
from features.prior import Lines
from features.records import FEW
from tests.features_world import Made, features_of, known_frame, rows_of

TOLERANCE = {"rel": 1e-9, "abs": 1e-9}


def history_then_one(views: list[int | None], **others: object) -> dict[str, float]:
    """Return the features of a post that follows posts of the same account that reached `views`, two hours apart."""
    posts = [Made(hour=2 * place, views=count, **others) for place, count in enumerate(views)]
    asked = Made(hour=2 * len(views) + 24 * 30, known_after_days=None, **others)
    known = known_frame([*posts, asked])
    return {name: float(column[-1]) for name, column in features_of(rows_of(known)).items()}


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=120))
@settings(max_examples=150)
def test_a_track_record_is_what_a_reader_would_work_out(views: list[int]) -> None:
    found = history_then_one(views)
    logs = [float(np.log1p(count)) for count in reversed(views)][:WINDOW]
    anchor = found["anchor"]
    assert anchor == pytest.approx((sum(logs) + 2 * found["prior"]) / (len(logs) + 2), **TOLERANCE)
    assert found["outcomes_known"] == len(logs)
    longest = [float(np.log1p(count)) for count in reversed(views)][:LONG_WINDOW]
    assert found["long_mean"] + anchor == pytest.approx(statistics.fmean(longest), **TOLERANCE)
    shrunk = sum(log - anchor for log in logs) / (len(logs) + SAME_MEDIA_WEIGHT)
    assert found["same_media_mean"] == pytest.approx(shrunk, **TOLERANCE)
    assert found["last_outcome"] + anchor == pytest.approx(logs[0], **TOLERANCE)
    assert found["last_five_mean"] + anchor == pytest.approx(statistics.fmean(logs[:FEW]), **TOLERANCE)
    assert found["last_five_median"] + anchor == pytest.approx(statistics.median(logs[:FEW]), **TOLERANCE)
    assert found["best_outcome"] + anchor == pytest.approx(max(logs), **TOLERANCE)
    assert found["worst_outcome"] + anchor == pytest.approx(min(logs), **TOLERANCE)
    assert found["other_population_mean"] + anchor == pytest.approx(statistics.fmean(logs), **TOLERANCE)
    if len(logs) > 1:
        assert found["outcome_spread"] == pytest.approx(statistics.pstdev(logs), rel=1e-6, abs=1e-6)
    else:
        assert np.isnan(found["outcome_spread"])
    if len(logs) > FEW:
        trend = statistics.fmean(logs[:FEW]) - statistics.fmean(logs[FEW:])
        assert found["outcome_trend"] == pytest.approx(trend, **TOLERANCE)
    else:
        assert np.isnan(found["outcome_trend"])


def test_a_slope_is_the_ridge_line_through_the_last_fifty_outcomes() -> None:
    views = [3 * 2**n % 9973 + 1 for n in range(70)]
    days, logs = np.arange(50) / 12, np.log1p(views[-50:])  # a post every other hour
    since = days - days.mean()
    expected = 365 * (since @ (logs - logs.mean())) / (since @ since + 3 * 30**2)
    assert history_then_one(views)["outcome_slope"] == pytest.approx(expected, rel=1e-9)
    assert np.isnan(history_then_one(views[:9])["outcome_slope"])
    assert history_then_one([5] * 10)["outcome_slope"] == 0


def test_outcomes_of_the_same_media_type_are_told_apart() -> None:
    kinds = ["video", "image", "image", "video", "video"]
    posts = [Made(hour=hour, views=100 * hour + 1, media_type=kind) for hour, kind in enumerate(kinds)]
    asked = [Made(hour=500, known_after_days=None, media_type=kind) for kind in ("video", "image", "carousel")]
    found = features_of(rows_of(known_frame([*posts, *asked])))
    anchor = found["anchor"][-1]
    for answer, likes in zip(found["same_media_mean"][-3:], ([1, 301, 401], [101, 201], []), strict=True):
        expected = sum(np.log1p(count) - anchor for count in likes) / (len(likes) + SAME_MEDIA_WEIGHT)
        assert answer == pytest.approx(expected)


def test_outcomes_all_alike_do_not_scatter() -> None:
    assert history_then_one([1234] * 7)["outcome_spread"] == pytest.approx(0, abs=1e-12)


def test_posts_whose_count_is_unknown_are_no_outcomes() -> None:
    assert history_then_one([100, None, 100, None])["outcomes_known"] == 2


def test_the_engagement_anchor_rests_on_the_posts_whose_rate_is_known() -> None:
    posts = [Made(hour=hour, views=99, likes=likes) for hour, likes in enumerate([18, None, 18])]
    asked = Made(hour=500, known_after_days=None)
    found = features_of(rows := rows_of(known_frame([*posts, asked])))
    table = rows.fitted.engagement_prior.table([rows.populations[-1]])
    prior = Lines(*table[0].tolist()).at(np.log1p(1_000))
    rate = np.log((18 + 1 + 1) / (99 + 1))
    assert found["engagement_anchor"][-1] == pytest.approx((2 * rate + 2 * prior) / 4)
    assert found["outcomes_known"][-1] == 3


def test_outcomes_of_another_population_are_not_in_the_anchor_but_held_against_their_own_level() -> None:
    earlier = [Made(hour=hour, source="hits", views=10**6) for hour in range(3)]
    asked = Made(hour=900, source="default", known_after_days=None)
    rows = rows_of(known_frame([*earlier, asked]))
    found = {name: float(column[-1]) for name, column in features_of(rows).items()}
    own, other = rows.fitted.prior.levels(["default/mixed", "hits/mixed"])
    assert found["outcomes_known"] == 0
    assert found["anchor"] == found["prior"]
    assert found["other_population_mean"] == pytest.approx(np.log1p(10**6) - other + own - found["anchor"])


def test_the_regimes_of_a_short_are_never_pooled() -> None:
    """The same views mean two things before and after a Short's every start is counted."""
    old = [Made(hour=hour, form="short", views=10) for hour in range(5)]
    new = [Made(hour=24 * 20 + hour, form="short", views=10**6) for hour in range(5)]
    long = [Made(hour=24 * 40 + hour, form="long", views=10**4) for hour in range(5)]
    asked = [Made(hour=24 * 60 + n, form=form, known_after_days=None) for n, form in enumerate(["short", "long"])]
    rows = rows_of(known_frame([*old, *new, *long, *asked]))
    found = features_of(rows)
    assert [name.split("/")[1] for name in rows.populations[-2:]] == ["starts", "views"]
    assert found["outcomes_known"][-2:].tolist() == [5, 5]
    np.testing.assert_allclose((found["best_outcome"] + found["anchor"])[-2:], np.log1p([10**6, 10**4]))
    np.testing.assert_allclose((found["worst_outcome"] + found["anchor"])[-2:], np.log1p([10**6, 10**4]))


def test_the_age_of_the_latest_outcome_is_that_of_its_post() -> None:
    assert history_then_one([1, 2, 3])["outcome_age_days"] == pytest.approx((24 * 30 + 2) / 24)


def test_tempo_looks_at_every_post_mature_or_not() -> None:
    posts = [Made(hour=hour, known_after_days=None) for hour in range(0, 24 * 10, 12)]
    found = features_of(rows_of(known_frame([*posts, Made(hour=24 * 10)])))
    assert found["hours_since_previous"][-1] == 12
    assert found["hours_since_fifth"][-1] == 60
    assert found["hours_since_twentieth"][-1] == 240
    assert found["posts_last_day"][-1] == 2
    assert found["posts_last_week"][-1] == 14
    assert np.isnan(found["hours_since_fifth"][4])
    assert found["hours_since_fifth"][5] == 60


def test_more_posts_than_a_snapshot_holds_are_not_counted() -> None:
    found = features_of(rows_of(known_frame([Made(hour=hour) for hour in range(60)])))
    assert found["posts_last_day"].max() == WINDOW
    assert found["posts_last_week"].max() == WINDOW


def test_posts_of_other_accounts_are_not_the_accounts() -> None:
    known = known_frame([Made(account="a", hour=0), Made(account="a\u0000", hour=1), Made(account="a", hour=2)])
    assert features_of(rows_of(known))["posts_last_day"].tolist() == [0, 0, 1]


@pytest.mark.parametrize(("followers", "size"), [(0, 0.0), (99, np.log(100)), (None, np.nan)])
def test_followers_are_read_in_logs_and_none_is_not_0(followers: int | None, size: float) -> None:
    found = features_of(rows_of(known_frame([Made(followers=followers)])))
    np.testing.assert_allclose(found["log_followers"], [size])
    assert np.isfinite(found["anchor"]).all()
