"""What a post and an observation of a post are: the columns, their types, and the outcomes of each platform.

One row of the import format is one observation. The store splits it into the two tables `POST` (what is known
at publication) and `OBSERVATION` (the counts seen at one look). Only the identifiers and times in `REQUIRED`
are always there: empty means unknown and stays unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from features.errors import MissingExtraError

if TYPE_CHECKING:
    import pandera.polars as pa

Schema = Mapping[str, pl.DataType]


class Platform(StrEnum):
    """A platform that posts are published on."""

    TIKTOK = "tiktok"
    INSTAGRAM = "instagram"
    YOUTUBE = "youtube"


@dataclass(frozen=True)
class Engagement:
    """How a platform's engagement rate is made: the sum of `parts` over `base`."""

    parts: tuple[str, ...]
    base: str


TIME = pl.Datetime("us", "UTC")
TEXT = pl.String()
COUNT = pl.Int64()
NUMBER = pl.Float64()

FORMATS = ("short", "long")

OUTCOMES = ("views", "likes", "comments", "shares", "saves")
COUNTS = ("followers", *OUTCOMES)
TIMES = ("published_at", "observed_at")
IDENTIFIERS = ("platform", "post_id", "account_id")
REQUIRED = (*IDENTIFIERS, *TIMES)
OPTIONAL = ("format", "language", "country", "video_path", "thumbnail_path")

LONGEST_BYTES = 4_000_000
"""The longest caption, as UTF-8; other texts are names, and no longer than `LONGEST_NAME_BYTES`."""

LONGEST_NAME_BYTES = 4_096

POST: Schema = {
    "platform": TEXT,
    "post_id": TEXT,
    "account_id": TEXT,
    "published_at": TIME,
    "media_type": TEXT,
    "caption": TEXT,
    "duration_s": NUMBER,
    "sound_id": TEXT,
    **dict.fromkeys(OPTIONAL, TEXT),
}

OBSERVATION: Schema = {
    "platform": TEXT,
    "post_id": TEXT,
    "account_id": TEXT,
    "observed_at": TIME,
    **dict.fromkeys(COUNTS, COUNT),
}

IMPORT: Schema = {
    "platform": TEXT,
    "post_id": TEXT,
    "account_id": TEXT,
    "published_at": TIME,
    "observed_at": TIME,
    "media_type": TEXT,
    "caption": TEXT,
    "duration_s": NUMBER,
    "sound_id": TEXT,
    **dict.fromkeys(COUNTS, COUNT),
    **dict.fromkeys(OPTIONAL, TEXT),
}

# One row per post as `features.known.known_posts` answers it.
KNOWN: Schema = {
    **POST,
    "source": TEXT,
    "followers": COUNT,
    "followers_backfilled": pl.Boolean(),
    "known_at": TIME,
    "assumed_known_at": pl.Boolean(),
    **{f"first_{name}": COUNT for name in OUTCOMES},
    "first_age_days": NUMBER,
    **dict.fromkeys(OUTCOMES, COUNT),
    "age_days": NUMBER,
}

PRIMARY: Mapping[Platform, str] = {
    Platform.TIKTOK: "views",
    Platform.INSTAGRAM: "likes",
    Platform.YOUTUBE: "views",
}

ENGAGEMENT: Mapping[Platform, Engagement] = {
    Platform.TIKTOK: Engagement(parts=("likes", "comments", "shares", "saves"), base="views"),
    Platform.INSTAGRAM: Engagement(parts=("likes", "comments"), base="followers"),
    Platform.YOUTUBE: Engagement(parts=("likes", "comments"), base="views"),
}


def primary(platform: Platform | str) -> str:
    """The count that a platform is forecast by: views, or likes where it gives no views.

    >>> primary("instagram")
    'likes'
    """
    return PRIMARY[Platform(platform)]


def engagement(platform: Platform | str) -> Engagement:
    """The parts and the base of a platform's engagement rate.

    >>> engagement("youtube").base
    'views'
    """
    return ENGAGEMENT[Platform(platform)]


def columns_required(*, for_prediction: bool = False) -> tuple[str, ...]:
    """The columns that a file must have; posts to predict need neither outcomes nor `observed_at`."""
    spared = {*OPTIONAL, *OUTCOMES, "observed_at"} if for_prediction else set(OPTIONAL)
    return tuple(name for name in IMPORT if name not in spared)


def values_required(*, for_prediction: bool = False) -> tuple[str, ...]:
    """The columns that may not be empty in any row."""
    return tuple(name for name in REQUIRED if not (for_prediction and name == "observed_at"))


def empty(schema: Schema) -> pl.DataFrame:
    """A table of no rows with the columns of `schema`."""
    return pl.DataFrame(schema=dict(schema))


def import_schema(*, for_prediction: bool = False) -> "pa.DataFrameSchema":
    """The pandera schema of a frame in the import format: the gate that every imported row passes."""
    try:
        import pandera.polars as pa
    except ImportError as error:
        raise MissingExtraError("pandera", "pipeline") from error

    required = values_required(for_prediction=for_prediction)

    def column(name: str, dtype: pl.DataType) -> pa.Column:
        return pa.Column(dtype, checks=_checks(name), nullable=name not in required)

    return pa.DataFrameSchema(
        {name: column(name, dtype) for name, dtype in IMPORT.items()},
        checks=pa.Check(_published_first, name="published_at is not after observed_at"),
        strict=True,
        ordered=True,
    )


def _checks(name: str) -> "list[pa.Check]":
    """The pandera checks on the values of one column."""
    import pandera.polars as pa

    if name == "platform":
        return [pa.Check.isin([str(platform) for platform in Platform])]
    if name == "format":
        return [pa.Check.isin(list(FORMATS))]
    if name in COUNTS or name == "duration_s":
        return [pa.Check.ge(0)]
    return [pa.Check.str_length(min_value=1)] if IMPORT[name] == TEXT else []


def _published_first(data: "pa.PolarsData") -> pl.LazyFrame:
    """Whether each row was published before it was observed; a row never observed passes."""
    late = pl.col("published_at") > pl.col("observed_at")
    return data.lazyframe.select(~late.fill_null(False))
