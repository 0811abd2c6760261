"""What is sent to the service is read exactly as the same post in a file is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.columns import Posts
from registry.loading import posts_of_rows
from serving.posts import Post, columns_of

POST: dict[str, Any] = {"platform": "tiktok", "account_id": "me", "published_at": "2026-12-01T17:00:00Z"}

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
ZONES = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
TIMES = st.builds(datetime.fromtimestamp, st.floats(1.2e9, 4e9), ZONES)
POSTS = st.fixed_dictionaries(
    {
        "platform": st.just("tiktok"),
        "account_id": TEXTS.filter(str.strip),
        "post_id": TEXTS.filter(str.strip),
        "published_at": TIMES.map(datetime.isoformat),
    },
    optional={
        "caption": TEXTS | st.none(),
        "media_type": TEXTS,
        "duration_s": st.floats(0, 1e6) | st.none(),
        "sound_id": TEXTS,
        "followers": st.integers(0, 2**53) | st.none(),
        "format": st.sampled_from(["short", "long", None]),
        "language": TEXTS,
        "country": TEXTS,
    },
)


@given(st.lists(POSTS, min_size=1, max_size=3))
def test_a_post_sent_as_json_becomes_the_columns_that_it_becomes_in_a_file(
    rows: list[dict[str, Any]],
) -> None:
    sent = columns_of([Post.model_validate(orjson.loads(orjson.dumps(row))) for row in rows])
    filed = Posts.from_frame(posts_of_rows(rows, "tiktok"))
    for name in Posts.__dataclass_fields__:
        one, other = getattr(sent, name), getattr(filed, name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other, err_msg=name)
        else:
            assert one == other, name


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"platform": "vimeo"}, "platform"),
        ({"account_id": "  "}, "account_id"),
        ({"account_id": "x" * 5_000}, "account_id"),
        ({"published_at": "2026-12-01T17:00:00"}, "published_at"),
        ({"published_at": 1_800_000_000}, "published_at"),
        ({"published_at": "1970-01-01T00:00:00Z"}, "published_at"),
        ({"followers": -1}, "followers"),
        ({"followers": 10**400}, "followers"),
        ({"followers": 1.5}, "followers"),
        ({"followers": "12"}, "followers"),
        ({"followers": True}, "followers"),
        ({"duration_s": "12"}, "duration_s"),
        ({"duration_s": float("nan")}, "duration_s"),
        ({"duration_s": -1}, "duration_s"),
        ({"caption": "\ud800"}, "caption"),
        ({"format": "medium"}, "format"),
        ({"views": 3}, "views"),
    ],
)
def test_a_post_that_cannot_be_is_refused_with_the_field_named(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Post.model_validate(POST | wrong)
    assert [error["loc"][0] for error in refused.value.errors()] == [where]


def test_a_post_without_account_or_time_is_a_strangers_of_now() -> None:
    post = Post.model_validate({"platform": "tiktok"})
    assert post.account_id is None
    assert abs(datetime.now(UTC) - post.published_at) < timedelta(minutes=1)


def test_what_is_asked_is_the_same_however_it_is_written_and_whatever_the_post_is_called() -> None:
    one = Post.model_validate(
        POST | {"post_id": "a", "caption": "", "duration_s": 5, "published_at": "2026-12-01T18:00:00+01:00"}
    )
    other = Post.model_validate({"duration_s": 5.0, **POST, "post_id": "b", "followers": None})
    assert one.asked() == other.asked()
    assert one.asked() != Post.model_validate(POST | {"duration_s": 6}).asked()
