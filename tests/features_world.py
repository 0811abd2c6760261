"""Small made-up histories for tests of features: a few accounts, sounds and hashtags that meet often, with ties."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from features.build import feature_names, featurize
from features.columns import Floats, Ints, Posts
from features.fitted import Fitted
from features.history import History
from features.rows import Rows
from features.schema import KNOWN
from features.targets import engagement_log, history_of, mature, populations, primary_log

START = datetime(2025, 3, 20, tzinfo=UTC)  # YouTube changed what a view of a Short means eleven days later
HOUR_S = 3_600
DAY_S = 86_400

WORDS = "the way you dance with me and my friends all day long when what how from not just this that is it in of i your"
CAPTIONS = (
    None,
    "",
    "Wait for it… 😂 #fyp #Dance",
    "#fyp #fyp #dance #2024goals LINK IN BIO!",
    f"{WORDS} #dance",
    f"{WORDS.upper()}? @you https://example.org",
    "what’s up, it's me & 'you' ¿qué tal?",
    "как дела сегодня #танцы",
    "#हिन्दी नमस्ते दुनिया",
    "¯\\_(ツ)_/¯ 12 + 30",
    "\u0000 \n\r\t \ufe0f\u2764\ufe0f \U0001d5e1\U0001d5d8\U0001d5ea",  # an emoji, and NEW in mathematical letters
)


@dataclass(frozen=True)
class Made:
    """A post as tests make it; times in hours after `START`, `known_after_days` None while immature."""

    account: str = "ann"
    hour: int = 0
    caption: str | None = "hello"
    sound: str | None = None
    source: str = "default"
    form: str | None = None
    duration_s: float | None = 20.0
    followers: int | None = 1_000
    country: str | None = None
    language: str | None = None
    media_type: str | None = "video"
    views: int | None = 100
    likes: int | None = 10
    known_after_days: float | None = 3.0


def made(**drawn: Any) -> st.SearchStrategy[Made]:
    """Draw a post; of everything there are few values, so that posts share them and times tie."""
    values: dict[str, st.SearchStrategy[Any]] = {
        "account": st.sampled_from(["ann", "bob", "cy", "a\u0000", "a"]),
        "hour": st.integers(0, 40).map(lambda n: 37 * n) | st.integers(0, 1_500),
        "caption": st.sampled_from(CAPTIONS),
        "sound": st.sampled_from([None, "s1", "s2"]),
        "source": st.sampled_from(["default", "hits"]),
        "form": st.sampled_from([None, "short", "long"]),
        "duration_s": st.sampled_from([None, 0.0, 20.0, 600.0]),
        "followers": st.sampled_from([None, 0, 5, 1_000, 10**7]),
        "country": st.sampled_from([None, "DE", "jp", "US"]),
        "language": st.sampled_from([None, "en", "pt-BR", "xx"]),
        "media_type": st.sampled_from([None, "video", "image", "unheard of"]),
        "views": st.integers(0, 10**6) | st.none(),
        "likes": st.integers(0, 10**4) | st.none(),
        "known_after_days": st.sampled_from([None, 3.0, 3.5, 30.0]),
    }
    return st.builds(Made, **{**values, **drawn})


worlds = st.lists(made(), min_size=1, max_size=4) | st.lists(made(), min_size=12, max_size=45)
"""Posts of a YouTube history, few or many."""


def known_frame(posts: list[Made], platform: str = "youtube") -> pl.DataFrame:
    """Return posts as `known_posts` answers them."""
    return pl.DataFrame([_row(number, post, platform) for number, post in enumerate(posts)], schema=dict(KNOWN)).sort(
        "published_at", "post_id"
    )


def _row(number: int, post: Made, platform: str) -> dict[str, Any]:
    published = START + timedelta(hours=post.hour)
    is_known = post.known_after_days is not None
    counts = {"views": post.views, "likes": post.likes, "comments": 1, "shares": 1, "saves": 1}
    return {
        "platform": platform,
        "post_id": f"p{number:03d}",
        "account_id": post.account,
        "published_at": published,
        "media_type": post.media_type,
        "caption": post.caption,
        "duration_s": post.duration_s,
        "sound_id": post.sound,
        "format": post.form,
        "language": post.language,
        "country": post.country,
        "source": post.source,
        "followers": post.followers,
        "known_at": published + timedelta(days=post.known_after_days) if is_known else None,
        **{f"first_{name}": count if is_known else None for name, count in counts.items()},
        **{name: count if is_known else None for name, count in counts.items()},
    }


def rows_of(
    known: pl.DataFrame,
    *,
    history: History | None = None,
    fitted: Fitted | None = None,
    known_until_s: Ints | None = None,
) -> Rows:
    """Return rows of posts that look back on themselves, unless on another history."""
    posts = Posts.from_frame(known)
    return Rows(
        posts,
        populations(posts),
        history or history_of(known),
        fitted or fitted_once(),
        posts.published_s if known_until_s is None else known_until_s,
    )


def features_of(rows: Rows) -> dict[str, Floats]:
    """Return every feature of rows by its name."""
    names = feature_names(rows.posts)
    return dict(zip(names, featurize(rows, names).T, strict=True))


def assert_same_features(left: dict[str, Floats], right: dict[str, Floats]) -> None:
    """Assert that features are equal to the last bit."""
    assert left.keys() == right.keys()
    for name, column in left.items():
        np.testing.assert_array_equal(column, right[name], err_msg=name, strict=True)


@cache
def fitted_once() -> Fitted:
    """Return what was fitted to some 300 posts, word topics included."""
    generator = np.random.default_rng(7)
    posts = [
        Made(
            account=f"account {generator.integers(20)}",
            hour=int(generator.integers(2_000)),
            caption=CAPTIONS[generator.integers(len(CAPTIONS))],
            source=("default", "hits")[generator.integers(2)],
            form=(None, "short", "long")[generator.integers(3)],
            followers=int(generator.lognormal(8, 2)),
            views=int(generator.lognormal(7, 2)),
        )
        for _ in range(300)
    ]
    return fit(known_frame(posts))


def fit(known: pl.DataFrame) -> Fitted:
    """Fit to the mature posts of a frame."""
    rows = mature(known)
    posts = Posts.from_frame(rows)
    return Fitted.fit(posts, populations(posts), primary_log(rows), engagement_log(rows), anchor_weight=2.0, seed=7)
