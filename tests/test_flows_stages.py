"""The reproducible pipeline of dvc.yaml, stage by stage, on a small simulated world."""

import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from features.errors import ClipcastError
from features.schema import Platform
from features.settings import Settings
from features.simulate import SOURCE, World, simulate
from features.store import Store
from flows.stages import STAGES, run_stage

REPOSITORY = Path(__file__).parents[1]
WORLD = World(platforms=(Platform.TIKTOK,), accounts=45, weeks=16, posts_per_week=2.0)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPCAST_TRAINING__TRIALS", "2")
    monkeypatch.setenv("CLIPCAST_TRAINING__FOLDS", "2")
    monkeypatch.setenv("CLIPCAST_GATE__REPLICATES", "100")
    Store(Settings.load().data).append([simulate(WORLD).posts], SOURCE)
    return tmp_path


def run_all(console):
    for name in STAGES:
        run_stage(name, console)


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_the_stages_give_metrics_plots_a_decision_and_the_same_bytes_again():
    console = Console(quiet=True)
    run_all(console)
    metrics = json.loads(Path("artifacts/evaluate.json").read_text())["tiktok"]
    assert metrics["mae_log"] < metrics["constant_mae_log"]
    assert json.loads(Path("artifacts/gate.json").read_text())["tiktok"]["reason"]
    assert Path("artifacts/plots/predicted-actual-tiktok.csv").read_text().startswith("predicted,actual\n")
    written = {path: path.read_bytes() for path in Path("artifacts").rglob("*") if path.is_file()}

    run_all(console)
    assert {path: path.read_bytes() for path in Path("artifacts").rglob("*") if path.is_file()} == written


@pytest.mark.usefixtures("workspace")
def test_an_unknown_stage_is_refused_with_the_known_ones():
    with pytest.raises(ClipcastError, match="featurize, train, evaluate, gate"):
        run_stage("bake", Console(quiet=True))


def test_dvc_yaml_runs_every_stage_in_order():
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    assert [stage["cmd"] for stage in stages.values()] == [f"clipcast stage {name}" for name in STAGES]


def test_the_work_pool_and_the_served_schedule_say_the_same():
    from flows.scheduling import CRONS

    deployments = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    assert {each["name"]: each["schedules"][0]["cron"] for each in deployments} == CRONS
