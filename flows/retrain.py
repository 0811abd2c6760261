"""The weekly job: a full retrain with a search for a better recipe."""

from __future__ import annotations

from features.build import schema_hash
from flows.challenge import Challenge, Champion, champion_of, train
from flows.job import Job, Outcome
from registry.semver import Change
from training.examples import Examples
from training.recipe import Recipe
from training.split import Split, holdout_split
from training.tune import Tuned, tune


def retrain(job: Job) -> Outcome:
    """Search for a recipe, judge it on the sealed holdout against the champion's, and let the gate decide."""
    job.watcher.say("building rows")
    examples = job.examples()
    split = sealed(job, examples)
    champion = champion_of(job)
    tuned = search(job, examples, split, champion, job.task.estimator, job.trials)
    trained = train(job, examples, split, tuned.recipe, len(tuned.trials))
    return Challenge(job, examples, trained, champion, change_of(job, examples, champion)).settle()


def sealed(job: Job, examples: Examples) -> Split:
    """Seal the latest mature posts of each source."""
    return holdout_split(
        examples.published_s,
        examples.sources,
        share=job.settings.training.holdout_share,
        embargo_days=job.settings.outcome.maturity_days,
    )


def search(job: Job, examples: Examples, split: Split, champion: Champion | None, estimator: str, trials: int) -> Tuned:
    """Search an estimator's parameters on the rows before the holdout, the champion's first."""
    previous = champion.recipe.parameters if champion and champion.recipe.estimator == estimator else None
    job.watcher.say(f"searching {trials} recipes of {estimator}")
    return tune(
        examples.known_by(split.train, split.until_s),
        split.train,
        starting_recipe(job, estimator),
        trials=trials,
        storage=job.settings.studies_uri,
        study_name=f"{job.key}/{estimator}",
        previous=previous,
        progress=job.watcher.advance,
        prepare=job.task.prepare,
    )


def starting_recipe(job: Job, estimator: str) -> Recipe:
    """Return the recipe that a search fills in with parameters."""
    settings = job.settings
    return Recipe(
        estimator=estimator,
        parameters={},
        seed=settings.seed,
        folds=settings.training.folds,
        coverage=settings.intervals.coverage,
        embargo_days=settings.outcome.maturity_days,
        threads=settings.threads,
    )


def change_of(job: Job, examples: Examples, champion: Champion | None) -> Change:
    """Return how a version differs from the champion: in what it reads or forecasts, or in recipe and rows."""
    if champion is None:
        return Change.RETRAIN
    described = champion.bundle.meta
    now = (schema_hash(), examples.names, job.settings.outcome.model_dump())
    before = (described["schema_hash"], described["features"], described.get("outcome"))
    return Change.RETRAIN if now == before else Change.SCHEMA
