"""A recipe: everything that, with the rows, decides a model to the last byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from features.errors import BundleError, TrainingError


@dataclass(frozen=True)
class Recipe:
    """An estimator with its parameters, and how rows are prepared for it.

    Attributes
    ----------
    anchor_weight
        How many outcomes the prior counts for in an anchor.
    folds
        Forward-chaining folds on which intervals and the weights of experts are set; to the fit that serves the holdout
        is one more.
    coverage
        Share of outcomes that intervals are to hold.
    threads
        Fits side by side. It changes how long a model takes and nothing in it, so it is no part of what is
        compared, hashed or written down.
    """

    estimator: str
    parameters: Mapping[str, Any]
    seed: int
    anchor_weight: float = 2.0
    folds: int = 3
    coverage: float = 0.8
    embargo_days: float = 3
    threads: int = field(default=1, compare=False)

    def __post_init__(self) -> None:
        if self.folds < 1 or not 0 < self.coverage < 1 or self.anchor_weight <= 0 or self.embargo_days < 0:
            raise TrainingError(
                "a recipe needs at least one fold, a coverage between 0 and 1, an anchor weight above 0 and "
                f"no negative embargo, not {self}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads: plain JSON."""
        state = {**asdict(self), "parameters": dict(self.parameters)}
        del state["threads"]
        return state

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Read what `to_dict` wrote."""
        unknown = sorted(set(data) - {each.name for each in fields(cls)})
        if unknown:
            raise BundleError(f"this clipcast knows no {', '.join(unknown)} in a recipe; update clipcast")
        return cls(**data)

    @property
    def digest(self) -> str:
        """A short hash by which equal recipes are told."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
