"""What a look at a model found, and how it is told: in sentences, numbers and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

import polars as pl

from monitoring.accuracy import Accuracy
from monitoring.alerts import Finding, Kind
from monitoring.calibration import Calibration, Scores
from monitoring.comparison import Comparison
from monitoring.decay import Decay
from monitoring.decision import Decision
from monitoring.drift import Drift
from monitoring.expected_error import ExpectedError
from monitoring.performance import Row, performance
from monitoring.predictions import (
    AnsweringVersion,
    Role,
)
from monitoring.skew import Skew
from monitoring.verdict import ALL
from training.baseline import Baseline

REPLICATES = 300


class Condition(StrEnum):
    """The verdict in a word."""

    WELL = "well"
    ATTENTION = "needs attention"
    EARLY = "too early to tell"


@dataclass(frozen=True, eq=False)
class Window:
    """The posts that were asked about lately, and what the version that answered keeps of its own.

    Attributes
    ----------
    asked
        A sample of the log.
    total
        How many were asked about.
    posts, features
        The sample in the shape of a baseline's, but for the outcomes.
    outcomes
        Those that became known within the window, of whichever posts: ``account_id``, ``published_at``, ``truth``.
    """

    asked: pl.DataFrame
    total: int
    posts: pl.DataFrame
    features: pl.DataFrame
    outcomes: pl.DataFrame


@dataclass(frozen=True)
class Virality:
    """What came of probabilities of going viral; `own` is of those alone that the version gave which answers now."""

    model: str
    answering: AnsweringVersion
    calibration: Calibration
    own: Scores


@dataclass(frozen=True, eq=False)
class Look:
    """What a look at one model found.

    Attributes
    ----------
    at
        Only what was logged and known by then was looked at.
    matured
        What came of its predictions, of weeks with very many a sample.
    measured
        The kinds of findings that could be made; of the others nobody knows whether they still hold.
    unmeasured
        Subjects, with their kind, that could not be measured though others of the kind could.
    outcomes
        How many predictions have matured in all.
    virality
        What came of the platform's probabilities of going viral; None where nobody has asked for any.
    """

    model: str
    platform: str
    at: datetime
    answering: AnsweringVersion
    condition: Condition
    matured: pl.DataFrame
    window: Window
    baseline: Baseline | None
    expected: ExpectedError
    findings: tuple[Finding, ...]
    decision: Decision
    drift: Drift | None
    skew: Skew | None
    decay: Decay
    virality: Virality | None
    measured: tuple[Kind, ...]
    unmeasured: tuple[tuple[Kind, str], ...]
    outcomes: int
    comparison: Comparison | None
    accuracy: Accuracy | None
    seed: int
    notes: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> list[Row]:
        """What came of its predictions, as numbers."""
        return performance(self.matured, replicates=REPLICATES, seed=self.seed)

    @property
    def needs_attention(self) -> bool:
        """Whether a person should look."""
        return self.condition is Condition.ATTENTION

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person reads, the gravest first."""
        found = [each.sentence for each in self.findings]
        if self.decay.measured and not self.decay.decayed:
            found.append(self.decay.sentence)
        if self.virality is not None and not self.virality.calibration.broken:
            found.append(self.virality.calibration.sentence)
        if self.comparison is not None:
            found.append(self.comparison.sentence)
        if self.outcomes > self.answered:
            drawn = f"{self.answered:,} of {self.outcomes:,} outcomes"
            found.append(f"what is said of the error rests on {drawn}, drawn at random")
        return (*found, *self.notes, self.expected.sentence)

    @property
    def answered(self) -> int:
        """How many outcomes were read of answers that were given, which a shadow's are not."""
        return self.matured.filter(pl.col("role") != str(Role.SHADOW)).height

    def metrics(self) -> dict[str, float]:
        """Return what MLflow keeps of it under `production_...`: how what the version itself answered turned out."""
        found: dict[str, float] = {"alerts": len(self.findings)}
        whose = (str(Role.CHAMPION), ALL, self.answering.semver, ALL)
        for row in self.rows:
            if (row.role, row.week, row.version, row.slice) == whose:
                found |= {name: each.value for name, each in row.metrics.items()}
                found |= {"gain": row.gain.value, "posts": row.posts}
        if self.drift is not None:
            found |= {"drift_score": self.drift.score, "drift_threshold": self.drift.threshold}
        return {f"production_{name}": float(each) for name, each in found.items() if math.isfinite(each)}

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the frames, as JSON can hold it."""
        found: dict[str, Any] = plain(
            {
                "model": self.model,
                "platform": self.platform,
                "at": self.at.isoformat(),
                "version": self.answering.version,
                "semver": self.answering.semver,
                "sha256": self.answering.sha256,
                "condition": str(self.condition),
                "sentences": list(self.sentences),
                "asked": self.window.total,
                "matured": self.outcomes,
                "accuracy": None if self.accuracy is None else asdict(self.accuracy),
                "performance": [row.flat() for row in self.rows],
                "expected_error": asdict(self.expected),
                "findings": [asdict(each) for each in self.findings],
                "decision": asdict(self.decision),
                "drift": None if self.drift is None else asdict(self.drift),
                "skew": None if self.skew is None else asdict(self.skew),
                "decay": asdict(self.decay),
                "virality": None if self.virality is None else asdict(self.virality),
                "comparison": None if self.comparison is None else asdict(self.comparison),
            }
        )
        return found


def plain(value: Any) -> Any:
    """Return JSON values: numbers that are none become null, keys texts, moments and days ISO 8601."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, date):  # and datetime
        return value.isoformat()
    return value
