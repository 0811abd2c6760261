"""What came of the service's predictions: looked up once a day, when new outcomes are in."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from pathlib import Path

from features.errors import BundleError
from features.known import known_posts
from features.schema import Platform
from features.settings import Settings
from features.store import Store
from features.targets import Reference
from monitoring.matured import Accuracy, accuracies, latest_predictions, matured, write_accuracies
from registry.bundle import open_bundle
from registry.production import read_production
from training.performance_model import FAMILY


def look_back(settings: Settings, now: datetime) -> dict[str, Accuracy]:
    """Join the latest predictions of each performance model to the outcomes known by now, and keep how right they were.

    A model of which nobody has asked, or none of whose posts has matured, is left out.
    """
    if _was_never_asked(settings.predictions_uri):
        return {}
    store, found = Store(settings.data), dict[str, Accuracy]()
    for name in read_production(settings.production_file):
        _, platform, family = name.split("-", 2)
        predictions = latest_predictions(settings.predictions_uri, name, now)
        if family != FAMILY or predictions.is_empty() or platform not in store.platforms():
            continue
        known = known_posts(store, Platform(platform), now, **settings.outcome.model_dump())
        found |= accuracies(matured(predictions, known, partial(_reference_of, settings.bundles_dir)), now)
    write_accuracies(settings.accuracy_file, found)
    return found


def _reference_of(bundles_dir: Path, sha256: str) -> Reference | None:
    try:
        bundle = open_bundle(bundles_dir / sha256, sha256)
    except BundleError:
        return None  # by which its predictions are left out
    return Reference(json.loads((bundle.folder / "model.json").read_text(encoding="utf-8"))["reference"])


def _was_never_asked(uri: str) -> bool:
    """Whether there is no log yet; looking must not make one."""
    return uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()
