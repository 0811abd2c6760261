"""What the page shows of monitoring: the last verdict on each model, and the alerts that stand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from features.errors import RegistryError
from monitoring.alerts import Alert, alerts_of
from monitoring.verdict import VERDICT, read_verdict
from serving import words
from serving.line_chart import Ends, LineChart, line_chart
from serving.page_data import model_words
from serving.page_reading import PatientReader, Read
from serving.problems import without_paths
from serving.versions import Deployed, Version

FEATURES = 8
"""So many features are ranked, those that weigh most."""

OLD = timedelta(days=2)
"""A verdict of a daily look should not be older than that."""

CHAMPION = "champion"
ALL = "all"

CONDITIONS = {
    "well": ("Well", "well"),
    "needs attention": ("Needs attention", "attention"),
    "too early to tell": ("Too early to tell", "early"),
}
"""The verdict as the page writes it, and the name of its colour."""

LINES = {"model": "mae_log", "anchor": "anchor_error", "expected": "expected_error"}
"""The lines of the error, and what of a row they show."""

_log = logging.getLogger(__name__)

_Error = Annotated[float, Field(ge=0, le=1e6)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Number = Annotated[float, Field(ge=0, le=1e9)]


class _Row(BaseModel):
    role: str
    week: date | Literal["all"]
    version: str
    slice: str
    posts: int
    accounts: int
    mae_log: _Error | None
    mae_log_low: _Error | None
    mae_log_high: _Error | None
    anchor_error: _Error | None
    expected_error: _Error | None
    coverage: _Share | None
    coverage_low: _Share | None
    coverage_high: _Share | None


class _Feature(BaseModel):
    name: str
    distance: _Share
    importance: _Share
    weight: _Share
    broken: str | None


class _Drift(BaseModel):
    features: list[_Feature]
    score: _Number
    threshold: _Number
    farthest: str | None = None  # which verdicts of before did not tell
    excess: Annotated[float, Field(ge=-1, le=1)] | None = None
    excess_threshold: _Share | None = None


class _Decision(BaseModel):
    reason: str
    next_step: str


class _Verdict(BaseModel):
    """As much of a verdict as the page shows."""

    semver: str
    sha256: str
    at: AwareDatetime
    condition: str
    sentences: list[str]
    asked: int
    matured: int
    performance: list[_Row]
    decision: _Decision
    drift: _Drift | None


@dataclass(frozen=True)
class AlertView:
    """An alert that stands."""

    kind: str
    model: str
    state: str
    since: datetime
    sentence: str


@dataclass(frozen=True)
class Week:
    """What came of the forecasts of a week, in words; an interval is None where it is unknown."""

    day: str
    posts: str
    error: str
    error_ends: str | None
    anchor: str
    expected: str
    inside: str
    inside_ends: str | None


@dataclass(frozen=True)
class Weeks:
    """How the forecasts of each week turned out."""

    rows: list[Week]
    error: LineChart | None
    inside: LineChart | None
    promised: str | None

    @property
    def span(self) -> str:
        """From which week to which."""
        return self.rows[0].day if len(self.rows) == 1 else f"{self.rows[0].day} to {self.rows[-1].day}"


@dataclass(frozen=True)
class Ranked:
    """A feature by how much its move weighs; `share` is that of the largest weight, in per cent."""

    name: str
    distance: str
    importance: str
    share: float
    broken: str | None


@dataclass(frozen=True)
class DriftView:
    """Which features moved most; `at` and `limit` are the score and its threshold on one scale, in per cent.

    `over` is whether the score is above its threshold, `farthest` the feature that moved too far by itself.
    """

    features: list[Ranked]
    over: bool
    farthest: str | None
    excess: str
    excess_threshold: str
    score: str
    threshold: str
    at: float
    limit: float


@dataclass(frozen=True)
class VerdictView:
    """The last verdict on a model. `problem` says why it cannot be shown; then the rest of it is empty.

    Attributes
    ----------
    age
        How old it is, where that is older than it should be.
    serves
        The version in production, where that is not the one that was looked at.
    alerts
        Those of the model; their sentences are left out of `sentences`.
    """

    model: str
    problem: str | None = None
    word: str = ""
    mark: str = ""
    at: datetime | None = None
    age: str | None = None
    version: str = ""
    serves: str | None = None
    asked: str = ""
    matured: str = ""
    alerts: Sequence[AlertView] = ()
    sentences: Sequence[str] = ()
    reason: str = ""
    next_step: str = ""
    weeks: Weeks | None = None
    drift: DriftView | None = None


@dataclass(frozen=True)
class Monitoring:
    """The section: a verdict for each model that has one, the alerts of others, and who has none yet."""

    verdicts: list[VerdictView]
    others: list[AlertView]
    unseen: list[str]
    problem: str | None
    read_at: datetime | None


@dataclass(frozen=True)
class Standing(Read):
    """The alerts that are not closed, the oldest first."""

    alerts: Sequence[Alert] = ()


class AlertReader(PatientReader[Standing]):
    """Reads the alerts; where no log is yet there are none, and looking makes none."""

    def __init__(self, uri: str) -> None:
        super().__init__("The database of alerts", Standing())
        self._uri = uri

    def _look(self) -> Standing:
        return Standing(alerts_of(self._uri), at=datetime.now(UTC))


def monitoring_view(folder: Path, deployed: Deployed, standing: Standing, now: datetime) -> Monitoring:
    """Gather the verdicts that a folder keeps, one for each model, and the alerts."""
    alerts: dict[str, list[AlertView]] = {}
    for each in standing.alerts:
        alerts.setdefault(each.model, []).append(alert_view(each))
    found = {file.parent.name: file for file in sorted(folder.glob(f"*/{VERDICT}"))}
    verdicts = [_verdict_of(name, file, deployed, alerts.get(name, []), now) for name, file in found.items()]
    forecasting = [name for name, each in deployed.champions.items() if each.family == "performance"]
    return Monitoring(
        verdicts=verdicts,
        others=[alert for name, own in alerts.items() if name not in found for alert in own],
        unseen=[model_words(name) for name in forecasting if name not in found],
        problem=standing.problem,
        read_at=standing.at,
    )


def alert_view(alert: Alert) -> AlertView:
    """Return an alert as the page tells it."""
    state = f"Acknowledged by {alert.acknowledged_by}, open" if alert.acknowledged_by else "Open"
    return AlertView(
        kind=str(alert.kind).capitalize(),
        model=model_words(alert.model),
        state=state,
        since=alert.opened_at,
        sentence=without_paths(alert.sentence),
    )


def _verdict_of(name: str, file: Path, deployed: Deployed, alerts: Sequence[AlertView], now: datetime) -> VerdictView:
    """Return the verdict in a file, or why there is none to see."""
    try:
        verdict = _Verdict.model_validate(read_verdict(file))
        return verdict_view(name, verdict, deployed.champions.get(name), alerts, now)
    except (RegistryError, ValidationError, OverflowError) as error:  # the last: a moment that no calendar has
        _log.warning("the page cannot show %s: %s", file, error)
        why = "The verdict cannot be read; the next clipcast monitor writes it anew."
        return VerdictView(model_words(name), problem=why, alerts=alerts)


def verdict_view(
    name: str, verdict: _Verdict, champion: Version | None, alerts: Sequence[AlertView], now: datetime
) -> VerdictView:
    """Put a verdict on a model into words and charts; `champion` is its version in production."""
    word, mark = CONDITIONS.get(verdict.condition, (verdict.condition, "early"))
    told = {alert.sentence for alert in alerts}
    age = now - verdict.at
    return VerdictView(
        model=model_words(name),
        word=word,
        mark=mark,
        at=verdict.at.astimezone(UTC),
        age=words.age(age) if age > OLD else None,
        version=verdict.semver,
        serves=champion.production.semver if champion and champion.sha256 != verdict.sha256 else None,
        asked=f"{verdict.asked:,}",
        matured=f"{verdict.matured:,}",
        alerts=alerts,
        sentences=[each for each in map(without_paths, verdict.sentences) if each not in told],
        reason=without_paths(verdict.decision.reason),
        next_step=without_paths(verdict.decision.next_step),
        weeks=_weeks(verdict.performance, champion.loaded.bundle.meta["recipe"]["coverage"] if champion else None),
        drift=None if verdict.drift is None else _drift_view(verdict.drift),
    )


def _weeks(rows: Iterable[_Row], promised: float | None) -> Weeks | None:
    """Return the weeks of the champion in order; None where no week has outcomes enough."""
    of_all = [row for row in rows if (row.role, row.version, row.slice) == (CHAMPION, ALL, ALL)]
    found = {row.week: row for row in of_all if isinstance(row.week, date)}
    if not found:
        return None
    days = sorted(found)
    own = [found[day] for day in days]
    return Weeks(
        rows=[_week(day, row) for day, row in zip(days, own, strict=True)],
        error=line_chart(
            days,
            {name: [getattr(row, column) for row in own] for name, column in LINES.items()},
            [_both(row.mae_log_low, row.mae_log_high) for row in own],
            words.decimal,
        ),
        inside=line_chart(
            days,
            {"model": [row.coverage for row in own]},
            [_both(row.coverage_low, row.coverage_high) for row in own],
            words.percent,
            promised=promised,
            most=1.0,
        ),
        promised=None if promised is None else words.percent(promised),
    )


def _week(day: date, row: _Row) -> Week:
    return Week(
        day=words.day(datetime(day.year, day.month, day.day, tzinfo=UTC)),
        posts=f"{row.posts:,}",
        error=words.decimal(row.mae_log),
        error_ends=_ends(_both(row.mae_log_low, row.mae_log_high), words.decimal),
        anchor=words.decimal(row.anchor_error),
        expected=words.decimal(row.expected_error),
        inside=words.percent(row.coverage),
        inside_ends=_ends(_both(row.coverage_low, row.coverage_high), words.percent),
    )


def _drift_view(drift: _Drift) -> DriftView:
    ranked = sorted(drift.features, key=attrgetter("weight"), reverse=True)[:FEATURES]
    heaviest = max((each.weight for each in ranked), default=0.0) or 1.0
    whole = 1.25 * max(drift.score, drift.threshold) or 1.0
    return DriftView(
        features=[
            Ranked(
                name=each.name.replace("_", " "),
                distance=words.decimal(each.distance),
                importance=words.percent(each.importance),
                share=round(100 * each.weight / heaviest, 2),
                broken=each.broken,
            )
            for each in ranked
        ],
        over=drift.score > drift.threshold,
        farthest=drift.farthest.replace("_", " ") if drift.farthest and _is_alone(drift) else None,
        excess=words.decimal(drift.excess),
        excess_threshold=words.decimal(drift.excess_threshold),
        score=words.decimal(drift.score, 3),
        threshold=words.decimal(drift.threshold, 3),
        at=round(100 * drift.score / whole, 2),
        limit=round(100 * drift.threshold / whole, 2),
    )


def _is_alone(drift: _Drift) -> bool:
    """Whether a feature by itself moved too far."""
    if drift.excess is None or drift.excess_threshold is None:
        return False
    return drift.excess > drift.excess_threshold


def _both(low: float | None, high: float | None) -> Ends | None:
    return None if low is None or high is None else (low, high)


def _ends(both: Ends | None, write: Callable[[float], str]) -> str | None:
    return None if both is None else f"{write(both[0])} to {write(both[1])}"
