"""The search for a recipe: Optuna over forward-chaining folds, resumable and the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from features.columns import Floats, Ints
from features.errors import MissingExtraError, TrainingError
from features.safety import mask, redact
from training.blend import Blend
from training.core import fit_features, lessons_of, training_inputs
from training.estimators import estimator
from training.examples import Examples, Inputs
from training.experts import EXPERTS, KNOWN, Lessons, fit_known, fit_others
from training.judging import judged_inputs
from training.parallel import in_order
from training.recipe import Recipe
from training.regressor import Parameters
from training.split import forward_folds

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

TUNING_ROWS = 6_000
"""The latest training rows of a fold that trials are fitted to; the winner learns from all."""

STARTUP_TRIALS = 5
"""Trials that are never pruned; those of them that are not given are drawn at random."""

Progress = Callable[[int, int, float], None]
"""Called after each trial with the trials finished, the budget and the best score so far."""


class SearchFold(Protocol):
    """A fold on which recipes are judged."""

    def error(self, recipe: Recipe) -> float:
        """Return how far off a recipe is on the fold's later rows; the lower the better."""


Prepare = Callable[[Examples, Ints, Recipe], Sequence[SearchFold]]
"""Computes the folds of some rows, all that trials share done once."""


@dataclass(frozen=True, eq=False)
class Fold:
    """A fold ready to be fitted and judged, the same for every trial.

    Attributes
    ----------
    lessons
        What is learned from: the earlier rows and their copies.
    judged, residual, account
        What is judged on: the later rows, with the history of their day and with that of the fold's start.
    answers
        What the experts say of them that no trial changes; the other column is filled in by each.
    """

    lessons: Lessons
    judged: Inputs
    residual: Floats
    account: Ints
    answers: Floats

    def error(self, recipe: Recipe) -> float:
        """Return the mean absolute error of a recipe, the experts weighed as they would be in a model."""
        answers = self.answers.copy()
        answers[:, EXPERTS.index(KNOWN)] = fit_known(recipe, self.lessons).predict(self.judged.matrix)
        blend = Blend.fit(answers, self.residual, self.judged.is_new, self.account)
        return float(np.abs(self.residual - blend.residual(answers, self.judged.is_new)).mean())


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes
    ----------
    score
        Mean error over the folds, of log1p or what else the family judges by; the lower the better.
    trials
        Every finished trial: number, state, score (of a pruned one over its first folds) and parameters.
    """

    recipe: Recipe
    score: float
    trials: list[dict[str, Any]]


def tune(
    examples: Examples,
    rows: Ints,
    start: Recipe,
    *,
    trials: int,
    storage: str | None,
    study_name: str,
    previous: Parameters | None = None,
    progress: Progress | None = None,
    prepare: Prepare | None = None,
) -> Tuned:
    """Search the parameters of `start`'s estimator on some rows, within a budget of trials.

    The first trial is `previous`, the best of the last search, and the next the estimator's defaults; an
    estimator without parameters gets one trial. A study that was interrupted goes on where it stopped: each
    trial draws from a sampler seeded by the recipe's seed and the number of trials finished before it, so the
    outcome is that of an undisturbed search.

    Parameters
    ----------
    storage
        URL of the database that keeps the study; without one it is gone afterwards.
    prepare
        Computes the folds of a family; those of performance unless given.
    """
    optuna = _optuna()
    study = optuna.create_study(
        storage=open_storage(storage),
        study_name=study_name,
        load_if_exists=True,
        direction="minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
    )
    _close_interrupted(study)
    maker = estimator(start.estimator)
    given = [maker.defaults] if previous in (None, maker.defaults) else [previous, maker.defaults]
    budget = trials if maker.defaults else 1
    folds = (prepare or prepare_folds)(examples, rows, start) if len(_finished(study)) < budget else []
    while (done := len(_finished(study))) < budget:
        study.sampler = optuna.samplers.TPESampler(seed=start.seed * 100_003 + done, n_startup_trials=STARTUP_TRIALS)
        if done < len(given):
            study.enqueue_trial(dict(given[done]))
        trial = study.ask()
        _tell(study, trial, replace(start, parameters=maker.suggest(trial)), folds)
        if progress:
            progress(done + 1, budget, study.best_value)
    return Tuned(replace(start, parameters=dict(study.best_params)), study.best_value, _log(study))


def prepare_folds(examples: Examples, rows: Ints, recipe: Recipe) -> list[Fold]:
    """Compute each fold's inputs once: features' parameters are fitted to its training rows alone."""
    splits = forward_folds(
        examples.published_s[rows],
        [examples.sources[row] for row in rows],
        folds=recipe.folds,
        embargo_days=recipe.embargo_days,
    )
    folds = []
    for split in splits:
        earlier, later = rows[split.train][-TUNING_ROWS:], rows[split.judge]
        known = examples.known_by(earlier, split.until_s[-TUNING_ROWS:])
        fitted = fit_features(recipe, known, earlier)
        lessons = lessons_of(known, earlier, training_inputs(recipe, known, earlier, fitted))
        judged = judged_inputs(examples, later, fitted, split.frozen_s)
        folds.append(
            Fold(
                lessons=lessons,
                judged=judged,
                residual=np.tile(examples.outcome[later], 2) - judged.anchor,
                account=np.tile(examples.account[later], 2),
                answers=fit_others(recipe, lessons).answers(judged),
            )
        )
    return folds


def judge_recipe(recipe: Recipe, folds: Sequence[SearchFold], trial: Trial | None = None) -> float:
    """Return the mean error of a recipe over the folds.

    Raises
    ------
    optuna.TrialPruned
        The first folds already lag behind those of most other trials.
    """
    errors: list[float] = []
    with closing(in_order([partial(fold.error, recipe) for fold in folds], recipe.threads)) as found:
        for error in found:
            errors.append(error)
            if trial is not None:
                _report(trial, float(np.mean(errors)), len(errors), len(folds))
    return float(np.mean(errors))


def _report(trial: Trial, error: float, judged: int, folds: int) -> None:
    """Tell how a trial gets on, and give it up where most others were better by now."""
    trial.report(error, judged)
    if judged < folds and trial.should_prune():
        raise _optuna().TrialPruned


def _tell(study: Study, trial: Trial, recipe: Recipe, folds: Sequence[SearchFold]) -> None:
    optuna = _optuna()
    try:
        study.tell(trial, judge_recipe(recipe, folds, trial))
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)


def _finished(study: Study) -> list[FrozenTrial]:
    state = _optuna().trial.TrialState
    return study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED))


def _close_interrupted(study: Study) -> None:
    """Close what an interrupted process left: trials that wait are taken up, those that run have failed."""
    state = _optuna().trial.TrialState
    for _ in study.get_trials(deepcopy=False, states=(state.WAITING,)):
        study.ask()
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
        study.tell(trial.number, state=state.FAIL)


def _log(study: Study) -> list[dict[str, Any]]:
    return [
        {
            "number": number,
            "state": trial.state.name.lower(),
            "score": trial.value,
            "parameters": dict(trial.params),
        }
        for number, trial in enumerate(_finished(study))
    ]


def open_storage(storage: str | None) -> BaseStorage | None:
    """Open the study's database: a file waits while another process writes, a server is asked anew after each trial.

    Raises
    ------
    TrainingError
        It cannot be used.
    """
    if storage is None:
        return None
    optuna = _optuna()
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    # a trial may take longer than some servers and firewalls keep a connection that nobody uses
    options = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {"poolclass": NullPool}
    try:
        opened: BaseStorage = optuna.storages.RDBStorage(storage, engine_kwargs=options)
    except (optuna.exceptions.OptunaError, SQLAlchemyError) as error:
        cause = redact(str(getattr(error, "orig", None) or error)).partition("\n")[0]
        raise TrainingError(
            f"the studies in {mask(storage)} cannot be used: {cause}; check CLIPCAST_STUDIES_URI"
        ) from error
    return opened


def _optuna() -> Any:
    """Import Optuna, which only who trains has installed."""
    try:
        import optuna
    except ImportError as missing:
        raise MissingExtraError("optuna", "pipeline") from missing
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
