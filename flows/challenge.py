"""From a recipe to a decision: fit, judge, bundle, decide, register, and promote if the gate says so."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from features.columns import Ints
from flows.job import Job, Outcome, whoami
from registry.bundle import Bundle
from registry.candidate import evidence_against, evidence_of_first, holdout_hash, pack
from registry.decision import Decision, decide
from registry.description import Described, data_words, run_parameters, version_tags, write_description
from registry.gate import Comparison, Evidence
from registry.ledger import Row
from registry.loading import Loaded, load
from registry.promotion import Candidate, settle
from registry.semver import Change, next_semver
from registry.tracking import experiment_of
from training.evaluate import Scored
from training.examples import Examples
from training.performance_model import PerformanceModel
from training.recipe import Recipe
from training.report import Report, coverage_levels, report_on
from training.split import Split


@dataclass(frozen=True)
class Champion:
    """What is in production: its row in the ledger, its bundle, and its model."""

    row: Row
    loaded: Loaded

    @property
    def model(self) -> PerformanceModel:
        """The fitted model."""
        assert isinstance(self.loaded.model, PerformanceModel)  # noqa: S101  # narrows the type: one family so far
        return self.loaded.model

    @property
    def recipe(self) -> Recipe:
        """The recipe it was fitted by."""
        return Recipe.from_dict(self.loaded.bundle.meta["recipe"])


def champion_of(job: Job) -> Champion | None:
    """Open the platform's champion, None before the first promotion."""
    registry = job.registry
    row = registry.ledger.champion(job.name)
    if row is None:
        return None
    bundle = registry.bundle_of(row)
    return Champion(row, load(bundle.folder, bundle.sha256))


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
    """

    recipe: Recipe
    trials: int
    evaluated: PerformanceModel
    served: PerformanceModel
    report: Report
    split: Split


def train(job: Job, examples: Examples, split: Split, recipe: Recipe, trials: int) -> Trained:
    """Fit a recipe to the rows before the holdout and judge it there, then fit it to all rows."""
    job.watcher.say("fitting and judging on the holdout")
    evaluated = job.task.fit(recipe, examples, split.train)
    report = judge(job, evaluated, examples, split)
    job.watcher.say("fitting to all mature posts")
    served = job.task.fit(recipe, examples, every_row(examples))
    return Trained(recipe, trials, evaluated, served, report, split)


def judge(job: Job, model: PerformanceModel, examples: Examples, split: Split) -> Report:
    """Judge a model on the later rows of a split."""
    return report_on(job.task, model, examples, split, replicates=job.settings.gate.replicates, seed=job.settings.seed)


def every_row(examples: Examples) -> Ints:
    """Return the positions of all rows."""
    return np.arange(len(examples), dtype=np.int64)


def challenge(job: Job, examples: Examples, trained: Trained, champion: Champion | None, change: Change) -> Outcome:
    """Let the gate decide about a candidate, register it, and carry the decision out.

    A first candidate that is worse than the account anchor is refused, and the anchor itself goes through instead.
    """
    started = datetime.now(UTC)
    uses = job.registry.ledger.count_holdout_use(job.name, holdout_hash(examples, trained.split.judge), job.key)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        served = pack(trained.served, trained.recipe, examples, every_row(examples), job.data_hash, folder / "served")
        evaluated = pack(
            trained.evaluated,
            trained.recipe,
            examples,
            trained.split.train,
            job.data_hash,
            folder / "evaluated",
        )
        job.watcher.say("deciding")
        evidence = _evidence(job, examples, trained, champion, change, served, uses)
        decision = decide(evidence, job.rules.gate)
        outcome = _carry_out(job, examples, trained, champion, change, decision, served, evaluated, started, folder)
    if decision.ship_anchor and trained.recipe.estimator != "anchor":
        anchor = replace(trained.recipe, estimator="anchor", parameters={})
        return challenge(job, examples, train(job, examples, trained.split, anchor, 0), champion, change)
    return outcome


def _evidence(
    job: Job,
    examples: Examples,
    trained: Trained,
    champion: Champion | None,
    change: Change,
    served: Bundle,
    uses: int,
) -> Evidence:
    if champion is None:
        return evidence_of_first(served, trained.report, uses)
    comparison = Comparison.REFRESH if change is Change.REFRESH else Comparison.REPLACE
    return evidence_against(
        comparison,
        champion.loaded,
        _champion_scored(job, examples, trained, champion, comparison),
        served,
        trained.report.model,
        examples,
        trained.split.judge,
        job.rules,
        uses=uses,
    )


def _champion_scored(
    job: Job, examples: Examples, trained: Trained, champion: Champion, comparison: Comparison
) -> Scored:
    """Score the champion: its own bundle in a refresh, in a replace its recipe on the challenger's rows."""
    if comparison is Comparison.REFRESH:
        return judge(job, champion.model, examples, trained.split).model
    if champion.recipe == trained.recipe:
        return trained.report.model
    job.watcher.say("fitting the champion's recipe to the same rows")
    return judge(job, job.task.fit(champion.recipe, examples, trained.split.train), examples, trained.split).model


def _carry_out(
    job: Job,
    examples: Examples,
    trained: Trained,
    champion: Champion | None,
    change: Change,
    decision: Decision,
    served: Bundle,
    evaluated: Bundle,
    started: datetime,
    folder: Path,
) -> Outcome:
    registry = job.registry
    semver = next_semver(job.tracking.highest_semver(job.name), change)
    described = _described(job, examples, trained, decision, semver)
    card = write_description(described, job.settings.cards_dir / job.name / semver)
    metrics = trained.report.metrics()
    tags = {**version_tags(described), "flow": job.flow, "logical_date": job.day.isoformat()}
    run_id = job.tracking.log_run(
        experiment_of(str(job.platform)),
        f"{job.flow} {job.day.isoformat()} {trained.recipe.estimator}",
        run_parameters(described),
        metrics,
        tags,
        _artifacts(card.parent, evaluated, folder / "artifacts"),
        run_key=f"{job.key}/{trained.recipe.digest}",
        started=started,
    )
    version = job.tracking.register(job.name, served.folder, run_id, tags, decision.reason)
    row = settle(
        registry,
        Candidate(job.name, semver, served.folder, data_words(described), version, metrics),
        decision,
        expected_head=None if champion is None else champion.row.version,
        who=whoami(),
        logical_date=job.day,
        run_key=f"{job.key}/{trained.recipe.digest}",
    )
    return Outcome(
        platform=str(job.platform),
        verdict=str(row.kind),
        reason=row.reason,
        version=version,
        semver=semver,
        metrics=metrics,
        ladder=trained.report.ladder.to_dict(),
        card=str(card),
    )


def _described(job: Job, examples: Examples, trained: Trained, decision: Decision, semver: str) -> Described:
    return Described(
        name=job.name,
        semver=semver,
        recipe=trained.recipe,
        model=trained.served,
        examples=examples,
        rows=every_row(examples),
        judged=trained.split.judge,
        report=trained.report,
        levels=coverage_levels(job.task, trained.evaluated, examples, trained.split.judge),
        decision=decision,
        holdout_uses=decision.evidence.holdout_uses,
        data_hash=job.data_hash,
        trials=trained.trials,
        maturity_days=job.settings.outcome.maturity_days,
        horizon_days=job.settings.outcome.horizon_days,
    )


def _artifacts(card: Path, evaluated: Bundle, folder: Path) -> Path:
    """Put what a run shows beside its numbers into one folder: the card, its pictures, the evaluated fit."""
    import shutil

    shutil.copytree(card, folder / "card")
    shutil.copytree(evaluated.folder, folder / "evaluated")
    return folder
