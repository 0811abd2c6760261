"""From a recipe to a decision: fit, judge, bundle, decide, register, and promote if the gate says so."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from features.columns import Ints
from features.errors import BundleError, NotEnoughDataError
from flows.job import Job, Outcome, outcome_of, whoami
from registry.bundle import Bundle
from registry.candidate import evidence_against, evidence_of_first, holdout_hash, pack
from registry.decision import Decision, decide
from registry.description import Described, data_words, measured, run_parameters, version_tags, write_description
from registry.gate import Design, Evidence
from registry.ledger import Row
from registry.loading import Loaded, load
from registry.promotion import Candidate, settle
from registry.semver import Change, next_semver
from registry.tracking import RUN_KEY_TAG, experiment_of
from training.baseline import Baseline
from training.evaluate import Ladder
from training.examples import Examples
from training.recipe import Recipe
from training.report import Judgement, Reported
from training.split import Split
from training.task import Model


@dataclass(frozen=True)
class Champion:
    """What is in production: its row in the ledger and its bundle, opened as a model when that is asked for."""

    row: Row
    bundle: Bundle

    @cached_property
    def loaded(self) -> Loaded:
        """The model as it serves."""
        return load(self.bundle.folder, self.bundle.sha256)

    @property
    def is_readable(self) -> bool:
        """Whether this clipcast can serve it; one made for other features it cannot."""
        try:
            return bool(self.loaded)
        except BundleError:
            return False

    @property
    def model(self) -> Any:
        """The fitted model, of whichever family."""
        return self.loaded.model

    @property
    def recipe(self) -> Recipe:
        """The recipe it was fitted by."""
        return Recipe.from_dict(self.bundle.meta["recipe"])


def champion_of(job: Job) -> Champion | None:
    """Open the platform's champion, None before the first promotion and where nothing is left of it."""
    if job.champion is None:
        return None
    try:
        return Champion(job.champion, job.registry.bundle_of(job.champion))
    except BundleError as error:
        job.watcher.say(f"the champion cannot be compared with: {error}")
        return None


@dataclass(frozen=True)
class Trained:
    """A candidate: fitted twice by one recipe, to be judged and to be served.

    Attributes
    ----------
    trials
        Trials of the search that found the recipe.
    evaluated
        The fit to the rows before the judged ones.
    served
        The fit to all mature rows.
    unseen
        The ladder on accounts never seen, where there are enough of them.
    seconds
        How long the fits and the judging took.
    """

    recipe: Recipe
    trials: int
    split: Split
    evaluated: Model
    served: Model
    report: Reported
    unseen: Ladder | None
    seconds: float


def train(job: Job, examples: Examples, split: Split, recipe: Recipe, trials: int) -> Trained:
    """Fit a recipe to the rows before the holdout and judge it there, then fit it to all rows."""
    started = datetime.now(UTC)
    job.watcher.say("fitting and judging on the holdout")
    evaluated, served = fit_twice(job, examples, split, recipe)
    report = judge(job, evaluated, examples, split, recipe)
    unseen = _unseen(job, evaluated, recipe, examples, split)
    seconds = (datetime.now(UTC) - started).total_seconds()
    return Trained(recipe, trials, split, evaluated, served, report, unseen, seconds)


def fit_twice(job: Job, examples: Examples, split: Split, recipe: Recipe) -> tuple[Model, Model]:
    """Fit a recipe to the rows before the holdout, which judge it, and to all rows, which serve.

    To weights and intervals of the second fit the holdout is one more fold, judged by the first.
    """
    known = examples.known_by(split.train, split.until_s)
    out_of_fold = job.task.out_of_fold(recipe, known, split.train)
    evaluated = job.task.fit(recipe, known, split.train, out_of_fold)
    job.watcher.say("fitting to all mature posts")
    followed = out_of_fold.followed_by(job.task.judged(evaluated, examples, split))
    return evaluated, job.task.fit(recipe, examples, every_row(examples), followed)


def _unseen(job: Job, evaluated: Model, recipe: Recipe, examples: Examples, split: Split) -> Ladder | None:
    try:
        known = examples.known_by(split.train, split.until_s)
        return job.task.unseen(evaluated, recipe, known, split.train, replicates=job.settings.gate.replicates)
    except NotEnoughDataError as error:
        job.watcher.say(f"accounts never seen are not measured: {error}")
        return None


def judge(job: Job, model: Any, examples: Examples, split: Split, recipe: Recipe) -> Reported:
    """Judge a model on the later rows of a split; what came true there is told by the split and the recipe alone."""
    resampled = {"replicates": job.settings.gate.replicates, "seed": job.settings.seed}
    return job.task.report(model, examples, split, recipe=recipe, **resampled)


def every_row(examples: Examples) -> Ints:
    """Return the positions of all rows."""
    return np.arange(len(examples), dtype=np.int64)


@dataclass(frozen=True)
class Challenge:
    """A candidate before the gate.

    Attributes
    ----------
    champion
        Whom it challenges; None where nothing is in production yet.
    change
        How it differs from the champion.
    instead_of
        The refusal of a model in whose place the account anchor is sent.
    """

    job: Job
    examples: Examples
    trained: Trained
    champion: Champion | None
    change: Change
    instead_of: Decision | None = None

    def settle(self) -> Outcome:
        """Let the gate decide, register the candidate, and carry the decision out.

        A first candidate that is worse than the account anchor is refused, and the anchor itself is sent instead.
        """
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            served = self._pack(self.trained.served, every_row(self.examples), folder / "served", self._baseline())
            evaluated = self._pack(self.trained.evaluated, self.trained.split.train, folder / "evaluated")
            self.job.watcher.say("deciding")
            decision = self._decide(served)
            outcome = self._carry_out(decision, served, evaluated, folder / "artifacts")
        return self._with_anchor(decision).settle() if decision.ship_anchor else outcome

    @property
    def _key(self) -> str:
        """Names the candidate within its run, so that an interrupted run finds what it wrote."""
        return f"{self.job.key}/{self.trained.recipe.digest}"

    def _pack(self, model: Model, rows: Ints, folder: Path, baseline: Baseline | None = None) -> Bundle:
        return pack(
            model,
            self.trained.recipe,
            self.examples,
            rows,
            outcome=self.job.settings.outcome.model_dump(),
            data_hash=self.job.data_hash,
            folder=folder,
            baseline=baseline,
        )

    def _baseline(self) -> Baseline | None:
        """What monitoring holds later posts against; a refresh keeps what its recipe was judged on before."""
        trained, is_refit = self.trained, self.change is Change.REFRESH
        earlier = Baseline.load(self.champion.bundle.folder) if self.champion and is_refit else None
        judged = trained.split.judge
        return self.job.task.baseline(trained.served, trained.evaluated, self.examples, judged, trained.report, earlier)

    def _decide(self, served: Bundle) -> Decision:
        decision = decide(self._evidence(served), self.job.rules.gate)
        if self.instead_of and decision.promote:
            return replace(decision, reason=self.instead_of.for_anchor().reason)
        if self.champion is not None and self.champion.recipe == self.trained.recipe:
            return replace(decision, challenger=False)  # the champion's own recipe is no rival to compare it with
        return decision

    def _evidence(self, served: Bundle) -> Evidence:
        judged = self.trained.split.judge
        holdout = holdout_hash(self.examples, judged)
        uses = self.job.registry.ledger.count_holdout_use(self.job.name, holdout, self.job.key)
        if self.champion is not None and not self.champion.is_readable:
            self.job.watcher.say("this clipcast cannot serve the champion any more, so the candidate counts as a first")
        if self.champion is None or not self.champion.is_readable:
            return evidence_of_first(served, self.trained.report, uses)
        return evidence_against(
            Design.REFRESH if self.change is Change.REFRESH else Design.REPLACE,
            self.champion.loaded,
            self._champion_scored(self.champion),
            served,
            self.trained.report.model,
            self.examples,
            judged,
            self.job.rules,
            uses=uses,
        )

    def _champion_scored(self, champion: Champion) -> Judgement:
        """Score the champion: its own bundle in a refresh, in a replace its recipe on the challenger's rows."""
        job, split, recipe = self.job, self.trained.split, self.trained.recipe
        if self.change is Change.REFRESH:
            return judge(job, champion.model, self.examples, split, recipe).model
        if champion.recipe == recipe:
            job.watcher.say("the search found no better recipe than the champion's")
            return self.trained.report.model
        job.watcher.say("fitting the champion's recipe to the same rows")
        known = self.examples.known_by(split.train, split.until_s)
        return judge(job, job.task.fit(champion.recipe, known, split.train), self.examples, split, recipe).model

    def _carry_out(self, decision: Decision, served: Bundle, evaluated: Bundle, artifacts: Path) -> Outcome:
        """Describe and register the candidate, and enter the decision in the ledger with all that follows."""
        job = self.job
        job.check_ours()
        highest = job.registry.ledger.numbers(job.name)
        semver = next_semver(highest.semver, self.change)
        described = self._described(decision, semver)
        card = write_description(described, job.settings.cards_dir / job.name / semver)
        metrics = {**measured(described), "training_s": self.trained.seconds}
        origin = {"flow": job.flow, "logical_date": job.day.isoformat(), RUN_KEY_TAG: self._key}
        tags = {**version_tags(described), **origin}
        shutil.copytree(card.parent, artifacts / "card")
        shutil.copytree(evaluated.folder, artifacts / "evaluated")
        run_id = job.tracking.log_run(
            experiment_of(str(job.platform), job.family),
            f"{job.flow} {job.day.isoformat()} {self.trained.recipe.estimator}",
            run_parameters(described),
            metrics,
            tags,
            artifacts,
            run_key=self._key,
            started=job.started,
        )
        version = job.tracking.register(job.name, served.folder, run_id, tags, decision.reason, above=highest.version)
        row = settle(
            job.registry,
            Candidate(job.name, semver, served.folder, data_words(described), version, metrics),
            decision,
            expected_head=None if job.champion is None else job.champion.version,
            who=whoami(),
            logical_date=job.day,
            run_key=self._key,
        )
        return outcome_of(job, row)

    def _described(self, decision: Decision, semver: str) -> Described:
        job, trained, judged = self.job, self.trained, self.trained.split.judge
        return Described(
            name=job.name,
            semver=semver,
            recipe=trained.recipe,
            model=trained.served,
            examples=self.examples,
            rows=every_row(self.examples),
            judged=judged,
            report=trained.report,
            told=job.task.told(trained.evaluated, self.examples, judged, trained.report, trained.recipe.coverage),
            decision=decision,
            holdout_uses=decision.evidence.holdout_uses,
            data_hash=job.data_hash,
            trials=trained.trials,
            maturity_days=job.settings.outcome.maturity_days,
            horizon_days=job.settings.outcome.horizon_days,
            unseen=trained.unseen,
        )

    def _with_anchor(self, refused: Decision) -> Challenge:
        anchor = replace(self.trained.recipe, estimator="anchor", parameters={})
        trained = train(self.job, self.examples, self.trained.split, anchor, 0)
        return replace(self, trained=trained, instead_of=refused)
