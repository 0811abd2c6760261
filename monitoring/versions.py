"""The published versions that predictions were made by, each opened once; one that is gone is no error here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from features.errors import BundleError
from features.targets import Reference
from registry.bundle import open_bundle
from registry.loading import Loaded, load
from training.baseline import Baseline

Part = TypeVar("Part")


@dataclass(frozen=True)
class Versions:
    """Published bundles by their hash."""

    bundles_dir: Path
    _opened: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False, compare=False)

    def reference(self, sha256: str) -> Reference | None:
        """What a version scores by."""
        return self._part("reference", sha256, _reference)

    def baseline(self, sha256: str) -> Baseline | None:
        """What a version keeps of its posts; None also of one made before versions kept that."""
        return self._part("baseline", sha256, Baseline.load)

    def loaded(self, sha256: str) -> Loaded | None:
        """A version as it serves; None also where this clipcast cannot serve it."""
        return self._part("loaded", sha256, load)

    def _part(self, name: str, sha256: str, read: Callable[[Path], Part]) -> Part | None:
        if (name, sha256) not in self._opened:
            try:
                found: Part | None = read(open_bundle(self.bundles_dir / sha256, sha256).folder)
            except BundleError:
                found = None
            self._opened[name, sha256] = found
        kept: Part | None = self._opened[name, sha256]
        return kept


def _reference(folder: Path) -> Reference:
    return Reference(json.loads((folder / "model.json").read_text(encoding="utf-8"))["reference"])
