"""Two simulated weeks, replayed from import to a decided challenge, as a user would: one workspace for all tests."""

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta

import polars as pl
import pytest

from features.schema import IMPORT
from features.simulate import SOURCE, World, simulate
from features.store import Store
from tests.test_faults_secrets import PLANTED, assert_hidden, open_to_others

pytestmark = pytest.mark.slow

WORLD = World(accounts=40, weeks=18, posts_per_week=2.0)
FIRST, SECOND = (str((WORLD.end - timedelta(days=days)).date()) for days in (8, 1))
SMALL = {
    "CLIPCAST_TRAINING__TRIALS": "3",
    "CLIPCAST_TRAINING__FOLDS": "2",
    "CLIPCAST_TRAINING__FAMILIES": '["performance"]',
    "CLIPCAST_GATE__REPLICATES": "200",
}


class Workspace:
    """A folder with simulated posts, and the command working in it."""

    def __init__(self, folder):
        self.folder = folder
        self.home, self.data = folder / "home", folder / "data"
        self.said = ""
        Store(self.data).append([simulate(WORLD).posts], SOURCE)

    def clipcast(self, *arguments, expect=0):
        places = {"CLIPCAST_HOME": str(self.home), "CLIPCAST_DATA": str(self.data)}
        env = {**os.environ, **SMALL, **PLANTED, **places}
        command = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, umask=0o022)
        self.said += done.stdout + done.stderr
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.clipcast(*arguments, "--json"))

    def drafts(self):
        """Posts of the last days, as if not yet published."""
        posts = simulate(WORLD).posts.filter(pl.col("published_at") > WORLD.end - timedelta(days=3))
        posts = posts.unique("post_id", keep="first", maintain_order=True)
        path = self.folder / "drafts.csv"
        outcomes = ("views", "likes", "comments", "shares", "saves", "observed_at")
        posts.with_columns(pl.lit(None).alias(name) for name in outcomes).select(list(IMPORT)).write_csv(path)
        return path


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("weeks"))
    workspace.clipcast("run", "weekly", "--date", FIRST)
    return workspace


def test_the_first_week_promotes_a_model_for_every_platform(workspace):
    found = {each["model"]: each for each in workspace.json("status")["models"]}
    assert set(found) == {f"clipcast-{name}-performance" for name in ("tiktok", "instagram", "youtube")}
    for each in found.values():
        assert each["semver"] == "1.0.0"
        assert each["data_hash"] == Store(workspace.data).manifest().hash
        assert "simulated" in each["data"]
        assert each["metrics"]["mae_log"] < each["metrics"]["constant_mae_log"]


def test_a_whole_run_writes_nothing_that_others_may_read(workspace):
    """Neither clipcast nor MLflow, Optuna, Prefect, Polars or Matplotlib, under a umask that lets everybody read."""
    assert {path.name for path in workspace.home.iterdir()} >= {"artifacts", "bundles", "cards", "mlflow.db", "prefect"}
    assert open_to_others(workspace.home) == []


def test_the_same_week_again_repeats_its_answer_and_writes_nothing(workspace):
    before = workspace.json("history")
    assert "promoted" in workspace.clipcast("run", "weekly", "--date", FIRST)
    assert workspace.json("history") == before


def test_an_alias_that_others_moved_is_put_back_before_the_next_run_decides_anything(workspace):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(workspace.json("config")["tracking_uri"])
    client.delete_registered_model_alias("clipcast-youtube-performance", "production")
    said = workspace.clipcast("run", "weekly", "--platform", "tiktok", "--date", FIRST)
    assert "the alias production was deleted without the ledger, and names version 1 again" in said
    assert int(client.get_model_version_by_alias("clipcast-youtube-performance", "production").version) == 1
    assert [row["kind"] for row in workspace.json("history")["ledger"]][-1] == "reconciled"


def test_the_next_week_decides_about_a_challenge(workspace):
    workspace.clipcast("run", "weekly", "--platform", "youtube", "--date", SECOND)
    rows = [row for row in workspace.json("history")["ledger"] if row["model"] == "clipcast-youtube-performance"]
    rows = [row for row in rows if row["kind"] != "reconciled"]
    assert [row["logical_date"] for row in rows] == [FIRST, SECOND]
    assert rows[1]["kind"] in ("promoted", "kept", "insufficient")
    assert rows[1]["from_version"] == rows[0]["to_version"]
    assert rows[1]["evidence"]["checks"]


def test_a_daily_refresh_gates_the_same_recipe_on_newer_rows(workspace):
    workspace.clipcast("run", "daily", "--platform", "tiktok", "--date", SECOND)
    rows = [row for row in workspace.json("history")["ledger"] if row["model"] == "clipcast-tiktok-performance"]
    assert rows[-1]["evidence"]["evidence"]["comparison"] == "refresh"
    assert rows[-1]["semver"] == "1.0.1"


def test_forecasts_from_the_snapshot_equal_those_of_the_registered_version(workspace):
    drafts = workspace.drafts()
    out = workspace.folder / "forecasts.csv"
    workspace.clipcast("predict", drafts, "--out", out, "--history", "version", "--source", SOURCE)
    forecasts = pl.read_csv(out).filter(pl.col("platform") == "instagram")
    assert (forecasts["lower"] <= forecasts["prediction"]).all()
    assert (forecasts["prediction"] <= forecasts["upper"]).all()

    code = f"""
import sys
from features.telemetry import silence
silence()
import mlflow, pandas as pd
mlflow.set_tracking_uri({workspace.json("config")["tracking_uri"]!r})
model = mlflow.pyfunc.load_model("models:/clipcast-instagram-performance@production")
posts = pd.read_csv({str(drafts)!r}, dtype={{"post_id": str, "account_id": str}})
posts = posts[posts.platform == "instagram"].dropna(axis=1, how="all")
numbers = [name for name in ("duration_s", "followers") if name in posts]
posts = posts.astype({{name: float for name in numbers}})
posts = posts.astype(object).where(posts.notna(), None).astype({{name: float for name in numbers}})
model.predict(posts).to_csv(sys.argv[1], index=False)
"""
    served = workspace.folder / "served.csv"
    subprocess.run([sys.executable, "-c", code, str(served)], check=True, capture_output=True)
    answers = pl.read_csv(served)
    joined = forecasts.join(answers, on="post_id", suffix="_served")
    assert joined.height == forecasts.height > 0
    for name in ("prediction", "lower", "upper", "engagement_rate", "score", "score_lower", "score_upper"):
        assert (joined[name] - joined[f"{name}_served"]).abs().max() <= 1e-9 * joined[name].abs().max()


def test_no_version_holds_a_pickle(workspace):
    files = [path for path in (workspace.home / "artifacts").rglob("*") if path.is_file()]
    assert any(path.name == "MLmodel" for path in files)
    for path in files:
        assert path.suffix not in (".pkl", ".pickle", ".joblib")
        assert path.read_bytes()[:2] not in (b"\x80\x04", b"\x80\x05")


def test_a_rollback_brings_the_version_before_back(workspace):
    rows = [row for row in workspace.json("history")["ledger"] if row["kind"] == "promoted"]
    moved = [row for row in rows if row["from_version"] is not None]
    if not moved:
        pytest.skip("no challenge was promoted in this world, so there is nothing to go back to")
    model = moved[-1]["model"]
    workspace.clipcast("rollback", model, "--reason", "a test")
    last = [row for row in workspace.json("history")["ledger"] if row["model"] == model][-1]
    assert (last["kind"], last["to_version"]) == ("rolled_back", moved[-1]["from_version"])


def test_one_platform_that_fails_leaves_the_others_standing(workspace):
    """A hole in the store's file of one platform: that platform fails aloud, the others finish."""
    [part] = sorted((workspace.data / "posts" / "platform=instagram").rglob("*.parquet"))
    kept = part.read_bytes()
    part.write_bytes(b"not parquet")
    try:
        both = ("--platform", "instagram", "--platform", "youtube")
        said = workspace.clipcast("run", "weekly", *both, "--date", SECOND, expect=1)
    finally:
        part.write_bytes(kept)
    assert "instagram failed" in said
    rows = workspace.json("history")["ledger"]
    assert "clipcast-youtube-performance" in {row["model"] for row in rows if row["logical_date"] == SECOND}


@pytest.mark.soak
def test_a_champion_of_which_nothing_is_left_does_not_stop_the_run_that_replaces_it(workspace):
    from mlflow.tracking import MlflowClient

    name = "clipcast-instagram-performance"
    client = MlflowClient(workspace.json("config")["tracking_uri"])
    [lost] = [each for each in workspace.json("status")["models"] if each["model"] == name]
    client.delete_registered_model(name)
    shutil.rmtree(workspace.home / "bundles" / lost["bundle_sha256"])
    assert "cannot serve" in workspace.clipcast("status")
    said = workspace.clipcast("run", "weekly", "--platform", "instagram", "--date", SECOND)
    assert f"{name}: version {lost['version']} is in production, but was deleted" in said
    [found] = [each for each in workspace.json("status")["models"] if each["model"] == name]
    assert (found["version"], found["semver"], found["problem"]) == (lost["version"] + 1, "1.1.0", None)
    assert int(client.get_model_version_by_alias(name, "production").version) == found["version"]


def test_the_table_for_the_readme_names_its_data(workspace):
    readme = workspace.folder / "README.md"
    readme.write_text("<!-- versions in production: begin -->\nold\n<!-- versions in production: end -->\n")
    workspace.clipcast("readme", readme)
    text = readme.read_text()
    assert "old" not in text
    assert "simulated posts" in text
    assert "| Platform | Accuracy | MAE | R² | Last updated |" in text


def test_a_whole_run_keeps_no_secret_of_its_environment(workspace):
    """Not in its output, nor in any file: databases, logs, runs, cards, bundles and Prefect's home."""
    assert_hidden(workspace.folder, workspace.said)
