"""A ridge regression on the runs of characters in captions: more columns than any other expert could carry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.columns import Floats, Texts
from features.errors import BundleError
from features.ngrams import BUCKETS, RUNS, Ngrams

ALPHA = 10.0
"""Penalty of the weights' squares: a run of characters counts for as little as a few posts can prove."""

LEARNED_CAPTIONS = 20_000
"""The latest captions that are learned from."""

BLOCK = 1_000
"""Captions that are taken apart at once."""

_PRECISION = 1e-3
_DIGITS = 6  # fewer than the sums of different processors and numbers of threads agree in


@dataclass(frozen=True, eq=False)
class CaptionLine:
    """A weight for each bucket of `Ngrams`, shape (buckets,), and what a caption without any is worth."""

    intercept: float
    weights: Floats

    @classmethod
    def empty(cls) -> CaptionLine:
        """Return the line that says nothing."""
        return cls(0.0, np.zeros(BUCKETS))

    @classmethod
    def fit(cls, captions: Texts, target: Floats, weight: Floats) -> CaptionLine:
        """Fit to captions in order of publication, each with its target, by conjugate gradients."""
        from scipy.sparse.linalg import LinearOperator, cg

        latest = slice(-LEARNED_CAPTIONS, None)
        target, weight = target[latest], weight[latest]
        if len(target) < 2:
            return cls.empty()
        matrix = Ngrams.of(captions[latest]).matrix()
        centre = float(np.average(target, weights=weight))

        def curved(weights: Floats) -> Floats:
            return np.asarray(matrix.T @ (weight * (matrix @ weights)) + ALPHA * weights)

        slope = matrix.T @ (weight * (target - centre))
        system = LinearOperator((BUCKETS, BUCKETS), matvec=curved, dtype=np.float64)
        weights, _ = cg(system, slope, rtol=_PRECISION)
        return cls(centre, np.round(weights, _DIGITS) + 0.0)  # and no -0.0

    def predict(self, captions: Texts) -> Floats:
        """Return one value per caption."""
        sums = [
            Ngrams.of(captions[start : start + BLOCK]).sums(self.weights) for start in range(0, len(captions), BLOCK)
        ]
        return self.intercept + np.concatenate([np.empty(0), *sums])

    def save(self, path: Path) -> None:
        """Write the weights as JSON."""
        state = {"runs": RUNS, "intercept": self.intercept, "weights": self.weights.tolist()}
        path.write_text(json.dumps(state, allow_nan=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> CaptionLine:
        """Read what `save` wrote."""
        if not path.is_file():
            raise BundleError(
                f"{path.parent} holds no {path.name}, which every model has; train again: clipcast run weekly"
            )
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["runs"] != RUNS:
            raise BundleError(
                f"{path} reads runs {state['runs']}, this clipcast {RUNS}; train again: clipcast run weekly"
            )
        return cls(state["intercept"], np.array(state["weights"]))
