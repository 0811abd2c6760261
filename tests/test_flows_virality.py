"""Both families of one platform, from posts to decided challenges, as a user would run them."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from features.schema import IMPORT, Platform
from features.settings import Settings
from features.simulate import SOURCE, World, simulate
from features.store import Store
from flows import orchestration
from flows.job import Job, Outcome
from flows.orchestration import PartlyFailedError, run_platform
from registry.loading import differences, load
from registry.production import read_production
from training.factors import FACTORS

WORLD = World(platforms=(Platform.TIKTOK,), accounts=40, weeks=16, posts_per_week=2.0)
FIRST, SECOND = ((WORLD.end - timedelta(days=days)).date() for days in (8, 1))
PERFORMANCE, VIRALITY = "clipcast-tiktok-performance", "clipcast-tiktok-virality"
SMALL = {
    "CLIPCAST_TRAINING__TRIALS": "1",
    "CLIPCAST_TRAINING__FOLDS": "2",
    "CLIPCAST_VIRALITY__TRIALS": "2",
    "CLIPCAST_GATE__REPLICATES": "100",
    "OMP_NUM_THREADS": "1",
}


class Workspace:
    """A folder with simulated posts, and the command working in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.data = folder / "home", folder / "data"
        Store(self.data).append([simulate(WORLD).posts], SOURCE)

    def clipcast(self, *arguments: object, **settings: str) -> str:
        places = {"CLIPCAST_HOME": str(self.home), "CLIPCAST_DATA": str(self.data)}
        command = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
        env = {**os.environ, **SMALL, **places, **settings}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: object):
        return json.loads(self.clipcast(*arguments, "--json"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("virality"))
    workspace.clipcast("run", "weekly", "--date", FIRST)
    return workspace


@pytest.mark.slow
def test_a_week_promotes_a_version_of_each_family_performance_first(workspace):
    rows = [row for row in workspace.json("history")["ledger"] if row["kind"] == "promoted"]
    assert [row["model"] for row in rows] == [PERFORMANCE, VIRALITY]
    found = {each["model"]: each for each in workspace.json("status")["models"]}
    metrics = found[VIRALITY]["metrics"]
    assert metrics["base_rate"] == pytest.approx(0.1, abs=0.01)
    assert 0 < metrics["brier"] < 0.25
    assert {"folds_brier", "anchor_brier", "auc", "calibration_error", "gain_over_anchor"} <= set(metrics)
    shown = workspace.clipcast("status")
    assert "Brier score" in shown
    assert "MAE of log" in shown


@pytest.mark.slow
def test_the_card_says_the_base_rate_and_shows_the_reliability_curve(workspace):
    card = workspace.home / "cards" / VIRALITY / "1.0.0" / "card.md"
    text = card.read_text()
    assert "The base rate is 10." in text
    assert "![Probabilities given, and shares that went viral](reliability.png)" in text
    assert "Venn-Abers" in text
    for picture in ("ladder", "reliability", "importance", "slices"):
        assert card.with_name(f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    for name in FACTORS:
        assert f"`factor_{name}`" in text


@pytest.mark.slow
def test_posts_are_forecast_by_the_version_in_production_in_every_way(workspace):
    """By the command, by its bundle, and by the registered version in MLflow: the same numbers."""
    posts = simulate(WORLD).posts.filter(pl.col("published_at") > WORLD.end - timedelta(days=3))
    drafts, out = workspace.folder / "drafts.csv", workspace.folder / "odds.parquet"
    counts = ("views", "likes", "comments", "shares", "saves", "observed_at")
    unique = posts.unique("post_id", keep="first", maintain_order=True)
    unique.with_columns(pl.lit(None).alias(name) for name in counts).select(list(IMPORT)).write_csv(drafts)
    workspace.clipcast("predict", drafts, "--family", "virality", "--history", "version", "--out", out)
    answer = pl.read_parquet(out)
    assert answer.height == unique.height
    assert answer["virality_score"].is_between(0, 1).all()
    assert answer["factor_genre_popularity"].null_count() == answer.height

    production = read_production(workspace.home / "production.json")[VIRALITY]
    loaded = load(workspace.home / "bundles" / production.sha256, production.sha256)
    assert differences(loaded) == []

    code = f"""
import sys
from features.telemetry import silence
silence()
import mlflow, pandas as pd
mlflow.set_tracking_uri({workspace.json("config")["tracking_uri"]!r})
model = mlflow.pyfunc.load_model("models:/{VIRALITY}@production")
posts = pd.read_csv({str(drafts)!r}, dtype={{"post_id": str, "account_id": str}}).dropna(axis=1, how="all")
numbers = [name for name in ("duration_s", "followers") if name in posts]
posts = posts.astype(object).where(posts.notna(), None).astype({{name: float for name in numbers}})
model.predict(posts).to_csv(sys.argv[1], index=False)
"""
    served = workspace.folder / "served.csv"
    subprocess.run([sys.executable, "-c", code, str(served)], check=True, capture_output=True)
    joined = answer.join(pl.read_csv(served), on="post_id", suffix="_served")
    assert joined.height == answer.height
    for name in ("virality_score", "virality_lower", "virality_upper", "confidence", "factor_caption"):
        assert (joined[name] - joined[f"{name}_served"]).abs().max() <= 1e-9


@pytest.mark.soak
def test_a_daily_refresh_refits_it_and_a_lost_alias_of_it_is_put_back(workspace):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(workspace.json("config")["tracking_uri"])
    client.delete_registered_model_alias(VIRALITY, "production")
    families = '["virality"]'  # a refresh of performance is tested elsewhere
    said = workspace.clipcast("run", "daily", "--date", SECOND, CLIPCAST_TRAINING__FAMILIES=families)
    assert f"{VIRALITY}: the alias production was deleted without the ledger" in said
    last = {row["model"]: row for row in workspace.json("history")["ledger"]}
    assert last[PERFORMANCE]["semver"] == "1.0.0"
    assert last[VIRALITY]["semver"] == "1.0.1"
    assert last[VIRALITY]["evidence"]["evidence"]["comparison"] == "refresh"
    checks = {check["name"] for check in last[VIRALITY]["evidence"]["checks"]}
    assert checks == {"gain", "slices", "calibration", "latency", "loads"}
    assert client.get_experiment_by_name(VIRALITY) is not None


@pytest.mark.slow
def test_the_table_of_the_readme_speaks_of_performance_alone(workspace):
    readme = workspace.folder / "README.md"
    readme.write_text("<!-- versions in production: begin -->\n<!-- versions in production: end -->\n")
    workspace.clipcast("readme", readme)
    assert "TikTok" in readme.read_text()
    assert "virality" not in readme.read_text()


@pytest.fixture
def job(settings):
    return Job("weekly", Platform.TIKTOK, FIRST, settings)


def test_the_key_of_performance_knows_no_other_family_and_theirs_go_on_from_nobodys(job, settings):
    alone = settings.training.model_copy(update={"families": ("performance",)})
    budget = settings.virality.model_copy(update={"trials": 99})
    changed = settings.model_copy(update={"training": alone, "virality": budget})
    assert Job("weekly", Platform.TIKTOK, FIRST, changed).key == job.key
    virality = job.of_family("virality", job.watcher)
    # A run's candidates are found by its key and a slash, so neither key may begin as the other.
    assert not virality.key.startswith(f"{job.key}/")
    assert not job.key.startswith(f"{virality.key}/")
    assert Job("weekly", Platform.TIKTOK, FIRST, changed, family="virality").key != virality.key
    assert (virality.name, virality.trials) == (VIRALITY, settings.virality.trials)


def test_rows_are_built_once_for_all_families(job, settings, monkeypatch):
    Store(settings.data).append([simulate(WORLD).posts], SOURCE)
    built = job.examples()
    virality = job.of_family("virality", job.watcher)
    monkeypatch.setattr("flows.job.known_posts", lambda *_, **__: pytest.fail("rows were built again"))
    assert virality.examples() is built


@pytest.mark.parametrize("broken", ["performance", "virality"])
def test_a_family_that_fails_leaves_the_other_standing(settings, monkeypatch, broken):
    def worked(job: Job, _: object) -> Outcome:
        if job.family == broken:
            raise ValueError("a planted fault")
        return Outcome("tiktok", "kept", "for a reason", family=job.family)

    monkeypatch.setattr(orchestration, "once", worked)
    monkeypatch.setattr(Settings, "load", classmethod(lambda _: settings))
    with pytest.raises(PartlyFailedError, match="a planted fault") as found:
        run_platform.fn("weekly", "tiktok", str(FIRST))
    verdicts = {each["family"]: each["verdict"] for each in found.value.outcomes}
    assert verdicts == {"performance": "kept", "virality": "kept"} | {broken: "failed"}
    [log] = (settings.home / "logs").iterdir()
    assert ("virality" in log.name) == (broken == "virality")


def test_what_an_older_clipcast_wrote_of_a_run_is_read_as_performance():
    assert Outcome.from_dict({"platform": "tiktok", "verdict": "kept", "reason": "r"}).family == "performance"
