"""A tiny model family and a registry of versions in a JSON file, for the tests of the registry."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from registry.bundle import open_bundle, write_bundle
from registry.database import Database
from registry.gate import Design, Evidence
from registry.ledger import Ledger
from registry.loading import make_example, posts_of_rows
from registry.places import Registry
from tests.registry_slope import Slope
from training.evaluate import Interval

ROOT = Path(__file__).parents[1]
MODEL = "clipcast-youtube-performance"

ROWS = [
    {
        "platform": "youtube",
        "post_id": f"p{number}",
        "account_id": "a1",
        "published_at": f"2026-03-0{number}T12:00:00Z",
        "caption": "first day" * number,
        "duration_s": 10.5 * number,
        "followers": 1000,
    }
    for number in (1, 2, 3)
]

# What a fresh process imports in place of the real training room.
SHADOW = """
from tests.registry_slope import Slope

load_model = Slope.load
"""


def write_slope(folder: Path, slope: float = 2.0) -> Path:
    """A bundle of the tiny family."""
    folder.mkdir(parents=True)
    (folder / "slope.txt").write_text(str(slope))
    (folder / "notes").mkdir()
    (folder / "notes" / "read.json").write_text("{}")
    example = make_example(Slope(slope), posts_of_rows(ROWS, "youtube"))
    described = {"family": "slope", "platform": "youtube", "schema_hash": "s1", "data_hash": "d1"}
    write_bundle(folder, {**described, "example": example})
    return folder


def use_slope(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let this process and the fresh ones that it starts know the tiny family only."""
    task = ModuleType("training.task")
    task.load_model = Slope.load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, task.__name__, task)
    room = folder / "shadow" / "training"
    room.mkdir(parents=True)
    (room / "__init__.py").touch()
    (room / "task.py").write_text(SHADOW)
    monkeypatch.setenv("PYTHONPATH", f"{room.parent}:{ROOT}")


class JsonVersions:
    """Versions and aliases in a file, so that another process sees them too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            self._write({"aliases": {}, "versions": {}})

    def add(self, name: str, folder: Path) -> int:
        state = self._read()
        versions = state["versions"].setdefault(name, {})
        version = len(versions) + 1
        versions[str(version)] = str(folder)
        self._write(state)
        return version

    def delete(self, name: str, version: int) -> None:
        state = self._read()
        state["versions"][name][str(version)] = None
        state["aliases"] = {key: value for key, value in state["aliases"].items() if value != version}
        self._write(state)

    def get_alias(self, name: str, alias: str) -> int | None:
        named: int | None = self._read()["aliases"].get(f"{name}@{alias}")
        return named

    def set_alias(self, name: str, alias: str, version: int) -> None:
        assert self._read()["versions"][name][str(version)]
        state = self._read()
        state["aliases"][f"{name}@{alias}"] = version
        self._write(state)

    def delete_alias(self, name: str, alias: str) -> None:
        state = self._read()
        state["aliases"].pop(f"{name}@{alias}", None)
        self._write(state)

    def holds(self, name: str, version: int, sha256: str) -> bool:
        folder = self._read()["versions"].get(name, {}).get(str(version))
        return folder is not None and open_bundle(Path(folder)).sha256 == sha256

    def download(self, name: str, version: int, into: Path) -> Path:
        return Path(shutil.copytree(self._read()["versions"][name][str(version)], into / "bundle"))

    def _read(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.path.read_text())
        return state

    def _write(self, state: dict[str, Any]) -> None:
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(state))
        temporary.replace(self.path)


def make_registry(folder: Path, address: str | None = None) -> Registry:
    """An empty registry, or the one that was made in this folder before."""
    folder.mkdir(exist_ok=True)
    noted = folder / "address"
    if not noted.exists():
        noted.write_text(address or f"sqlite:///{folder}/ledger.db")
    return Registry(
        Ledger(Database(noted.read_text(), lock_timeout_s=20)),
        JsonVersions(folder / "versions.json"),
        folder / "bundles",
        folder / "production.json",
    )


def good_evidence(**changes: Any) -> Evidence:
    """Evidence that passes every check of a replace."""
    seen: dict[str, Any] = {
        "comparison": Design.REPLACE,
        "posts": 1400,
        "accounts": 230,
        "loads": True,
        "gain": Interval(0.021, 0.012, 0.031),
        "coverage": 0.81,
        "coverage_error": 0.01,
        "latency_ratio": 1.1,
    }
    return Evidence(**{**seen, **changes})
