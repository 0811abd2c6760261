"""The page: what is in production, how the service does, what was decided, and a form to try a post."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version as installed_version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.responses import Response

from features.errors import NoChampionError, SchemaError
from features.schema import Platform
from serving import page_data, words
from serving.charts import heat_map
from serving.health import health_of
from serving.page_data import Told, Virality
from serving.page_monitoring import AlertReader, Standing, monitoring_view
from serving.posts import Post
from serving.problems import ProblemError, without_paths
from serving.versions import Deployed, Version
from training.drawing import PLATFORM_NAMES

if TYPE_CHECKING:
    from jinja2 import Environment

    from serving.app import Service

Ask = Callable[[str, Post], Awaitable[dict[str, Any]]]
"""Lets the version in production of a family answer a post, and logs the answer."""

FIELDS = {
    "platform": "Platform",
    "account_id": "Account",
    "published_at": "Published at",
    "media_type": "Media type",
    "duration_s": "Duration",
    "followers": "Followers",
    "caption": "Caption",
}
"""What the form asks for, by the post's own names, with its labels."""

NUMBERS = ("duration_s", "followers")

MEDIA_TYPES = ("video", "image", "carousel")

STATIC = {"page.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}

_NO_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")

_WORDS = {
    "missing": "is needed",
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "enum": "is not a platform that clipcast knows",
    "datetime_parsing": "is not a time, as 2026-12-01T17:00",
    "datetime_from_date_parsing": "is not a time, as 2026-12-01T17:00",
    "greater_than_equal": "cannot be below 0",
    "less_than_equal": "is too large",
}


@dataclass(frozen=True)
class Tried:
    """What was typed into the form and what came of it: faults by field, a problem of the whole, or an answer."""

    typed: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
    status: int = 200
    told: Told | None = None
    virality: Virality | None = None
    no_virality: str | None = None
    surface: Mapping[str, Any] | None = None
    no_surface: str | None = None


def add_page(app: FastAPI, service: Service, ask: Ask) -> None:
    """Add the page and its files to an app; where it is switched off they answer 404 with the reason."""
    ledger = page_data.LedgerReader(service.settings.database_uri)
    alerts = AlertReader(service.settings.predictions_uri)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        _check_switch(service)
        now = datetime.now(UTC)
        tried = await _try(service.versions.deployed, dict(request.query_params), ask, now)
        decided, standing = await asyncio.gather(ledger.latest(), alerts.latest())
        html = await asyncio.to_thread(lambda: render(**_view(service, decided, standing, tried, now)))
        return Response(html, tried.status, {"cache-control": "no-store"}, "text/html; charset=utf-8")

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        _check_switch(service)
        if name not in STATIC:
            raise ProblemError(404, "the page has no such file; / is the page")
        kept = {"cache-control": "private, max-age=31536000, immutable"}  # its address changes with its content
        return Response(_static(name), 200, kept, STATIC[name])


def render(**view: Any) -> str:
    """Return the page as HTML; every text in the view is escaped."""
    return _templates().get_template("page.html").render(**view)


def typed_into(query: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Return what stands in the form's fields: what was typed, or else the next full hour and nothing."""
    if any(query.get(name) for name in FIELDS):
        return {name: query.get(name, "") for name in FIELDS}
    soon = (now + timedelta(hours=1)).replace(minute=0)
    return {**dict.fromkeys(FIELDS, ""), "published_at": f"{soon:%Y-%m-%dT%H:%M}", "media_type": MEDIA_TYPES[0]}


def post_of(typed: Mapping[str, str]) -> Post:
    """Return the post that was typed; times are UTC, and an empty field is unknown."""
    given: dict[str, Any] = {name: text for name, text in typed.items() if text.strip()}
    given |= {name: _number_of(given[name]) for name in NUMBERS if name in given}
    if _NO_ZONE.fullmatch(given.get("published_at", "")):
        given["published_at"] += "Z"
    return Post.model_validate(given)


def _number_of(text: str) -> float | str:
    """Return the number that was typed, or what was typed where that is none."""
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def faults_of(error: ValidationError) -> dict[str, str]:
    """Return what is wrong in which field, in words."""
    found = {str(each["loc"][0]): _fault_words(each["type"], each["msg"]) for each in error.errors()}
    return {name: found[name] for name in FIELDS if name in found}


def _fault_words(kind: str, message: str) -> str:
    known = _WORDS.get(kind)
    return message.removeprefix("Value error, ") if known is None else known


async def _try(deployed: Deployed, query: Mapping[str, str], ask: Ask, now: datetime) -> Tried:
    """Answer the form, if it was sent."""
    typed = typed_into(query, now)
    if not any(query.get(name) for name in FIELDS):
        return Tried(typed)
    try:
        post = post_of(typed)
        answer = await ask("performance", post)
    except ValidationError as error:
        return Tried(typed, faults=faults_of(error), status=422)
    except (NoChampionError, SchemaError, ProblemError) as error:
        return Tried(typed, problem=_problem_words(error), status=_status(error))
    version = _who_answered(deployed, answer)
    outcomes = [] if version is None else await asyncio.to_thread(page_data.outcomes_of, version, post.account_id)
    factors, no_factors = await _virality(deployed, post, ask)
    surface, no_surface = await _surface(post, ask)
    return Tried(
        typed,
        told=page_data.told(answer, post.account_id, outcomes),
        virality=factors,
        no_virality=no_factors,
        surface=surface,
        no_surface=no_surface,
    )


async def _virality(deployed: Deployed, post: Post, ask: Ask) -> tuple[Virality | None, str | None]:
    """Return what a virality model says of the post, or why there is nothing."""
    name = PLATFORM_NAMES[post.platform]
    if deployed.champion(post.platform, "virality") is None:
        return None, f"There is no virality model of {name} in production, so nothing is said about factors."
    try:
        return page_data.virality(await ask("virality", post)), None
    except (NoChampionError, SchemaError, ProblemError) as error:
        return None, f"Nothing is said about factors: {_problem_words(error)}."


async def _surface(post: Post, ask: Ask) -> tuple[dict[str, Any] | None, str | None]:
    """Return what the hours of the coming week are worth to the post, or why nobody can tell."""
    try:
        answer = await ask("posting_time", post)
    except (NoChampionError, SchemaError, ProblemError) as error:
        return None, f"The hours of the week are not compared: {_problem_words(error)}."
    return (answer, None) if answer["measured"] else (None, answer["sentence"])


def _who_answered(deployed: Deployed, answer: Mapping[str, Any]) -> Version | None:
    """Return the version behind an answer; after a swap at this very moment, the one that took its place."""
    versions = deployed.challengers if answer["role"] == "challenger" else deployed.champions
    return versions.get(answer["model"], deployed.champions.get(answer["model"]))


def _problem_words(error: Exception) -> str:
    return error.detail if isinstance(error, ProblemError) else without_paths(str(error))


def _status(error: Exception) -> int:
    if isinstance(error, ProblemError):
        return error.status_code
    return 404 if isinstance(error, NoChampionError) else 422


def _view(
    service: Service, decided: page_data.Decided, standing: Standing, tried: Tried, now: datetime
) -> dict[str, Any]:
    """Gather what the template shows."""
    deployed, log = service.versions.deployed, service.log.state
    health = health_of(deployed, log)
    offered = [str(platform) for platform in Platform if deployed.champion(platform, "performance")]
    return {
        "now": now,
        "installed": installed_version("clipcast"),
        "health": health,
        "problems": dict(sorted(health.problems.items())),
        "platforms": [(name, PLATFORM_NAMES[name]) for name in offered],
        "tried": tried,
        "heat_map": heat_map(tried.surface["surface"]) if tried.surface else None,
        "cards": page_data.cards(deployed, service.settings.cards_dir, decided.metrics, now),
        "traffic": page_data.traffic(service.measures),
        "monitoring": monitoring_view(service.settings.monitoring_dir, deployed, standing, now),
        "log": log,
        "decisions": [page_data.decision_view(row) for row in decided.rows],
        "decided": decided,
    }


def _check_switch(service: Service) -> None:
    if not service.settings.service.page:
        raise ProblemError(404, "the page is switched off here; whoever runs the service can set service.page")


@cache
def _static(name: str) -> bytes:
    return (files("serving") / "static" / name).read_bytes()


def _address_of(name: str) -> str:
    return f"static/{name}?v={hashlib.sha256(_static(name)).hexdigest()[:12]}"


@cache
def _templates() -> Environment:
    """Return the templates; Jinja2 is imported when somebody looks at the page, and not before."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("serving"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"moment": words.moment, "day": words.day, "count": words.count}
    made.globals |= {"static": _address_of, "fields": FIELDS, "media_types": MEDIA_TYPES}
    return made
