"""A job: one platform's part of a run, with everything it works on opened."""

from __future__ import annotations

import getpass
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any

from rich.text import Text

from features.errors import ClipcastError, StoreError
from features.known import known_posts
from features.safety import words_of
from features.schema import Platform
from features.settings import Settings
from features.store import Store
from registry.candidate import Rules
from registry.description import CARD, LADDER
from registry.gate import GateRules
from registry.ledger import Row
from registry.places import Registry
from registry.reconciliation import reconcile
from registry.runs import Runs, RunStatus, Start
from registry.tracking import Tracking, model_name
from training.examples import Examples
from training.performance_model import FAMILY as PERFORMANCE
from training.task import Task, family
from training.virality_model import FAMILY as VIRALITY

HEARTBEAT_S = 60.0
"""How often a run says that it is alive, for other machines."""

Say = Callable[[str | Text], None]
Advance = Callable[[int, int, float], None]


def _quietly(*_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Watcher:
    """Who is told how a job gets on: sentences, and trials of a search."""

    say: Say = _quietly
    advance: Advance = _quietly


@dataclass(frozen=True)
class Job:
    """One platform's part of a run.

    Attributes
    ----------
    flow
        ``daily``, ``weekly`` or ``monthly``.
    day
        The logical date: only what was observed by its end exists.
    family
        The model family that is trained.
    """

    flow: str
    platform: Platform
    day: date
    settings: Settings
    watcher: Watcher = field(default_factory=Watcher)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    family: str = PERFORMANCE
    _built: dict[str, Examples] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of_family(self, name: str, watcher: Watcher) -> Job:
        """Return the same platform's part of the run for another family, which reads the rows that this one built."""
        other = Job(self.flow, self.platform, self.day, self.settings, watcher, family=name)
        other._built.update(self._built)
        return other

    @property
    def name(self) -> str:
        """The registered name of the platform's model."""
        return model_name(str(self.platform), self.family)

    @property
    def task(self) -> Task[Any]:
        """The model family."""
        return family(self.family)

    @property
    def trials(self) -> int:
        """The budget of a search."""
        own = {PERFORMANCE: self.settings.training.trials, VIRALITY: self.settings.virality.trials}
        return own[self.family]

    @property
    def store(self) -> Store:
        """The store of posts."""
        return Store(self.settings.data)

    @cached_property
    def registry(self) -> Registry:
        """Ledger, versions and published bundles."""
        return Registry.open(self.settings)

    @cached_property
    def champion(self) -> Row | None:
        """The ledger's row of the version that was in production when the job first asked."""
        return self.registry.ledger.champion(self.name)

    @cached_property
    def tracking(self) -> Tracking:
        """Runs and versions in MLflow."""
        return Tracking(self.settings.tracking_uri, self.settings.artifacts_uri, self.settings.locks_dir)

    @property
    def rules(self) -> Rules:
        """What the gate asks."""
        return Rules(GateRules.from_settings(self.settings), self.settings.gate.replicates, self.settings.seed)

    @property
    def as_of(self) -> datetime:
        """The end of the logical date, in UTC; never later than now."""
        return end_of(self.day)

    @cached_property
    def data_hash(self) -> str:
        """Names the version of the data that the job started with."""
        return self.store.manifest().hash

    @property
    def key(self) -> str:
        """Names the run: the same flow, platform, family, date, data and parameters are the same run."""
        groups, subject = {"seed", "outcome", "training", "intervals", "gate"}, str(self.platform)
        if self.family != PERFORMANCE:
            groups, subject = {*groups, self.family}, f"{self.platform}/{self.family}"
        parameters = self.settings.model_dump(mode="json", include=groups, exclude={"training": {"families"}})
        digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
        return f"{self.flow}/{subject}/{self.day.isoformat()}/{self.data_hash[:12]}/{digest[:12]}"

    def check_ours(self) -> None:
        """Ask whether the run is still this process's, before anything of it is registered or decided.

        Raises
        ------
        LockedError
            It was silent for so long that another machine has taken it over, whose decision counts.
        """
        Runs(self.registry.ledger.database).touch_run(self.key)

    def examples(self) -> Examples:
        """Build the platform's rows as they were known at the logical date, once for all families."""
        if self.data_hash in self._built:
            return self._built[self.data_hash]
        known = known_posts(self.store, self.platform, self.as_of, **self.settings.outcome.model_dump())
        if self.store.manifest().hash != self.data_hash:
            raise StoreError("posts were imported while the run read them; start it again")
        training = self.settings.training
        built = self.task.build(known, min_posts=training.min_posts, min_accounts=training.min_accounts)
        self._built[self.data_hash] = built
        return built


@dataclass(frozen=True)
class Outcome:
    """What came of a job, as plain JSON values.

    Attributes
    ----------
    verdict
        The gate's verdict; ``busy`` where another process is at it, ``idle`` where there was nothing to do,
        ``superseded`` where a promotion was taken back since, and ``failed`` with the error as the reason.
    """

    platform: str
    verdict: str
    reason: str
    version: int | None = None
    semver: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    ladder: Mapping[str, Any] | None = None
    card: str | None = None
    family: str = PERFORMANCE

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads: plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """Read what `to_dict` wrote."""
        return cls(**data)


def named(platform: str, family: str, between: str = " ") -> str:
    """Name a platform's model among others; that of performance goes by the platform alone."""
    return str(platform) if family == PERFORMANCE else f"{platform}{between}{family}"


def name_of(outcome: Mapping[str, Any]) -> str:
    """Return the name that an outcome goes by."""
    return named(outcome["platform"], outcome["family"])


def end_of(day: date) -> datetime:
    """Return the end of a day, in UTC; never later than now."""
    return min(datetime.combine(day, time(), tzinfo=UTC) + timedelta(days=1), datetime.now(UTC))


def logical_date(given: str | date | None) -> date:
    """Return the date that a run speaks of: the one given, or today in UTC.

    Raises
    ------
    ClipcastError
        It is no date, or has not begun.
    """
    today = datetime.now(UTC).date()
    try:
        day = date.fromisoformat(given) if isinstance(given, str) else given or today
    except ValueError as error:
        raise ClipcastError(f"{given!r} is no date; write it as {today.isoformat()}") from error
    if day > today:
        raise ClipcastError(f"the date {day} has not begun: in UTC it is {today}; give that one or an earlier one")
    return day


def once(job: Job, work: Callable[[Job], Outcome]) -> Outcome:
    """Do a job unless it is finished or another process is at it; an interrupted one is done again."""
    runs = Runs(job.registry.ledger.database)
    run = runs.start_run(job.key)
    if run.start is Start.FINISHED and run.result is not None:
        return _as_it_stands(job, Outcome.from_dict(run.result))
    if run.start is Start.BUSY:
        return Outcome(str(job.platform), "busy", f"another process is at it: {run.owner}", family=job.family)
    with _recorded(runs, run.key) as finish:
        with _heard(runs, run.key):
            outcome = _decided(job) or work(job)
        finish(outcome)
    return outcome


def _decided(job: Job) -> Outcome | None:
    """Return what the job had decided when it was interrupted, after making good what follows from that.

    It is not done again then: it would compare its own candidate, in production by now, with itself.
    """
    rows = job.registry.ledger.decisions(job.key)
    if not rows or rows[-1].evidence["ship_anchor"]:
        return None
    reconcile(job.registry, whoami())
    return outcome_of(job, rows[-1])


def outcome_of(job: Job, row: Row) -> Outcome:
    """Return what a row of the ledger says came of a job, with the card that was written before it."""
    card = job.settings.cards_dir / job.name / str(row.semver) / CARD
    ladder = card.with_name(LADDER)
    return Outcome(
        platform=str(job.platform),
        verdict=str(row.kind),
        reason=row.reason,
        version=row.version,
        semver=row.semver,
        metrics=row.metrics,
        ladder=json.loads(ladder.read_text(encoding="utf-8")) if ladder.exists() else None,
        card=str(card) if card.exists() else None,
        family=job.family,
    )


def _as_it_stands(job: Job, outcome: Outcome) -> Outcome:
    """Return what a finished job answered, unless another version was put into production after the one it promoted."""
    champion = job.registry.ledger.champion(job.name)
    if outcome.verdict != "promoted" or champion is None or champion.version == outcome.version:
        return outcome
    reason = (
        f"this run was done before and promoted {outcome.semver}, but {champion.semver} was put into production after "
        f"it ({champion.reason}); give another --date to train again, or put it back: "
        f"clipcast rollback {job.name} --to {outcome.version}"
    )
    return replace(outcome, verdict="superseded", reason=reason)


@contextmanager
def _recorded(runs: Runs, key: str) -> Iterator[Callable[[Outcome], None]]:
    """Record how a run ended; one that raised may be started again."""

    def finish(outcome: Outcome) -> None:
        """Finish the run; one that had nothing to do yet is free to be started again."""
        status = RunStatus.FAILED if outcome.verdict == "idle" else RunStatus.DONE
        runs.finish_run(key, status, outcome.to_dict())

    try:
        yield finish
    except BaseException as error:
        runs.finish_run(key, RunStatus.FAILED, {"error": words_of(error)})
        raise


@contextmanager
def _heard(runs: Runs, key: str) -> Iterator[None]:
    """Say again and again that the run is alive, so that no other machine takes it over however long it lasts."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_S):
            try:
                runs.touch_run(key)
            except ClipcastError as error:
                logging.getLogger(__name__).warning("run %s could not say that it is alive: %s", key, error)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def whoami() -> str:
    """Return the name under which decisions are entered in the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number only
        return f"uid {os.getuid()}"
