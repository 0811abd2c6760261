"""Secrets planted wherever clipcast may meet one are shown nowhere, and what it writes is for its user only."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from features.errors import ClipcastError, SettingsError
from features.safety import PRIVATE, as_the_user_usually_writes, mask, protect, redact
from features.settings import Settings
from registry.database import Database
from registry.tracking import Tracking
from training.tune import open_storage

CANARY = "c4n4ry-in-the-mine"
ENCODED = "c4n4ry%2Din%2Dthe%2Dmine"
PLANTED = {
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_SESSION_TOKEN": CANARY,
    "GITHUB_TOKEN": CANARY,
    "MLFLOW_TRACKING_PASSWORD": CANARY,
    "MLFLOW_TRACKING_TOKEN": CANARY,
    "PGPASSWORD": CANARY,
    "PREFECT_API_KEY": CANARY,
}
FILE = """platform,post_id,account_id,published_at,observed_at,media_type,caption,duration_s,sound_id,followers,views\
,likes,comments,shares,saves
youtube,p1,a1,2026-03-01T12:00:00Z,2026-03-09T12:00:00Z,video,hello,10,,100,1000,10,1,1,1
youtube,p2,a1,2026-03-02T12:00:00Z,2026-03-09T12:00:00Z,video,hello,10,,100,1000,10,1,1,1
youtube,p3,a1,yesterday,2026-03-09T12:00:00Z,video,hello,10,,100,1000,10,1,1,1
"""


class Workspace:
    """The command in an empty workspace, started under the usual umask with secrets all around it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.said = folder, folder / "home", ""
        (folder / "posts.csv").write_text(FILE)

    def clipcast(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        places = {"CLIPCAST_HOME": str(self.home), "CLIPCAST_DATA": str(self.folder / "store" / "data")}
        command = [sys.executable, "-m", "flows.cli", *arguments]
        env = {**os.environ, **PLANTED, **places, **environment}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, umask=0o022)
        self.said += done.stdout + done.stderr
        return done


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def assert_hidden(folder: Path, said: str) -> None:
    """No secret in what was said, and in no file or name of a folder."""
    for secret in (CANARY, ENCODED):
        assert secret not in said
        for path in folder.rglob("*"):
            assert secret not in path.name
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def open_to_others(folder: Path) -> list[str]:
    """What others than its user may read, write or enter."""
    modes = {path: path.lstat().st_mode for path in (folder, *folder.rglob("*")) if not path.is_symlink()}
    return [f"{path} {stat.filemode(mode)}" for path, mode in modes.items() if mode & PRIVATE]


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql+psycopg://user:{CANARY}@127.0.0.1:1/name",
        f"postgresql+psycopg://user:{ENCODED}@127.0.0.1:1/name",
        f"postgresql+psycopg://me@corp:{CANARY}@127.0.0.1:1/name",
        f"postgresql+psycopg://127.0.0.1:1/name?user=me&password={CANARY}",
        f"nonsense://user:{CANARY}@127.0.0.1/name",
    ],
)
def test_no_word_about_a_database_that_cannot_be_used_shows_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    """Neither in clipcast's errors, nor in the tracebacks that are kept with what libraries said before."""
    monkeypatch.setenv("CLIPCAST_STUDIES_URI", address)
    opened: list[Callable[[], object]] = [
        Tracking(address, tmp_path.as_uri(), tmp_path).ping,
        lambda: Database(address),
        lambda: open_storage(address),
    ]
    for each in opened:
        with pytest.raises((ClipcastError, SQLAlchemyError)) as caught:
            each()
        assert_hidden(tmp_path, redact("".join(traceback.format_exception(caught.value))))
        if isinstance(caught.value, ClipcastError):
            assert_hidden(tmp_path, str(caught.value))


def test_no_command_shows_the_password_of_a_database(workspace: Workspace) -> None:
    address = f"postgresql+psycopg://user:{CANARY}@127.0.0.1:1/name"
    told = json.loads(workspace.clipcast("config", "--json", CLIPCAST_DATABASE_URI=address).stdout)
    assert told["database_uri"] == "postgresql+psycopg://user:***@127.0.0.1:1/name"
    failed = workspace.clipcast("status", CLIPCAST_DATABASE_URI=address)
    assert failed.returncode == 1
    assert "user:***@127.0.0.1:1/name cannot be used" in failed.stderr
    assert_hidden(workspace.folder, workspace.said)


@pytest.mark.parametrize(
    "address",
    [
        f"s3://key:{CANARY}@bucket/x",
        f"s3://me@corp:{CANARY}@bucket/x",
        f"s3://bucket/x?aws_secret_access_key={CANARY}",
    ],
)
def test_an_artifact_store_with_a_secret_in_its_address_is_refused_since_mlflow_would_keep_it(
    workspace: Workspace, address: str
) -> None:
    refused = workspace.clipcast("config", CLIPCAST_ARTIFACTS_URI=address)
    assert refused.returncode == 1
    assert "AWS_SECRET_ACCESS_KEY in the environment" in refused.stderr
    assert_hidden(workspace.folder, workspace.said)


def test_a_traceback_that_nobody_foresaw_shows_no_secret(workspace: Workspace, tmp_path: Path) -> None:
    """A defect, which Python prints with the words of whatever library raised."""
    room = tmp_path / "broken" / "sitecustomize.py"
    room.parent.mkdir()
    words = f"cannot connect: password={CANARY} at https://me:{ENCODED}@host"
    room.write_text(
        "import os\nimport features.settings\n"
        f"def load(): raise OSError({words!r}.replace('c4n4ry', 'c4n4' + 'ry'))\n"
        "features.settings.Settings.load = load\n"
    )
    path = os.pathsep.join([str(room.parent), os.environ.get("PYTHONPATH", ""), str(Path(__file__).parents[1])])
    failed = workspace.clipcast("status", PYTHONPATH=path)
    room.unlink()
    assert failed.returncode == 1
    assert "OSError: cannot connect: password=*** at https://me:***@host" in failed.stderr
    assert_hidden(workspace.home, workspace.said)


def test_what_ends_a_thread_is_printed_without_secrets() -> None:
    code = """
import os, threading
from features.safety import protect

def fail():
    raise OSError("password=" + os.environ["PGPASSWORD"])

protect()
threading.Thread(target=fail, name="beside").start()
"""
    path = str(Path(__file__).parents[1])
    env = {**os.environ, **PLANTED, "PYTHONPATH": path}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stderr
    assert said.startswith("Exception in thread beside:\nTraceback")
    assert said.endswith("OSError: password=***\n")


def test_everything_that_an_import_writes_is_for_its_user_only(workspace: Workspace) -> None:
    imported = workspace.clipcast("import", str(workspace.folder / "posts.csv"))
    assert imported.returncode == 0, imported.stderr
    assert list((workspace.home / "rejects").iterdir())
    workspace.clipcast("status")
    workspace.clipcast("reconcile")
    assert (workspace.home / "ledger.db").exists()
    assert open_to_others(workspace.home) == []
    assert open_to_others(workspace.folder / "store" / "data") == []
    assert_hidden(workspace.folder, workspace.said)


def test_a_file_that_the_user_named_keeps_the_umask_of_the_user(workspace: Workspace) -> None:
    workspace.clipcast("config", "--json", str(workspace.folder / "config.json"))
    assert stat.S_IMODE((workspace.folder / "config.json").stat().st_mode) == 0o644


@pytest.fixture
def unprotected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process as it was, afterwards."""
    from features import safety

    monkeypatch.setattr(safety, "_usual", [])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures("unprotected")
def test_protection_twice_still_knows_what_the_user_wanted(tmp_path: Path) -> None:
    protect()
    protect()
    (tmp_path / "ours").touch()
    with as_the_user_usually_writes():
        (tmp_path / "theirs").touch()
    (tmp_path / "ours again").touch()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ours": 0o600, "theirs": 0o640, "ours again": 0o600}
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


@pytest.mark.parametrize(
    ("environment", "text", "shown"),
    [
        ({"MY_TOKEN": "abcdef"}, "said abcdef twice: abcdef", "said *** twice: ***"),
        ({"MY_TOKEN": "true"}, "it is true", "it is true"),
        ({"PWD": "/srv/data"}, "in /srv/data", "in /srv/data"),
        ({"SOME_URL": "redis://me:p%40sses@h/0"}, "refused p@sses and p%40sses", "refused *** and ***"),
        ({"SOME_URL": "https://h/?sig=1&api_key=qwertz"}, "qwertz", "***"),
        ({}, "see https://me:word@host/a, or mail me@host", "see https://me:***@host/a, or mail me@host"),
        ({}, "at http://host:5000 the alias x@production", "at http://host:5000 the alias x@production"),
        ({}, "https://host:5000/x@y", "https://host:5000/x@y"),
        ({}, "https://me@corp:word@host:5000/x@y", "https://me@corp:***@host:5000/x@y"),
        ({}, "https://me:wo/rd@host/a", "https://me:***@host/a"),
        ({}, "git+https://ghp_x@host/a@main", "git+https://***@host/a@main"),
        ({}, "HTTPS://ghp_x@host", "HTTPS://***@host"),
        ({}, "postgresql+psycopg://me@corp:S3cret@db/clip", "postgresql+psycopg://me@corp:***@db/clip"),
        ({}, "postgresql://me:12/wo@rd@db:5432/clip", "postgresql://me:***@db:5432/clip"),
        ({}, "s3://bucket/a:b@c", "s3://bucket/a:b@c"),
        ({"SOME_URL": "postgresql://me@corp:wordword@db/clip"}, "wordword of me@corp", "*** of me@corp"),
        ({"SOME_URL": "https://clipcast@host"}, "clipcast run weekly", "clipcast run weekly"),
        *[
            ({name: "hunter2"}, "said hunter2", "said ***")
            for name in ("AZURE_STORAGE_KEY", "ENCRYPTION_KEY", "SSH_KEY", "KEY", "DB_PASS", "MYSQL_PWD", "key_id")
        ],
        ({"KEYBOARD": "german", "MONKEY": "gibbon"}, "german gibbon", "german gibbon"),
    ],
)
def test_secrets_are_hidden_by_their_value_and_in_any_address(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], text: str, shown: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert redact(text) == shown


def test_a_refused_setting_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAST_ARTIFACTS_URI", f"ftp://me:{CANARY}@host/x")
    with pytest.raises(SettingsError, match=r"ftp://me:\*\*\*@host/x: must hold no password") as caught:
        Settings.load()
    assert CANARY not in str(caught.value)
    assert mask(f"ftp://me:{CANARY}@host/x") == "ftp://me:***@host/x"
