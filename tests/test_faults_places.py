"""Places that fail: a tracking store that is away, and disks that are full."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from features.errors import DiskFullError, ImportFileError, RegistryError, VersioningError
from features.simulate import SOURCE, simulate
from features.sources import import_file
from features.space import told_when_full
from features.store import Store
from flows.importing import import_sample
from flows.predicting import _write
from tests.crash_world import FIRST, MODEL, WORLD, Workspace
from tests.faults_world import ROW, write_rows

SECRET = "kept-to-oneself"  # noqa: S105  # it opens nothing


class Broken(BaseHTTPRequestHandler):
    """A server that answers everything with an error."""

    def do_GET(self) -> None:
        self.send_error(500)

    do_POST = do_GET  # noqa: N815  # the base class looks for this name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def broken_server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "folder").mkdir()
    match request.param:
        case "refused":
            return f"http://user:{SECRET}@127.0.0.1:1"
        case "broken":
            return f"http://user:{SECRET}@{request.getfixturevalue('broken_server')}"
        case _:
            return f"sqlite:///{tmp_path}/folder"


@pytest.mark.parametrize("address", ["refused", "broken", "folder"], indirect=True)
def test_a_tracking_store_that_cannot_be_used_ends_the_run_before_training(tmp_path: Path, address: str) -> None:
    workspace = Workspace(tmp_path, CLIPCAST_TRACKING_URI=address)
    Store(workspace.data).append([simulate(WORLD).posts], SOURCE)
    started = time.monotonic()
    said = workspace.run("run", "weekly", "--date", FIRST, expect=1)
    assert time.monotonic() - started < 60, "by itself MLflow would try for four minutes"
    assert "CLIPCAST_TRACKING_URI" in said
    assert address.rpartition("@")[2] in said or address.removeprefix("sqlite:///") in said
    assert "building rows" not in said
    assert "Traceback" not in said
    assert SECRET not in said
    assert workspace.processes() == []


def test_studies_that_cannot_be_kept_end_the_run_before_training(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    workspace = Workspace(tmp_path, CLIPCAST_STUDIES_URI=f"sqlite:///{tmp_path}/folder")
    Store(workspace.data).append([simulate(WORLD).posts], SOURCE)
    said = workspace.run("run", "weekly", "--date", FIRST, expect=1)
    assert "CLIPCAST_STUDIES_URI" in said
    assert "building rows" not in said
    assert "Traceback" not in said


def test_a_full_disk_is_told_by_its_place_and_another_error_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match=f"{tmp_path}: the disk is full") as caught, told_when_full(tmp_path):
        write_to_a_full_device()
    assert "make room" in str(caught.value)
    with pytest.raises(FileNotFoundError), told_when_full(tmp_path):
        (tmp_path / "nothing").read_text()


def test_words_about_a_full_disk_count_only_where_no_stranger_wrote_them(tmp_path: Path) -> None:
    for error in (ImportFileError("unknown platform 'disk is full'"), RegistryError("database or disk is full")):
        with pytest.raises(type(error)), told_when_full(tmp_path):
            raise error
    for error in (VersioningError("dvc: No space left on device"), OSError("disk is full")):
        with pytest.raises(DiskFullError), told_when_full(tmp_path):
            raise error


def test_a_file_that_speaks_of_a_full_disk_is_refused_for_what_it_holds(tmp_path: Path) -> None:
    bad = write_rows(tmp_path / "bad.csv", [{**ROW, "platform": "disk is full"}])
    with pytest.raises(ImportFileError, match="unknown platform 'disk is full'"):
        import_file(bad, "mine", Store(tmp_path / "data"), tmp_path / "rejects")


def write_to_a_full_device() -> None:
    try:
        Path("/dev/full").write_text("more", encoding="utf-8")
    except OSError as error:
        raise RegistryError("a library's words") from error


def make_room(disk: Path) -> None:
    (disk / "filler").unlink()


IMPORT_MOMENTS = ["features.parts:PartWriter._write", "features.store:write_manifest", "features.versioning:_dvc"]


def test_an_import_onto_a_full_disk_changes_nothing_and_completes_once_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    workspace = Workspace(small_disk, TMPDIR=str(tmp_path))
    first, second = workspace.import_posts(1), workspace.import_posts(2)
    workspace.run(*first)
    store = Store(workspace.data)
    before = store.manifest()
    for moment in IMPORT_MOMENTS:
        said = workspace.run_disturbed(small_disk, moment, *second)
        assert "the disk is full" in said
        assert str(workspace.data.parent) in said
        assert "make room" in said
        assert "Traceback" not in said
        store.verify()
        if "versioning" not in moment:
            assert store.manifest() == before
        assert not list(workspace.data.rglob("*.tmp")), "nothing half-written is left"
        make_room(small_disk)
    assert "data version" in workspace.run(*second)
    assert store.manifest() != before
    store.verify()


def test_a_disk_that_fills_beside_the_store_is_told_too(small_disk: Path, tmp_path: Path) -> None:
    """With the last row of a file in the store, and with forecasts that are made."""
    workspace = Workspace(small_disk, TMPDIR=str(tmp_path), CLIPCAST_DATA=str(tmp_path / "w" / "data"))
    rows = [{**ROW, "post_id": f"p{number}", "views": "-1" if number == 3 else "5"} for number in range(9)]
    arguments = ("import", str(write_rows(tmp_path / "posts.csv", rows)))
    said = workspace.run_disturbed(small_disk, "features.reading:free_path", *arguments)
    assert f"{workspace.home / 'rejects'}: the disk is full" in said
    assert "Traceback" not in said
    assert not list((workspace.home / "rejects").glob("*.csv"))
    with pytest.raises(DiskFullError, match=f"{small_disk}: the disk is full"):
        _write(pl.DataFrame({"forecast": [1.0]}), small_disk / "forecasts.csv")
    make_room(small_disk)
    assert "8 rows already known" in workspace.run(*arguments)
    assert [path.name for path in (workspace.home / "rejects").iterdir()] == ["default-posts.csv.rejected.csv"]


def test_labels_of_a_sample_on_a_full_disk_are_told_too(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Store.append

    def append_and_fill(store: Store, *arguments: Any) -> Any:
        appended = real(store, *arguments)
        with (small_disk / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free)
        return appended

    monkeypatch.setenv("CLIPCAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLIPCAST_DATA", str(small_disk / "data"))
    monkeypatch.setattr(Store, "append", append_and_fill)
    with pytest.raises(DiskFullError, match=f"{small_disk}/data: the disk is full"):
        import_sample(1, 6, 6, Console(quiet=True))


RUN_MOMENTS = [
    "training.tune:judge_recipe",
    "registry.tracking:Tracking._fill",
    "flows.challenge:settle",
    "registry.promotion:mend_challenger_alias",
]


@pytest.mark.slow
def test_a_run_on_a_full_disk_registers_nothing_by_halves_and_completes_once_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    workspace = Workspace(small_disk, TMPDIR=str(tmp_path))
    workspace.run(*workspace.import_posts(1))
    said = workspace.run_jobs(FIRST, *((str(small_disk), moment, 1) for moment in RUN_MOMENTS))
    *full, last = [line for line in said if line.startswith(("DiskFullError", "RegistryError", "promoted"))]
    assert len(full) == len(RUN_MOMENTS)
    for line in full:
        assert line.startswith(f"DiskFullError {workspace.home}: the disk is full")
    assert last == "promoted"
    state = workspace.state()
    [row], [version], [run] = state["ledger"], state["versions"], state["mlflow_runs"]
    assert row["semver"] == version["tags"]["semver"] == run["tags"]["semver"] == "1.0.0"
    assert {alias["alias"]: alias["version"] for alias in state["aliases"]} == {"production": row["to_version"]}
    assert set(state["production"]["models"]) == {MODEL}
