from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.known import known_posts
from features.reading import read_posts
from features.schema import IMPORT, KNOWN
from features.store import Store

REAL = Path(__file__).parents[1].parent / "shared" / "data" / "posts"
START = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def look(post: str, published: float, observed: float, views: int | None = 1, **values: object) -> dict[str, object]:
    """One row of the import format, its times in days."""
    row = {
        "platform": "tiktok",
        "post_id": post,
        "account_id": "a",
        "published_at": day(published),
        "observed_at": day(observed),
        "views": views,
    }
    return row | values


def store_of(folder: Path, *rows: dict[str, object], source: str = "mine") -> Store:
    store = Store(folder / "data")
    store.append([pl.DataFrame(list(rows), schema=dict(IMPORT))], source)
    return store


def one(store: Store, as_of: float | None = None) -> dict[str, Any]:
    """What is known of the only post."""
    frame = known_posts(store, "tiktok", None if as_of is None else day(as_of))
    assert frame.height == 1
    return frame.row(0, named=True)


def ids(store: Store, as_of: float) -> list[str]:
    return known_posts(store, "tiktok", day(as_of))["post_id"].to_list()


def test_the_frame_has_the_promised_columns(tmp_path: Path) -> None:
    frame = known_posts(store_of(tmp_path, look("p", 0, 5)), "tiktok")
    assert dict(frame.schema) == dict(KNOWN)
    assert dict(known_posts(Store(tmp_path / "none"), "youtube").schema) == dict(KNOWN)


def test_posts_come_in_the_order_of_publication(tmp_path: Path) -> None:
    store = store_of(tmp_path, look("b", 1, 5), look("c", 0, 5), look("a", 1, 5))
    assert ids(store, 9) == ["c", "a", "b"]


def test_a_watched_post_is_visible_from_its_first_look_on(tmp_path: Path) -> None:
    store = store_of(tmp_path, look("p", 0, 1), look("p", 0, 8))
    assert ids(store, 0.99) == []
    assert ids(store, 1) == ["p"]


def test_a_watched_post_is_immature_until_its_first_mature_look(tmp_path: Path) -> None:
    store = store_of(tmp_path, look("p", 0, 1, 10), look("p", 0, 4, 40), look("p", 0, 8, 80))
    young = one(store, 3.9)
    assert [young[name] for name in ("known_at", "first_views", "views", "age_days")] == [None] * 4
    assert young["assumed_known_at"] is False
    mature = one(store, 4)
    assert (mature["known_at"], mature["first_views"], mature["views"]) == (day(4), 40, 40)
    old = one(store, 8)
    assert (old["known_at"], old["first_views"], old["views"]) == (day(4), 40, 80)
    assert (old["first_age_days"], old["age_days"], old["assumed_known_at"]) == (4.0, 8.0, False)
    assert one(store) == old


def test_the_outcome_is_the_mature_look_nearest_to_the_horizon_in_log_age(tmp_path: Path) -> None:
    store = store_of(tmp_path, *(look("p", 0, age, int(10 * age)) for age in (1, 3.5, 6, 8.5, 30)))
    assert (one(store)["views"], one(store)["age_days"]) == (60, 6.0)
    assert (one(store, 5)["views"], one(store, 20)["views"]) == (35, 60)
    later = known_posts(store, "tiktok", horizon_days=14)
    assert later["views"].to_list() == [85]
    two = store_of(tmp_path / "two", look("p", 0, 3, 30), look("p", 0, 18, 180))
    assert one(two)["views"] == 30  # the horizon is 2.3 times 3 days, and 18 days are 2.6 times the horizon


def test_a_look_exactly_at_maturity_is_mature(tmp_path: Path) -> None:
    assert one(store_of(tmp_path, look("p", 0, 1), look("p", 0, 3, 30)))["views"] == 30


def test_a_late_look_counts_as_made_at_maturity(tmp_path: Path) -> None:
    store = store_of(tmp_path, look("p", 0, 100, 10))
    assert ids(store, -0.01) == []
    assert one(store, 0)["known_at"] is None
    assert one(store, 2.9)["views"] is None
    known = one(store, 3)
    assert (known["known_at"], known["assumed_known_at"]) == (day(3), True)
    assert (known["first_views"], known["views"], known["age_days"]) == (10, 10, 100.0)


def test_looks_after_a_late_one_count_from_when_they_were_made(tmp_path: Path) -> None:
    store = store_of(tmp_path, look("p", 0, 4, 10), look("p", 0, 6, 20))
    assert one(store, 5.9)["views"] == 10
    later = one(store, 6)
    assert (later["first_views"], later["views"], later["known_at"]) == (10, 20, day(3))


def test_a_look_without_the_primary_count_is_no_outcome(tmp_path: Path) -> None:
    store = store_of(tmp_path, look("p", 0, 1), look("p", 0, 4, None, likes=4), look("p", 0, 5, 50))
    known = one(store)
    assert (known["known_at"], known["first_views"], known["first_likes"]) == (day(5), 50, None)


def test_the_primary_count_of_instagram_is_likes(tmp_path: Path) -> None:
    rows = [look("p", 0, 5, None, platform="instagram", likes=9), look("q", 0, 5, 1, platform="instagram")]
    frame = known_posts(store_of(tmp_path, *rows), "instagram")
    assert frame.select("post_id", "likes").rows() == [("p", 9), ("q", None)]


def test_unknown_counts_stay_unknown(tmp_path: Path) -> None:
    known = one(store_of(tmp_path, look("p", 0, 5)))
    assert [known[name] for name in ("likes", "first_saves", "caption", "followers")] == [None] * 4


def test_of_contradicting_rows_the_first_imported_stands(tmp_path: Path) -> None:
    store = store_of(tmp_path, look("p", 0, 5, 10, caption="first"))
    store_of(tmp_path, look("p", 0, 5, 99, caption="edited"))
    known = one(store)
    assert (known["views"], known["caption"]) == (10, "first")


def test_the_same_id_in_two_sources_is_two_posts(tmp_path: Path) -> None:
    store = store_of(tmp_path, look("p", 0, 5, 10), source="one")
    store_of(tmp_path, look("p", 0, 6, 20), source="two")
    frame = known_posts(store, "tiktok")
    assert frame.select("source", "views").rows() == [("one", 10), ("two", 20)]


def test_followers_are_the_latest_known_at_publication(tmp_path: Path) -> None:
    rows = [look(name, at, at + 1, followers=100 + at) for at, name in enumerate("abc")]
    frame = known_posts(store_of(tmp_path, *rows, look("d", 2.5, 9, followers=999)), "tiktok")
    found = dict(frame.select("post_id", "followers").iter_rows())
    assert found == {"a": 100, "b": 100, "c": 101, "d": 101}
    assert frame["followers_backfilled"].to_list() == [True, False, False, False]


def test_followers_seen_later_are_flagged_and_only_as_far_as_visible(tmp_path: Path) -> None:
    store = store_of(
        tmp_path, look("p", 0, 1, followers=None), look("p", 0, 2, followers=7), look("p", 0, 4, followers=9)
    )
    early = one(store, 1.5)
    assert (early["followers"], early["followers_backfilled"]) == (None, False)
    late = one(store, 5)
    assert (late["followers"], late["followers_backfilled"]) == (7, True)


def test_looks_of_one_moment_need_not_agree_on_followers(tmp_path: Path) -> None:
    rows = [look(name, 0, 1, followers=count) for name, count in (("p", 10), ("q", 12), ("r", None))]
    for order in (rows, rows[::-1]):
        store = store_of(tmp_path / str(order[0]["post_id"]), *order)
        assert known_posts(store, "tiktok")["followers"].to_list() == [12] * 3


def test_followers_of_other_accounts_and_sources_are_not_taken(tmp_path: Path) -> None:
    store = store_of(tmp_path, look("p", 5, 6), look("q", 0, 1, followers=7, account_id="b"))
    store_of(tmp_path, look("r", 0, 1, followers=8), source="two")
    frame = known_posts(store, "tiktok").filter(pl.col("post_id") == "p")
    assert frame["followers"].to_list() == [None]


def test_a_late_look_tells_followers_when_it_tells_the_outcome(tmp_path: Path) -> None:
    store = store_of(tmp_path, look("p", 0, 100, followers=50), look("q", 4, 100, followers=50))
    assert known_posts(store, "tiktok", day(2))["followers"].to_list() == [None]
    replayed = known_posts(store, "tiktok", day(4))
    assert replayed["followers"].to_list() == [50, 50]
    assert replayed["followers_backfilled"].to_list() == [True, True]
    assert replayed["views"].to_list() == [1, None]


def test_a_moment_needs_a_zone_and_may_have_any(tmp_path: Path) -> None:
    store = store_of(tmp_path, look("p", 0, 1))
    with pytest.raises(ValueError, match="time zone"):
        known_posts(store, "tiktok", datetime(2026, 1, 2))  # noqa: DTZ001 - that is the point
    ahead = timezone(timedelta(hours=5))
    assert known_posts(store, "tiktok", datetime(2026, 1, 2, 5, tzinfo=ahead)).height == 1
    assert known_posts(store, "tiktok", datetime(2026, 1, 2, 4, tzinfo=ahead)).height == 0


watched = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, 20),
        st.floats(0, 2.9),
        st.lists(st.tuples(st.integers(1, 30), st.one_of(st.none(), st.integers(0, 99))), max_size=4),
    ),
    min_size=1,
    max_size=8,
)


def looks_of(posts: Iterable[Any]) -> list[dict[str, object]]:
    """Rows of posts each of which is first seen while it is young."""
    rows = []
    for number, (account, published, first, later) in enumerate(posts):
        for age, views in [(first, 1), *later]:
            followers = None if views is None else views * 10
            row = look(f"p{number}", published, published + age, views, account_id=account, followers=followers)
            rows.append(row)
    return rows


@hypothesis_settings(max_examples=40)
@given(posts=watched, as_of=st.floats(0, 50))
def test_deleting_the_future_changes_nothing_that_was_known(
    tmp_path_factory: pytest.TempPathFactory, posts: Any, as_of: float
) -> None:
    rows = looks_of(posts)
    folder = tmp_path_factory.mktemp("known")
    whole = store_of(folder / "whole", *rows)
    past = store_of(folder / "past", *(row for row in rows if row["observed_at"] <= day(as_of)))  # type: ignore[operator]
    assert known_posts(whole, "tiktok", day(as_of)).equals(known_posts(past, "tiktok", day(as_of)))


@hypothesis_settings(max_examples=25)
@given(posts=watched, late=st.lists(st.integers(0, 20), max_size=4), as_of=st.floats(0, 40))
def test_what_is_known_at_a_moment_never_lies_after_it(
    tmp_path_factory: pytest.TempPathFactory, posts: Any, late: list[int], as_of: float
) -> None:
    rows = looks_of(posts) + [look(f"late{n}", at, 90, 5, followers=3) for n, at in enumerate(late)]
    frame = known_posts(store_of(tmp_path_factory.mktemp("known"), *rows), "tiktok", day(as_of))
    known = frame.filter(pl.col("known_at").is_not_null())
    assert (frame["published_at"] <= day(as_of)).all()
    assert (known["known_at"] <= day(as_of)).all()
    assert (known["known_at"] >= known["published_at"] + timedelta(days=3)).all()
    assert known["views"].null_count() == 0
    assert frame.filter(pl.col("known_at").is_null())["views"].null_count() == frame.height - known.height


@pytest.mark.skipif(not REAL.is_dir(), reason="the real posts in ../shared/data/posts are not here")
def test_the_real_posts_can_be_replayed(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    store.append(read_posts(REAL / "tiktok.csv.gz"), "tiktok")
    between = known_posts(store, "tiktok", datetime(2026, 3, 24, tzinfo=UTC))
    now = known_posts(store, "tiktok")
    assert between.height <= now.height == 3125
    assert 0 < between["known_at"].null_count() > now["known_at"].null_count()
    both = between.join(now, on=["source", "post_id"]).filter(pl.col("known_at").is_not_null())
    assert both["known_at"].equals(both["known_at_right"].alias("known_at"))
    assert both["first_views"].equals(both["first_views_right"].alias("first_views"))
