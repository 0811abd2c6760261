"""What the service answers about posts, by model family."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from features.columns import Floats, Posts
from features.schema import PRIMARY, Platform
from registry.loading import posts_of_rows
from serving.versions import Version
from training.answering import answer_posts


class Range(BaseModel):
    """A number and the ends of its interval."""

    value: float
    lower: float
    upper: float


class Stamp(BaseModel):
    """Which version answered, and the name by which the log knows the answer."""

    prediction_id: str
    model: str
    version: str
    role: str = Field(description="champion or challenger")


class PerformanceAnswer(Stamp):
    """How a post will do: views on TikTok and YouTube, likes on Instagram."""

    platform: Platform
    post_id: str | None
    views: Range | None = None
    likes: Range | None = None
    engagement_rate: Range | None = Field(description="null where no rate of such posts was ever known")
    score: Range = Field(description="0 to 100: the percentile among recent posts of its kind")
    coverage: float = Field(description="the share of outcomes that an interval is made to hold")
    account_anchor: float = Field(description="what the account's earlier posts alone would lead one to expect")
    expected_error: float = Field(description="how far off views or likes are expected to be, in log1p: 0.7 is twofold")
    account_known: bool = Field(description="whether the version knows outcomes of the account")


class PerformanceAnswers(BaseModel):
    """Answers in the order of the posts."""

    predictions: list[PerformanceAnswer]


class ViralityAnswer(Stamp):
    """How likely a post is to land in the top tenth of what its account would lead one to expect."""

    platform: Platform
    post_id: str | None
    virality_score: float = Field(ge=0, le=1, description="the probability")
    virality_interval: Range
    confidence: float = Field(ge=0, le=1, description="1 less the width of the interval")
    factors: dict[str, float | None] = Field(
        description="what a group of features adds, 0 to 1 by where that falls among the posts learned from; "
        "null where nothing of it is known"
    )
    viral_above: float = Field(description="views, or likes, beyond which the post counts as viral")
    account_known: bool
    unused: list[str] = Field(description="metadata that no model reads yet")


class ViralityAnswers(BaseModel):
    """Answers in the order of the posts."""

    predictions: list[ViralityAnswer]


class LocalTime(BaseModel):
    """The best hour where part of the audience lives."""

    zone: str
    local_time: str


class Hour(BaseModel):
    """What an hour of the coming week adds to a typical outcome, as a fraction of an average hour's."""

    time_utc: str
    boost: float
    lower: float
    upper: float


class PostingTimeAnswer(BaseModel):
    """When to post in the coming week, and what that is worth."""

    model: str
    version: str
    optimal_time_utc: str
    timezone_breakdown: dict[str, LocalTime]
    expected_engagement_boost: float
    lower: float
    upper: float
    distinguishable: bool = Field(description="whether the gain can be told from none")
    measured: bool
    sentence: str
    account_known: bool
    audience_posts: int = Field(description="outcomes of the account that bear on the answer")
    surface: list[Hour] = Field(min_length=168, max_length=168)


class PostingTimeAnswers(BaseModel):
    """Answers in the order of the questions."""

    predictions: list[PostingTimeAnswer]


@dataclass(frozen=True, eq=False)
class Answered:
    """Answers to some posts in their order, and the features they rest on, shape (posts, features)."""

    answers: list[dict[str, Any]]
    features: Floats


def answer(version: Version, posts: Posts, *, together: bool = False) -> Answered:
    """Let a version answer posts; those asked `together` know of one another."""
    return _FAMILIES[version.family](version, posts, together)


def warm(version: Version) -> None:
    """Let a version work out, before it is asked, what it looks up for every post; that can take a second."""
    if version.family in _FAMILIES:
        rows = version.loaded.bundle.meta["example"]["rows"]
        answer(version, Posts.from_frame(posts_of_rows(rows, version.platform)))


def _performance(version: Version, posts: Posts, together: bool) -> Answered:
    inputs, forecast = answer_posts(version.model, posts, together=together)
    coverage = version.loaded.bundle.meta["recipe"]["coverage"]
    counts = _ranges(np.expm1(forecast.prediction), np.expm1(forecast.lower), np.expm1(forecast.upper))
    rates = _ranges(np.exp(forecast.engagement), np.exp(forecast.engagement_lower), np.exp(forecast.engagement_upper))
    scores = _ranges(forecast.score, forecast.score_lower, forecast.score_upper)
    count = PRIMARY[Platform(version.platform)]
    answers = [
        {
            "platform": version.platform,
            count: counted,
            "engagement_rate": rate if rate["value"] == rate["value"] else None,  # not a number is unknown
            "score": score,
            "coverage": coverage,
            "account_anchor": anchor,
            "expected_error": error,
            "account_known": not new,
        }
        for counted, rate, score, anchor, error, new in zip(
            counts,
            rates,
            scores,
            np.expm1(np.maximum(forecast.anchor, 0.0)).tolist(),
            forecast.expected_error.tolist(),
            forecast.is_new.tolist(),
            strict=True,
        )
    ]
    return Answered(answers, inputs.matrix)


def _virality(version: Version, posts: Posts, together: bool) -> Answered:
    inputs, forecast = answer_posts(version.model, posts, together=together)
    chances = _ranges(forecast.probability, forecast.lower, forecast.upper)
    factors = {name: values.tolist() for name, values in forecast.factors.items()}
    answers = [
        {
            "platform": version.platform,
            "virality_score": chance["value"],
            "virality_interval": chance,
            "confidence": 1 - (chance["upper"] - chance["lower"]),
            "factors": {name: values[row] if values[row] == values[row] else None for name, values in factors.items()},
            "viral_above": math.expm1(above),
            "account_known": not new,
        }
        for row, (chance, above, new) in enumerate(
            zip(chances, forecast.viral_above.tolist(), forecast.is_new.tolist(), strict=True)
        )
    ]
    return Answered(answers, inputs.matrix)


def _ranges(value: Floats, lower: Floats, upper: Floats) -> list[dict[str, float]]:
    rows = zip(value.tolist(), lower.tolist(), upper.tolist(), strict=True)
    return [{"value": value, "lower": lower, "upper": upper} for value, lower, upper in rows]


_FAMILIES: Mapping[str, Callable[[Version, Posts, bool], Answered]] = {
    "performance": _performance,
    "virality": _virality,
}

FAMILIES: Sequence[str] = tuple(_FAMILIES)
"""The model families that the service knows how to answer with."""
