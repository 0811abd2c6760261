"""One look at a model: its predictions against what happened since, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

import polars as pl

from features.schema import PRIMARY, Platform
from features.settings import MonitoringSettings, Settings
from monitoring.accuracy import accuracy_of
from monitoring.alerts import Finding, Kind
from monitoring.calibration import Calibration, find_calibration, scores_of
from monitoring.comparison import Comparison, compare_shadow, compare_split, find_split_mismatch
from monitoring.decay import Bias, Coverage, Decay, find_bias, find_coverage, find_decay
from monitoring.decision import should_retrain
from monitoring.drift import Drift, find_drift
from monitoring.expected_error import expect_error
from monitoring.look import REPLICATES, Condition, Look, Virality, Window
from monitoring.matured import count_matured, read_matured, write_outcomes
from monitoring.predictions import (
    FLOAT_BYTES,
    Role,
    accounts_of_split,
    last_answering,
    sample_predictions,
    unpack,
)
from monitoring.skew import Skew, find_skew
from monitoring.subject import Subject
from monitoring.verdict import LOOK_BACK
from monitoring.versions import Versions
from monitoring.words import drift_words, shift_words, skew_words
from registry.production import read_production
from registry.tracking import model_name
from training.task import Model
from training.virality_model import FAMILY as VIRALITY

SKEW_POSTS = 1_000
"""So many posts' features are built again."""


def look_at(settings: Settings, model: str, platform: Platform, known: pl.DataFrame, at: datetime) -> Look | None:
    """Look at one performance model, or return None where nobody has asked it anything by then.

    Looking again at the same moment finds the same, but for a next step that production has outrun since.

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
    subject = Subject(settings, model, platform, at, answering, versions, matured)
    window = _window(subject)
    drift, skew = _drift(subject, window), _skew(subject, window)
    comparison, split = _compared(subject)
    turned_out = _of_outcomes(subject, known)
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
        virality=turned_out.virality,
        measured=(*turned_out.measured, *(kind for kind, is_measured in of_inputs if is_measured), Kind.SPLIT),
        unmeasured=() if drift is None else _unmeasured(drift),
        outcomes=count_matured(uri, model, since=at - LOOK_BACK, until=at),
        comparison=comparison,
        accuracy=accuracy_of(matured, at),
        seed=settings.seed,
        notes=notes,
    )


def _window(subject: Subject) -> Window:
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
    count = f"$.{PRIMARY[subject.platform]}.value"
    posts = asked.select(
        "post_id",
        "account_id",
        "published_at",
        pl.col("answer").cast(pl.String).str.json_path_match(count).cast(pl.Float64).log1p().alias("prediction"),
    )
    is_lately = pl.col("known_s") >= int((subject.at - timedelta(days=own.window_days)).timestamp())
    outcomes = subject.matured.filter(is_lately, pl.col("role") == str(Role.CHAMPION)).select(
        "account_id", pl.from_epoch("published_s").dt.replace_time_zone("UTC").alias("published_at"), "truth"
    )
    return Window(asked, total, posts, unpack(asked, names), outcomes)


def _drift(subject: Subject, window: Window) -> Drift | None:
    baseline = subject.versions.baseline(subject.answering.sha256)
    loaded = subject.versions.loaded(subject.answering.sha256)
    own = subject.settings.monitoring
    if baseline is None or loaded is None or not _are_enough(window.posts, own):
        return None
    return find_drift(
        baseline.posts,
        baseline.features,
        window.posts,
        window.features,
        window.outcomes if _are_enough(window.outcomes, own) else window.outcomes.clear(),
        cast("Model", loaded.model).importance(),
        false_alarm_rate=own.false_alarm_rate,
        seed=subject.settings.seed,
    )


def _are_enough(posts: pl.DataFrame, own: MonitoringSettings) -> bool:
    """Whether posts are enough, of enough accounts, to tell anything."""
    return posts.height >= own.min_posts and posts["account_id"].n_unique() >= own.min_accounts


def _unmeasured(drift: Drift) -> tuple[tuple[Kind, str], ...]:
    """The subjects of drift that could not be held against the baseline."""
    distances = {"forecasts": drift.prediction_distance, "outcomes": drift.target_distance}
    return tuple((Kind.DRIFT, subject) for subject, distance in distances.items() if distance is None)


def _skew(subject: Subject, window: Window) -> Skew | None:
    loaded = subject.versions.loaded(subject.answering.sha256)
    if loaded is None or window.asked.is_empty():
        return None
    own = window.asked.filter(pl.col("sha256") == subject.answering.sha256)
    return find_skew(own, loaded, sample=SKEW_POSTS, seed=subject.settings.seed, until=subject.at)


def _of_inputs(subject: Subject, window: Window, drift: Drift | None, skew: Skew | None) -> list[Finding]:
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


def _shifted(subject: Subject, window: Window, drift: Drift) -> list[Finding]:
    """Forecasts or outcomes that lie elsewhere than the baseline's."""
    baseline = subject.versions.baseline(subject.answering.sha256)
    found = []
    for what, column, now, distance, threshold in (
        ("forecasts", "prediction", window.posts, drift.prediction_distance, drift.prediction_threshold),
        ("outcomes", "truth", window.outcomes, drift.target_distance, drift.target_threshold),
    ):
        if baseline is not None and distance is not None and threshold is not None and distance > threshold:
            words = shift_words(what, distance, threshold, baseline.posts[column], now[column])
            found.append(subject.finding(Kind.DRIFT, what, words, {"distance": distance, "threshold": threshold}))
    return found


@dataclass(frozen=True)
class _TurnedOut:
    """How the forecasts turned out: the error, what is wrong, and which kinds could be measured."""

    decay: Decay
    virality: Virality | None
    findings: list[Finding]
    measured: tuple[Kind, ...]


def _of_outcomes(subject: Subject, known: pl.DataFrame) -> _TurnedOut:
    own = subject.settings.monitoring
    asked: dict[str, Any] = {
        "at_s": int(subject.at.timestamp()),
        "false_alarm_rate": own.false_alarm_rate,
        "min_posts": own.min_posts,
        "min_accounts": own.min_accounts,
    }
    tested, holdouts = subject.tested, subject.holdouts
    decay = find_decay(tested, holdouts, tolerance=own.tolerance, **asked)
    bias = find_bias(tested, holdouts, tolerance=own.tolerance, **asked)
    coverage = find_coverage(tested, holdouts, tolerance=own.tolerance, **asked)
    virality = _virality(subject, known, asked)
    one_side = Kind.REDEFINED if bias.redefined else Kind.BIAS
    tests: list[tuple[tuple[Kind, ...], Kind, str, Decay | Bias | Coverage | Calibration, bool]] = [
        ((Kind.DECAY,), Kind.DECAY, "error", decay, decay.decayed),
        ((Kind.BIAS, Kind.REDEFINED), one_side, "outcomes", bias, bias.moved),
        ((Kind.COVERAGE,), Kind.COVERAGE, "intervals", coverage, coverage.fallen),
    ]
    if virality is not None:
        found = virality.calibration
        tests.append(((Kind.CALIBRATION,), Kind.CALIBRATION, "virality", found, found.broken))
    findings = [
        subject.finding(kind, name, each.sentence, asdict(each)) for _, kind, name, each, is_wrong in tests if is_wrong
    ]
    measured = [kind for kinds, _, _, each, _ in tests if each.measured for kind in kinds]
    return _TurnedOut(decay, virality, findings, tuple(measured))


def _virality(subject: Subject, known: pl.DataFrame, asked: Mapping[str, Any]) -> Virality | None:
    """What came of the probabilities of the platform's virality model; None where nobody has asked for any."""
    settings, uri, model = subject.settings, subject.settings.predictions_uri, model_name(subject.platform, VIRALITY)
    answering = last_answering(uri, model, subject.at)
    if answering is None:
        return None
    write_outcomes(uri, model, known, lambda _: None, subject.at, horizon_days=settings.outcome.horizon_days)
    matured = read_matured(uri, model, since=subject.at - LOOK_BACK, until=subject.at)
    tested = replace(subject, model=model, answering=answering, matured=matured).tested
    rates = {sha256: subject.versions.base_rate(sha256) for sha256 in tested["sha256"].unique()}
    base_rates = {sha256: rate for sha256, rate in rates.items() if rate is not None}
    own = scores_of(tested.filter(sha256=answering.sha256), base_rates)
    return Virality(model, answering, find_calibration(tested, base_rates, **asked), own)


def _compared(subject: Subject) -> tuple[Comparison | None, list[Finding]]:
    """The challenger beside the champion: from its shadow where there is one, else from the split traffic."""
    settings, own, challenger = subject.settings, subject.settings.monitoring, subject.challenger
    found = None
    if challenger is not None:
        asked: dict[str, Any] = {
            "false_alarm_rate": own.false_alarm_rate,
            "min_gain": settings.gate.min_gain,
            "min_posts": own.min_posts,
            "min_accounts": own.min_accounts,
            "pair": (subject.answering.version, challenger),
        }
        reign = subject.reign
        found = compare_shadow(reign, **asked) or compare_split(reign, **asked)
    share = settings.service.challenger_share
    is_split = 0 < share < 1
    since = subject.at - timedelta(days=own.window_days)
    accounts = accounts_of_split(settings.predictions_uri, subject.model, since, subject.at) if is_split else None
    if accounts is not None:
        # Each window is a test of its own, so that all of those looked back at share the rate.
        rate = own.false_alarm_rate * min(1.0, own.window_days / LOOK_BACK.days)
        split = find_split_mismatch(*accounts, share, rate)
        if split.mismatch:
            return found, [subject.finding(Kind.SPLIT, "traffic", split.sentence, asdict(split))]
    return _with_next_step(found, subject), []


def _with_next_step(found: Comparison | None, subject: Subject) -> Comparison | None:
    """Name the command that lets the gate decide, while the one that was better is the challenger."""
    if found is None or found.verdict != "challenger better":
        return found
    serving = read_production(subject.settings.production_file).get(subject.model)
    if serving is None or serving.challenger is None or serving.challenger.version != found.challenger_version:
        return found
    return replace(found, sentence=f"{found.sentence} Let the gate decide: clipcast promote {subject.model}")


def _notes(subject: Subject, window: Window) -> tuple[str, ...]:
    """What could not be measured yet, and why."""
    own, found = subject.settings.monitoring, []
    if subject.versions.baseline(subject.answering.sha256) is None:
        found.append(
            f"version {subject.answering.semver} keeps no posts of its own, or is gone: drift and decay are not "
            f"measured until the next one: clipcast run weekly --platform {subject.platform}"
        )
    for posts, what in ((window.posts, "asked about"), (subject.tested, "whose outcome has come")):
        if not _are_enough(posts, own):
            accounts = posts["account_id"].n_unique()
            found.append(
                f"{posts.height:,} posts of {accounts} accounts {what} tell too little: it takes {own.min_posts} of "
                f"{own.min_accounts} accounts"
            )
    return tuple(found)
