"""When to post: the surface of the coming week, its honesty, and its clocks."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.errors import SchemaError
from features.events import DAY_S
from features.history import History
from tests.training_world import world_of_hours
from training.audience import BLOCKS, WEEKDAYS, Spread, effects_of, evidence_of, measure_spread
from training.blend import Blend
from training.experts import EXPERTS
from training.hours import Hours, Slope
from training.performance_model import PerformanceModel
from training.posting_time import WEEK_HOURS, Band, PostingTime, posting_time, weigh

NOW = datetime(2026, 6, 24, 14, 20, tzinfo=UTC)
POST = {"caption": "Building a boat", "duration_s": 30.0, "media_type": "video", "followers": 3_000, "country": "DE"}
WEEK_S = int(NOW.timestamp()) // DAY_S * DAY_S + np.arange(WEEK_HOURS) * 3_600


def model() -> PerformanceModel:
    return world_of_hours(0.5)[1]


def busiest() -> str:
    """The account in Germany with most outcomes."""
    known = world_of_hours(0.5)[0].known.filter(pl.col("country") == "DE")
    name: str = known["account_id"].value_counts().sort("count", "account_id")["account_id"][-1]
    return name


def asked(**changes: Any) -> PostingTime:
    return posting_time(model(), **{"now": NOW, "post": POST, **changes})


def lived(account: str, boost: float, known_after_days: float = 3.0, posts: int = 100) -> History:
    """A history of one account that reached more in the evenings of Berlin."""
    draw = np.random.default_rng(2)
    known = model().history.table
    published = [NOW - timedelta(days=8 + day, hours=float(draw.uniform(0, 24))) for day in range(posts)]
    evening = [20 <= (each + timedelta(hours=2)).hour < 24 for each in published]
    table = pl.DataFrame(
        {
            "account_id": [account] * posts,
            "population": [known["population"][0]] * posts,
            "media_type": ["video"] * posts,
            "published_s": [int(each.timestamp()) for each in published],
            "known_s": [int((each + timedelta(days=known_after_days)).timestamp()) for each in published],
            "outcome": 6 + boost * np.array(evening) + draw.normal(0, 0.5, posts),
            "engagement": [-3.0] * posts,
            "sound_id": [None] * posts,
            "hashtags": [None] * posts,
        },
        schema=known.schema,
    )
    return History(pl.concat([known, table]))


def test_the_surface_is_the_whole_week_from_the_next_full_hour() -> None:
    found = asked()
    assert found.start == datetime(2026, 6, 24, 15, tzinfo=UTC)
    assert len(found.times) == len(found.boost) == WEEK_HOURS
    assert found.times[-1] - found.start == timedelta(hours=167)
    assert asked(now=found.start).start == found.start
    assert np.log1p(found.boost).mean() == pytest.approx(0, abs=1e-9)
    assert (found.lower < found.boost).all()
    assert (found.boost < found.upper).all()
    assert found.boost[found.best] == found.boost.max()
    assert found.optimal_time_utc == found.times[found.best]


def test_of_a_stranger_it_is_the_slope_times_what_the_model_forecasts_hour_by_hour() -> None:
    found = asked()
    drafts = [
        pl.DataFrame([{"platform": "tiktok", "post_id": "p", "account_id": "nobody", "published_at": at, **POST}])
        for at in found.times
    ]
    log = np.log1p([model().predict(draft)["prediction"][0] for draft in drafts])
    hours = model().hours
    assert hours is not None
    slope, _ = hours.belief(is_new=True)
    assert slope > 0
    np.testing.assert_allclose(np.log1p(found.boost), slope * (log - log.mean()), atol=1e-9)
    assert np.ptp(log) > 0.01
    assert not found.account_known
    assert found.audience_posts == 0


def test_a_planted_peak_is_found_in_the_evening_where_the_account_lives() -> None:
    found = asked(account=busiest(), countries=["DE", "US"])
    local = datetime.fromisoformat(found.timezone_breakdown["DE_CET"]["local_time"])
    assert local.hour >= 16  # the peak is at 20
    assert found.account_known
    assert found.audience_posts > 20
    assert found.boost[found.best] > 0.05


def test_an_account_whose_evenings_reach_more_is_told_so_and_one_without_such_a_past_is_not() -> None:
    found, plain = (asked(account="me", history=lived("me", boost)) for boost in (2.0, 0.0))
    assert 20 <= datetime.fromisoformat(found.timezone_breakdown["DE_CET"]["local_time"]).hour < 24
    assert found.distinguishable
    assert found.lower[found.best] > 0
    assert "not distinguishable" not in found.sentence
    assert found.boost[found.best] > 2 * plain.boost[plain.best]


def test_outcomes_that_had_not_matured_by_now_are_not_read() -> None:
    high, flat = (asked(account="me", history=lived("me", boost, known_after_days=3_000)) for boost in (2.0, 0.0))
    assert high.to_dict() == flat.to_dict()
    assert high.audience_posts == 0
    assert not high.account_known


def test_an_outcome_that_matures_after_now_and_before_the_first_hour_is_not_read() -> None:
    history = lived("me", 0.0)
    last_known_s = int(history.table.filter(pl.col("account_id") == "me")["known_s"].min())
    just_before = datetime.fromtimestamp(last_known_s - 1, UTC)
    assert not asked(account="me", history=history, now=just_before).account_known
    assert asked(account="me", history=history, now=just_before + timedelta(seconds=2)).account_known


def test_the_same_question_has_the_same_answer() -> None:
    assert asked(account=busiest()).to_dict() == asked(account=busiest()).to_dict()


def week_of(seed: int, slope_error: float, effects: tuple[float, float], posts: int = 80) -> dict[str, Any]:
    """Some accounts, what a model says of their hours that means nothing, and effects of their own, true ones."""
    draw = np.random.default_rng(seed)
    found: dict[str, Any] = {"local_s": [], "outcome": [], "contrast": [], "truth": []}
    design = effects_of(WEEK_S)
    for _ in range(40):
        local_s = np.sort(draw.integers(0, 2 * posts, posts) * DAY_S + draw.normal(15, 4, posts).clip(0, 23) * 3_600)
        local_s = local_s.astype(np.int64)
        own = np.append(draw.normal(0, effects[0], BLOCKS), draw.normal(0, effects[1], WEEKDAYS))
        wave = 0.06 * np.cos((WEEK_S / 3_600 - draw.uniform(0, 24)) / 24 * 2 * np.pi)
        found["local_s"].append(local_s)
        found["outcome"].append(effects_of(local_s) @ own + draw.standard_t(5, posts) / 1.29)
        found["contrast"].append(wave + draw.normal(0, 0.02, WEEK_HOURS))
        found["truth"].append(design @ own - (design @ own).mean())
    spread = measure_spread(
        np.concatenate(found["local_s"]), np.concatenate(found["outcome"]), np.arange(40).repeat(posts).tolist()
    )
    slopes = [Slope(slope, slope_error, 1_000, 100) for slope in draw.normal(0, slope_error, 40)]
    return {**found, "hours": [Hours(slope, slope, spread) for slope in slopes]}


def bands(week: dict[str, Any]) -> list[Band]:
    found = []
    for local_s, outcome, contrast, hours in zip(
        week["local_s"], week["outcome"], week["contrast"], week["hours"], strict=True
    ):
        past = np.column_stack([contrast[(local_s - WEEK_S[0]) // 3_600 % WEEK_HOURS], effects_of(local_s)])
        evidence = evidence_of(local_s, outcome, past, hours.audience.luck)
        found.append(weigh(contrast, effects_of(WEEK_S), hours.belief(False), hours.audience, evidence))
    return found


@pytest.mark.parametrize("slope_error", [0.1, 0.5])
def test_where_hours_mean_nothing_the_best_of_168_is_told_from_none_in_at_most_a_tenth(slope_error: float) -> None:
    told = [
        band.lower[band.gain.argmax()] > 0 for seed in range(6) for band in bands(week_of(seed, slope_error, (0, 0)))
    ]
    assert len(told) == 240
    assert np.mean(told) <= 0.1


def test_even_beliefs_far_too_bold_tell_the_best_from_none_in_at_most_a_tenth() -> None:
    """As of an account that is an ordinary one among accounts that differ widely."""
    told = []
    for seed in range(6):
        week = week_of(seed, 0.3, (0, 0))
        week["hours"] = [replace(hours, audience=Spread(0.5, 0.5, 1.0)) for hours in week["hours"]]
        told += [band.lower[band.gain.argmax()] > 0 for band in bands(week)]
    assert np.mean(told) <= 0.1


def test_the_interval_of_the_hour_that_was_picked_holds_its_true_gain() -> None:
    held = []
    for seed in range(6):
        week = week_of(seed, 0.1, (0.3, 0.3))
        for band, truth in zip(bands(week), week["truth"], strict=True):
            best = band.gain.argmax()
            held.append(band.lower[best] <= truth[best] <= band.upper[best])
    assert 0.8 <= np.mean(held) < 1


def test_the_band_holds_all_hours_at_once_as_often_as_promised_if_it_is_known_how_far_accounts_differ() -> None:
    held = []
    for seed in range(6):
        week = week_of(seed, 0.1, (0.3, 0.3))
        week["hours"] = [replace(hours, audience=Spread(0.3, 0.3, 1.0, 0.0)) for hours in week["hours"]]
        held += [
            ((band.lower <= truth) & (truth <= band.upper)).all()
            for band, truth in zip(bands(week), week["truth"], strict=True)
        ]
    assert np.mean(held) == pytest.approx(0.8, abs=0.1)


def test_in_a_world_where_hours_mean_nothing_hardly_an_account_is_told_otherwise() -> None:
    examples, nothing = world_of_hours(0.0)
    accounts = examples.known["account_id"].unique(maintain_order=True).to_list()
    told = [posting_time(nothing, now=NOW, account=account, post=POST).distinguishable for account in accounts]
    assert len(told) > 80
    assert np.mean(told) <= 0.1


def test_a_gain_that_cannot_be_told_from_none_is_said_so_with_its_interval() -> None:
    found = asked()
    assert not found.distinguishable
    (low, high) = (100 * ends[found.best] for ends in (found.lower, found.upper))
    assert found.sentence == (
        f"Posting on {found.optimal_time_utc:%A %Y-%m-%d %H:%M} UTC is forecast to bring "
        f"{100 * found.boost[found.best]:.0f} % more views than an average hour of the week ({low:+.0f} % to "
        f"{high:+.0f} %): not distinguishable from none."
    )


def test_a_version_for_which_it_was_not_measured_says_so() -> None:
    older = replace(model(), hours=None)
    found = posting_time(older, now=NOW, account="me", history=lived("me", 2.0), post=POST)
    assert not found.distinguishable
    assert "not measured for this version" in found.sentence


def test_a_model_that_says_the_same_of_every_hour_leaves_the_account_alone_to_speak() -> None:
    hours = model().hours
    assert hours is not None
    blend = Blend((0.0,) * len(EXPERTS), (0.0,) * len(EXPERTS))
    anchor = replace(
        model(),
        calibration=replace(model().calibration, blend=blend),
        hours=replace(hours, known=None, new=None),
    )
    found = posting_time(anchor, now=NOW, account="me", history=lived("me", 2.0), post=POST)
    assert found.distinguishable
    stranger = posting_time(anchor, now=NOW, post=POST)
    np.testing.assert_allclose(stranger.boost, 0, atol=1e-12)
    assert stranger.optimal_time_utc == stranger.start
    assert "0 % more views" in stranger.sentence


def test_the_answer_is_plain_json() -> None:
    found = asked(account=busiest(), countries=["GB"])
    answer = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(answer["surface"]) == WEEK_HOURS
    best = next(hour for hour in answer["surface"] if hour["time_utc"] == answer["optimal_time_utc"])
    assert best["boost"] == answer["expected_engagement_boost"]
    assert (best["lower"], best["upper"]) == (answer["lower"], answer["upper"])
    assert datetime.fromisoformat(answer["timezone_breakdown"]["GB_GMT"]["local_time"]) == found.optimal_time_utc


def test_without_target_countries_it_is_that_of_the_post_or_else_the_us() -> None:
    assert list(asked().timezone_breakdown) == ["DE_CET"]
    assert list(posting_time(model(), now=NOW).timezone_breakdown)[:2] == ["US_EST", "US_CST"]
    assert list(asked(countries=["GB", "JP"]).timezone_breakdown) == ["GB_GMT", "JP_JST"]


def test_what_cannot_be_answered_is_refused_by_name() -> None:
    with pytest.raises(SchemaError, match="there is no country 'XX'"):
        asked(countries=["XX"])
    with pytest.raises(SchemaError, match="no time zone"):
        asked(now=NOW.replace(tzinfo=None))


def test_a_call_takes_less_than_60_ms_of_one_core() -> None:
    account = busiest()
    asked(account=account)
    spent = []
    for _ in range(5):
        started = time.thread_time()
        asked(account=account)
        spent.append(time.thread_time() - started)
    assert min(spent) < 0.06
