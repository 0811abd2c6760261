"""Simulated posts, as training gets to see them, for the tests of the training room."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features import simulate_parameters
from features.known import known_posts
from features.schema import Platform
from features.simulate import SOURCE, World, simulate
from features.store import Store
from training.estimators import estimator
from training.examples import Examples
from training.performance import Performance
from training.performance_model import PerformanceModel
from training.recipe import Recipe

DAY_S = 86_400


@cache
def known_frame(platform: str = "tiktok", accounts: int = 40, weeks: int = 16) -> pl.DataFrame:
    """What is known of a platform's posts at the end of a simulated world."""
    posts = simulate(World(platforms=(Platform(platform),), accounts=accounts, weeks=weeks)).posts
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.append([posts], SOURCE)
        return known_posts(store, platform)


def built(known: pl.DataFrame, min_posts: int = 1, min_accounts: int = 1) -> Examples:
    """The examples of a frame of known posts, however few."""
    return Performance().build(known, min_posts=min_posts, min_accounts=min_accounts)


def recipe(name: str = "lightgbm", parameters: Mapping[str, Any] | None = None, **others: Any) -> Recipe:
    """A recipe that is quickly followed: the estimator's defaults, with few rounds."""
    defaults = dict(estimator(name).defaults)
    if "rounds" in defaults:
        defaults["rounds"] = 20
    return Recipe(name, {**defaults, **(parameters or {})}, seed=7, **others)


@cache
def world_of_hours(effect: float) -> tuple[Examples, PerformanceModel]:
    """A world in which the local hour moves log reach by so much at most, the weekday by nothing, and its model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate_parameters, "HOUR_EFFECT", effect)
        patch.setattr(simulate_parameters, "WEEKDAY_EFFECTS", (0.0,) * 7)
        examples = built(known_frame.__wrapped__(accounts=100, weeks=20))
    return examples, Performance().fit(recipe(), examples, np.arange(len(examples)))
