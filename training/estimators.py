"""The estimators that a recipe can name: each is fitted from arrays and saved as data, never pickled."""

from __future__ import annotations

from pathlib import Path

from features.errors import BundleError, TrainingError
from training.boosters import LightGBM, LightGBMBinary, XGBoost
from training.linear import Anchor, Linear
from training.regressor import Estimator, Regressor

ESTIMATORS: dict[str, Estimator] = {each.name: each for each in (LightGBM(), XGBoost(), Linear(), Anchor())}

BINARY = LightGBMBinary()
"""The estimator of odds; its targets are 0 and 1, and what it fits is a `LightGBMClassifier`."""


def estimator(name: str) -> Estimator:
    """Return the estimator of that name."""
    known = {**ESTIMATORS, BINARY.name: BINARY}
    if name not in known:
        raise TrainingError(f"there is no estimator {name!r}; choose one of {', '.join(known)}")
    return known[name]


def save_regressor(regressor: Regressor, folder: Path, stem: str) -> None:
    """Write a regressor into a folder as `stem`, with the suffix by which `load_regressor` knows its kind."""
    regressor.save(folder / f"{stem}{regressor.suffix}")


def load_regressor(folder: Path, stem: str) -> Regressor:
    """Read the regressor saved as `stem` in a folder, by whichever estimator wrote it."""
    for candidate in ESTIMATORS.values():
        path = folder / f"{stem}{candidate.suffix}"
        if path.is_file():
            return candidate.load(path)
    raise BundleError(f"{folder} holds no {stem} that any estimator can read; register the version again")
