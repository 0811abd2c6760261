"""One look at a model: its predictions against what happened since, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, cast

import polars as pl

from features.schema import PRIMARY, Platform
from features.settings import Settings
from monitoring.accuracy import Accuracy, accuracy_of
from monitoring.alerts import Finding, Kind
from monitoring.comparison import Comparison, compare_shadow, compare_split, find_split_mismatch
from monitoring.decay import Decay, find_bias, find_coverage, find_decay
from monitoring.decision import Decision, should_retrain
from monitoring.drift import Drift, find_drift
from monitoring.expected_error import ExpectedError, expect_error
from monitoring.matured import count_matured, read_matured, write_outcomes
from monitoring.performance import Row, performance
from monitoring.predictions import (
    FLOAT_BYTES,
    AnsweringVersion,
    Role,
    accounts_of_split,
    last_answering,
    sample_predictions,
    unpack,
)
from monitoring.skew import Skew, find_skew
from monitoring.verdict import ALL, LOOK_BACK
from monitoring.versions import Versions
from monitoring.words import drift_words, shift_words, skew_words
from training.baseline import Baseline
from training.task import Model

REPLICATES = 300

SKEW_POSTS = 1_000
"""So many posts' features are built again."""


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
        The sample in the shape of a baseline's.
    """

    asked: pl.DataFrame
    total: int
    posts: pl.DataFrame
    features: pl.DataFrame


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
    outcomes
        How many predictions have matured in all.
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
    measured: tuple[Kind, ...]
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
        if self.comparison is not None:
            found.append(self.comparison.sentence)
        if self.outcomes > self.answered:
            found.append(f"of {self.outcomes:,} outcomes {self.answered:,} were drawn, which all numbers rest on")
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
        found: dict[str, Any] = _plain(
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
                "comparison": None if self.comparison is None else asdict(self.comparison),
            }
        )
        return found


def look_at(settings: Settings, model: str, platform: Platform, known: pl.DataFrame, at: datetime) -> Look | None:
    """Look at one performance model, or return None where nobody has asked it anything by then.

    Looking again at the same moment finds the same.

    Parameters
    ----------
    known
        What was known of the platform's posts at that moment.
    """
    uri = settings.predictions_uri
    answering = last_answering(uri, model, at)
    if answering is None:
        return None
    versions = Versions(settings.bundles_dir)
    horizon_days = settings.outcome.horizon_days
    write_outcomes(uri, model, known, versions.reference, at, horizon_days=horizon_days)
    matured = read_matured(uri, model, since=at - LOOK_BACK, until=at)
    subject = _Subject(settings, model, platform, at, answering, versions, matured)
    window = _window(subject)
    drift, skew = _drift(subject, window), _skew(subject, window)
    comparison, split = _compared(subject)
    turned_out = _of_outcomes(subject)
    findings = (*_of_inputs(subject, window, drift, skew), *turned_out.findings, *split)
    of_inputs = [(Kind.SKEW, skew is not None), (Kind.BROKEN, drift is not None), (Kind.DRIFT, drift is not None)]
    notes = _notes(subject, window)
    return Look(
        model=model,
        platform=str(platform),
        at=at,
        answering=answering,
        condition=Condition.ATTENTION if findings else Condition.EARLY if notes else Condition.WELL,
        matured=matured,
        window=window,
        baseline=versions.baseline(answering.sha256),
        expected=expect_error(window.asked, matured, replicates=REPLICATES, seed=settings.seed),
        findings=findings,
        decision=should_retrain({each.kind for each in findings}, str(platform)),
        drift=drift,
        skew=skew,
        decay=turned_out.decay,
        measured=(*turned_out.measured, *(kind for kind, is_measured in of_inputs if is_measured), Kind.SPLIT),
        outcomes=count_matured(uri, model, since=at - LOOK_BACK, until=at),
        comparison=comparison,
        accuracy=accuracy_of(matured, at),
        seed=settings.seed,
        notes=notes,
    )


@dataclass(frozen=True, eq=False)
class _Subject:
    """The model that is looked at, and with what."""

    settings: Settings
    model: str
    platform: Platform
    at: datetime
    answering: AnsweringVersion
    versions: Versions
    matured: pl.DataFrame

    @property
    def tested(self) -> pl.DataFrame:
        """What came of the champion's recipe: another one that a retraining promotes is judged anew."""
        of_line = pl.col("sha256").is_in(self.line(self.matured))
        return self.matured.filter(of_line & (pl.col("role") == str(Role.CHAMPION)))

    def line(self, rows: pl.DataFrame) -> list[str]:
        """The versions among some rows, by hash, that follow the recipe of the one that answers."""
        wanted = self.versions.recipe(self.answering.sha256)
        return [each for each in rows["sha256"].unique() if wanted is not None and self.versions.recipe(each) == wanted]

    @property
    def under_one_number(self) -> pl.DataFrame:
        """What has matured, the champion's recipe under the number of the version that answers, whichever refit it was.

        A challenger is compared with the recipe: with daily refits no version lives long enough.
        """
        of_line = pl.col("sha256").is_in(self.line(self.matured)) & (pl.col("role") == str(Role.CHAMPION))
        return self.matured.with_columns(
            pl.when(of_line).then(self.answering.version).otherwise("version").alias("version")
        )

    @property
    def holdouts(self) -> dict[str, pl.DataFrame]:
        """What each version was judged on, by its hash; versions that are gone or kept nothing are left out."""
        found = {sha256: self.versions.judged(sha256) for sha256 in self.tested["sha256"].unique()}
        return {sha256: each for sha256, each in found.items() if each is not None and each.height}

    def finding(self, kind: Kind, subject: str, sentence: str, evidence: Mapping[str, Any]) -> Finding:
        """Tell what was found wrong."""
        return Finding(self.model, kind, subject, sentence, _plain(evidence))


def _window(subject: _Subject) -> Window:
    own = subject.settings.monitoring
    asked, total = sample_predictions(
        subject.settings.predictions_uri,
        since=subject.at - timedelta(days=own.window_days),
        until=subject.at,
        model=subject.model,
        role=Role.CHAMPION,
        most=own.sample_posts,
        seed=subject.settings.seed,
    )
    loaded = subject.versions.loaded(subject.answering.sha256)
    names = loaded.bundle.meta["features"] if loaded else []
    is_readable = pl.col("features").bin.size() == FLOAT_BYTES * len(names)
    asked = asked.filter(pl.col("sha256").is_in(subject.line(asked)) & is_readable)
    truths = subject.matured.filter(pl.col("role") == str(Role.CHAMPION)).select("post_id", "truth")
    count = f"$.{PRIMARY[subject.platform]}.value"
    posts = asked.select(
        "post_id",
        "account_id",
        "published_at",
        pl.col("answer").cast(pl.String).str.json_path_match(count).cast(pl.Float64).log1p().alias("prediction"),
    ).join(truths.unique("post_id", keep="last", maintain_order=True), on="post_id", how="left", maintain_order="left")
    return Window(asked, total, posts, unpack(asked, names))


def _drift(subject: _Subject, window: Window) -> Drift | None:
    baseline = subject.versions.baseline(subject.answering.sha256)
    loaded = subject.versions.loaded(subject.answering.sha256)
    own = subject.settings.monitoring
    accounts = window.posts["account_id"].n_unique()
    if baseline is None or loaded is None or window.posts.height < own.min_posts or accounts < own.min_accounts:
        return None
    return find_drift(
        baseline.posts,
        baseline.features,
        window.posts,
        window.features,
        cast("Model", loaded.model).importance(),
        false_alarm_rate=own.false_alarm_rate,
        seed=subject.settings.seed,
    )


def _skew(subject: _Subject, window: Window) -> Skew | None:
    loaded = subject.versions.loaded(subject.answering.sha256)
    if loaded is None or window.asked.is_empty():
        return None
    own = window.asked.filter(pl.col("sha256") == subject.answering.sha256)
    return find_skew(own, loaded, sample=SKEW_POSTS, seed=subject.settings.seed, until=subject.at)


def _of_inputs(subject: _Subject, window: Window, drift: Drift | None, skew: Skew | None) -> list[Finding]:
    """What is wrong with what reaches the model."""
    found = []
    if skew is not None and skew.different:
        found.append(subject.finding(Kind.SKEW, "features", skew_words(skew), asdict(skew)))
    if drift is not None:
        found += [subject.finding(Kind.BROKEN, each.name, str(each.broken), asdict(each)) for each in drift.broken]
        if drift.drifted:
            words = drift_words(drift, str(subject.platform))
            found.append(subject.finding(Kind.DRIFT, "inputs", words, asdict(drift)))
        found += _shifted(subject, window, drift)
    return found


def _shifted(subject: _Subject, window: Window, drift: Drift) -> list[Finding]:
    """Forecasts or outcomes that lie elsewhere than the baseline's."""
    baseline = subject.versions.baseline(subject.answering.sha256)
    found = []
    for what, column, distance, threshold in (
        ("forecasts", "prediction", drift.prediction_distance, drift.prediction_threshold),
        ("outcomes", "truth", drift.target_distance, drift.target_threshold),
    ):
        if baseline is not None and distance is not None and threshold is not None and distance > threshold:
            words = shift_words(what, distance, threshold, baseline.posts[column], window.posts[column])
            found.append(subject.finding(Kind.DRIFT, what, words, {"distance": distance, "threshold": threshold}))
    return found


@dataclass(frozen=True)
class _TurnedOut:
    """How the forecasts turned out: the error, what is wrong, and which kinds could be measured."""

    decay: Decay
    findings: list[Finding]
    measured: tuple[Kind, ...]


def _of_outcomes(subject: _Subject) -> _TurnedOut:
    own = subject.settings.monitoring
    asked: dict[str, Any] = {
        "at_s": int(subject.at.timestamp()),
        "false_alarm_rate": own.false_alarm_rate,
        "tolerance": own.tolerance,
        "min_posts": own.min_posts,
        "min_accounts": own.min_accounts,
    }
    tested, holdouts = subject.tested, subject.holdouts
    decay = find_decay(tested, holdouts, **asked)
    bias = find_bias(tested, holdouts, **asked)
    coverage = find_coverage(tested, holdouts, **asked)
    one_side = Kind.REDEFINED if bias.redefined else Kind.BIAS
    tests = (
        ((Kind.DECAY,), Kind.DECAY, "error", decay, decay.decayed),
        ((Kind.BIAS, Kind.REDEFINED), one_side, "outcomes", bias, bias.moved),
        ((Kind.COVERAGE,), Kind.COVERAGE, "intervals", coverage, coverage.fallen),
    )
    findings = [
        subject.finding(kind, name, each.sentence, asdict(each)) for _, kind, name, each, is_wrong in tests if is_wrong
    ]
    measured = [kind for kinds, _, _, each, _ in tests if each.measured for kind in kinds]
    return _TurnedOut(decay, findings, tuple(measured))


def _compared(subject: _Subject) -> tuple[Comparison | None, list[Finding]]:
    """The newest challenger beside the champion: from its shadow where there is one, else from the split traffic."""
    settings, own = subject.settings, subject.settings.monitoring
    asked: dict[str, Any] = {
        "false_alarm_rate": own.false_alarm_rate,
        "min_gain": settings.gate.min_gain,
        "min_posts": own.min_posts,
        "min_accounts": own.min_accounts,
    }
    matured = subject.under_one_number
    both = (compare_shadow(matured, **asked), compare_split(matured, **asked))
    compared = [each for each in both if each is not None]
    found = max(compared, key=lambda each: each.challenger_version, default=None)  # of equals the first
    share = settings.service.challenger_share
    is_split = 0 < share < 1
    accounts = accounts_of_split(settings.predictions_uri, subject.model, subject.at) if is_split else None
    if accounts is not None:
        split = find_split_mismatch(*accounts, share, own.false_alarm_rate)
        if split.mismatch:
            return found, [subject.finding(Kind.SPLIT, "traffic", split.sentence, asdict(split))]
    return _with_next_step(found, subject), []


def _with_next_step(found: Comparison | None, subject: _Subject) -> Comparison | None:
    """Name the command that lets the gate decide, while the champion that was beaten is the one that answers."""
    if found is None or found.verdict != "challenger better" or found.champion_version != subject.answering.version:
        return found
    return replace(found, sentence=f"{found.sentence} Let the gate decide: clipcast promote {subject.model}")


def _notes(subject: _Subject, window: Window) -> tuple[str, ...]:
    """What could not be measured yet, and why."""
    own, found = subject.settings.monitoring, []
    if subject.versions.baseline(subject.answering.sha256) is None:
        found.append(
            f"version {subject.answering.semver} keeps no posts of its own, or is gone: drift and decay are not "
            f"measured until the next one: clipcast run weekly --platform {subject.platform}"
        )
    for posts, what in ((window.posts, "asked about"), (subject.tested, "whose outcome has come")):
        accounts = posts["account_id"].n_unique()
        if posts.height < own.min_posts or accounts < own.min_accounts:
            found.append(
                f"{posts.height:,} posts of {accounts} accounts {what} tell too little: it takes {own.min_posts} of "
                f"{own.min_accounts} accounts"
            )
    return tuple(found)


def _plain(value: Any) -> Any:
    """Return JSON values: numbers that are none become null, keys texts, moments and days ISO 8601."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, date):  # and datetime
        return value.isoformat()
    return value
