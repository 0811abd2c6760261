"""The published versions that predictions were made by, each opened once; one that is gone is no error here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from features.errors import BundleError
from features.targets import Reference
from registry.bundle import Bundle, open_bundle
from registry.loading import Loaded, load
from training.baseline import Baseline, judged_in

Part = TypeVar("Part")


@dataclass(frozen=True)
class Versions:
    """Published bundles by their hash."""

    bundles_dir: Path
    _known: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False, compare=False)

    def recipe(self, sha256: str) -> dict[str, Any] | None:
        """What a version was fitted by."""
        bundle = self._bundle(sha256)
        return None if bundle is None else dict(bundle.meta["recipe"])

    def reference(self, sha256: str) -> Reference | None:
        """What a version scores by."""
        return self._part("reference", sha256, lambda bundle: _reference(bundle.folder))

    def judged(self, sha256: str) -> pl.DataFrame | None:
        """The posts that a version's recipe was judged on; None also of one made before versions kept them."""
        return self._part("judged", sha256, lambda bundle: judged_in(bundle.folder))

    def baseline(self, sha256: str) -> Baseline | None:
        """What a version keeps of its posts; None also of one made before versions kept that."""
        return self._part("baseline", sha256, lambda bundle: Baseline.load(bundle.folder))

    def base_rate(self, sha256: str) -> float | None:
        """The share of viral posts that a virality version learned from."""
        return self._part("base_rate", sha256, lambda bundle: _base_rate(bundle.folder))

    def loaded(self, sha256: str) -> Loaded | None:
        """A version as it serves; None also where this clipcast cannot serve it."""
        return self._part("loaded", sha256, lambda bundle: load(bundle.folder))

    def _bundle(self, sha256: str) -> Bundle | None:
        """A bundle whose files were checked once."""
        if ("bundle", sha256) not in self._known:
            try:
                self._known["bundle", sha256] = open_bundle(self.bundles_dir / sha256, sha256)
            except BundleError:
                self._known["bundle", sha256] = None
        found: Bundle | None = self._known["bundle", sha256]
        return found

    def _part(self, name: str, sha256: str, read: Callable[[Bundle], Part | None]) -> Part | None:
        bundle = self._bundle(sha256)
        if bundle is None:
            return None
        if (name, sha256) not in self._known:
            try:
                self._known[name, sha256] = read(bundle)
            except BundleError:
                self._known[name, sha256] = None
        kept: Part | None = self._known[name, sha256]
        return kept


def _reference(folder: Path) -> Reference:
    return Reference(json.loads((folder / "model.json").read_text(encoding="utf-8"))["reference"])


def _base_rate(folder: Path) -> float:
    return float(json.loads((folder / "model.json").read_text(encoding="utf-8"))["base_rate"])
