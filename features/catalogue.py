"""The catalogue of features: each is declared once, beside the function that computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from features.columns import Floats

if TYPE_CHECKING:
    from features.rows import Rows

Compute: TypeAlias = "Callable[[Rows], Floats]"

GROUPS = ("account", "tempo", "audience", "timing", "text", "words", "momentum", "media")
"""The groups that features are shown under, in this order."""


@dataclass(frozen=True)
class Feature:
    """A column of the model's input.

    Attributes
    ----------
    group
        The one of `GROUPS` that it is shown under.
    compute
        The function that computes it, perhaps together with others: an array of shape (posts,) or (columns, posts).
    position
        Its place among the columns of `compute`.
    """

    name: str
    group: str
    meaning: str
    compute: Compute
    position: int


CATALOGUE: dict[str, Feature] = {}
"""Every declared feature by name."""


def feature(group: str, **meanings: str) -> Callable[[Compute], Compute]:
    """Declare what a function of `Rows` computes: one feature for each meaning, in the order of its columns.

    Without meanings the function is a single feature of its own name, and its docstring is the meaning.
    """

    def declare(compute: Compute) -> Compute:
        columns = meanings or {compute.__name__: (compute.__doc__ or "").strip()}
        for position, (name, meaning) in enumerate(columns.items()):
            if name in CATALOGUE or group not in GROUPS or not meaning:
                raise ValueError(
                    f"feature {name!r} of group {group!r} needs a name of its own, a meaning and a group out of "
                    f"{', '.join(GROUPS)}"
                )
            CATALOGUE[name] = Feature(name, group, meaning, compute, position)
        return compute

    return declare
