"""The flows as Prefect runs them: each platform is a task of its own, and one that fails leaves the others standing."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from features.errors import ClipcastError
from features.safety import protect, redact, words_of
from features.schema import Platform
from features.settings import Settings
from features.sources import Collected, Inbox
from features.space import told_when_full
from features.store import Store
from features.versioning import dvc_add
from flows.job import Job, Outcome, end_of, logical_date, name_of, named, once
from flows.progress import is_watched, watcher_of
from flows.reconciling import put_right
from flows.refresh import refresh
from flows.retrain import retrain
from flows.review import review
from flows.running import prepare_databases, sentence, written_to
from flows.watching import to_retrain, watch
from monitoring.alerts import ask_retrain_once

SIDE_BY_SIDE: TaskRunner[PrefectFuture[Any]] = cast(
    "TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=3)
)

JOBS: dict[str, Callable[[Job], Outcome]] = {"daily": refresh, "weekly": retrain, "monthly": review}


@flow(name="clipcast-daily", task_runner=SIDE_BY_SIDE)
def daily(platforms: list[str] | None = None, date: str | None = None) -> list[dict[str, Any]]:
    """Collect what is new, look how the answers turned out, then refit each champion's recipe to all that has matured.

    A platform whose model has decayed is retrained after that.
    """
    day = logical_date(date).isoformat()
    uncollected = collect_posts()
    decayed, unwatched = monitor_predictions(platforms, day)
    refitted = _side_by_side("daily", platforms, day)
    retrained = retrain_decayed(decayed, day)
    return [*uncollected, *_told([*unwatched, *refitted, *retrained])]


@flow(name="clipcast-weekly", task_runner=SIDE_BY_SIDE)
def weekly(platforms: list[str] | None = None, date: str | None = None) -> list[dict[str, Any]]:
    """Search each platform's recipe anew, and challenge its champion with the best."""
    return _told(_side_by_side("weekly", platforms, date))


@flow(name="clipcast-monthly", task_runner=SIDE_BY_SIDE)
def monthly(platforms: list[str] | None = None, date: str | None = None) -> list[dict[str, Any]]:
    """Compare estimators on the same folds, and challenge each champion with the best."""
    return _told(_side_by_side("monthly", platforms, date))


FLOWS = {"daily": daily, "weekly": weekly, "monthly": monthly}


@task(name="collect", cache_policy=NO_CACHE, persist_result=False)
def collect_posts() -> list[dict[str, Any]]:
    """Append the files that wait in the inbox and name the data's new version; return what failed."""
    protect()
    settings = Settings.load()
    found = Inbox(settings.inbox).collect(Store(settings.data), settings.home / "rejects")
    if any(each.appended for each in found):
        dvc_add(settings.data, settings.data_remote)
    words = [_words(each) for each in found]
    for line in words or ["nothing new in the inbox"]:
        watcher_of("collect").say(line)
    return [Outcome("inbox", "failed", each.error).to_dict() for each in found if each.error]


@task(name="monitor", cache_policy=NO_CACHE, persist_result=False)
def monitor_predictions(platforms: list[str] | None, day: str) -> tuple[dict[str, list[int]], list[dict[str, Any]]]:
    """Hold predictions against what happened.

    Return the platforms whose alerts ask for a retraining, with those, and the models that could not be looked at.
    """
    protect()
    settings = Settings.load()
    watched = watch(settings, platforms, end_of(date.fromisoformat(day)))
    for look in watched.looks:
        watcher_of("monitor").say(f"{look.model} {look.condition}: {look.sentences[0]}")
    decayed = to_retrain(settings, watched.looks)
    failed = [Outcome(f"monitoring {model}", "failed", why).to_dict() for model, why in watched.failed.items()]
    return {platform: [each.id for each in asking] for platform, asking in decayed.items()}, failed


def retrain_decayed(decayed: Mapping[str, Sequence[int]], day: str) -> list[dict[str, Any]]:
    """Retrain each platform whose model has decayed as the weekly run does, once for its alerts.

    The alerts are marked after a run that did not fail: one that failed or was killed is started again by the next
    daily run, and finds what it had done.
    """
    outcomes = _side_by_side("weekly", sorted(decayed), day) if decayed else []
    failed = {each["platform"] for each in outcomes if each["verdict"] == "failed"}
    for platform in sorted(set(decayed) - failed):
        for alert in decayed[platform]:
            ask_retrain_once(Settings.load().predictions_uri, alert, datetime.now(UTC))
    return outcomes


class PartlyFailedError(ClipcastError):
    """Some family of a platform failed; what came of every family is told all the same."""

    def __init__(self, outcomes: list[dict[str, Any]]) -> None:
        self.outcomes = outcomes
        super().__init__("; ".join(each["reason"] for each in outcomes if each["verdict"] == "failed"))


@task(name="platform", task_run_name="{name} {platform}", cache_policy=NO_CACHE, persist_result=False)
def run_platform(name: str, platform: str, day: str) -> list[dict[str, Any]]:
    """Do one platform's part of a flow: family by family, and one that fails leaves the next standing."""
    settings = Settings.load()
    job: Job | None = None
    outcomes = []
    for family in settings.training.families:
        watcher = watcher_of(named(platform, family))
        job = (job or Job(name, Platform(platform), date.fromisoformat(day), settings)).of_family(family, watcher)
        outcomes.append(_run_family(job).to_dict())
    if any(each["verdict"] == "failed" for each in outcomes):
        raise PartlyFailedError(outcomes)
    return outcomes


def _run_family(job: Job) -> Outcome:
    """Do the part of one family, or return why it failed, without secrets: Prefect keeps the words of an error."""
    with told_when_full(*written_to(job.settings)):
        try:
            outcome = once(job, JOBS[job.flow])
        except Exception as error:  # noqa: BLE001  told as what came of this family, and raised after the next
            log = job.settings.home / "logs" / f"{job.flow}-{named(job.platform, job.family, '-')}-{job.day}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(redact(traceback.format_exc()), encoding="utf-8")
            job.watcher.say(f"failed; the traceback is in {log}")
            return Outcome(str(job.platform), "failed", words_of(error), family=job.family)
    job.watcher.say(sentence(outcome.to_dict()))
    return outcome


def _side_by_side(name: str, platforms: list[str] | None, day: str | None) -> list[dict[str, Any]]:
    protect()  # a work pool's process has no other entry point
    settings = Settings.load()
    prepare_databases(settings)
    _put_right()
    chosen = platforms or [str(platform) for platform in Store(settings.data).platforms()]
    when = logical_date(day).isoformat()
    futures = {platform: run_platform.submit(name, platform, when) for platform in chosen}
    wait(list(futures.values()))
    return [each for platform, future in futures.items() for each in _outcomes(platform, future)]


def _told(outcomes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return outcomes to a person; nobody reads what a scheduled flow answers, only its state, so failures fail it."""
    failed = [f"{name_of(each)}: {each['reason']}" for each in outcomes if each["verdict"] == "failed"]
    if failed and not is_watched():
        raise ClipcastError(f"{len(failed)} of {len(outcomes)} models failed: {'; '.join(failed)}")
    return outcomes


def _put_right() -> None:
    """Let every place follow the ledger before anything is decided, and say what did not."""
    found = put_right()
    for line in (*found.mended, *found.problems):
        if is_watched():
            watcher_of("registry").say(line)
        else:
            logging.getLogger("clipcast").warning(line)


def _outcomes(platform: str, future: Any) -> list[dict[str, Any]]:
    """Return what a platform's task answered, or why it failed; one failure must not hide the other answers."""
    answer = future.result(raise_on_failure=False)
    if isinstance(answer, PartlyFailedError):
        return answer.outcomes
    if isinstance(answer, BaseException):
        return [Outcome(platform, "failed", words_of(answer)).to_dict()]
    found: list[dict[str, Any]] = answer
    return found


def _words(each: Collected) -> str:
    if each.appended is None:
        return f"{each.origin}: {each.error}"
    rejected = f", {each.rejected} rows set aside in {each.rejects}" if each.rejected else ""
    return f"{each.origin}: {each.appended.posts} new posts, {each.appended.observations} new observations{rejected}"
