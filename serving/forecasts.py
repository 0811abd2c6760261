"""Addresses that answer with forecasts: of performance, of virality, and of when to post."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.responses import Response

from serving.answers import (
    PerformanceAnswer,
    PerformanceAnswers,
    PostingTimeAnswer,
    PostingTimeAnswers,
    ViralityAnswer,
    ViralityAnswers,
)
from serving.app import Service
from serving.forecaster import no_champion
from serving.media import media_file
from serving.posts import Post
from serving.problems import ProblemError
from serving.requests import PerformanceBatch, PostingTimeBatch, PostingTimeRequest, ViralityBatch, ViralityRequest
from serving.versions import Version
from training.posting_time import posting_time

PERFORMANCE, VIRALITY, POSTING_TIME = "performance", "virality", "posting_time"


def add_forecasts(app: FastAPI, service: Service) -> None:
    """Add the addresses that are switched on, and in place of the others one that says so."""
    adders: dict[str, Callable[[FastAPI, Service], None]] = {
        PERFORMANCE: _add_performance,
        VIRALITY: _add_virality,
        POSTING_TIME: _add_posting_time,
    }
    for feature, add in adders.items():
        if getattr(service.settings.service, feature):
            add(app, service)
        else:
            _say_off(app, feature)


def _add_performance(app: FastAPI, service: Service) -> None:
    @app.post("/predict_performance", responses={200: {"model": PerformanceAnswer}})
    async def predict_performance(post: Post) -> Response:
        """Forecast views (or likes), engagement rate and score of a post, each with its interval."""
        _check_posts(service, [post])
        return _json(await service.forecaster.one(PERFORMANCE, post))

    @app.post("/predict_performance/batch", responses={200: {"model": PerformanceAnswers}})
    async def predict_performance_batch(batch: PerformanceBatch) -> Response:
        """Forecast up to 1,000 posts, which know of one another: a later one counts an earlier one as posted."""
        _check_posts(service, batch.posts)
        return _json({"predictions": await service.forecaster.many(PERFORMANCE, batch.posts)})


def _add_virality(app: FastAPI, service: Service) -> None:
    @app.post("/predict_virality", responses={200: {"model": ViralityAnswer}})
    async def predict_virality(request: ViralityRequest) -> Response:
        """Forecast how likely a post is to land in the top tenth of what its account would lead one to expect."""
        post = request.post()
        _check_posts(service, [post])
        return _json(await service.forecaster.one(VIRALITY, post) | {"unused": request.unused()})

    @app.post("/predict_virality/batch", responses={200: {"model": ViralityAnswers}})
    async def predict_virality_batch(batch: ViralityBatch) -> Response:
        """Forecast up to 1,000 posts, which know of one another."""
        posts = [request.post() for request in batch.posts]
        _check_posts(service, posts)
        answers = await service.forecaster.many(VIRALITY, posts)
        unused = ({"unused": request.unused()} for request in batch.posts)
        return _json({"predictions": [answer | more for answer, more in zip(answers, unused, strict=True)]})


def _add_posting_time(app: FastAPI, service: Service) -> None:
    @app.post("/predict_posting_time", responses={200: {"model": PostingTimeAnswer}})
    async def predict_posting_time(request: PostingTimeRequest) -> Response:
        """Forecast what the hour of posting does in the week to come, and say when nobody can tell."""
        [answer] = await _when(service, [request])
        return _json(answer)

    @app.post("/predict_posting_time/batch", responses={200: {"model": PostingTimeAnswers}})
    async def predict_posting_time_batch(batch: PostingTimeBatch) -> Response:
        """Answer up to 1,000 questions of when to post, which takes some 20 s."""
        return _json({"predictions": await _when(service, batch.posts)})


async def _when(service: Service, requests: Sequence[PostingTimeRequest]) -> list[dict[str, Any]]:
    """Answer when to post, each question in a thread of its own, since it is that of 168 posts.

    One call at a time has its turn, and one that has waited too long ends with the question it is at.
    """
    _check_size(service, [request.caption for request in requests])
    now, found = datetime.now(UTC), []
    async with service.hours:
        for request in requests:
            version = service.versions.deployed.champion(request.platform, PERFORMANCE)
            if version is None:
                raise no_champion(request.platform, PERFORMANCE)
            found.append(await asyncio.to_thread(_best_hours, version, request, now))
    return found


def _best_hours(version: Version, request: PostingTimeRequest, now: datetime) -> dict[str, Any]:
    found = posting_time(
        version.model,
        now=now,
        account=request.account_id or request.artist_name,
        post=request.known(),
        countries=request.target_countries,
    )
    return {"model": version.name, "version": version.production.semver, **found.to_dict()}


async def ask(service: Service, feature: str, post: Post) -> dict[str, Any]:
    """Answer what the page asks of a feature about one post."""
    if not getattr(service.settings.service, feature):
        raise _off(feature)
    if feature == POSTING_TIME:
        asked = {name: getattr(post, name) for name in PostingTimeRequest.model_fields if hasattr(post, name)}
        [answer] = await _when(service, [PostingTimeRequest(**asked)])
        return answer
    _check_posts(service, [post])
    return await service.forecaster.one(feature, post)


def _off(feature: str) -> ProblemError:
    return ProblemError(404, f"{feature} is switched off here; whoever runs the service can set service.{feature}")


def _say_off(app: FastAPI, feature: str) -> None:
    """Answer for a feature that is switched off: there is no such address here, and why."""

    async def off() -> Response:
        raise _off(feature)

    for path in (f"/predict_{feature}", f"/predict_{feature}/batch"):
        app.add_api_route(path, off, methods=["POST"], include_in_schema=False)


def _check_posts(service: Service, posts: Sequence[Post]) -> None:
    """Refuse more than may be asked at once, and files that are not the caller's to name."""
    _check_size(service, [post.caption for post in posts])
    for post in posts:
        if post.video_path is not None:
            media_file(service.settings.media, post.video_path)


def _check_size(service: Service, captions: Sequence[str | None]) -> None:
    settings = service.settings.service
    if len(captions) > settings.max_batch:
        raise ProblemError(413, f"{len(captions)} posts in one call; send at most {settings.max_batch}")
    for number, caption in enumerate(captions):
        if caption is not None and len(caption.encode()) > settings.max_text_bytes:
            raise ProblemError(
                413, f"the caption of post {number} is longer than {settings.max_text_bytes:,} bytes; shorten it"
            )


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
