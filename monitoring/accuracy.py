"""How right each model was, as the service tells it: written by monitoring, read by whoever answers for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from features.errors import RegistryError
from features.schema import NUMBER
from monitoring.predictions import Role
from registry.bundle import write_atomically

MIDDLE = 50.0
"""The score of a typical post: half of the recent ones of its kind reached more."""


@dataclass(frozen=True)
class Accuracy:
    """How often a model put a post on the right side of the middle of its kind, on posts whose outcome came since."""

    posts: int
    accuracy: float
    as_of: str


def accuracy_of(matured: pl.DataFrame, as_of: datetime) -> Accuracy | None:
    """Return how right a model was where its answer was given; None where nothing has matured."""
    answered = matured.filter((pl.col("role") != str(Role.SHADOW)) & pl.col("score_truth").is_not_null())
    if answered.is_empty():
        return None
    right = (answered["score_prediction"] > MIDDLE) == (answered["score_truth"] > MIDDLE)
    return Accuracy(answered.height, float(right.cast(NUMBER).to_numpy().mean()), as_of.isoformat())


def overall(found: Mapping[str, Accuracy]) -> float | None:
    """Return how right all models were, a post counting as much as any other; None where nothing has matured."""
    posts = sum(each.posts for each in found.values())
    return sum(each.posts * each.accuracy for each in found.values()) / posts if posts else None


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
        raise RegistryError(f"{file} cannot be read: {error}; the next clipcast monitor writes it anew") from error
