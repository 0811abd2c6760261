"""The champion that a candidate challenges."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from features.build import schema_hash
from features.errors import BundleError
from features.settings import Settings
from flows import challenge
from flows.challenge import Challenge, Champion, every_row, fit_twice
from flows.retrain import change_of
from registry.gate import GateRules
from registry.semver import Change
from tests.registry_fakes import good_evidence
from tests.training_world import built, known_frame, recipe
from training.core import fit_features
from training.ladder import Interval
from training.performance import Performance
from training.split import holdout_split

JOB = SimpleNamespace(settings=Settings.load())
WEEK = JOB.settings.outcome.model_dump()
BUNDLE = SimpleNamespace(folder="f", sha256="s", meta={"schema_hash": schema_hash(), "features": ["hour"]})


def test_a_champion_of_other_features_is_known_as_unreadable_instead_of_stopping_the_run(monkeypatch):
    def refuse(*_):
        raise BundleError("made for other features")

    monkeypatch.setattr(challenge, "load", refuse)
    assert not Champion(row=None, bundle=BUNDLE).is_readable


@pytest.mark.parametrize(
    ("names", "schema", "outcome", "change"),
    [
        (["hour"], schema_hash(), WEEK, Change.RETRAIN),
        (["hour", "visual_cuts"], schema_hash(), WEEK, Change.SCHEMA),
        (["hour"], "another", WEEK, Change.SCHEMA),
        (["hour"], schema_hash(), {**WEEK, "horizon_days": 30}, Change.SCHEMA),
    ],
)
def test_a_version_is_major_when_it_reads_or_forecasts_something_else(names, schema, outcome, change):
    meta = {"schema_hash": schema, "features": ["hour"], "outcome": outcome}
    champion = Champion(row=None, bundle=SimpleNamespace(folder="f", sha256="s", meta=meta))
    assert change_of(JOB, SimpleNamespace(names=names), champion) is change


@pytest.mark.parametrize(("rounds", "is_rival"), [(5, False), (9, True)])
def test_a_copy_of_the_champions_recipe_that_is_kept_is_no_challenger(monkeypatch, rounds, is_rival):
    kept = good_evidence(gain=Interval(0.0, 0.0, 0.0))
    monkeypatch.setattr(Challenge, "_evidence", lambda *_: kept)
    champion = SimpleNamespace(recipe=recipe(parameters={"rounds": 5}))
    trained = SimpleNamespace(recipe=recipe(parameters={"rounds": rounds}))
    job = SimpleNamespace(rules=SimpleNamespace(gate=GateRules()))
    decision = Challenge(job, None, trained, champion, Change.RETRAIN)._decide(None)
    assert (decision.promote, decision.challenger) == (False, is_rival)


def test_the_first_version_is_a_plain_retrain():
    assert change_of(JOB, SimpleNamespace(names=["hour"]), None) is Change.RETRAIN


def test_the_holdout_is_one_more_fold_to_the_fit_that_serves():
    examples, watcher = built(known_frame()), SimpleNamespace(say=str)
    split = holdout_split(examples.published_s, examples.sources, share=0.2, embargo_days=3)
    evaluated, served = fit_twice(SimpleNamespace(task=Performance(), watcher=watcher), examples, split, recipe())
    assert served.folds[-1].judged == len(split.judge)
    assert served.folds[-1].learned == len(split.train)
    assert len(served.folds) == len(evaluated.folds) + 1
    assert served.calibration.primary != evaluated.calibration.primary
    assert served.core.fitted.prior == fit_features(recipe(), examples, every_row(examples)).prior


def test_the_holdout_changes_nothing_of_the_fit_that_it_judges(tmp_path):
    examples = built(known_frame())
    split = holdout_split(examples.published_s, examples.sources, share=0.2, embargo_days=3)
    outcome = examples.outcome.copy()
    outcome[split.judge] = outcome[split.judge][::-1]
    job = SimpleNamespace(task=Performance(), watcher=SimpleNamespace(say=str))
    written = []
    for number, (seen, threads) in enumerate(((examples, 1), (replace(examples, outcome=outcome), 2))):
        folder = tmp_path / str(number)
        folder.mkdir()
        fit_twice(job, seen, split, recipe(threads=threads))[0].save(folder)
        written.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert written[0] == written[1]
