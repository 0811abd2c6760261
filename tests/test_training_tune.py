"""The search: the same for the same seed, whatever happened on the way."""

import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from features.errors import MissingExtraError, NotEnoughDataError
from tests.training_world import built, known_frame, recipe
from training.examples import Examples
from training.recipe import Recipe
from training.tune import STARTUP_TRIALS, Tuned, judge_recipe, prepare_folds, tune

TRIALS = 12
START = Recipe("linear", {}, seed=7)

KILLED = """
import os, signal, sys
from tests.test_training_tune import START, TRIALS, searched
from training.tune import Fold

judged, error = 0, Fold.error

def dying(self, recipe):
    global judged
    judged += 1
    if judged == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return error(self, recipe)

Fold.error = dying
searched(sys.argv[1])
"""


@cache
def examples() -> Examples:
    return built(known_frame(accounts=25, weeks=12))


def searched(storage: str | None, trials: int = TRIALS, start: Recipe = START, **others: Any) -> Tuned:
    rows = np.arange(len(examples()))
    return tune(examples(), rows, start, trials=trials, storage=storage, study_name="study", **others)


@cache
def undisturbed() -> Tuned:
    return searched(None)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'studies.db'}"


def test_the_same_seed_finds_the_same_recipe() -> None:
    assert searched(None) == undisturbed()


def test_another_seed_draws_other_trials() -> None:
    other = searched(None, start=Recipe("linear", {}, seed=8))
    assert [trial["parameters"] for trial in other.trials] != [trial["parameters"] for trial in undisturbed().trials]


def test_folds_judged_side_by_side_find_the_same_recipe() -> None:
    assert searched(None, start=Recipe("linear", {}, seed=7, threads=3)) == undisturbed()


def test_the_defaults_are_the_first_trial_and_the_previous_best_comes_before_them() -> None:
    parameters = [trial["parameters"] for trial in undisturbed().trials]
    assert parameters[0] == {"alpha": 100.0}
    found = searched(None, trials=3, previous={"alpha": 33.0})
    assert [trial["parameters"] for trial in found.trials][:2] == [{"alpha": 33.0}, {"alpha": 100.0}]


def test_a_previous_best_that_is_the_default_is_tried_once() -> None:
    found = searched(None, trials=2, previous={"alpha": 100.0})
    assert found.trials[0]["parameters"] != found.trials[1]["parameters"]


def test_the_best_trial_becomes_the_recipe() -> None:
    found = undisturbed()
    complete = [trial for trial in found.trials if trial["state"] == "complete"]
    best = min(complete, key=lambda trial: trial["score"])
    assert found.recipe == Recipe("linear", best["parameters"], seed=7)
    assert found.score == best["score"]
    folds = prepare_folds(examples(), np.arange(len(examples())), START)
    assert judge_recipe(found.recipe, folds) == found.score


def test_trials_that_lag_behind_are_given_up_and_count_towards_the_budget() -> None:
    states = [trial["state"] for trial in undisturbed().trials]
    assert len(states) == TRIALS
    assert "pruned" not in states[:STARTUP_TRIALS]
    assert "pruned" in states
    assert [trial["number"] for trial in undisturbed().trials] == list(range(TRIALS))


@pytest.mark.parametrize("done", [0, 1, 4])
def test_a_study_left_in_the_middle_of_a_trial_ends_as_an_undisturbed_one(storage: str, done: int) -> None:
    if done:
        searched(storage, trials=done)
    left = optuna.create_study(storage=storage, study_name="study", load_if_exists=True, direction="minimize")
    running = left.ask()
    running.suggest_float("alpha", 1.0, 10_000.0, log=True)
    running.report(0.001, 1)
    left.enqueue_trial({"alpha": 3.0})
    assert searched(storage) == undisturbed()
    states = {trial.state.name for trial in left.get_trials()}
    assert states == {"COMPLETE", "PRUNED", "FAIL"}


@pytest.mark.parametrize("judged", [2, 17])
def test_a_killed_search_ends_as_an_undisturbed_one(database_uri: str, judged: int) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, database_uri, str(judged)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert searched(database_uri) == undisturbed()


def test_a_finished_study_is_read_and_not_searched_again(storage: str) -> None:
    first = searched(storage)
    told: list[int] = []
    assert searched(storage, progress=lambda done, _budget, _best: told.append(done)) == first
    assert told == []


def test_a_larger_budget_goes_on_where_the_smaller_one_ended(storage: str) -> None:
    searched(storage, trials=TRIALS - 2)
    assert searched(storage) == undisturbed()


def test_progress_is_told_after_each_trial() -> None:
    told: list[tuple[int, int, float]] = []
    found = searched(None, trials=4, progress=lambda *step: told.append(step))
    assert [(done, budget) for done, budget, _ in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[-1][2] == found.score
    assert [best for *_, best in told] == sorted((best for *_, best in told), reverse=True)


def test_an_estimator_without_parameters_gets_one_trial() -> None:
    found = searched(None, start=Recipe("anchor", {}, seed=7))
    assert [trial["parameters"] for trial in found.trials] == [{}]
    assert found.recipe == Recipe("anchor", {}, seed=7)


def test_boosters_are_searched_within_their_space() -> None:
    found = searched(None, trials=2, start=recipe())
    assert set(found.recipe.parameters) == set(recipe().parameters)


def test_rows_that_cannot_be_folded_are_refused() -> None:
    with pytest.raises(NotEnoughDataError):
        tune(examples(), np.arange(2), START, trials=1, storage=None, study_name="study")


def test_without_optuna_the_answer_is_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"clipcast\[pipeline\]"):
        searched(None)
