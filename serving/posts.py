"""The posts that callers ask about: the import format as JSON, checked, and as the columns that features read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from features.columns import Posts
from features.parsing import EARLIEST, LATEST
from features.schema import LONGEST_NAME_BYTES, Platform

LARGEST_COUNT = 2**53
"""Up to here a float tells every whole number from the next."""

LONGEST_S = 1e7


def _known(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return _short(text)


def _short(text: str) -> str:
    if len(_whole(text).encode()) > LONGEST_NAME_BYTES:
        raise ValueError(f"is longer than {LONGEST_NAME_BYTES:,} bytes")
    return text


def _whole(text: str) -> str:
    """JSON may hold half a character, which no other text format can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half of a character") from error
    return text


def _number(value: object) -> object:
    """A text or a yes that looks like a number is a mistake of whoever sent it."""
    if isinstance(value, bool | str):
        raise ValueError("is not a number")
    return value


def _text(value: object) -> object:
    """Only text says which time is meant: a bare number may be seconds or milliseconds."""
    if not isinstance(value, str | datetime):
        raise ValueError("is not a time with its zone, as 2026-01-31T12:00:00Z")
    return value


def _plausible(time: datetime) -> datetime:
    if not EARLIEST <= time.year < LATEST:
        raise ValueError(f"lies outside the years {EARLIEST} to {LATEST - 1}")
    return time.astimezone(UTC)


Identifier = Annotated[str, AfterValidator(_known)]
Name = Annotated[str, AfterValidator(_short)]
Text = Annotated[str, AfterValidator(_whole)]
Moment = Annotated[AwareDatetime, BeforeValidator(_text), AfterValidator(_plausible)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=0, le=LARGEST_COUNT)]
Seconds = Annotated[float, BeforeValidator(_number), Field(ge=0, le=LONGEST_S)]


class Body(BaseModel):
    """Whatever is sent to the service: nothing that it does not know, and no number that is none."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Post(Body):
    """A post before it is published. What is left out, null or empty is unknown, and never read as 0."""

    platform: Platform
    account_id: Annotated[Identifier | None, Field(examples=["me"], description="without it, a stranger's post")] = None
    published_at: Annotated[
        Moment, Field(examples=["2026-12-01T17:00:00Z"], description="with its zone; now, unless given")
    ] = Field(default_factory=lambda: datetime.now(UTC))
    post_id: Annotated[Name | None, Field(description="by which its outcome will be found")] = None
    caption: Annotated[Text | None, Field(examples=["Building a boat #diy"])] = None
    media_type: Annotated[Name | None, Field(examples=["video"])] = None
    duration_s: Seconds | None = None
    sound_id: Name | None = None
    followers: Count | None = None
    format: Literal["short", "long"] | None = None
    language: Name | None = None
    country: Annotated[Name | None, Field(examples=["US"], description="ISO 3166, two letters")] = None
    video_path: Annotated[Name | None, Field(description="below the service's media folder")] = None

    @property
    def published_s(self) -> int:
        """Publication, in whole seconds since 1970-01-01 UTC."""
        return int(self.published_at.timestamp() // 1)

    def asked(self) -> bytes:
        """What is asked of the post, as canonical JSON: all but the name by which it goes."""
        known = {name: value for name, value in self.__dict__.items() if value not in (None, "") and name != "post_id"}
        return orjson.dumps(known, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)


def columns_of(posts: Sequence[Post]) -> Posts:
    """Return posts of one platform as columns."""

    def texts(name: str) -> list[str | None]:
        return [getattr(post, name) or None for post in posts]

    def numbers(name: str) -> Any:
        values = [getattr(post, name) for post in posts]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    return Posts(
        platform=str(posts[0].platform),
        # Posts without a name are not one post.
        post_id=[post.post_id or f"\0{row}" for row, post in enumerate(posts)],
        account=texts("account_id"),
        source=[None] * len(posts),
        published_s=np.array([post.published_s for post in posts], dtype=np.int64),
        caption=texts("caption"),
        media_type=texts("media_type"),
        duration_s=numbers("duration_s"),
        sound=texts("sound_id"),
        form=texts("format"),
        language=texts("language"),
        country=texts("country"),
        followers=numbers("followers"),
    )
