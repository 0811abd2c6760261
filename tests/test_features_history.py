"""What is known of earlier posts: looking back, joining a request, cutting a snapshot."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from features.build import NAMES, featurize
from features.captions import MAX_HASHTAGS
from features.columns import FAR_S, Posts
from features.events import DAY_S, LONG_WINDOW, WINDOW, EventIndex, Keys
from features.history import HISTORY_SCHEMA, MOMENTUM_DAYS, History
from features.rows import Rows
from features.targets import history_of, populations
from tests.features_world import START, Made, assert_same_features, features_of, known_frame, made, rows_of, worlds

THOROUGH = settings(max_examples=40)
START_S = int(START.timestamp())


def later(world: list[Made], hours: int) -> list[Made]:
    """Return posts of which no outcome is known, moved to `hours` after the start."""
    return [replace(post, hour=post.hour + hours, known_after_days=None) for post in world]


def on(posts: pl.DataFrame, history: History) -> dict[str, np.ndarray]:
    """Return the features of posts that look back on a history and on themselves."""
    columns = Posts.from_frame(posts)
    return features_of(rows_of(posts, history=history.joined(columns, populations(columns))))


@given(worlds, worlds)
@THOROUGH
def test_a_snapshot_gives_later_posts_the_features_of_the_full_history(
    world: list[Made], request_world: list[Made]
) -> None:
    history = history_of(known_frame(world))
    newest = max(post.hour for post in world)
    request = known_frame(later(request_world, newest))
    assert_same_features(on(request, history.snapshot()), on(request, history))


@given(worlds, st.lists(made(), min_size=20, max_size=60))
@settings(max_examples=20)
def test_a_snapshot_holds_enough_of_accounts_that_post_much(world: list[Made], busy: list[Made]) -> None:
    posts = [*world, *(replace(post, account="ann", source="default") for post in busy)]
    history = history_of(known_frame(posts))
    request = known_frame([Made(hour=max(post.hour for post in posts) + ahead) for ahead in (0, 1, 100, 1_000)])
    assert_same_features(on(request, history.snapshot()), on(request, history))


def test_a_snapshot_keeps_the_uses_of_four_weeks() -> None:
    uses = [Made(account=f"a{day}", hour=24 * day, sound="s1", caption="#x") for day in range(60)]
    history = history_of(known_frame(uses))
    request = known_frame([Made(hour=24 * 59 + ahead, sound="s1", caption="#x") for ahead in (1, 2)])
    features = on(request, history.snapshot())
    assert_same_features(features, on(request, history))
    assert features["sound_uses"].tolist() == [28, 29]


def test_a_snapshot_is_small() -> None:
    posts = [
        Made(account=f"account {n % 3}", hour=n, caption=f"#tag{n}", sound=f"sound {n}", views=n)
        for n in range(0, 24 * 400, 2)
    ]
    full = history_of(known_frame(posts))
    table = full.snapshot().table
    recent = full.table["published_s"].max() - max(MOMENTUM_DAYS) * DAY_S
    assert table.height < 3 * (WINDOW + LONG_WINDOW) + 12 * max(MOMENTUM_DAYS) + 10
    assert (
        table.filter(pl.col("published_s") < recent)["hashtags"].null_count()
        == table.filter(pl.col("published_s") < recent).height
    )
    assert History.empty().snapshot().table.is_empty()


def test_a_snapshot_of_a_snapshot_is_itself() -> None:
    posts = [Made(hour=7 * n, account=f"a{n % 4}", caption="#x", sound="s", views=n) for n in range(300)]
    once = history_of(known_frame(posts)).snapshot()
    assert once.snapshot().table.equals(once.table)


@given(worlds, st.integers(0, 45))
@THOROUGH
def test_joining_a_request_is_as_if_its_posts_had_stood_in_the_history(world: list[Made], cut: int) -> None:
    known = known_frame(world)
    held, request = known.head(cut), known.tail(known.height - cut)
    immature = request.with_columns(pl.lit(None).cast(known.schema["known_at"]).alias("known_at"))
    table = pl.concat([history_of(held).table, history_of(immature).table])
    everything = table.unique(["account_id", "published_s", "hashtags", "sound_id"])
    if everything.height < table.height:
        return  # posts of one account and second are one: see below
    posts = Posts.from_frame(request)
    names = populations(posts)
    if len(posts) == 1:
        return
    joined = history_of(held).joined(posts, names)
    full = Rows(posts, names, History(table), rows_of(request).fitted, posts.published_s)
    np.testing.assert_array_equal(featurize(replace(full, history=joined), NAMES), featurize(full, NAMES), strict=True)


def test_a_request_counts_for_tempo_and_momentum_but_not_for_outcomes() -> None:
    history = history_of(known_frame([Made(hour=0, views=50)]))
    request = known_frame(
        [Made(hour=hour, caption="#new", sound="s9", views=10**6, known_after_days=3.0) for hour in (100, 200, 300)]
    )
    features = on(request, history)
    assert features["hours_since_previous"].tolist() == [100, 100, 100]
    assert features["sound_uses"].tolist() == [0, 1, 2]
    assert features["hashtag_uses"].tolist() == [0, 1, 2]
    assert features["outcomes_known"].tolist() == [1, 1, 1]
    assert len(set(features["anchor"].tolist())) == 1


def test_a_post_that_is_held_already_is_not_counted_twice() -> None:
    known = known_frame([Made(hour=hour, caption="#x", sound="s") for hour in (0, 24, 48)])
    history = history_of(known)
    assert_same_features(on(known, history), features_of(rows_of(known, history=history)))
    twice = pl.concat([known, known])
    again = on(twice, History.empty())
    assert again["posts_last_week"].tolist() == [0, 1, 2, 0, 1, 2]
    assert again["hashtag_uses"].tolist() == [0, 1, 2, 0, 1, 2]


def test_a_held_post_still_finds_the_uses_of_its_hashtags_by_others() -> None:
    known = known_frame([Made(account=name, hour=hour, caption="#x") for hour, name in enumerate(["ann", "bob", "cy"])])
    features = on(known.tail(2), history_of(known))
    assert features["hashtag_uses"].tolist() == [1, 2]


def test_two_posts_of_one_second_are_both_counted() -> None:
    known = known_frame([Made(hour=0), Made(hour=0), Made(hour=5)])
    assert on(known, History.empty())["posts_last_day"].tolist() == [0, 0, 2]


def test_a_single_post_is_joined_by_nothing() -> None:
    history = history_of(known_frame([Made()]))
    posts = Posts.from_frame(known_frame([Made(hour=9)]))
    assert history.joined(posts, populations(posts)) is history


def test_a_join_leaves_out_what_does_not_bear_on_the_request() -> None:
    history = history_of(
        known_frame(
            [
                Made(account="bob", hour=0),
                Made(account="cy", hour=1, sound="s1"),
                Made(account="dee", hour=2, caption="#old"),
                Made(account="eve", hour=1_000, caption="#old"),
                Made(hour=3),
            ]
        )
    )
    posts = Posts.from_frame(known_frame([Made(hour=1_100, sound="s1", caption="#old"), Made(hour=1_101)]))
    joined = history.joined(posts, populations(posts))
    assert joined.table["account_id"].to_list() == ["ann", "eve", "ann", "ann"]


def test_of_outcomes_that_became_known_at_once_the_later_post_is_the_newest() -> None:
    table = pl.DataFrame(
        {
            "account_id": "ann",
            "population": "default/mixed",
            "published_s": [START_S + 20, START_S + 10, START_S],
            "known_s": START_S + 100,
            "outcome": [3.0, 2.0, 1.0],
            "engagement": None,
            "media_type": "video",
            "sound_id": None,
            "hashtags": None,
        },
        schema=HISTORY_SCHEMA,
    )
    for rows in (table, table.reverse()):
        features = features_of(rows_of(known_frame([Made(hour=1), Made(hour=2)]), history=History(rows)))
        np.testing.assert_allclose(features["last_outcome"] + features["anchor"], [3.0, 3.0])


def test_only_what_came_strictly_before_counts() -> None:
    known = known_frame([Made(hour=0, known_after_days=1.0), Made(hour=24), Made(hour=25)])
    features = features_of(rows_of(known))
    assert features["outcomes_known"].tolist() == [0, 0, 1]
    assert features["posts_last_day"].tolist() == [0, 1, 1]


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-50, 50)), max_size=60), st.integers(-60, 60))
@THOROUGH
def test_an_index_finds_what_a_search_through_every_event_finds(events: list[tuple[int, int]], now: int) -> None:
    keys, times = np.array(events, dtype=np.int64).reshape(-1, 2).T
    index = EventIndex.build(keys, times * DAY_S, 5, day=times.astype(np.float64))
    asked = np.arange(-1, 5)
    earlier = index.before(asked, np.full(6, now * DAY_S))
    for place, key in enumerate(asked.tolist()):
        days = sorted(day for other, day in events if other == key >= 0 and day < now)
        assert earlier.size[place] == len(days)
        assert index.within(asked, np.full(6, now * DAY_S), [7])[0][place] == sum(day >= now - 7 for day in days)
        third = index.values["day"][earlier.position(3)[place]]
        assert third == days[-3] if len(days) > 2 else np.isnan(third)


def test_times_at_the_ends_of_what_can_be_held_stay_with_their_key() -> None:
    times = np.array([-FAR_S, FAR_S, -FAR_S, FAR_S])
    index = EventIndex.build(np.array([0, 0, 1, 1]), times, 2)
    asked = np.array([0, 0, 1, 1, -1]), np.append(times, FAR_S)
    assert index.before(*asked).size.tolist() == [0, 1, 0, 1, 0]
    assert [count.tolist() for count in index.within(*asked, [30, 60])] == [[0] * 5] * 2


def test_posts_before_1970_look_back_like_any_other() -> None:
    known = known_frame([Made(hour=0, views=50), Made(hour=100, sound="s"), Made(hour=101, sound="s")])
    old = known.with_columns(pl.col("published_at", "known_at") - timedelta(days=60 * 365))
    features, ancient = features_of(rows_of(known)), features_of(rows_of(old))
    assert ancient["outcomes_known"].tolist() == [0, 1, 1]
    for name in ("hours_since_previous", "sound_uses", "anchor", "outcome_age_days"):
        np.testing.assert_array_equal(ancient[name], features[name], err_msg=name)


def test_a_name_never_seen_has_no_code() -> None:
    keys = Keys(["b", "a", "b", None])
    assert len(keys) == 3
    assert keys.names == ["b", "a", None]
    assert keys.codes(["a", "c", None, "b"]).tolist() == [1, -1, 2, 0]
    assert keys.code("c") == -1


def test_no_more_hashtags_are_read_than_platforms_allow() -> None:
    caption = " ".join(f"#t{n}" for n in range(40))
    table = history_of(known_frame([Made(caption=caption)])).table
    assert table["hashtags"][0].split(" ") == [f"t{n}" for n in range(MAX_HASHTAGS)]
