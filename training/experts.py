"""Experts on what the outcome adds to its anchor: for accounts with known outcomes and for strangers.

Each is a booster and a line. Learned together, copies of known accounts teach a booster who they are rather than what
to expect of strangers, and strangers blunt what the history of the others says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from features.columns import Bools, Floats, Ints
from training.estimators import estimator, load_regressor, save_regressor
from training.recipe import Recipe
from training.regressor import Parameters, Regressor, Table

KNOWN, KNOWN_LINE, STRANGER, STRANGER_LINE = "known", "known_line", "stranger", "stranger_line"
EXPERTS = (KNOWN, KNOWN_LINE, STRANGER, STRANGER_LINE)
"""The experts in the order of their answers; strangers are forecast by all, other accounts by the first two."""

LINE_PARAMETERS: Parameters = {"alpha": 1_000.0}
"""A line is there to be shy where there are few rows; with many, this weighs nothing."""


@dataclass(frozen=True, eq=False)
class Experts:
    """The fitted experts by name."""

    members: Mapping[str, Regressor]

    def answers(self, matrix: Floats, asked: Bools | None = None) -> Floats:
        """Return what each expert says, shape (rows, experts); 0 for those that are not asked."""
        wanted = np.ones(len(EXPERTS), np.bool_) if asked is None else asked
        answers = np.zeros((len(matrix), len(EXPERTS)))
        for column, name in enumerate(EXPERTS):
            if wanted[column]:
                answers[:, column] = self.members[name].predict(matrix)
        return answers

    def importance(self, weights: Floats) -> Floats:
        """Return each column's share of the explanation, experts counting by their weights."""
        parts = [weight * self.members[name].importance() for weight, name in zip(weights, EXPERTS, strict=True)]
        total = np.sum(parts, axis=0)
        return np.asarray(total / (total.sum() or 1.0))

    def save(self, folder: Path) -> None:
        """Write each expert as text."""
        for name, member in self.members.items():
            save_regressor(member, folder, name)

    @classmethod
    def load(cls, folder: Path) -> Experts:
        """Read what `save` wrote."""
        return cls({name: load_regressor(folder, name) for name in EXPERTS})


@dataclass(frozen=True, eq=False)
class Lessons:
    """Rows that experts learn from.

    Attributes
    ----------
    target
        What each row's outcome adds to its anchor.
    known, strangers
        Which rows of the table are of accounts with known outcomes, and which are as if nobody knew the account.
    account
        Code of each row's account.
    """

    table: Table
    target: Floats
    known: Ints
    strangers: Ints
    account: Ints


def fit_experts(recipe: Recipe, lessons: Lessons) -> Experts:
    """Fit every expert; the boosters by the recipe, but strangers by its estimator's defaults."""
    return Experts({KNOWN: fit_known(recipe, lessons), **fit_others(recipe, lessons)})


def fit_known(recipe: Recipe, lessons: Lessons) -> Regressor:
    """Fit the expert that a search is about."""
    return fit_regressor(recipe, lessons.table, lessons.target, lessons.known)


def fit_others(recipe: Recipe, lessons: Lessons) -> dict[str, Regressor]:
    """Fit the experts that are the same whatever the recipe's parameters.

    To strangers accounts matter more than posts: each weighs as much as the square root of its posts.
    """
    table, target, known, strangers = lessons.table, lessons.target, lessons.known, lessons.strangers
    shy = _without_search(recipe)
    lines = _lines(recipe)
    weight = _by_account(lessons.account)
    return {
        KNOWN_LINE: fit_regressor(lines, table, target, known),
        STRANGER: fit_regressor(shy, table, target, strangers, weight),
        STRANGER_LINE: fit_regressor(lines, table, target, strangers, weight),
    }


def fit_regressor(recipe: Recipe, table: Table, target: Floats, rows: Ints, weight: Floats | None = None) -> Regressor:
    """Fit the recipe's estimator to those of the rows whose target is known; fewer than two teach nothing."""
    known = rows[np.isfinite(target[rows])]
    maker = estimator(recipe.estimator if len(known) > 1 else "anchor")
    return maker.fit(table, target, known, parameters=recipe.parameters, seed=recipe.seed, weight=weight)


def _without_search(recipe: Recipe) -> Recipe:
    return replace(recipe, parameters=estimator(recipe.estimator).defaults)


def _lines(recipe: Recipe) -> Recipe:
    return recipe if recipe.estimator == "anchor" else replace(recipe, estimator="linear", parameters=LINE_PARAMETERS)


def _by_account(account: Ints) -> Floats:
    """Return a weight for each row, 1 on average."""
    _, code = np.unique(account, return_inverse=True)
    weight = 1 / np.sqrt(np.bincount(code)[code])
    return np.asarray(weight / weight.mean())
