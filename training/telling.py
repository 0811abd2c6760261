"""What only its family can say of a version: its outputs, how its numbers were made, and its pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from training.drawing import Heading
from training.facts import Card, OutputFacts, ViralityFacts

Draw = Callable[[Path, Heading, Mapping[str, float], Mapping[str, str]], dict[str, Path]]
"""Draws pictures into a folder, from the heading, each feature's importance, and each feature's group."""


@dataclass(frozen=True)
class Told:
    """A family's part of a description.

    Attributes
    ----------
    render
        Writes the card as markdown; the same facts give the same text.
    metrics
        Metrics of the holdout beside those of the report.
    virality
        What only a virality card states.
    """

    outputs: tuple[OutputFacts, ...]
    interval_method: str
    importance_method: str
    draw: Draw
    render: Callable[[Card], str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    virality: ViralityFacts | None = None
