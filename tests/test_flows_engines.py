"""A week on PostgreSQL and an S3-compatible store: nothing is left in files that a second machine would miss."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.errors import BundleError, RegistryError
from features.schema import Platform
from features.settings import Settings
from features.simulate import SOURCE, World, simulate
from features.store import Store
from features.versioning import dvc_add
from flows.job import Job, once
from flows.orchestration import prepare_databases
from flows.retrain import retrain
from registry.bundle import is_intact
from registry.database import REVISION_TABLE
from registry.places import Registry
from registry.production import read_production
from tests.faults_world import ROW, write_rows
from tests.postgres_world import Cluster
from tests.s3_world import ObjectStore

WORLD = World(platforms=(Platform.YOUTUBE,), accounts=40, weeks=16, posts_per_week=2.0)
DAY = (WORLD.end - timedelta(days=1)).date()
MODEL = "clipcast-youtube-performance"
SMALL = {
    "CLIPCAST_TRAINING__TRIALS": "2",
    "CLIPCAST_TRAINING__FOLDS": "2",
    "CLIPCAST_TRAINING__FAMILIES": '["performance"]',
    "CLIPCAST_GATE__REPLICATES": "200",
}


@dataclass(frozen=True)
class Machine:
    """A folder of its own on shared engines, and the command working in it."""

    folder: Path
    environment: dict[str, str]

    def clipcast(self, *arguments: str, expect: int = 0) -> str:
        command = [sys.executable, "-m", "flows.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self._env())
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stderr if expect else done.stdout

    def dvc(self, *arguments: str) -> None:
        # as a person would: DVC alone, told where S3 is by the variable that every tool of AWS reads
        env = {**self._env(), "AWS_ENDPOINT_URL_S3": self.environment["MLFLOW_S3_ENDPOINT_URL"]}
        subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=self.folder, check=True, env=env)

    def _env(self) -> dict[str, str]:
        places = {"CLIPCAST_HOME": str(self.folder / "home"), "CLIPCAST_DATA": str(self.folder / "data")}
        return {**os.environ, **SMALL, **self.environment, **places, "DVC_NO_ANALYTICS": "1"}

    def settings(self, monkeypatch: pytest.MonkeyPatch) -> Settings:
        """The machine's settings, in this process."""
        for name, value in self._env().items():
            monkeypatch.setenv(name, value)
        return Settings.load()


@dataclass(frozen=True)
class Engines:
    """Two machines that share a database and a bucket; the first has run a week."""

    first: Machine
    second: Machine
    database_uri: str
    bucket: str


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster, object_store: ObjectStore) -> Engines:
    database_uri, bucket = postgres.new_database(), object_store.new_bucket()
    environment = {
        "CLIPCAST_DATABASE_URI": database_uri,
        "CLIPCAST_ARTIFACTS_URI": f"s3://{bucket}/clipcast",
        **object_store.environment,
    }
    first, second = (Machine(tmp_path_factory.mktemp(name), environment) for name in ("first", "second"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        settings = first.settings(monkeypatch)
        Store(settings.data).append([simulate(WORLD).posts], SOURCE)
        dvc_add(settings.data, settings.data_remote)
        # what the weekly flow does, without an orchestrator to start
        prepare_databases(settings)
        assert once(Job("weekly", Platform.YOUTUBE, DAY, settings), retrain).verdict == "promoted"
    return Engines(first, second, database_uri, bucket)


pytestmark = pytest.mark.slow


def test_one_setting_puts_every_table_on_the_server_each_tool_in_a_schema_of_its_own(engines: Engines) -> None:
    engine = sa.create_engine(engines.database_uri, poolclass=sa.NullPool)
    seen = sa.inspect(engine)
    tables = {name: set(seen.get_table_names(name)) for name in ("public", "clipcast_tracking", "clipcast_studies")}
    assert tables["public"] == {"ledger", "runs", "intents", "holdout_uses", "schema_version", REVISION_TABLE}
    assert tables["clipcast_tracking"] >= {"runs", "model_versions", "alembic_version"}
    assert tables["clipcast_studies"] >= {"studies", "trials", "alembic_version"}
    assert not list((engines.first.folder / "home").glob("*.db")), "a SQLite file was written"
    with engine.connect() as connection:
        states = connection.exec_driver_sql("SELECT state FROM clipcast_studies.trials").scalars().all()
    assert len(states) == int(SMALL["CLIPCAST_TRAINING__TRIALS"])


def test_a_week_leaves_its_artifacts_in_the_bucket_and_none_in_the_workspace(
    engines: Engines, object_store: ObjectStore
) -> None:
    keys = object_store.keys(engines.bucket)
    assert any(key.startswith("clipcast/clipcast-youtube/") and key.endswith("/MLmodel") for key in keys)
    assert any(key.startswith("clipcast/dvc/files/md5/") for key in keys)
    assert not (engines.first.folder / "home" / "artifacts").exists()


@pytest.mark.soak
def test_an_empty_workspace_on_another_machine_serves_the_champion_by_its_hash(
    engines: Engines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is told what to do, does it, and forecasts what the first machine does."""
    drafts = write_rows(tmp_path / "drafts.csv", [{**ROW, "platform": "youtube"}])
    forecast = ("predict", str(drafts), "--history", "version", "--out")
    assert "clipcast reconcile" in engines.second.clipcast(*forecast, str(tmp_path / "none.csv"), expect=1)
    [known] = json.loads(engines.second.clipcast("status", "--json"))["models"]
    registry = Registry.open(engines.second.settings(monkeypatch))
    champion = registry.ledger.champion(MODEL)
    assert champion is not None
    assert known["bundle_sha256"] == champion.bundle_sha256
    assert not registry.bundles_dir.exists()
    engines.second.clipcast("reconcile")
    engines.first.clipcast(*forecast, str(tmp_path / "first.csv"))
    engines.second.clipcast(*forecast, str(tmp_path / "second.csv"))
    assert (tmp_path / "second.csv").read_bytes() == (tmp_path / "first.csv").read_bytes()
    serving = read_production(registry.production_file)[MODEL]
    assert is_intact(registry.bundles_dir / serving.sha256, serving.sha256)


def test_an_object_that_was_changed_in_the_bucket_is_refused_by_name(
    engines: Engines, object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry.open(engines.second.settings(monkeypatch))
    client, bucket = object_store.client(), engines.bucket
    key = next(key for key in object_store.keys(bucket) if "/bundle/" in key and key.endswith("/known.lgb.txt"))
    content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    client.put_object(Bucket=bucket, Key=key, Body=content[:-1] + b"?")
    try:
        with pytest.raises(BundleError, match=r"known\.lgb\.txt"):
            registry.versions.download(MODEL, 1, tmp_path / "new")
    finally:
        client.put_object(Bucket=bucket, Key=key, Body=content)


def test_the_data_version_can_be_pulled_on_another_machine(engines: Engines) -> None:
    for name in ("data.dvc", ".dvc"):
        source, target = engines.first.folder / name, engines.second.folder / name
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("cache", "tmp")) if source.is_dir() else (
            shutil.copy(source, target)
        )
    engines.second.dvc("pull", "-q")
    first, second = (Store(machine.folder / "data") for machine in (engines.first, engines.second))
    assert second.manifest().hash == first.manifest().hash
    second.verify()


def test_a_version_that_was_pushed_is_not_pushed_again(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = engines.first.settings(monkeypatch)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("DVC was started"))
    dvc_add(settings.data, settings.data_remote)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("CLIPCAST_ARTIFACTS_URI", "s3://nobodys/x", "make the bucket"),
        ("CLIPCAST_DATABASE_URI", "postgresql+psycopg://me:s3cret@127.0.0.1:1/clipcast", "CLIPCAST_DATABASE_URI"),
        ("CLIPCAST_STUDIES_URI", "postgresql+psycopg://me:s3cret@127.0.0.1:1/studies", "CLIPCAST_STUDIES_URI"),
        ("CLIPCAST_STUDIES_URI", "POSTGRES?user=nobody", "CLIPCAST_STUDIES_URI"),
    ],
)
def test_what_cannot_be_used_is_told_before_training_starts(
    engines: Engines, monkeypatch: pytest.MonkeyPatch, name: str, wrong: str, message: str
) -> None:
    engines.first.settings(monkeypatch)
    monkeypatch.setenv(name, wrong.replace("POSTGRES", engines.database_uri.replace("?", "_that_is_not_there?")))
    with pytest.raises(RegistryError, match=message) as caught:
        prepare_databases(Settings.load())
    assert "s3cret" not in str(caught.value)
