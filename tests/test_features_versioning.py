import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import features.versioning
from features.errors import LockedError, StoreError, VersioningError
from features.schema import IMPORT
from features.store import Store, locked
from features.versioning import dvc_add, dvc_file

START = datetime(2026, 1, 1, tzinfo=UTC)


def grow(data: Path, posts: int) -> Store:
    """A store of so many posts."""
    rows = [
        {
            "platform": "tiktok",
            "post_id": f"p{number}",
            "account_id": "a",
            "published_at": START,
            "observed_at": START + timedelta(days=4),
        }
        for number in range(posts)
    ]
    store = Store(data)
    store.append([pl.DataFrame(rows, schema=dict(IMPORT))], "mine")
    return store


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The DVC commands that were run."""
    made: list[tuple[str, ...]] = []
    run = features.versioning._dvc

    def noted(folder: Path, *arguments: str) -> None:
        made.append(arguments)
        run(folder, *arguments)

    monkeypatch.setattr(features.versioning, "_dvc", noted)
    return made


def test_each_version_of_the_data_has_its_name(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    data = tmp_path / "data"
    store = grow(data, 3)
    first = dvc_add(data)
    tracked = yaml.safe_load(dvc_file(data).read_text(encoding="utf-8"))
    assert first.endswith(".dir")
    assert tracked["outs"][0]["md5"] == first
    assert tracked["outs"][0]["nfiles"] == 3
    assert tracked["meta"]["clipcast"]["manifest"] == store.manifest().hash
    assert calls == [("init", "--no-scm"), ("add", "data")]

    assert dvc_add(data) == first
    assert len(calls) == 2, "nothing changed, yet DVC was started"

    grow(data, 5)
    second = dvc_add(data)
    assert second != first
    assert calls[2:] == [("add", "data")]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".data.lock",
        ".dvc",
        ".dvcignore",
        "data",
        "data.dvc",
    ]

    dvc_file(data).write_text(dvc_file(data).read_text(encoding="utf-8").replace(second, first), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "dvc", "checkout", "-q", "--force"], cwd=tmp_path, check=True)
    assert store.observations("tiktok").collect().height == 3
    store.verify()


def test_content_that_the_cache_lacks_is_added_again(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    data = tmp_path / "data"
    grow(data, 3)
    md5 = dvc_add(data)
    cached = tmp_path / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    cached.unlink()
    assert dvc_add(data) == md5
    assert calls[-1] == ("add", "data")
    assert cached.is_file()


def test_the_top_of_a_git_repository_becomes_one_of_dvc_with_it(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)  # noqa: S607 - git is found by its name
    grow(tmp_path / "data", 1)
    dvc_add(tmp_path / "data")
    assert calls[0] == ("init",)
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8").split() == ["/data"]


def test_a_repository_whose_making_was_killed_is_made_again(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    grow(tmp_path / "data", 1)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").touch()
    dvc_add(tmp_path / "data")
    assert calls == [("init", "--force", "--no-scm"), ("add", "data")]


def test_a_folder_inside_another_repository_gets_its_own(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)  # noqa: S607 - git is found by its name
    (tmp_path / ".gitignore").write_text("demo\n", encoding="utf-8")
    demo = tmp_path / "demo"
    grow(demo / "data", 1)
    dvc_add(demo / "data")
    assert calls[0] == ("init", "--no-scm")
    assert dvc_file(demo / "data").is_file()
    assert not (tmp_path / ".dvc").exists()


def test_when_dvc_fails_its_own_words_are_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    grow(data, 1)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core\n", encoding="utf-8")
    with pytest.raises(VersioningError, match=r"`dvc add data` failed in .*(?s:.*)config"):
        dvc_add(data)


def test_a_copy_that_failed_is_told_and_tried_again_and_one_that_is_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    grow(data, 1)
    made: list[str] = []
    answers = iter([VersioningError("`dvc push data` failed"), None, None])

    def dvc(_: Path, command: str, *__: str) -> None:
        made.append(command)
        if command == "add":
            dvc_file(data).write_text("outs: [{md5: ab12.dir}]\n", encoding="utf-8")
            cached = tmp_path / ".dvc" / "cache" / "files" / "md5" / "ab" / "12.dir"
            cached.parent.mkdir(parents=True, exist_ok=True)
            cached.touch()
        if command == "push" and (error := next(answers)):
            raise error

    monkeypatch.setattr(features.versioning, "_dvc", dvc)
    with pytest.raises(VersioningError, match="push"):
        dvc_add(data, "s3://bucket/dvc")
    for remote in ("s3://bucket/dvc", "s3://bucket/dvc", None, "s3://another/dvc"):
        dvc_add(data, remote)
    assert made.count("push") == 3


def test_there_must_be_something_to_track(tmp_path: Path) -> None:
    with pytest.raises(VersioningError, match="clipcast import"):
        dvc_add(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_store_is_not_tracked(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = grow(data, 1)
    (data / store.manifest().parts[0].path).unlink()
    with pytest.raises(StoreError, match="missing"):
        dvc_add(data)
    assert not dvc_file(data).exists()


@pytest.mark.parametrize("content", ["outs: [", "outs: []\nmeta: {clipcast: {manifest: HASH}}\n"])
def test_a_damaged_dvc_file_is_told(tmp_path: Path, content: str) -> None:
    data = tmp_path / "data"
    store = grow(data, 1)
    dvc_file(data).write_text(content.replace("HASH", store.manifest().hash), encoding="utf-8")
    with pytest.raises(VersioningError, match=r"data\.dvc"):
        dvc_add(data)


def test_tracking_waits_for_whoever_writes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    grow(data, 1)
    with locked(data), pytest.raises(LockedError):
        dvc_add(data, wait_s=0.05)


def test_dvc_is_told_not_to_phone_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run(_arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen.update(options["env"])
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    features.versioning._dvc(tmp_path, "add", "data")
    assert seen["DVC_NO_ANALYTICS"] == "1"
