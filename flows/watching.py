"""What monitoring does in a run: look at each model, keep what was found, tell whoever should know."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from features.errors import ClipcastError, RegistryError
from features.known import known_posts
from features.safety import redact, words_of
from features.schema import Platform
from features.settings import Settings
from features.store import Store
from flows.job import end_of, logical_date, whoami
from monitoring.accuracy import read_accuracies, write_accuracies
from monitoring.alerts import Alert, Kind, State, acknowledge, alerts_of, is_missing, update_alerts
from monitoring.decision import Action, should_retrain
from monitoring.delivery import deliver
from monitoring.look import Condition, Look
from monitoring.predictions import AnsweringVersion
from monitoring.reports import DRIFT_PAGE, write_reports
from monitoring.verdict import VERDICT, read_verdict
from monitoring.watch import look_at
from registry.bundle import write_atomically
from registry.production import read_production
from registry.tracking import Tracking, model_name
from training.performance_model import FAMILY

log = logging.getLogger("clipcast")

COLOURS = {Condition.WELL: "green", Condition.ATTENTION: "red", Condition.EARLY: "yellow"}


@dataclass(frozen=True, eq=False)
class Watched:
    """The looks of a round, and what failed with the reason: a model, or the telling of alerts; the others stand."""

    looks: list[Look]
    failed: Mapping[str, str]


def monitor(platforms: Sequence[str], day: date | None, console: Console, *, quiet: bool) -> list[Look]:
    """Look as of the end of a day, and print each verdict.

    Raises
    ------
    ClipcastError
        A model could not be looked at, or nobody told of alerts; the others were looked at, and are printed.
    """
    settings = Settings.load()
    watched = watch(settings, platforms, end_of(logical_date(day)))
    if not quiet:
        for look in watched.looks:
            show(look, settings, console)
        if not watched.looks and not watched.failed:
            console.print("nobody has asked for forecasts of performance yet, from which monitoring starts")
            console.print("start the service: clipcast serve")
    if watched.failed:
        raise ClipcastError("\n".join(f"monitoring {what} failed: {why}" for what, why in watched.failed.items()))
    return watched.looks


def watch(settings: Settings, platforms: Sequence[str] | None, at: datetime) -> Watched:
    """Look at the performance model of each platform as of a moment, and keep and tell what was found.

    Models that nobody has asked anything are left out. Done again for the same moment it finds, writes and tells the
    same, and nothing twice.
    """
    looks, failed = list[Look](), dict[str, str]()
    if is_missing(settings.predictions_uri):
        return Watched(looks, failed)
    for name in _models(settings, platforms):
        try:
            look = _look(settings, name, at)
        except Exception as error:  # noqa: BLE001  told as what came of this model, after the next ones
            file = settings.home / "logs" / f"monitor-{name}-{at.date()}.log"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(redact(traceback.format_exc()), encoding="utf-8")
            failed[name] = f"{words_of(error)} (the traceback is in {file})"
        else:
            looks += [] if look is None else [look]
    _tell_accuracy(settings, looks)
    try:
        deliver(settings.predictions_uri, settings.monitoring.channels, at)
    except ClipcastError as error:
        failed["alerts"] = words_of(error)
    return Watched(looks, failed)


def _tell_accuracy(settings: Settings, looks: Sequence[Look]) -> None:
    """Let the service tell how right each model was; models that were not looked at, or looked at later, stay."""
    try:
        known = read_accuracies(settings.accuracy_file)
    except RegistryError:
        known = {}  # what is broken is written anew
    found = {each.model: each.accuracy for each in looks if each.accuracy}
    newer = {model: each for model, each in found.items() if model not in known or known[model].as_of <= each.as_of}
    if newer:
        write_accuracies(settings.accuracy_file, {**known, **newer})


def to_retrain(settings: Settings, looks: Sequence[Look]) -> dict[str, list[Alert]]:
    """Return the platforms whose open alerts ask for a retraining that was not asked for yet, with those alerts.

    An alert that a person has acknowledged asks for nothing any more, but one of broken inputs still speaks against
    learning from them. A look at a day before the latest one asks for nothing either.
    """
    if not settings.monitoring.retrain:
        return {}
    found = {}
    for look in looks:
        standing = alerts_of(settings.predictions_uri, look.model)
        asking = [
            each
            for each in standing
            if each.kind is Kind.DECAY
            and each.state is State.OPEN
            and each.retrain_at is None
            and each.seen_at <= look.at
        ]
        decision = should_retrain({each.kind for each in standing}, look.platform)
        if asking and decision.action is Action.RETRAIN:
            found[look.platform] = asking
    return found


def show(look: Look, settings: Settings, console: Console) -> None:
    """Print a verdict: a word, what is behind it, and what to do."""
    verdict = (str(look.condition), COLOURS[look.condition])
    seen = f"{look.window.total:,} posts asked about lately, {look.outcomes:,} outcomes have come"
    console.print(Text.assemble((look.model, "bold"), f" {look.answering.semver}: ", verdict, f"; {seen}"))
    for sentence in look.sentences:
        console.print(f"  {sentence}")
    if look.decision.action is not Action.NONE:
        console.print(f"  to do: {look.decision.next_step}")
    folder = folder_of(settings, look)
    console.print(f"  report: {folder / DRIFT_PAGE if (folder / DRIFT_PAGE).exists() else folder}")


def folder_of(settings: Settings, look: Look) -> Path:
    """The folder that keeps what a look found, named by the day that it looked at the end of."""
    return settings.monitoring_dir / look.model / (look.at - timedelta(microseconds=1)).date().isoformat()


def standing_alerts() -> list[dict[str, Any]]:
    """Return the alerts that are not closed, as JSON can hold them."""
    found = alerts_of(Settings.load().predictions_uri)
    return [
        {
            "id": each.id,
            "model": each.model,
            "kind": str(each.kind),
            "subject": each.subject,
            "state": str(each.state),
            "since": each.opened_at.isoformat(),
            "acknowledged_by": each.acknowledged_by,
            "sentence": each.sentence,
        }
        for each in found
    ]


def show_alerts(found: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print alerts, each with its sentence."""
    if not found:
        console.print("no alert is open")
    for each in found:
        by = f" by {each['acknowledged_by']}" if each["acknowledged_by"] else ""
        head = f"{each['id']}  {each['model']}  {each['kind']} ({each['subject']}), {each['state']}{by}"
        console.print(Text.assemble((head, "bold"), f", since {each['since'][:10]}"))
        console.print(f"   {each['sentence']}")


def acknowledged(number: int) -> str:
    """Acknowledge an alert for whoever runs this, and say so."""
    alert = acknowledge(Settings.load().predictions_uri, number, whoami())
    return f"alert {alert.id} is acknowledged by {alert.acknowledged_by}"


def look_as_of(settings: Settings, model: str, at: datetime) -> Look | None:
    """Look with what was known at a moment; None where nobody had asked the model by then.

    Outcomes that had come by then are written down, what is made of them is not.
    """
    if is_missing(settings.predictions_uri):
        return None
    platform = Platform(model.split("-")[1])
    known = known_posts(Store(settings.data), platform, at, **settings.outcome.model_dump())
    return look_at(settings, model, platform, known, at)


def _look(settings: Settings, model: str, at: datetime) -> Look | None:
    look, own = look_as_of(settings, model, at), settings.monitoring
    if look is None:
        return None
    uri, days = settings.predictions_uri, own.cool_down_days
    update_alerts(uri, model, look.findings, at, days, measured=look.measured, unmeasured=look.unmeasured)
    folder = folder_of(settings, look)
    write_reports(folder, look, sample=own.sample_posts, seed=settings.seed)
    _keep(settings, look, folder)
    return look


def _keep(settings: Settings, look: Look, folder: Path) -> None:
    """Add what was found to the versions in MLflow, and let the service's page show it unless it shows a later look."""
    tracking = Tracking(settings.tracking_uri, settings.artifacts_uri, settings.locks_dir)
    told: list[tuple[str, AnsweringVersion, dict[str, float], tuple[Path, str] | None]]
    told = [(look.model, look.answering, look.metrics(), (folder, f"monitoring/{folder.name}"))]
    if look.virality is not None:
        told.append((look.virality.model, look.virality.answering, look.virality.own.metrics(), None))
    for model, version, metrics, files in told:
        if not tracking.add_later(model, version.version, metrics, look.at, files):
            log.warning(
                "version %s of %s is not in MLflow any more; what was found is in %s", version.version, model, folder
            )
    latest = settings.monitoring_dir / look.model / VERDICT
    shown = read_verdict(latest)
    if shown is None or shown["at"] <= look.at.isoformat():
        write_atomically(latest, (folder / VERDICT).read_bytes())


def _models(settings: Settings, platforms: Sequence[str] | None) -> list[str]:
    """The performance models in production, whose posts are in the store."""
    stored = {str(each) for each in Store(settings.data).platforms()}
    wanted = stored if not platforms else stored & set(platforms)
    names = [model_name(platform, FAMILY) for platform in sorted(wanted)]
    return [name for name in names if name in read_production(settings.production_file)]
