"""Bundles: a model as a folder of plain files, named by the sha256 of everything in it.

`bundle.json` describes the model and lists the sha256 of every other file, so that its own sha256 stands for
the whole folder. A bundle holds data, never code: pickles are refused when it is written and
when it is opened. Nothing here knows MLflow, because serving opens bundles too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from features.errors import BundleError

BUNDLE_FILE = "bundle.json"

_PICKLE_SUFFIXES = {".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth", ".ckpt"}
_PICKLE_HEADERS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_ZIP_HEADER = b"PK\x03\x04"
_ADVICE = "fetch it again from the registry: clipcast reconcile, or go back to another version: clipcast rollback"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: every file was there and unaltered when it was opened."""

    folder: Path
    sha256: str
    meta: Mapping[str, Any]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files beside `bundle.json`, relative to the folder."""
        return tuple(self.meta["files"])


def canonical_json(value: Any) -> str:
    """The one text that a JSON value is hashed as.

    >>> canonical_json({"b": 1, "a": None})
    '{"a":null,"b":1}'
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def write_bundle(folder: Path, meta: Mapping[str, Any]) -> str:
    """Write `bundle.json` over the files that already lie in `folder`, and return the bundle's sha256.

    The same files and `meta` give the same sha256; so `meta` must hold no time of day, duration or run id.
    """
    if "files" in meta:
        raise BundleError(f"{folder}: the key 'files' of a bundle is computed, leave it out of the description")
    names = sorted(_names(folder) - {BUNDLE_FILE})
    for name in names:
        refuse_pickle(folder / name)
    described = {**meta, "files": {name: hash_file(folder / name) for name in names}}
    try:
        text = json.dumps(described, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    except (TypeError, ValueError) as error:
        raise BundleError(f"{folder}: the description is not plain JSON with finite numbers: {error}") from error
    write_atomically(folder / BUNDLE_FILE, text.encode())
    return hashlib.sha256(text.encode()).hexdigest()


def open_bundle(folder: Path, sha256: str | None = None) -> Bundle:
    """Open a bundle after checking that every file is there, unaltered and listed.

    Parameters
    ----------
    folder : Path
    sha256 : str, optional
        What the bundle must be; without it, the bundle is only checked against itself.

    Raises
    ------
    BundleError
        A file is missing, altered, unlisted or a pickle; the message names it.
    """
    content = _read_description(folder)
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise BundleError(f"{folder / BUNDLE_FILE} has the sha256 {found}, expected {sha256}; {_ADVICE}")
    meta = _parse_description(folder, content)
    _check_names(folder, listed=meta["files"])
    for name, expected in meta["files"].items():
        refuse_pickle(folder / name)
        if hash_file(folder / name) != expected:
            raise BundleError(f"{folder / name} was altered: its sha256 is not the one in {BUNDLE_FILE}; {_ADVICE}")
    return Bundle(folder, found, meta)


def publish(folder: Path, bundles_dir: Path) -> Path:
    """Copy a bundle to `bundles_dir/<sha256>/` in one step, and return that folder.

    Publishing again changes nothing; a published copy that was damaged is moved aside and replaced.
    """
    bundle = open_bundle(folder)
    target = bundles_dir / bundle.sha256
    if is_intact(target, bundle.sha256):
        return target
    bundles_dir.mkdir(parents=True, exist_ok=True)
    staged = bundles_dir / f".{bundle.sha256}.{uuid.uuid4().hex}"
    try:
        shutil.copytree(folder, staged)
        open_bundle(staged, bundle.sha256)
        _sync_tree(staged)
        _move_into_place(staged, target, bundle.sha256)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return target


def is_intact(folder: Path, sha256: str) -> bool:
    """Whether `folder` holds exactly the bundle `sha256`."""
    try:
        open_bundle(folder, sha256)
    except BundleError:
        return False
    return True


def refuse_pickle(path: Path) -> None:
    """Raise when a file is a pickle by its name or by its first bytes, torch's zipped ones included."""
    with path.open("rb") as file:
        head = file.read(4)
    pickled = path.suffix.lower() in _PICKLE_SUFFIXES or head.startswith(_PICKLE_HEADERS)
    if not pickled and head == _ZIP_HEADER and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            pickled = any(PurePosixPath(name).suffix in _PICKLE_SUFFIXES for name in archive.namelist())
    if pickled:
        raise BundleError(
            f"{path} is a pickle, which can run code when it is read; store the model as text, ONNX or JSON"
        )


def hash_file(path: Path) -> str:
    """The sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that a reader, or a crash, sees either the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with staged.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _read_description(folder: Path) -> bytes:
    try:
        return (folder / BUNDLE_FILE).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise BundleError(f"{folder / BUNDLE_FILE} cannot be read ({reason}): this is no bundle; {_ADVICE}") from error


def _parse_description(folder: Path, content: bytes) -> dict[str, Any]:
    try:
        meta = json.loads(content)
    except ValueError as error:
        raise BundleError(f"{folder / BUNDLE_FILE} is not JSON: {error}; {_ADVICE}") from error
    files = meta.get("files") if isinstance(meta, dict) else None
    if not isinstance(files, dict) or not all(isinstance(sha256, str) for sha256 in files.values()):
        raise BundleError(f"{folder / BUNDLE_FILE} does not list its files; {_ADVICE}")
    parsed: dict[str, Any] = meta
    return parsed


def _check_names(folder: Path, listed: Collection[str]) -> None:
    found = _names(folder) - {BUNDLE_FILE}
    if missing := sorted(set(listed) - found):
        raise BundleError(f"{folder}: missing {', '.join(missing)}; {_ADVICE}")
    if extra := sorted(found - set(listed)):
        raise BundleError(f"{folder}: {', '.join(extra)} does not belong to the bundle; {_ADVICE}")


def _names(folder: Path) -> set[str]:
    """Every file below a folder by its relative name; a link could point out of the bundle and is refused."""
    names = set()
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleError(f"{path} is not a plain file; a bundle holds nothing else")
        if path.is_file():
            names.add(path.relative_to(folder).as_posix())
    return names


def _move_into_place(staged: Path, target: Path, sha256: str) -> None:
    if target.exists() and not is_intact(target, sha256):
        target.rename(target.with_name(f".damaged-{sha256}-{uuid.uuid4().hex}"))
    try:
        staged.rename(target)
    except OSError:
        if not is_intact(target, sha256):  # otherwise another process published the same bundle first
            raise
    _sync_folder(target.parent)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            _sync_folder(path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the system lets a folder be opened for that."""
    with contextlib.suppress(PermissionError):  # Windows
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
