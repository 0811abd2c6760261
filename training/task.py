"""What a model family is: the protocol behind which every family builds, fits and judges its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl

from features.columns import Ints
from features.errors import BundleError
from features.fitted import Fitted
from features.history import History
from training.baseline import Baseline
from training.evaluate import Ladder
from training.examples import Examples
from training.performance import Performance
from training.recipe import Recipe
from training.report import Reported
from training.split import Split
from training.telling import Told
from training.tune import SearchFold
from training.virality import Virality


class Model(Protocol):
    """A fitted model, which answers posts and is saved as data."""

    @property
    def platform(self) -> str:
        """Whose posts it answers."""

    @property
    def names(self) -> list[str]:
        """Ordered features."""

    @property
    def fitted(self) -> Fitted:
        """What its features learned from the training rows."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """What its card has to admit beside what the facts show."""

    def predict(self, frame: pl.DataFrame, history: History | None = None, threads: int = 1) -> pl.DataFrame:
        """Forecast posts in the import format, one row for each in the same order."""

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the explanation; nothing where no feature is used."""

    def fold_metrics(self) -> dict[str, float]:
        """Return how its recipe did on the folds on average."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Write every part as data and return what a bundle's description has to say of them."""


FittedModel = TypeVar("FittedModel", bound=Model)


class Task(Protocol[FittedModel]):
    """A model family.

    Attributes
    ----------
    estimator, compared
        The estimator that a weekly run searches, and those that a monthly one compares.
    error
        What a search makes small, in words.
    """

    family: str
    estimator: str
    compared: tuple[str, ...]
    error: str

    def build(self, known: pl.DataFrame, *, min_posts: int, min_accounts: int) -> Examples:
        """Build the rows of one platform from a frame of `known_posts`."""

    def prepare(self, examples: Examples, rows: Ints, recipe: Recipe) -> Sequence[SearchFold]:
        """Prepare the folds on which a search judges recipes."""

    def out_of_fold(self, recipe: Recipe, examples: Examples, rows: Ints) -> Any:
        """Forecast some of the rows by models that had not seen them.

        What comes back is the family's own, but for `followed_by`, which adds a fold that `judged` returned.
        """

    def fit(self, recipe: Recipe, examples: Examples, rows: Ints, out_of_fold: Any = None) -> FittedModel:
        """Fit a model to some rows, intervals to forecasts out of fold, which are made anew unless given."""

    def judged(self, model: FittedModel, examples: Examples, split: Split) -> Any:
        """Forecast the later rows of a split by a model that was fitted to the earlier ones, as in one more fold."""

    def baseline(
        self,
        served: FittedModel,
        evaluated: FittedModel,
        examples: Examples,
        rows: Ints,
        report: Any,
        earlier: Baseline | None = None,
    ) -> Baseline | None:
        """Keep what monitoring holds later posts against, where the family is monitored.

        `earlier` is that of the version of which this is a refit.
        """

    def load(self, folder: Path, meta: Mapping[str, Any]) -> FittedModel:
        """Open the model in a folder that `meta` describes."""

    def report(
        self, model: FittedModel, examples: Examples, split: Split, *, recipe: Recipe, replicates: int, seed: int
    ) -> Reported:
        """Judge a model on the later rows of a split.

        What came true there is told by the rows of the split and by `recipe` alone, so that reports on models that
        learned from other rows compare.
        """

    def unseen(
        self, model: FittedModel, recipe: Recipe, examples: Examples, rows: Ints, *, replicates: int
    ) -> Ladder | None:
        """Judge a recipe on accounts that it never saw, where the family measures that."""

    def told(self, model: FittedModel, examples: Examples, rows: Ints, report: Any, nominal: float) -> Told:
        """Say what a description needs of a model that was judged on some rows."""


_TASKS: tuple[Task[Any], ...] = (Performance(), Virality())

FAMILIES: dict[str, Task[Any]] = {task.family: task for task in _TASKS}


def family(name: str) -> Task[Any]:
    """Return the family of that name."""
    if name not in FAMILIES:
        raise BundleError(f"this clipcast knows no model family {name!r}, only {', '.join(FAMILIES)}; update clipcast")
    return FAMILIES[name]


def load_model(folder: Path, meta: Mapping[str, Any]) -> Model:
    """Open the model in a folder that `meta` describes."""
    model: Model = family(meta["family"]).load(folder, meta)
    return model
