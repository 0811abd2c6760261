"""A small workspace in which real processes work, die at chosen moments, and are compared with undisturbed ones."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from features.schema import Platform
from features.simulate import World, simulate
from features.store import Store
from features.telemetry import SILENT

ROOT = Path(__file__).parents[1]
MODEL = "clipcast-tiktok-performance"
WORLD = World(platforms=(Platform.TIKTOK,), accounts=30, weeks=14, posts_per_week=2.0)
FIRST, SECOND = (str((WORLD.end - timedelta(days=days)).date()) for days in (8, 1))

NUMBERS = {
    "CLIPCAST_TRAINING__TRIALS": "3",
    "CLIPCAST_TRAINING__FOLDS": "2",
    "CLIPCAST_TRAINING__MIN_POSTS": "50",
    "CLIPCAST_TRAINING__FAMILIES": '["performance"]',
    "CLIPCAST_GATE__REPLICATES": "100",
    # Whether a challenge is won is not the matter here: the second week is to promote too, on any machine.
    "CLIPCAST_GATE__MIN_POSTS": "10",
    "CLIPCAST_GATE__MIN_ACCOUNTS": "2",
    "CLIPCAST_GATE__MIN_GAIN": "-0.99",
    "CLIPCAST_GATE__SLICE_MIN_GAIN": "-0.99",
    "CLIPCAST_GATE__COVERAGE_SLACK": "0.99",
    "CLIPCAST_GATE__LATENCY_RATIO": "1000",
    "OMP_NUM_THREADS": "1",
}

# Does something just before the nth call of a function, then goes on as usual: dies, or fills the disk of a folder.
DISTURB = """
import errno, importlib, os, signal, sys
from pathlib import Path
from features.telemetry import silence

silence()

def disturb_at(disturbance, target, number):
    module, _, name = target.partition(":")
    owner = importlib.import_module(module)
    *within, last = name.split(".")
    for each in within:
        owner = getattr(owner, each)
    real, calls = getattr(owner, last), []

    def disturbed(*args, **kwargs):
        calls.append(None)
        if len(calls) == int(number):
            disturb(disturbance)
        return real(*args, **kwargs)

    setattr(owner, last, disturbed)

def disturb(disturbance):
    if disturbance == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    with (Path(disturbance) / "filler").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC
"""

# The command line, disturbed.
COMMAND = f"""{DISTURB}
disturb_at(*sys.argv[1:4])
from flows.cli import main
sys.argv = ["clipcast", *sys.argv[4:]]
main()
"""

# A platform's part of a weekly run, disturbed at one moment after the other and at last left alone, each time in a
# process of its own. What takes longest and changes nothing that lasts is left out, as the soak test has it: Prefect,
# pictures, and loading the model in a fresh process. Libraries are imported once for all.
JOBS = f"""{DISTURB}
import datetime, json, traceback
import flows.running, mlflow.pyfunc, mlflow.tracking, optuna, registry.checks, training.performance
from features.errors import ClipcastError
from features.schema import Platform
from features.settings import Settings
from features.space import told_when_full
from flows.job import Job, once
from flows.retrain import retrain
from flows.running import prepare_databases, written_to

training.performance.write_pictures = lambda folder, pictured: dict()
registry.checks.loads = lambda bundle: registry.checks.Loads(True, "not tried")

def work():
    settings = Settings.load()
    try:
        with told_when_full(*written_to(settings)):
            prepare_databases(settings)
            job = Job("weekly", Platform.TIKTOK, datetime.date.fromisoformat(sys.argv[1]), settings)
            print(once(job, retrain).verdict)
    except ClipcastError as error:
        print(type(error).__name__, error)

for moment in (*json.loads(sys.argv[2]), None):
    child = os.fork()
    if not child:
        if moment:
            disturb_at(*moment)
        try:
            work()
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        print("signal", os.WTERMSIG(status))
    for filler in Path(os.environ["CLIPCAST_HOME"]).parent.glob("filler"):
        filler.unlink()
    sys.stdout.flush()
"""


class Workspace:
    """A folder for posts and models, and processes working in it."""

    def __init__(self, folder: Path, **places: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.home, self.data = folder / "home", folder / "w" / "data"
        self.environment = {
            **os.environ,
            **SILENT,
            **NUMBERS,
            "CLIPCAST_HOME": str(self.home),
            "CLIPCAST_DATA": str(self.data),
            **places,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command in a process of its own."""
        return self._popen("-m", "flows.cli", *arguments)

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Run the command to its end, and return what it said."""
        return _ended(self.start(*arguments), expect)

    def run_jobs(self, day: str, *moments: tuple[str, str, int]) -> list[str]:
        """Disturb a week's job at each moment, a disturbance with the call it strikes, and return what each said."""
        return _ended(self._popen("-c", JOBS, day, json.dumps(moments)), 0).splitlines()

    def run_until(self, target: str, number: int, *arguments: str) -> None:
        """Run the command until it is killed at a call."""
        _ended(self._popen("-c", COMMAND, "die", target, str(number), *arguments), -signal.SIGKILL)

    def run_disturbed(self, disk: Path, target: str, *arguments: str) -> str:
        """Run the command on a disk that fills up at a call, and return what it said when it gave up."""
        return _ended(self._popen("-c", COMMAND, str(disk), target, "1", *arguments), 1)

    def import_posts(self, part: int) -> tuple[str, ...]:
        """The command that imports half of the world's posts, with the file that it reads."""
        return ("import", str(posts_file(self.folder, part)), "--source", "made")

    def state(self) -> dict[str, Any]:
        """All that a run leaves, without times, durations and run ids."""
        store = Store(self.data)
        store.verify()
        return {
            "data": store.manifest().hash,
            "files": sorted(str(path.relative_to(self.data.parent)) for path in self.data.rglob("*")),
            "tracked": self.data.with_name("data.dvc").read_text(),
            **_ledger(self.home / "ledger.db"),
            **_mlflow(self.home / "mlflow.db", self.home / "artifacts"),
            "studies": _studies(self.home / "studies.db"),
            "bundles": sorted(path.name for path in (self.home / "bundles").iterdir() if path.name[0] != "."),
            "production": _without(json.loads((self.home / "production.json").read_text()), "since"),
            "cards": sorted(str(path.relative_to(self.home)) for path in (self.home / "cards").rglob("*")),
        }

    def processes(self) -> list[int]:
        """The living processes that were started for this workspace."""
        mark = f"CLIPCAST_HOME={self.home}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                alive = (process / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
                if alive and mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
            except OSError:
                continue  # it ended meanwhile, or is somebody else's
        return found

    def _popen(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


@cache
def posts_file(folder: Path, part: int) -> Path:
    """A file with the earlier or the later half of the world's observations."""
    posts = simulate(WORLD).posts
    half = posts.height // 2
    path = folder / f"posts-{part}.csv"
    posts[:half].write_csv(path) if part == 1 else posts[half:].write_csv(path)
    return path


def _ended(process: subprocess.Popen[str], expect: int) -> str:
    said, _ = process.communicate(timeout=600)
    assert process.returncode == expect, f"exit code {process.returncode}: {said}"
    return said


def _rows(path: Path, query: str, *values: Any) -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(query, values)]
    finally:
        connection.close()


def _ledger(path: Path) -> dict[str, Any]:
    rows = []
    for row in _rows(path, "SELECT * FROM ledger ORDER BY id"):
        evidence, metrics = json.loads(row.pop("evidence")), json.loads(row.pop("metrics"))
        for check in evidence["checks"]:
            if check["name"] == "latency":
                check["detail"] = None
        evidence["evidence"]["latency_ratio"] = None
        kept = _without(row, "at", "evidence_sha256")
        rows.append({**kept, "evidence": evidence, "metrics": _without(metrics, "training_s")})
    return {
        "ledger": rows,
        "intents": _rows(path, "SELECT model, version FROM intents"),
        "holdout_uses": _rows(path, "SELECT model, holdout_hash, run_key FROM holdout_uses ORDER BY id"),
        "runs": _rows(path, "SELECT run_key, status FROM runs ORDER BY run_key"),
    }


def _mlflow(path: Path, artifacts: Path) -> dict[str, Any]:
    versions = _rows(path, "SELECT name, version, description, status FROM model_versions ORDER BY name, version")
    for version in versions:
        query = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ? ORDER BY key"
        version["tags"] = _own(_rows(path, query, version["name"], version["version"]))
    runs = _rows(path, "SELECT run_uuid, name, status FROM runs WHERE lifecycle_stage = 'active'")
    for run in runs:
        run_id = run.pop("run_uuid")
        run["tags"] = _own(_rows(path, "SELECT key, value FROM tags WHERE run_uuid = ? ORDER BY key", run_id))
        run["params"] = _rows(path, "SELECT key, value FROM params WHERE run_uuid = ? ORDER BY key", run_id)
        metrics = _rows(path, "SELECT key, value FROM latest_metrics WHERE run_uuid = ? ORDER BY key", run_id)
        run["metrics"] = [metric for metric in metrics if metric["key"] != "training_s"]
        [folder] = artifacts.glob(f"*/{run_id}/artifacts")
        run["artifacts"] = sorted(str(found.relative_to(folder)) for found in folder.rglob("*"))
    return {
        "versions": versions,
        "aliases": _rows(path, "SELECT name, alias, version FROM registered_model_aliases ORDER BY name, alias"),
        "mlflow_runs": sorted(runs, key=lambda run: str(run["tags"]["run_key"])),
    }


def _own(tags: list[dict[str, Any]]) -> dict[str, str]:
    """Tags without those of MLflow, which name the machine and the time."""
    return {row["key"]: row["value"] for row in tags if not row["key"].startswith("mlflow.")}


def _studies(path: Path) -> list[dict[str, Any]]:
    query = """
        SELECT study_name, state, value, group_concat(param_name || ' ' || param_value) AS parameters
        FROM studies JOIN trials USING (study_id) LEFT JOIN trial_values USING (trial_id)
        LEFT JOIN trial_params USING (trial_id) WHERE state IN ('COMPLETE', 'PRUNED')
        GROUP BY trial_id ORDER BY study_name, trial_id"""
    return _rows(path, query)


def _without(value: Any, *names: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(inner, *names) for key, inner in value.items() if key not in names}
    return value
