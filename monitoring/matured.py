"""Predictions beside what came of them: how often the service was right."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from features.columns import Posts
from features.errors import RegistryError
from features.schema import NUMBER, TEXT, TIME, Schema, empty
from features.targets import Reference, mature, populations, primary_log
from monitoring.log import Role, read_predictions
from registry.bundle import write_atomically

DAYS = 60
"""How far back predictions are looked for."""

POSTS = 20_000
"""So many of a platform's latest matured predictions are enough to tell."""

MIDDLE = 50.0
"""The score of a typical post: half of the recent ones of its kind reached more."""

LOGGED = ("id", "at", "role", "model", "sha256", "post_id", "answer")

SCORED: Schema = {"model": TEXT, "role": TEXT, "at": TIME, "score": NUMBER, "score_truth": NUMBER}

References = Callable[[str], Reference | None]
"""What a version scores by, from the hash of its bundle; None where that is gone."""


@dataclass(frozen=True)
class Accuracy:
    """How often a model put a post on the right side of the middle of its kind, on posts whose outcome came since."""

    posts: int
    accuracy: float
    as_of: str


def matured(predictions: pl.DataFrame, known: pl.DataFrame, references: References) -> pl.DataFrame:
    """Join predictions to the outcomes that became known after they were made.

    Returns
    -------
    pl.DataFrame
        ``model``, ``role``, ``at``, ``score`` and ``score_truth``; a post that was asked about several times counts
        by the last answer that each model gave before its outcome was known.
    """
    rows = mature(known)
    outcomes = rows.select("post_id", "known_at").with_columns(
        truth=pl.Series(primary_log(rows)), population=pl.Series(populations(Posts.from_frame(rows)), dtype=pl.String)
    )
    joined = (
        predictions.join(outcomes, on="post_id")
        .filter(pl.col("at") < pl.col("known_at"))
        .sort("at")
        .unique(["model", "role", "post_id"], keep="last", maintain_order=True)
        .with_columns(
            pl.col("answer").cast(pl.String).str.json_path_match("$.score.value").cast(pl.Float64).alias("score")
        )
    )
    parts = []
    for (sha256,), group in joined.group_by("sha256", maintain_order=True):
        reference = references(str(sha256))
        if reference is not None:
            truth = reference.score(group["population"].to_list(), group["truth"].to_numpy())
            parts.append(group.select("model", "role", "at", "score").with_columns(score_truth=pl.Series(truth)))
    return pl.concat(parts) if parts else empty(SCORED)


def accuracies(scored: pl.DataFrame, as_of: datetime) -> dict[str, Accuracy]:
    """Return how right each model was where it answered."""
    answered = scored.filter(pl.col("role") != str(Role.SHADOW))
    right = (pl.col("score") > MIDDLE) == (pl.col("score_truth") > MIDDLE)
    found = answered.group_by("model").agg(pl.len().alias("posts"), right.mean().alias("accuracy")).sort("model")
    return {row["model"]: Accuracy(row["posts"], row["accuracy"], as_of.isoformat()) for row in found.to_dicts()}


def overall(found: Mapping[str, Accuracy]) -> float | None:
    """Return how right all models were, a post counting as much as any other; None where nothing has matured."""
    posts = sum(each.posts for each in found.values())
    return sum(each.posts * each.accuracy for each in found.values()) / posts if posts else None


def latest_predictions(uri: str, model: str, until: datetime) -> pl.DataFrame:
    """Read the latest answers of a model, a day at a time and without their features, until there are enough."""
    parts: list[pl.DataFrame] = []
    for day in range(DAYS):
        end = until - timedelta(days=day)
        found = read_predictions(uri, since=end - timedelta(days=1), until=end, model=model)
        parts.append(found.filter(pl.col("post_id") != "").select(LOGGED))
        if sum(part.height for part in parts) >= POSTS:
            break
    return pl.concat(parts)


def write_accuracies(file: Path, found: Mapping[str, Accuracy]) -> None:
    """Keep them for the service to tell."""
    content = {model: asdict(each) for model, each in found.items()}
    write_atomically(file, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def read_accuracies(file: Path) -> dict[str, Accuracy]:
    """Return what was kept; nothing where nothing has matured yet.

    Raises
    ------
    RegistryError
        The file is not what `write_accuracies` writes.
    """
    try:
        return {model: Accuracy(**each) for model, each in json.loads(file.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RegistryError(f"{file} cannot be read: {error}; the next clipcast run daily writes it anew") from error
