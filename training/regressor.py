"""What an estimator and a fitted regressor are, and the table of rows that estimators learn from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np

from features.columns import Floats, Ints

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Parameters = Mapping[str, Any]
Derived = TypeVar("Derived")


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of rows to learn from, apart from any target so that several can be learned from one table.

    Attributes
    ----------
    matrix
        Shape (rows, names); what is unknown is nan.
    categorical
        Names of the columns whose values are codes, not amounts.
    """

    matrix: Floats
    names: tuple[str, ...]
    categorical: frozenset[str]
    _derived: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.matrix)

    def once(self, name: Hashable, derive: Callable[[], Derived]) -> Derived:
        """Return what `derive` makes of this table, made at the first call of that name and kept.

        A search fits hundreds of boosters to a few tables, and would spend a tenth of its time on sorting the
        same values into bins. What is derived may be changed by who asked for it, so no two threads may ask
        for one name at once.
        """
        if name not in self._derived:
            self._derived[name] = derive()
        found: Derived = self._derived[name]
        return found


class Regressor(Protocol):
    """A fitted estimator: predicts from a matrix with the columns it was fitted on.

    Attributes
    ----------
    suffix
        How the name of its file ends, by which its estimator knows it.
    """

    suffix: ClassVar[str]

    def predict(self, matrix: Floats) -> Floats:
        """Return one value per row."""

    def importance(self) -> Floats:
        """Return each column's share of the explanation: at least 0 and adding up to 1, or all 0."""

    def save(self, path: Path) -> None:
        """Write text that `load` of the same estimator reads."""


class Estimator(Protocol):
    """A way to fit a `Regressor`.

    Attributes
    ----------
    defaults
        Parameters to use before any search; they lie in the search space. None: there is nothing to search.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    defaults: ClassVar[Parameters]

    def suggest(self, trial: BaseTrial, /) -> dict[str, Any]:
        """Draw parameters from the search space."""

    def fit(
        self,
        table: Table,
        target: Floats,
        rows: Ints,
        *,
        parameters: Parameters,
        seed: int,
        weight: Floats | None = None,
    ) -> Regressor:
        """Fit on one thread to rows of a table, in ascending order, for each of which `target` is known.

        `target` and `weight` have an entry for each row of the table; without weights all rows count alike.
        """

    def load(self, path: Path) -> Regressor:
        """Read what `save` wrote."""


def shares(amounts: Floats) -> Floats:
    """Return amounts as shares of their sum, or all 0 where there is nothing to share.

    >>> shares(np.array([1.0, 3.0])).tolist(), shares(np.zeros(2)).tolist()
    ([0.25, 0.75], [0.0, 0.0])
    """
    total = float(np.sum(amounts))
    return np.asarray(amounts, dtype=np.float64) / total if total > 0 else np.zeros(len(amounts))
