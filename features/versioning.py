"""Data versions: one `dvc add` of the store per change, so that `data.dvc` names what models learn from."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from features.child import lifeline, program
from features.errors import MissingExtraError, VersioningError
from features.manifest import NAME, read_manifest
from features.parts import check_parts
from features.safety import redact
from features.space import told_when_full
from features.store import WAIT_S, locked

_NOTE = "clipcast"
_REMOTE = "clipcast"


def dvc_add(data: Path, remote: str | None = None, *, wait_s: float = WAIT_S) -> str:
    """Track the store's folder with DVC, and return the MD5 by which DVC names its content.

    The folder above becomes a DVC repository where it is none. `data.dvc` also notes the hash of the store's
    manifest: while that is unchanged, and DVC's cache holds the content, DVC is not started again.

    Parameters
    ----------
    remote
        Address to which the content is copied too; it becomes the repository's default remote.

    Raises
    ------
    VersioningError
        There is nothing to track, or DVC failed; its own words are quoted.
    LockedError
        Another process has been writing to the store, or tracking it, for longer than `wait_s`.
    """
    data = data.absolute()
    if not (data / NAME).is_file():
        raise VersioningError(f"{data}: no posts to track yet; import some: clipcast import FILE")
    with told_when_full(data.parent), locked(data, wait_s):
        manifest = read_manifest(data)
        check_parts(data, manifest.parts)
        tracked, wanted = _read(data), {"manifest": manifest.hash, **({"remote": remote} if remote else {})}
        if wanted.items() <= _noted(tracked).items() and _cached(data, _md5(data, tracked)):
            return _md5(data, tracked)
        _init(data.parent)
        _dvc(data.parent, "add", data.name)
        if remote:
            _dvc(data.parent, "remote", "add", "--force", "--default", _REMOTE, remote)
            _dvc(data.parent, "push", data.name)
        tracked = _read(data)
        md5 = _md5(data, tracked)
        _note(data, tracked, wanted)
        return md5


def dvc_file(data: Path) -> Path:
    """The file in which DVC names the content of a folder."""
    return data.with_name(f"{data.name}.dvc")


def _init(folder: Path) -> None:
    """Make a folder a DVC repository; inside one of Git's where the folder is its top.

    Outside of Git, DVC can do nothing before its configuration says so: one that is empty was left by a start
    that was killed.
    """
    config, in_git = folder / ".dvc" / "config", (folder / ".git").exists()
    if config.parent.is_dir() and (in_git or (config.is_file() and config.read_text(encoding="utf-8").strip())):
        return
    again = ["--force"] if config.parent.is_dir() else []
    _dvc(folder, "init", *again, *([] if in_git else ["--no-scm"]))


def _dvc(folder: Path, *arguments: str) -> None:
    """Run one DVC command in a folder; not quietly, since DVC would then keep its errors to itself.

    It ends with this process: left alone, it would hold DVC's lock against the same command started again.
    """
    if find_spec("dvc") is None:
        raise MissingExtraError("dvc", "pipeline")
    with lifeline() as line:
        done = subprocess.run(
            program(line, "dvc", *arguments),
            pass_fds=(line,),
            cwd=folder,
            env={**_endpoint(), **os.environ, "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        command = " ".join(("dvc", *arguments))
        said = redact(done.stderr or done.stdout).strip()
        raise VersioningError(f"`{command}` failed in {folder}: {said}\nmend that, then run the command again there")


def _endpoint() -> dict[str, str]:
    """Where S3 is for DVC: where MLflow was told that it is."""
    found = os.environ.get("MLFLOW_S3_ENDPOINT_URL")
    return {"AWS_ENDPOINT_URL_S3": found} if found else {}


def _read(data: Path) -> dict[str, Any]:
    """What DVC wrote about the folder; nothing before it is first tracked."""
    path = dvc_file(data)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    except yaml.YAMLError as error:
        raise VersioningError(f"{path}: not YAML ({error}); restore it, or delete it to track anew") from error
    return content if isinstance(content, dict) else {}


def _md5(data: Path, tracked: dict[str, Any]) -> str:
    """The name DVC gave to the folder's content."""
    try:
        return str(tracked["outs"][0]["md5"])
    except (KeyError, IndexError, TypeError) as error:
        raise VersioningError(f"{dvc_file(data)}: names no content; delete it to track anew") from error


def _cached(data: Path, md5: str) -> bool:
    """Whether DVC's cache, at its usual place, holds the content; elsewhere DVC itself has to look."""
    return (data.parent / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).is_file()


def _noted(tracked: dict[str, Any]) -> dict[str, str]:
    """The manifest hash of when the folder was last tracked, and the remote that it was copied to."""
    meta = tracked.get("meta")
    note = meta.get(_NOTE) if isinstance(meta, dict) else None
    return note if isinstance(note, dict) else {}


def _note(data: Path, tracked: dict[str, Any], note: dict[str, str]) -> None:
    """Note what was tracked in the `meta` that DVC leaves to its users, and keeps."""
    meta = tracked.get("meta")
    tracked["meta"] = {**(meta if isinstance(meta, dict) else {}), _NOTE: note}
    path = dvc_file(data)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(yaml.safe_dump(tracked, sort_keys=False), encoding="utf-8")
    temporary.replace(path)
