"""What a model card states, as plain facts; `training.card` writes them down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from training.ladder import Interval, Ladder


@dataclass(frozen=True)
class SourceFacts:
    """Mature posts of one source; `chosen` says in words how the source chose them, where that is known."""

    name: str
    posts: int
    accounts: int
    first: str
    last: str
    chosen: str | None = None


@dataclass(frozen=True)
class DataFacts:
    """The rows behind a model.

    `followers_backfilled`, `assumed_known_at` and `off_horizon` are shares of the posts between 0 and 1;
    `regimes` counts posts by what their primary count means; dates are ISO 8601.
    """

    sources: tuple[SourceFacts, ...]
    data_hash: str
    trained_through: str
    simulated: bool
    immature: int
    missing_columns: tuple[str, ...]
    followers_backfilled: float
    assumed_known_at: float
    off_horizon: float
    regimes: Mapping[str, int]


@dataclass(frozen=True)
class OutputFacts:
    """One forecast number: what it means, in which unit, and how far off it was on the holdout."""

    name: str
    meaning: str
    error: str = "not measured"


@dataclass(frozen=True)
class FeatureFacts:
    """One column of the model's input; `missing` is the share of training posts without it."""

    name: str
    group: str
    meaning: str
    missing: float


@dataclass(frozen=True)
class TrainingFacts:
    """How a model came about; `unseen_accounts` is the error of log in folds whose accounts were held out."""

    trained_at: str
    recipe: str
    estimator: str
    parameters: Mapping[str, str | int | float | bool | None]
    code: str
    seed: int
    folds: int
    trials: int
    embargo_days: float
    unseen_accounts: Interval | None = None


@dataclass(frozen=True)
class HoldoutFacts:
    """The sealed posts that the ladder was measured on, and whether the served fit has learned from them."""

    first: str
    last: str
    uses: int
    refitted: bool


@dataclass(frozen=True)
class CheckFacts:
    """One check of the gate and what it found; `passed` is None where it could not be decided."""

    name: str
    passed: bool | None
    words: str


@dataclass(frozen=True)
class FactorFacts:
    """One factor of a virality score: its column, what it speaks of, and the share of training posts that have it."""

    name: str
    meaning: str
    known: float


@dataclass(frozen=True)
class ViralityFacts:
    """What a virality card states beside the rest.

    `base_rate` is the share of viral posts in training, `share` that of the holdout, `probability` the mean forecast
    there; `thresholds` are the factors by which a post has to exceed its anchor, by population.
    """

    base_rate: float
    share: float
    probability: float
    thresholds: Mapping[str, float]
    factors: tuple[FactorFacts, ...]


@dataclass(frozen=True)
class Card:
    """Every fact that a model card states."""

    model: str
    platform: str
    version: str
    outcome: str
    maturity_days: float
    horizon_days: float
    data: DataFacts
    training: TrainingFacts
    holdout: HoldoutFacts
    ladder: Ladder
    nominal_coverage: float
    interval_method: str
    outputs: tuple[OutputFacts, ...]
    features: tuple[FeatureFacts, ...]
    importance: Mapping[str, float]
    importance_method: str
    decision: str | None = None
    checks: tuple[CheckFacts, ...] = ()
    pictures: Mapping[str, str] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()
    virality: ViralityFacts | None = None
