"""What serves, and whether it is well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel

from monitoring.log import LogState
from serving.problems import without_paths
from serving.versions import Deployed, Version


class ServingVersion(BaseModel):
    """A version in production."""

    name: str
    version: str
    age_days: float
    sha256: str


class Health(BaseModel):
    """The state of the service: degraded goes on answering, empty has nothing to answer with."""

    status: Literal["ok", "degraded", "empty"]
    models: list[ServingVersion]
    problems: dict[str, str]
    log_waiting: int
    log_dropped: int


def health_of(deployed: Deployed, log: LogState) -> Health:
    """Return the state of the service from that of its parts."""
    problems = {about: without_paths(words) for about, words in deployed.problems.items()}
    if log.error is not None:
        problems["log"] = "predictions cannot be written and wait in memory; the service's own log says why"
    status: Literal["ok", "degraded", "empty"] = "degraded" if problems else "ok"
    return Health(
        status=status if deployed.champions else "empty",
        models=[_serving(each) for each in deployed.champions.values()],
        problems=problems,
        log_waiting=log.waiting,
        log_dropped=log.dropped,
    )


def models_of(deployed: Deployed) -> list[dict[str, Any]]:
    """Describe every version in memory by what its bundle says of it."""
    roles = (("champion", deployed.champions), ("challenger", deployed.challengers))
    return [_described(each, role) for role, versions in roles for each in versions.values()]


def _serving(version: Version) -> ServingVersion:
    production = version.production
    age = datetime.now(UTC) - datetime.fromisoformat(production.since)
    return ServingVersion(
        name=version.name,
        version=production.semver,
        age_days=round(age.total_seconds() / 86_400, 3),
        sha256=production.sha256,
    )


def _described(version: Version, role: str) -> dict[str, Any]:
    meta = version.loaded.bundle.meta
    return {
        **_serving(version).model_dump(),
        "role": role,
        "platform": version.platform,
        "family": version.family,
        "since": version.production.since,
        "posts": meta["posts"],
        "sources": meta["sources"],
        "trained_through": meta["trained_through"],
        "data_hash": meta["data_hash"],
        "features": len(meta["features"]),
    }
