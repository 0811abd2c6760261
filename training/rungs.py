"""The rungs of a performance ladder: a constant, the account anchor and the model, on the same posts."""

from __future__ import annotations

import numpy as np

from features.columns import Floats, Ints
from training.evaluate import ANCHOR, CONSTANT, MODEL, Scored
from training.examples import Examples
from training.performance_model import Forecast, PerformanceModel
from training.slices import slices_of


def rungs_of(
    model: PerformanceModel, forecast: Forecast, examples: Examples, rows: Ints, *, train_median: float
) -> dict[str, Scored]:
    """Put forecasts of some rows beside those of a constant and of the account anchor."""
    names = [examples.populations[row] for row in rows]
    truth = examples.outcome[rows]
    unknown = np.full(len(rows), np.nan)

    def scored(prediction: Floats, lower: Floats = unknown, upper: Floats = unknown) -> Scored:
        return Scored(
            account=examples.account[rows],
            truth=truth,
            prediction=prediction,
            lower=lower,
            upper=upper,
            score_truth=model.reference.score(names, truth),
            score_prediction=model.reference.score(names, prediction),
            slices=slices_of(examples, rows, forecast.is_new),
        )

    return {
        CONSTANT: scored(np.full(len(rows), train_median)),
        ANCHOR: scored(forecast.anchor),
        MODEL: scored(forecast.prediction, forecast.lower, forecast.upper),
    }
