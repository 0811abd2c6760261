"""The champion that a candidate challenges."""

from types import SimpleNamespace

import pytest

from features.build import schema_hash
from features.errors import BundleError
from features.settings import Settings
from flows import challenge
from flows.challenge import Champion
from flows.retrain import change_of
from registry.semver import Change

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


def test_the_first_version_is_a_plain_retrain():
    assert change_of(JOB, SimpleNamespace(names=["hour"]), None) is Change.RETRAIN
