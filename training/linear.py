"""Estimators without trees: a ridge regression, and none at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from features.columns import Floats, Ints
from training.regressor import Parameters, Regressor, Table, shares

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

CUT = 4.0
"""Standard deviations beyond which a column is cut, so that one odd value cannot carry a forecast away."""


class Linear:
    """Ridge regression on standardised columns, with one column more for each category and each absence."""

    name: ClassVar[str] = "linear"
    suffix: ClassVar[str] = ".linear.json"
    defaults: ClassVar[Parameters] = {"alpha": 100.0}

    def suggest(self, trial: BaseTrial, /) -> dict[str, Any]:
        """Draw parameters from the search space."""
        return {"alpha": trial.suggest_float("alpha", 1.0, 10_000.0, log=True)}

    def fit(
        self,
        table: Table,
        target: Floats,
        rows: Ints,
        *,
        parameters: Parameters,
        weight: Floats | None = None,
        **_: Any,
    ) -> Regressor:
        """Fit to some rows of a table; the solution is unique, so the seed changes nothing."""
        matrix, wanted = table.matrix[rows], target[rows]
        counts = np.ones(len(rows)) if weight is None else weight[rows]
        shape = _shape(matrix, [table.names.index(name) for name in table.names if name in table.categorical])
        design = _Design.of(shape).rows(matrix)
        centre = float(np.average(wanted, weights=counts))
        weighted = design.T * counts
        gram = weighted @ design + float(parameters["alpha"]) * np.eye(design.shape[1])
        weights = np.linalg.solve(gram, weighted @ (wanted - centre))
        return LinearRegressor({**shape, "intercept": centre, "weights": weights.tolist()})

    def load(self, path: Path) -> Regressor:
        """Read what `save` wrote."""
        return LinearRegressor(json.loads(path.read_text(encoding="utf-8")))


class LinearRegressor:
    """A fitted ridge regression, held as plain JSON values."""

    suffix: ClassVar[str] = Linear.suffix

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state = state
        self._weights = np.array(state["weights"])
        self._design = _Design.of(state)

    def predict(self, matrix: Floats) -> Floats:
        """Return one value per row."""
        # Not a product of matrices, the last bits of which depend on how many rows there are.
        amounts = np.ascontiguousarray(self._design.rows(matrix) * self._weights).sum(axis=1)
        return np.asarray(amounts + self.state["intercept"])

    def importance(self) -> Floats:
        """Return each column's share of the absolute weights, its categories and absence included."""
        columns = len(self.state["mean"])
        owner = [*range(columns)]
        owner += [int(column) for column, levels in self.state["levels"].items() for _ in levels]
        owner += self.state["gaps"]
        return shares(np.asarray(np.bincount(owner, np.abs(self._weights), columns), np.float64))

    def save(self, path: Path) -> None:
        """Write the weights as JSON."""
        path.write_text(json.dumps(self.state, sort_keys=True), encoding="utf-8")


class Anchor:
    """No residual at all: what ships when nothing learned beats the account anchor."""

    name: ClassVar[str] = "anchor"
    suffix: ClassVar[str] = ".anchor.json"
    defaults: ClassVar[Parameters] = {}

    def suggest(self, _trial: BaseTrial, /) -> dict[str, Any]:
        """Draw nothing."""
        return {}

    def fit(self, table: Table, *_: Any, **__: Any) -> Regressor:
        """Learn nothing."""
        return AnchorRegressor(len(table.names))

    def load(self, path: Path) -> Regressor:
        """Read what `save` wrote."""
        return AnchorRegressor(json.loads(path.read_text(encoding="utf-8"))["columns"])


class AnchorRegressor:
    """Predicts a residual of 0."""

    suffix: ClassVar[str] = Anchor.suffix

    def __init__(self, columns: int) -> None:
        self.columns = columns

    def predict(self, matrix: Floats) -> Floats:
        """Return 0 for each row."""
        return np.zeros(len(matrix))

    def importance(self) -> Floats:
        """Return 0 for each column."""
        return np.zeros(self.columns)

    def save(self, path: Path) -> None:
        """Write the number of columns."""
        path.write_text(json.dumps({"columns": self.columns}), encoding="utf-8")


def _shape(matrix: Floats, codes: list[int]) -> dict[str, Any]:
    """Return what turns a matrix into a design: means, scales, the known codes and the columns with gaps."""
    known = np.isfinite(matrix)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, matrix, 0.0).sum(axis=0) / count
    variance = np.where(known, (matrix - mean) ** 2, 0.0).sum(axis=0) / count
    return {
        "mean": mean.tolist(),
        "scale": np.where(variance > 0, np.sqrt(variance), 1.0).tolist(),
        "levels": {str(column): np.unique(matrix[known[:, column], column]).tolist() for column in codes},
        "gaps": np.flatnonzero(known.any(axis=0) & ~known.all(axis=0)).tolist(),
    }


@dataclass(frozen=True, eq=False)
class _Design:
    """How a matrix becomes a design, as arrays.

    Attributes
    ----------
    coded
        Columns that hold codes.
    columns, levels
        For each column of the design that stands for a category: the column that holds the codes, and the code.
    gaps
        Columns whose absence has a column of its own.
    """

    mean: Floats
    scale: Floats
    coded: Ints
    columns: Ints
    levels: Floats
    gaps: Ints

    @classmethod
    def of(cls, shape: Mapping[str, Any]) -> _Design:
        pairs = [(int(column), level) for column, levels in shape["levels"].items() for level in levels]
        return cls(
            mean=np.array(shape["mean"]),
            scale=np.array(shape["scale"]),
            coded=np.array([int(column) for column in shape["levels"]], dtype=np.int64),
            columns=np.array([column for column, _ in pairs], dtype=np.int64),
            levels=np.array([level for _, level in pairs], dtype=np.float64),
            gaps=np.array(shape["gaps"], dtype=np.int64),
        )

    def rows(self, matrix: Floats) -> Floats:
        """Return the standardised columns (0 where unknown), then one of 0 and 1 per category and per absence."""
        known = np.isfinite(matrix)
        plain = np.where(known, (matrix - self.mean) / self.scale, 0.0)
        plain[:, self.coded] = 0.0
        plain = np.minimum(np.maximum(plain, -CUT), CUT)
        return np.concatenate([plain, matrix[:, self.columns] == self.levels, ~known[:, self.gaps]], axis=1)
