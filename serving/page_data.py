"""What the page shows, gathered from the parts of the service as plain data."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.engine import make_url

from features.schema import PRIMARY, Platform
from registry.database import Database
from registry.ledger import Ledger, Row
from serving import words
from serving.charts import Bar, Strip, Whisker, bars, strip, whiskers
from serving.measures import Measures
from serving.page_reading import PATIENCE_S, PatientReader, Read
from serving.problems import without_paths
from serving.versions import Deployed, Version
from training.drawing import PLATFORM_NAMES
from training.ladder import ANCHOR, CONSTANT, DIGITS, MODEL, WORDS

DECISIONS = 20
LADDER_FILE = "ladder.json"
_log = logging.getLogger(__name__)


SHOWN = {"performance": ("mae_log", "r2"), "virality": ("brier", "auc")}
"""Of each family the error by which it is judged, and what tells posts apart."""


class _Rung(BaseModel):
    model_config = ConfigDict(extra="allow")

    rung: str

    def number(self, name: str) -> float | None:
        """Return a metric, None where it is not known."""
        found = (self.model_extra or {}).get(name)
        return float(found) if isinstance(found, int | float) else None


class _Ladder(BaseModel):
    posts: int
    accounts: int
    gain: float | None
    gain_low: float | None = None
    gain_high: float | None = None
    rungs: list[_Rung]


@dataclass(frozen=True)
class Rung:
    """A rung of a ladder: numbers in words, and its mark on the scale of errors."""

    name: str
    error: str
    error_ends: str | None
    fit: str
    fit_ends: str | None
    whisker: Whisker | None


@dataclass(frozen=True)
class LadderView:
    """How a version did against a constant and the account anchor, on posts that the judged fit had not seen."""

    error_words: str
    fit_words: str
    rungs: list[Rung]
    posts: str
    accounts: str
    gain: str


@dataclass(frozen=True)
class Card:
    """A version in production."""

    id: str
    platform: str
    family: str
    version: str
    since: datetime
    age: str
    posts: str
    sources: list[str]
    trained_through: datetime
    sha256: str
    challenger: str | None
    ladder: LadderView | None


@dataclass(frozen=True)
class Traffic:
    """What the service did since it started."""

    requests: str
    refused: str
    failed: str
    predictions: str
    p50: str
    p99: str
    hit_rate: str


@dataclass(frozen=True)
class DecisionView:
    """A row of the ledger."""

    at: datetime
    kind: str
    title: str
    model: str
    moved: str | None
    who: str
    reason: str


@dataclass(frozen=True)
class Told:
    """A forecast in words, and as a range over what is known of the account."""

    metric: str
    account: str | None
    value: str
    lower: str
    upper: str
    coverage: str
    rate: tuple[str, str, str] | None
    score: tuple[str, str, str]
    known: bool
    history: str
    strip: Strip
    model: str
    version: str
    role: str
    prediction_id: str


@dataclass(frozen=True)
class Virality:
    """How likely a post is to land in the top tenth of its account, and what speaks for it."""

    score: str
    confidence: str
    factors: list[Bar]


def model_words(name: str) -> str:
    """Write the name of a model as people say it.

    >>> model_words("clipcast-tiktok-performance"), model_words("other")
    ('TikTok performance', 'other')
    """
    parts = name.split("-", 2)
    if len(parts) == 3 and parts[0] == "clipcast" and parts[1] in PLATFORM_NAMES:
        return f"{PLATFORM_NAMES[parts[1]]} {parts[2].replace('_', ' ')}"
    return name


def cards(deployed: Deployed, cards_dir: Path, metrics: Mapping[str, Mapping[str, Any]], now: datetime) -> list[Card]:
    """Describe every version in production; `metrics` are those of the ledger, by bundle."""
    return [_card(each, _ladder_of(each, cards_dir, metrics), now) for each in deployed.champions.values()]


def _card(version: Version, ladder: LadderView | None, now: datetime) -> Card:
    meta, production = version.loaded.bundle.meta, version.production
    since = datetime.fromisoformat(production.since)
    return Card(
        id=version.name,
        platform=PLATFORM_NAMES.get(version.platform, version.platform),
        family=version.family.replace("_", " "),
        version=production.semver,
        since=since,
        age=words.age(now - since),
        posts=f"{meta['posts']:,}",
        sources=list(meta["sources"]),
        trained_through=datetime.fromisoformat(meta["trained_through"]),
        sha256=version.sha256,
        challenger=None if production.challenger is None else production.challenger.semver,
        ladder=ladder,
    )


def _ladder_of(version: Version, cards_dir: Path, metrics: Mapping[str, Mapping[str, Any]]) -> LadderView | None:
    """Return a version's ladder from its card, or else as much of it as the ledger's row tells."""
    if version.family not in SHOWN:
        return None
    shown = SHOWN[version.family]
    path = cards_dir / version.name / version.production.semver / LADDER_FILE
    try:
        return ladder_view(_Ladder.model_validate_json(path.read_bytes()), *shown)
    except (OSError, ValidationError) as error:
        _log.info("%s cannot be read: %s", path, error)
    told = metrics.get(version.sha256)
    try:
        return None if told is None else ladder_view(_of_metrics(told, *shown), *shown)
    except (KeyError, ValidationError) as error:
        _log.info("the ledger tells no ladder of %s: %s", version.name, error)
        return None


def _of_metrics(metrics: Mapping[str, Any], error: str, fit: str) -> _Ladder:
    names = [f"{name}{end}" for name in (error, fit) for end in ("", "_low", "_high")]
    rungs = [
        {"rung": CONSTANT, error: metrics[f"constant_{error}"]},
        {"rung": ANCHOR, error: metrics[f"anchor_{error}"]},
        {"rung": MODEL, **{name: metrics.get(name) for name in names}},
    ]
    counts = {name: metrics[f"holdout_{name}"] for name in ("posts", "accounts")}
    return _Ladder.model_validate({**counts, "gain": metrics.get("gain_over_anchor"), "rungs": rungs})


def ladder_view(ladder: _Ladder, error: str, fit: str) -> LadderView:
    """Return a ladder in words and marks, by the metrics of its family."""
    digits = DIGITS.get(error, 2)
    ends = {each.rung: (each.number(f"{error}_low"), each.number(f"{error}_high")) for each in ladder.rungs}
    known = [each for each in ladder.rungs if each.number(error) is not None]
    marks = whiskers([(each.number(error) or 0.0, *ends[each.rung]) for each in known])
    at = {each.rung: mark for each, mark in zip(known, marks, strict=True)}
    rungs = [
        Rung(
            each.rung,
            words.decimal(each.number(error), digits),
            _ends(*ends[each.rung], digits),
            words.decimal(each.number(fit)),
            _ends(each.number(f"{fit}_low"), each.number(f"{fit}_high")),
            at.get(each.rung),
        )
        for each in ladder.rungs
    ]
    gain = words.percent(ladder.gain, signed=True)
    if ladder.gain_low is not None and ladder.gain_high is not None:
        gain += f" ({words.percent(ladder.gain_low, signed=True)} to {words.percent(ladder.gain_high, signed=True)})"
    posts, accounts = f"{ladder.posts:,}", f"{ladder.accounts:,}"
    return LadderView(WORDS[error][0], WORDS[fit][0], rungs, posts, accounts, gain)


def _ends(low: float | None, high: float | None, digits: int = 2) -> str | None:
    return None if low is None or high is None else f"{words.decimal(low, digits)} to {words.decimal(high, digits)}"


def traffic(measures: Measures) -> Traffic:
    """Sum up what was counted and timed."""
    requests: dict[str, float] = {}
    predictions = 0.0
    for family in measures.registry.collect():
        for sample in family.samples:
            if sample.name == "clipcast_requests_total":
                kind = sample.labels["status"][0]
                requests[kind] = requests.get(kind, 0.0) + sample.value
            elif sample.name == "clipcast_predictions_total":
                predictions += sample.value
    latency = measures.latency_ms()
    return Traffic(
        requests=words.count(sum(requests.values())),
        refused=words.count(requests.get("4", 0.0)),
        failed=words.count(requests.get("5", 0.0)),
        predictions=words.count(predictions),
        p50=words.milliseconds(latency["p50"]),
        p99=words.milliseconds(latency["p99"]),
        hit_rate=words.percent(measures.hit_rate),
    )


_KINDS = {
    "promoted": "Promoted",
    "rolled_back": "Rolled back",
    "kept": "Champion kept",
    "insufficient": "Too little evidence",
    "refused": "Refused",
    "reconciled": "Reconciled",
}


def decision_view(row: Row) -> DecisionView:
    """Return a row of the ledger as the page tells it."""
    moved = None
    if row.from_version != row.to_version:
        moved = str(row.to_version) if row.from_version is None else f"{row.from_version} → {row.to_version}"
    model = f"{model_words(row.model)} {row.semver or ''}".strip()
    return DecisionView(row.at, str(row.kind), _KINDS[str(row.kind)], model, moved, row.who, without_paths(row.reason))


@dataclass(frozen=True)
class Decided(Read):
    """What was last read of the ledger.

    Attributes
    ----------
    metrics
        Of every version among the rows, by the hash of its bundle.
    """

    rows: Sequence[Row] = ()
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class LedgerReader(PatientReader[Decided]):
    """Reads the ledger's newest rows."""

    def __init__(self, uri: str) -> None:
        super().__init__("The ledger's database", Decided())
        self._uri = uri
        self._ledger: Ledger | None = None

    def _look(self) -> Decided:
        if _is_missing(self._uri):
            return replace(self._read, problem="There is no ledger in this workspace.")
        if self._ledger is None:
            self._ledger = Ledger(Database(self._uri, lock_timeout_s=PATIENCE_S))
        with self._ledger.reading() as book:
            rows = book.latest(DECISIONS)
            champions = [row for model in book.models() if (row := book.champion(model)) is not None]
        metrics = {str(row.bundle_sha256): row.metrics for row in champions}
        return Decided(rows, metrics, at=datetime.now(UTC))


def _is_missing(uri: str) -> bool:
    """Whether the ledger's file is not there; looking must not make one."""
    url = make_url(uri)
    return url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists()


def outcomes_of(version: Version, account: str | None) -> list[float]:
    """Return the counts that an account's posts are known to have reached, in the order of publication."""
    table = version.model.history.table
    own = table.filter((pl.col("account_id") == account) & pl.col("outcome").is_not_null())
    counts: list[float] = np.expm1(own["outcome"].to_numpy()).tolist()
    return counts


def told(answer: Mapping[str, Any], account: str | None, outcomes: Sequence[float]) -> Told:
    """Put an answer of a performance model into words, over the account's known outcomes."""
    metric = PRIMARY[Platform(answer["platform"])]
    primary, rate, score = answer[metric], answer["engagement_rate"], answer["score"]
    value, lower, upper = (float(primary[name]) for name in ("value", "lower", "upper"))
    return Told(
        metric=metric,
        account=account,
        value=words.count(value),
        lower=words.count(lower),
        upper=words.count(upper),
        coverage=words.percent(float(answer["coverage"])),
        rate=None if rate is None else _three(rate, words.percent),
        score=_three(score, words.whole),
        known=bool(answer["account_known"]),
        history=_history_words(metric, value, outcomes, known=bool(answer["account_known"])),
        strip=strip(outcomes, value, lower, upper),
        model=model_words(answer["model"]),
        version=str(answer["version"]),
        role=str(answer["role"]),
        prediction_id=str(answer["prediction_id"]),
    )


def virality(answer: Mapping[str, Any]) -> Virality:
    """Put an answer of a virality model into words and bars."""
    return Virality(
        words.percent(answer["virality_score"]), words.percent(answer["confidence"]), bars(answer["factors"])
    )


def _three(numbers: Mapping[str, Any], write: Any) -> tuple[str, str, str]:
    value, lower, upper = (write(numbers[name]) for name in ("value", "lower", "upper"))
    return value, lower, upper


def _history_words(metric: str, value: float, outcomes: Sequence[float], *, known: bool) -> str:
    if not outcomes:
        why = "" if known else " Nothing is known of this account yet, so the forecast rests on what others reached."
        return f"There are no outcomes of this account to compare with.{why}"
    below = bisect_left(sorted(outcomes), value)
    posts = "post has" if len(outcomes) == 1 else "posts have"
    return (
        f"{len(outcomes):,} {posts} a known outcome here, with a median of {words.count(median(outcomes))} {metric}; "
        f"the forecast lies above {below:,} of them."
    )
