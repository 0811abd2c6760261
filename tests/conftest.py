"""Fixtures that every test may use."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from features.settings import PREFIX, Settings
from features.telemetry import silence
from tests.faults_world import Workspace, hostile_workspace
from tests.postgres_world import Cluster, NoPostgresError, start_cluster, stop_cluster
from tests.s3_world import ObjectStore

# A busy machine is no reason to fail, and a failure must come back on the next run.
hypothesis_settings.register_profile("clipcast", deadline=None, derandomize=True)
hypothesis_settings.load_profile("clipcast")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first, so that at the end no worker has one to itself."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    silence()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it, or what an earlier one had printed of threads."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty workspace."""
    return Settings.load(home=tmp_path / ".clipcast", data=tmp_path / "data")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server of our own, started by the first test that asks for it."""
    try:
        cluster = start_cluster()
    except NoPostgresError as error:
        pytest.skip(str(error))
    yield cluster
    stop_cluster(cluster)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The machine's Chromium; it is closed after the module, since Playwright keeps asyncio's loop of this thread."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no Chromium; install it: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is part of the extra dev")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium)
        yield running
        running.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database: a file in `tmp_path`, and one of the server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    address = cluster.new_database()
    yield address
    cluster.drop(address)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of a few megabytes, in memory."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["/bin/umount", "--lazy", folder], check=True)


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """An S3-compatible server of our own, in this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield ObjectStore(f"http://{host}:{port}")
    server.stop()


@pytest.fixture(scope="session")
def hostile_week(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that trained on posts whose texts were written by strangers, and on odd ones, in UTC."""
    return hostile_workspace(tmp_path_factory.mktemp("hostile"), "UTC")
