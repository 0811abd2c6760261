"""What was found about inputs, in a sentence for a person."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from monitoring.drift import Drift
from monitoring.skew import Skew

NAMED = 3
"""So many features are named, those that weigh most."""


def drift_words(drift: Drift, platform: str) -> str:
    """Say which features moved most, and that moving does no harm by itself."""
    found = []
    if drift.score > drift.threshold:
        moved = [_spaced(each.name) for each in drift.features if each.weight > 0][:NAMED]
        found.append(
            f"by more than chance and usual weeks explain (score {drift.score:.3f}, threshold {drift.threshold:.3f}), "
            f"most in {_listed(moved)}"
        )
    if drift.excess is not None and drift.excess > drift.excess_threshold:
        found.append(
            f"in {_spaced(str(drift.farthest))}, whose distance is {drift.excess:.2f} beyond what is usual of it "
            f"(threshold {drift.excess_threshold:.2f})"
        )
    return (
        f"the {drift.posts:,} posts of {drift.accounts} accounts asked about differ from those learned from "
        f"{', and '.join(found)}; whether forecasts suffer, outcomes tell: clipcast backtest --platform {platform}"
    )


def shift_words(what: str, distance: float, threshold: float, baseline: pl.Series, current: pl.Series) -> str:
    """Say that forecasts, or outcomes, lie elsewhere than those learned from."""
    factor = math.exp(float(np.median(current.drop_nulls()) - np.median(baseline.drop_nulls())))
    return (
        f"{what} lie elsewhere than before, {factor:.1f} times as high in the middle (distance {distance:.2f}, beyond "
        f"{threshold:.2f}): other accounts or other posts may be asked about; the error tells whether that does harm"
    )


def skew_words(skew: Skew) -> str:
    """Say how many answers rest on other features than the batch path builds, and on which."""
    worst = [_spaced(name) for name in skew.features][:NAMED]
    first = skew.examples[0]
    return (
        f"{skew.different:,} of {skew.checked:,} answers rest on features that the batch path builds differently, "
        f"most in {_listed(worst)} (prediction {first.prediction_id}: {first.feature} was {first.logged:g} in the "
        f"service and is {first.built:g} when built again): compare the releases that run in the service and in "
        "training"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "nothing that matters"


def _spaced(name: str) -> str:
    return name.replace("_", " ")
