"""Experts on what the outcome adds to its anchor: for accounts with known outcomes and for strangers.

Each has a booster and a line, and strangers a line on the letters of their captions, which says more of accounts than
of their posts. Learned together, copies of known accounts teach a booster who they are rather than what to expect of
strangers, and strangers blunt what the history of the others says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from features.columns import Bools, Floats, Ints, Texts
from training.caption_line import CaptionLine
from training.estimators import estimator, load_regressor, save_regressor
from training.examples import Inputs
from training.recipe import Recipe
from training.regressor import Parameters, Regressor, Table

KNOWN, KNOWN_LINE, STRANGER, STRANGER_LINE, STRANGER_CAPTION = (
    "known",
    "known_line",
    "stranger",
    "stranger_line",
    "stranger_caption",
)
EXPERTS = (KNOWN, KNOWN_LINE, STRANGER, STRANGER_LINE, STRANGER_CAPTION)
"""The experts in the order of their answers; strangers are forecast by all, other accounts by the first two."""

ON_KNOWN = (KNOWN, KNOWN_LINE)
"""The experts that forecast accounts with known outcomes."""

LINE_PARAMETERS: Parameters = {"alpha": 1_000.0}
"""A line is there to be shy where there are few rows; with many, this weighs nothing."""


_ON_KNOWN = np.isin(EXPERTS, ON_KNOWN)

CAPTION_FILE = f"{STRANGER_CAPTION}.json"


@dataclass(frozen=True, eq=False)
class Experts:
    """The fitted experts by name, that on captions apart, since it alone reads no columns."""

    members: Mapping[str, Regressor]
    caption: CaptionLine

    def answers(self, inputs: Inputs, asked: Bools | None = None) -> Floats:
        """Return what each expert says, shape (rows, experts); 0 of rows that it is not asked about.

        Those on strangers are asked about accounts without known outcomes alone; one that is not there says nothing.
        """
        answers = np.zeros((len(inputs), len(EXPERTS)))
        wanted = inputs.is_new[:, None] | _ON_KNOWN
        if asked is not None:
            wanted &= asked
        for column, name in enumerate(EXPERTS):
            rows = np.flatnonzero(wanted[:, column])
            if len(rows) and name == STRANGER_CAPTION:
                answers[rows, column] = self.caption.predict([inputs.captions[int(row)] for row in rows])
            elif len(rows) and name in self.members:
                answers[rows, column] = self.members[name].predict(inputs.matrix[rows])
        return answers

    def with_known(self, known: Regressor) -> Experts:
        """Return these experts and that on known accounts."""
        return replace(self, members={KNOWN: known, **self.members})

    def importance(self, weights: Floats) -> Floats:
        """Return each column's share of the explanation, experts counting by their weights."""
        parts = [weights[EXPERTS.index(name)] * member.importance() for name, member in self.members.items()]
        total = np.sum(parts, axis=0)
        return np.asarray(total / (total.sum() or 1.0))

    def save(self, folder: Path) -> None:
        """Write each expert as text."""
        for name, member in self.members.items():
            save_regressor(member, folder, name)
        self.caption.save(folder / CAPTION_FILE)

    @classmethod
    def load(cls, folder: Path) -> Experts:
        """Read what `save` wrote."""
        columns = (name for name in EXPERTS if name != STRANGER_CAPTION)
        return cls({name: load_regressor(folder, name) for name in columns}, CaptionLine.load(folder / CAPTION_FILE))


@dataclass(frozen=True, eq=False)
class Lessons:
    """Rows that experts learn from.

    Attributes
    ----------
    target
        What each row's outcome adds to its anchor.
    known, strangers
        Which rows of the table are of accounts with known outcomes, and which are as if nobody knew the account.
    account, captions
        Code of each row's account, and each row's caption.
    """

    table: Table
    target: Floats
    known: Ints
    strangers: Ints
    account: Ints
    captions: Texts


def fit_experts(recipe: Recipe, lessons: Lessons) -> Experts:
    """Fit every expert; the boosters by the recipe, but strangers by its estimator's defaults."""
    return fit_others(recipe, lessons).with_known(fit_known(recipe, lessons))


def fit_known(recipe: Recipe, lessons: Lessons) -> Regressor:
    """Fit the expert that a search is about."""
    return fit_regressor(recipe, lessons.table, lessons.target, lessons.known)


def fit_others(recipe: Recipe, lessons: Lessons) -> Experts:
    """Fit the experts that are the same whatever the recipe's parameters: all but that on known accounts.

    To strangers accounts matter more than posts: each weighs as much as the square root of its posts.
    """
    table, target, known, strangers = lessons.table, lessons.target, lessons.known, lessons.strangers
    shy = _without_search(recipe)
    lines = _lines(recipe)
    weight = _by_account(lessons.account)
    stranger_line = fit_regressor(lines, table, target, strangers, weight)
    return Experts(
        members={
            KNOWN_LINE: fit_regressor(lines, table, target, known),
            STRANGER: fit_regressor(shy, table, target, strangers, weight),
            STRANGER_LINE: stranger_line,
        },
        caption=CaptionLine.empty() if recipe.estimator == "anchor" else _fit_caption(lessons, stranger_line, weight),
    )


def _fit_caption(lessons: Lessons, stranger_line: Regressor, weight: Floats) -> CaptionLine:
    """Learn from captions what the strangers' line leaves."""
    rows = lessons.strangers[np.isfinite(lessons.target[lessons.strangers])]
    left = lessons.target[rows] - stranger_line.predict(lessons.table.matrix[rows])
    return CaptionLine.fit([lessons.captions[row] for row in rows], left, weight[rows])


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
