"""A look at a model: what it finds, what it leaves behind, and that nothing is lost or told twice on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
import sqlalchemy as sa

from features.settings import Settings
from features.simulate import simulate
from features.targets import primary_log
from flows import cli
from flows.watching import to_retrain, watch
from monitoring.accuracy import Accuracy, read_accuracies, write_accuracies
from monitoring.alerts import Kind, acknowledge, alerts_of, ask_retrain_once
from monitoring.decision import Action, should_retrain
from monitoring.log import PredictionLog, pack
from monitoring.look import Condition, Look
from monitoring.matured import read_matured
from monitoring.predictions import matured, predictions
from monitoring.verdict import VERDICT, read_verdict
from monitoring.watch import look_at
from registry.database import Database
from tests.monitoring_world import OPENS, PLATFORM, WORLD, Watched, published, watched
from tests.predictions_world import prediction
from tests.service_world import ROOT, Workspace

END = WORLD.end
VIRALITY = f"clipcast-{PLATFORM}-virality"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A workspace whose service was asked about the first four weeks."""
    world = watched(tmp_path_factory.mktemp("watched"))
    world.ask(published(world.known(), OPENS, END - timedelta(days=7)))
    return world


@pytest.fixture
def world(made: Watched, tmp_path: Path) -> Watched:
    """A copy of that workspace for one test."""
    for folder in (made.settings.home, made.settings.data):
        shutil.copytree(folder, tmp_path / folder.name)
    settings = Settings.load(home=tmp_path / made.settings.home.name, data=tmp_path / made.settings.data.name)
    return Watched(Workspace(settings, str(PLATFORM)))


def last_week(world: Watched) -> pl.DataFrame:
    return published(world.known(), END - timedelta(days=7), END)


def look(world: Watched, at: datetime = END) -> Look:
    found = look_at(world.settings, world.model, PLATFORM, world.known(at), at)
    assert found is not None
    return found


def kinds(look: Look) -> set[Kind]:
    return {each.kind for each in look.findings}


def test_a_look_says_how_predictions_turned_out_and_what_to_do(world: Watched) -> None:
    world.ask(last_week(world))
    found = look(world)
    assert found.matured.height > 900
    assert found.skew is not None
    assert (found.skew.checked, found.skew.different) == (found.window.total, 0)
    assert not kinds(found) & {Kind.SKEW, Kind.BROKEN}
    whole = found.rows[0]
    errors = (found.matured["truth"] - found.matured["prediction"]).abs()
    assert whole.metrics["mae_log"].value == pytest.approx(float(errors.to_numpy().mean()))
    assert {row.week for row in found.rows} >= {"all", "2026-06-22"}
    assert {row.slice for row in found.rows} >= {"all", "account", "followers x media type"}
    told = [json.loads(each)["expected_error"] for each in found.window.asked["answer"]]
    assert found.expected.told == pytest.approx(np.mean(told))
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    assert found.metrics()["production_mae_log"] == whole.metrics["mae_log"].value
    of_another = replace(found, answering=replace(found.answering, semver="9.9.9"))
    assert "production_mae_log" not in of_another.metrics(), "what others answered is not a version's own"


def test_few_outcomes_of_a_window_are_not_held_against_the_baseline(world: Watched) -> None:
    world.ask(last_week(world))
    enough = look(world)
    assert enough.drift is not None
    assert enough.drift.target_distance is not None
    assert enough.unmeasured == ()
    with Database(world.settings.predictions_uri).writing() as connection:
        since = int((END - timedelta(days=7)).timestamp())
        lately = sa.select(matured.c.post_id).where(matured.c.known_s >= since).limit(9)
        few = connection.execute(lately).scalars().all()
        dropped = sa.and_(matured.c.known_s >= since, matured.c.post_id.not_in(few))
        connection.execute(sa.update(matured).where(dropped).values(model="another"))
        asked = sa.update(predictions).where(predictions.c.at < since).values(model="another")
        connection.execute(asked)  # or the look would write the outcomes down again
    found = look(world)
    assert found.drift is not None
    assert found.drift.target_distance is None
    assert found.unmeasured == ((Kind.DRIFT, "outcomes"),)


def test_nobody_asked_and_few_asked_are_no_verdict(world: Watched) -> None:
    assert look_at(world.settings, world.model, PLATFORM, world.known(OPENS), OPENS) is None
    early = look(world, OPENS + timedelta(days=2))
    assert early.condition is Condition.EARLY
    assert any("tell too little" in note for note in early.notes)


def test_a_look_at_the_past_knows_nothing_of_what_came_later(world: Watched) -> None:
    at = END - timedelta(days=14)
    before = look(world, at).to_dict()
    world.ask(last_week(world))
    look(world)
    assert look(world, at).to_dict() == before


def test_captions_that_stop_arriving_are_told_by_name_with_exit_code_3(
    world: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.ask(last_week(world).with_columns(pl.lit(None, pl.String).alias("caption")))
    found = look(world)
    assert {each.subject for each in found.findings if each.kind is Kind.BROKEN} >= {"caption_length"}
    assert found.decision.action is Action.REPAIR
    code, said = run_monitor(world, monkeypatch, capsys)
    assert code == cli.NEEDS_ATTENTION
    assert "caption_length" in said
    assert "needs attention" in said


@pytest.mark.parametrize(("said", "holds"), [(0.3, True), (0.05, False)])
def test_probabilities_of_going_viral_are_held_against_what_happened(
    world: Watched, monkeypatch: pytest.MonkeyPatch, said: float, holds: bool
) -> None:
    """Three posts in ten go viral, by the yardstick that the answers name."""
    posts = published(world.known(), OPENS, END - timedelta(days=14))
    outcomes = np.expm1(primary_log(posts))
    answer = {
        "virality_score": said,
        "virality_interval": {"value": said, "lower": said / 2, "upper": said * 2},
        "account_known": True,
    }
    with PredictionLog(world.settings.predictions_uri) as log:
        for number, row in enumerate(posts.to_dicts()):
            own = {name: row[name] for name in ("post_id", "account_id")}
            at = row["published_at"].timestamp()
            above = outcomes[number] * (0.5 if number % 10 < 3 else 2)
            told = orjson.dumps({**answer, "viral_above": float(above)})
            log.append(prediction(number, model=VIRALITY, at=at, answer=told, **own))
    found = look(world)
    assert found.virality is not None
    assert found.virality.own.brier == pytest.approx(0.3 * (1 - said) ** 2 + 0.7 * said**2, abs=0.005)
    assert found.virality.own.posts == posts.height
    assert found.virality.calibration.kept == pytest.approx(0.3, abs=0.03)
    assert any(each.startswith("Probabilities of going viral") for each in found.sentences)
    assert (Kind.CALIBRATION in kinds(found)) is not holds
    assert Kind.CALIBRATION in found.measured
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    added: dict[str, dict[str, float]] = {}
    monkeypatch.setattr(
        "flows.watching.Tracking.add_later", lambda _, *given: added.update({given[0]: given[2]}) or True
    )
    watch(world.settings, [str(PLATFORM)], END)
    assert added[VIRALITY]["production_viral_share"] == found.virality.own.viral_share
    assert ("clipcast run weekly" in found.decision.next_step) is not holds


def test_a_feature_that_the_service_reads_otherwise_is_skew_the_same_day(world: Watched) -> None:
    first_day = published(world.known(), END - timedelta(days=7), END - timedelta(days=6))
    world.ask(first_day)
    place = world.version.model.names.index("log_duration")
    database = Database(world.settings.predictions_uri)
    since = (END - timedelta(days=7)).timestamp()
    with database.writing() as connection:
        rows = connection.execute(sa.select(predictions.c.id, predictions.c.features).where(predictions.c.at >= since))
        for key, features in rows.fetchall():
            values = np.frombuffer(features, "<f8").copy()
            values[place] -= np.log(60)
            changed = sa.update(predictions).where(predictions.c.id == key).values(features=pack(values))
            connection.execute(changed)
    found = look(world, END - timedelta(days=6))
    assert found.skew is not None
    assert set(found.skew.features) == {"log_duration"}
    [skew] = [each for each in found.findings if each.kind is Kind.SKEW]
    unknown = first_day["duration_s"].is_null().sum()
    assert skew.sentence.startswith(f"{first_day.height - unknown} of {found.window.total} answers")
    assert "log duration" in skew.sentence


def decayed(tmp_path: Path) -> Watched:
    """A workspace in which outcomes scatter from the fifth last week on."""
    posts = simulate(WORLD).posts
    ids = posts["post_id"].unique().sort()
    chance = pl.DataFrame({"post_id": ids, "chance": np.exp(np.random.default_rng(7).normal(0, 2.0, len(ids)))})
    views = pl.when(pl.col("published_at") >= OPENS).then(pl.col("views") * pl.col("chance")).otherwise("views")
    changed = posts.join(chance, on="post_id", maintain_order="left").with_columns(
        views.round().cast(pl.Int64).alias("views")
    )
    world = watched(tmp_path, changed.select(posts.columns))
    world.ask(published(world.known(), OPENS, END))
    return world


def test_decay_asks_for_one_retraining_until_somebody_looks_after_it(tmp_path: Path) -> None:
    world = decayed(tmp_path)
    looks = watch(world.settings, None, END).looks
    [found] = looks
    assert Kind.DECAY in kinds(found)
    assert "clipcast run weekly" in str(found.to_dict()["decision"])
    asking = to_retrain(world.settings, looks)
    [alert] = asking[str(PLATFORM)]
    assert alert.kind is Kind.DECAY
    assert ask_retrain_once(world.settings.predictions_uri, alert.id, END)
    assert to_retrain(world.settings, looks) == {}
    assert not ask_retrain_once(world.settings.predictions_uri, alert.id, END)


def test_an_acknowledged_decay_or_a_switched_off_setting_starts_nothing(tmp_path: Path) -> None:
    world = decayed(tmp_path)
    looks = watch(world.settings, None, END).looks
    off = world.settings.model_copy(
        update={"monitoring": world.settings.monitoring.model_copy(update={"retrain": False})}
    )
    assert to_retrain(off, looks) == {}
    for each in alerts_of(world.settings.predictions_uri):
        acknowledge(world.settings.predictions_uri, each.id, "a person")
    assert to_retrain(world.settings, looks) == {}


def test_what_is_broken_comes_before_a_retraining_and_drift_asks_for_an_evaluation() -> None:
    assert should_retrain([], "tiktok").action is Action.NONE
    assert should_retrain([Kind.DRIFT], "tiktok").action is Action.EVALUATE
    assert should_retrain([Kind.BIAS, Kind.DRIFT, Kind.DECAY], "tiktok").action is Action.RETRAIN
    for kind in (Kind.BROKEN, Kind.SKEW, Kind.SPLIT):
        assert should_retrain([Kind.DECAY, kind], "tiktok").action is Action.REPAIR
    assert "--platform tiktok" in should_retrain([Kind.DECAY], "tiktok").next_step


def test_a_deleted_version_leaves_its_errors_known_and_the_rest_said_to_be_unknown(world: Watched) -> None:
    look(world)
    shutil.rmtree(world.settings.bundles_dir)
    found = look(world)
    assert found.condition is Condition.EARLY
    assert found.matured.height > 600
    assert any("keeps no posts of its own, or is gone" in note for note in found.notes)


def test_rows_of_an_unknown_version_and_of_other_features_hold_nothing_up(world: Watched) -> None:
    at = END - timedelta(days=8)
    database = Database(world.settings.predictions_uri)
    with database.writing() as connection:
        newest = sa.select(predictions.c.id).order_by(predictions.c.at.desc()).limit(30).scalar_subquery()
        strange = {"sha256": "0" * 64, "version": 99, "semver": "9.0.0", "features": b"\0" * 8}
        connection.execute(sa.update(predictions).where(predictions.c.id.in_(newest)).values(**strange))
        oldest = sa.select(predictions.c.id).order_by(predictions.c.at).limit(1).scalar_subquery()
        connection.execute(sa.update(predictions).where(predictions.c.id.in_(oldest)).values(sha256="1" * 64))
    found = look(world, at)
    assert found.answering.version == 1
    assert found.matured.filter(pl.col("version") == 1).height > 1_000
    newer = look(world)
    assert newer.answering.version == 99
    assert newer.condition is Condition.EARLY


def test_outcomes_that_come_late_change_the_next_look_and_no_other(world: Watched) -> None:
    at = END - timedelta(days=10)
    full = world.known(at)
    due = published(full, OPENS, at - timedelta(days=7)).filter(pl.col("known_at").is_not_null())
    late = due["post_id"].tail(50)
    early = full.filter(~pl.col("post_id").is_in(late.implode()))
    first = look_at(world.settings, world.model, PLATFORM, early, at)
    second = look_at(world.settings, world.model, PLATFORM, full, at)
    assert first is not None
    assert second is not None
    assert second.matured.height == first.matured.height + 50


def test_a_model_that_cannot_be_looked_at_is_told_and_leaves_the_others_standing(
    world: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"clipcast-youtube-performance": Accuracy(3, 1.0, "2026-01-01")}
    write_accuracies(world.settings.accuracy_file, kept)
    monkeypatch.setattr("flows.watching.write_reports", lambda *_, **__: 1 / 0)
    delivered: list[object] = []
    monkeypatch.setattr("flows.watching.deliver", lambda *given: delivered.append(given))
    done = watch(world.settings, None, END)
    assert done.looks == []
    assert "division by zero" in done.failed[world.model]
    assert len(delivered) == 1
    assert read_accuracies(world.settings.accuracy_file) == kept


KILL = """
import os, sys
from datetime import date
from rich.console import Console
from flows import watching
watching.write_reports = lambda *_, **__: os._exit(9)
watching.monitor([], date.fromisoformat(sys.argv[1]), Console(), quiet=True)
"""
"""Ends at once after alerts were opened, before anything was reported or anybody told."""


DAY = (END - timedelta(days=1)).date()


@pytest.fixture(scope="module")
def undisturbed(made: Watched, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A workspace in which captions stopped arriving, before monitoring looks, and what a look leaves there."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(made.settings.home, folder / "before")
    settings = Settings.load(home=folder / "before", data=made.settings.data)
    world = Watched(Workspace(settings, str(PLATFORM)))
    world.ask(last_week(world).with_columns(pl.lit(None, pl.String).alias("caption")))
    shutil.copytree(folder / "before", folder / "home")
    ended = in_process(folder / "home", made.settings.data, "-m", "flows.cli", "monitor", "--date", str(DAY))
    assert ended.returncode == cli.NEEDS_ATTENTION, ended.stderr
    return folder / "before", state_of(folder / "home", made.model)


@pytest.mark.soak
def test_monitoring_killed_midway_and_run_again_gives_the_same(
    made: Watched, undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    before, expected = undisturbed
    home = tmp_path / "home"
    shutil.copytree(before, home)
    killed = in_process(home, made.settings.data, "-c", KILL, str(DAY))
    assert killed.returncode == 9, killed.stderr
    ended = in_process(home, made.settings.data, "-m", "flows.cli", "monitor", "--date", str(DAY))
    assert ended.returncode == cli.NEEDS_ATTENTION, ended.stderr
    assert state_of(home, made.model) == expected


def in_process(home: Path, data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "CLIPCAST_HOME": str(home), "CLIPCAST_DATA": str(data), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=ROOT)


def state_of(home: Path, model: str) -> dict[str, Any]:
    """What a look leaves behind, but for the id of the process that sent an alert."""
    uri = f"sqlite:///{home}/predictions.db"
    files = sorted(each.relative_to(home) for each in (home / "monitoring").rglob("*") if each.is_file())
    matured = read_matured(uri, model, since=OPENS, until=END)
    return {
        "files": [str(each) for each in files],
        "verdict": read_verdict(home / "monitoring" / model / VERDICT),
        "matured": matured.to_dicts(),
        "alerts": [(each.kind, each.subject, each.state, each.sentence, each.delivered_at) for each in alerts_of(uri)],
        "accuracy": read_accuracies(home / "monitoring" / "accuracy.json"),
    }


def test_the_version_in_mlflow_tells_what_came_of_it(world: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[tuple[Any, ...]] = []
    monkeypatch.setattr("flows.watching.Tracking.add_later", lambda _, *given: (added.append(given), True)[1])
    [found] = watch(world.settings, [str(PLATFORM)], END - timedelta(days=7)).looks
    [(model, version, metrics, at, (files, name))] = added
    assert (model, version, at) == (world.model, 1, END - timedelta(days=7))
    assert metrics == found.metrics()
    assert {path.name for path in files.iterdir()} >= {VERDICT, "drift.html", "performance.csv", "accounts.csv"}
    assert name == f"monitoring/{(END - timedelta(days=8)).date()}"


def run_monitor(
    world: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str]:
    monkeypatch.setenv("CLIPCAST_HOME", str(world.settings.home))
    monkeypatch.setenv("CLIPCAST_DATA", str(world.settings.data))
    day = str((END - timedelta(days=1)).date())
    monkeypatch.setattr(sys, "argv", ["clipcast", "monitor", "--date", day])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().out
