"""A process that answers needs a part of what is installed, and starts in half the time and memory without the rest."""

from __future__ import annotations

import sys

UNUSED = ("pandas", "sklearn", "dask", "matplotlib", "graphviz", "cffi")
"""Packages that LightGBM adopts where it finds them, for interfaces that are not used here."""


def without_unused() -> None:
    """Let an import of such a package fail as if it were not installed; call it before LightGBM is imported."""
    for name in UNUSED:
        if name not in sys.modules:
            sys.modules[name] = None  # type: ignore[assignment]  # which is how Python marks a module as absent
