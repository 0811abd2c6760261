"""What callers ask for beside a post's performance: its virality, and when to post it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from features.schema import Platform
from serving.posts import Body, Count, Identifier, Moment, Name, Post, Seconds, Text

MOST_POSTS = 1_000
MOST_COUNTRIES = 50


class PerformanceBatch(Body):
    """Posts of any platforms; those of one know of one another."""

    posts: Annotated[list[Post], Field(min_length=1, max_length=MOST_POSTS)]


class Metadata(Body):
    """What is known of a video. A name that no model reads yet is taken, and named in the answer as unused."""

    model_config = ConfigDict(extra="allow")

    artist: Annotated[Identifier | None, Field(description="the account, where no account_id is given")] = None
    genre: Name | None = None
    duration: Annotated[Seconds | None, Field(description="seconds")] = None
    has_hook: bool | None = None
    caption: Text | None = None
    published_at: Moment | None = None
    post_id: Name | None = None
    media_type: Name | None = None
    sound_id: Name | None = None
    followers: Count | None = None
    format: Annotated[str | None, Field(pattern="^(short|long)$")] = None
    language: Name | None = None
    country: Name | None = None


READ = (
    "caption", "published_at", "post_id", "media_type", "sound_id", "followers", "format", "language", "country",
)  # fmt: skip
"""Names of `Metadata` that are those of a post."""


class ViralityRequest(Body):
    """A video before it is published."""

    platform: Platform
    account_id: Identifier | None = None
    video_path: Annotated[Name | None, Field(description="below the service's media folder")] = None
    metadata: Metadata = Metadata()

    def post(self) -> Post:
        """Return what is asked about as a post."""
        known = {name: value for name in READ if (value := getattr(self.metadata, name)) is not None}
        return Post(
            platform=self.platform,
            account_id=self.account_id or self.metadata.artist,
            video_path=self.video_path,
            duration_s=self.metadata.duration,
            **known,
        )

    def unused(self) -> list[str]:
        """Return the names of the metadata that no model reads."""
        given = self.metadata.model_dump(exclude_none=True)
        return sorted(set(given) - {*READ, "duration"} - ({"artist"} if self.account_id is None else set()))


class ViralityBatch(Body):
    """Videos of any platforms; those of one know of one another."""

    posts: Annotated[list[ViralityRequest], Field(min_length=1, max_length=MOST_POSTS)]


class PostingTimeRequest(Body):
    """Who is to post where, and what is known of the post."""

    platform: Platform
    account_id: Identifier | None = None
    artist_name: Annotated[Identifier | None, Field(description="the account, where no account_id is given")] = None
    target_countries: Annotated[
        tuple[Name, ...], Field(max_length=MOST_COUNTRIES, description="ISO 3166, two letters; else that of the post")
    ] = ()
    caption: Text | None = None
    media_type: Name | None = None
    duration_s: Seconds | None = None
    sound_id: Name | None = None
    followers: Count | None = None
    format: Annotated[str | None, Field(pattern="^(short|long)$")] = None
    language: Name | None = None
    country: Name | None = None

    def known(self) -> dict[str, Any]:
        """Return what is known of the post, by the names of the import format."""
        names = ("caption", "media_type", "duration_s", "sound_id", "followers", "format", "language", "country")
        return {name: value for name in names if (value := getattr(self, name)) not in (None, "")}


class PostingTimeBatch(Body):
    """Questions of when to post, each of which is that of 168 posts."""

    posts: Annotated[list[PostingTimeRequest], Field(min_length=1, max_length=MOST_POSTS)]
