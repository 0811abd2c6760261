"""What a model family is: the protocol behind which every family builds, fits and judges its models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl

from features.columns import Ints
from features.errors import BundleError
from features.history import History
from training.evaluate import Scored
from training.examples import Examples
from training.judging import Judged, OutOfFold
from training.performance import Performance
from training.recipe import Recipe
from training.split import Split


class Model(Protocol):
    """A fitted model, which answers posts and is saved as data."""

    def predict(self, frame: pl.DataFrame, history: History | None = None, threads: int = 1) -> pl.DataFrame:
        """Forecast posts in the import format, one row for each in the same order."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Write every part as data and return what a bundle's description has to say of them."""


FittedModel = TypeVar("FittedModel", bound=Model)


class Task(Protocol[FittedModel]):
    """A model family."""

    family: str

    def build(self, known: pl.DataFrame, *, min_posts: int, min_accounts: int) -> Examples:
        """Build the rows of one platform from a frame of `known_posts`."""

    def out_of_fold(self, recipe: Recipe, examples: Examples, rows: Ints) -> OutOfFold:
        """Forecast some of the rows by models that had not seen them."""

    def fit(self, recipe: Recipe, examples: Examples, rows: Ints, out_of_fold: OutOfFold | None = None) -> FittedModel:
        """Fit a model to some rows, intervals to forecasts out of fold, which are made anew unless given."""

    def judged(self, model: FittedModel, examples: Examples, split: Split) -> Judged:
        """Forecast the later rows of a split by a model that was fitted to the earlier ones, as in one more fold."""

    def load(self, folder: Path, meta: Mapping[str, Any]) -> FittedModel:
        """Open the model in a folder that `meta` describes."""

    def rungs(self, model: FittedModel, examples: Examples, rows: Ints, *, train_median: float) -> dict[str, Scored]:
        """Score the ladder on rows not learned from."""


FAMILIES: dict[str, Task[Any]] = {task.family: task for task in (Performance(),)}


def family(name: str) -> Task[Any]:
    """Return the family of that name."""
    if name not in FAMILIES:
        raise BundleError(f"this clipcast knows no model family {name!r}, only {', '.join(FAMILIES)}; update clipcast")
    return FAMILIES[name]


def load_model(folder: Path, meta: Mapping[str, Any]) -> Model:
    """Open the model in a folder that `meta` describes."""
    model: Model = family(meta["family"]).load(folder, meta)
    return model
