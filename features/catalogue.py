"""The catalogue of features: each is one function, declared once, whose name is the column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from features.columns import Column

if TYPE_CHECKING:
    from features.rows import Rows

Compute: TypeAlias = "Callable[[Rows], Column]"

GROUPS = ("account", "tempo", "audience", "timing", "text", "words", "momentum", "media")
"""The groups that features are shown under, in this order."""


@dataclass(frozen=True)
class Feature:
    """A column of the model's input: name, group, meaning, and the function of `Rows` that computes it."""

    name: str
    group: str
    meaning: str
    compute: Compute


CATALOGUE: dict[str, Feature] = {}
"""Every declared feature by name."""


def feature(group: str, name: str = "", meaning: str = "") -> Callable[[Compute], Compute]:
    """Declare a function as a feature: unless given, its name is the column and its docstring the meaning."""

    def declare(compute: Compute) -> Compute:
        declared = Feature(name or compute.__name__, group, meaning or (compute.__doc__ or "").strip(), compute)
        if declared.name in CATALOGUE or group not in GROUPS or not declared.meaning:
            raise ValueError(
                f"feature {declared.name!r} of group {group!r} needs a name of its own, a meaning, and a group "
                f"out of {', '.join(GROUPS)}"
            )
        CATALOGUE[declared.name] = declared
        return compute

    return declare
