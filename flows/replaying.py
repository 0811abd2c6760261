"""Ask a version about past posts as the service would have answered when they were published, and log it so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson
import polars as pl

from features.columns import DEFAULT_SOURCE
from features.known import known_posts
from features.schema import Platform
from features.settings import Settings
from features.store import Store
from monitoring.log import Prediction, PredictionLog, Role, pack
from registry.loading import load
from registry.production import read_production
from serving.answers import answer
from serving.posts import Post, columns_of
from serving.versions import Version

ASKED_TOGETHER = 500

_SENT = tuple(name for name in Post.model_fields if name not in ("platform", "video_path"))


def ask(version: Version, posts: pl.DataFrame, log: PredictionLog, role: Role = Role.CHAMPION) -> int:
    """Log a version's answers about posts, each as asked for alone when it was published; return how many.

    Parameters
    ----------
    posts
        A frame of `known_posts`: what is known at publication is sent, outcomes are not.
    """
    for start in range(0, posts.height, ASKED_TOGETHER):
        for prediction in _answered(version, posts.slice(start, ASKED_TOGETHER), role):
            log.append(prediction)
    return posts.height


def ask_production(settings: Settings, since: datetime, until: datetime) -> int:
    """Ask the versions in production about their platforms' posts of a time, and return how many answers came."""
    store, asked = Store(settings.data), 0
    with PredictionLog(settings.predictions_uri) as log:
        for name, production in read_production(settings.production_file).items():
            _, platform, _ = name.split("-", 2)
            version = Version(name, production, load(settings.bundles_dir / production.sha256, production.sha256))
            posts = known_posts(store, platform, until, **settings.outcome.model_dump())
            is_within = (pl.col("published_at") >= since) & (pl.col("published_at") < until)
            asked += ask(version, posts.filter(is_within), log)
    return asked


def _answered(version: Version, posts: pl.DataFrame, role: Role) -> Iterator[Prediction]:
    rows = posts.to_dicts()
    sent = [Post(platform=Platform(version.platform), **_sent(row)) for row in rows]
    found = answer(version, columns_of(sent))
    for row, post, said, features in zip(rows, sent, found.answers, found.features, strict=True):
        asked = post.asked()
        key = f"{version.sha256}\0{role}\0{row['source'] or DEFAULT_SOURCE}\0{row['post_id']}"
        yield Prediction(
            id=hashlib.blake2b(key.encode(), digest_size=16).hexdigest(),
            at=row["published_at"].timestamp(),
            role=role,
            model=version.name,
            version=version.production.version,
            semver=version.production.semver,
            sha256=version.sha256,
            platform=version.platform,
            account_id=row["account_id"],
            post_id=row["post_id"],
            published_s=post.published_s,
            inputs_sha256=hashlib.sha256(asked).hexdigest(),
            inputs=asked,
            features=pack(features),
            answer=orjson.dumps(said),
            latency_ms=0.0,
            cached=False,
        )


def _sent(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _SENT if row.get(name) is not None}
