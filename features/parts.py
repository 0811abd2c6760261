"""The parquet files of a store: written once, named by their content, read back with their partition."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.errors import StoreError
from features.manifest import Part, sync_folder
from features.schema import OBSERVATION, POST, Platform, Schema

PART_ROWS = 500_000
"""How many rows a part may have; so many are held in memory while a part is filled."""

REVISION: Mapping[str, pl.DataType] = {"revision": pl.Int32()}
"""0 for the row that stands: the earliest imported. Later rows that contradict it are 1, 2, and so on."""


@dataclass(frozen=True)
class Table:
    """One of the two tables: its columns, and what one row of it speaks of."""

    name: str
    schema: Schema
    key: tuple[str, ...]
    time: str

    @property
    def columns(self) -> list[str]:
        """The columns as they are stored: the platform is said by the path."""
        return [name for name in self.schema if name != "platform"]

    @property
    def scanned(self) -> dict[str, pl.DataType]:
        """The columns as they are read back."""
        return {**self.schema, "source": pl.String(), **REVISION}

    def folder(self, platform: Platform | str, source: str) -> str:
        """Where the parts of a platform and source lie, relative to the store."""
        return f"{self.name}/platform={platform}/source={source}"


POSTS = Table("posts", POST, ("post_id",), "published_at")
OBSERVATIONS = Table("observations", OBSERVATION, ("post_id", "observed_at"), "observed_at")


class PartWriter:
    """Gathers rows of one table, platform and source, and writes them as parts of `PART_ROWS` rows."""

    def __init__(self, root: Path, table: Table, folder: str) -> None:
        self._root = root
        self._table = table
        self._folder = folder
        self._waiting: list[pl.DataFrame] = []
        self._parts: list[Part] = []

    def add(self, rows: pl.DataFrame) -> None:
        """Take rows with the table's columns and their revision."""
        self._waiting.append(rows)
        # Cut after a fixed number of rows, not after each chunk: the bytes must not depend on the chunks.
        while sum(frame.height for frame in self._waiting) >= PART_ROWS:
            gathered = pl.concat(self._waiting)
            self._write(gathered[:PART_ROWS])
            self._waiting = [gathered[PART_ROWS:]]

    def finish(self) -> list[Part]:
        """Write what is left; the parts are whole on disk then, though no manifest names them yet."""
        rest = pl.concat(self._waiting) if self._waiting else pl.DataFrame()
        if rest.height:
            self._write(rest)
        self._waiting = []
        return self._parts

    def _write(self, rows: pl.DataFrame) -> None:
        """Write one part: sorted, under a temporary name, then under the name of its content."""
        folder = self._root / self._folder
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{os.getpid()}.tmp"
        ordered = rows.sort(self._table.time, "post_id", "revision").rechunk()
        ordered.write_parquet(temporary, compression="zstd", compression_level=3, statistics=True)
        sha256 = sync_and_hash(temporary)
        name = f"part-{sha256[:32]}.parquet"
        size_bytes = temporary.stat().st_size
        temporary.replace(folder / name)
        sync_folder(folder)
        self._parts.append(Part(f"{self._folder}/{name}", sha256, rows.height, size_bytes))


def scan_parts(root: Path, table: Table, parts: Iterable[Part]) -> pl.LazyFrame:
    """The rows of some parts of a table, with `source` and `revision`."""
    groups: dict[tuple[str, str], list[Path]] = {}
    for part in parts:
        groups.setdefault((part.platform, part.source), []).append(root / part.path)
    frames = [
        pl.scan_parquet(paths, hive_partitioning=False)
        .with_columns(platform=pl.lit(platform), source=pl.lit(source))
        .select(list(table.scanned))
        for (platform, source), paths in groups.items()
    ]
    return pl.concat(frames) if frames else pl.LazyFrame(schema=table.scanned)


def check_parts(root: Path, parts: Iterable[Part]) -> None:
    """Refuse to go on where a part is missing or has another size than the manifest says."""
    for part in parts:
        path = root / part.path
        if not path.is_file():
            raise StoreError(f"{path}: missing, though the manifest names it; restore it: dvc checkout {root}")
        if path.stat().st_size != part.size_bytes:
            raise StoreError(f"{path}: not {part.size_bytes} bytes as written; restore it: dvc checkout {root}")


def verify_parts(root: Path, parts: Iterable[Part]) -> None:
    """Read every part again and compare its hash with the manifest."""
    for part in parts:
        check_parts(root, [part])
        if hash_file(root / part.path) != part.sha256:
            raise StoreError(f"{root / part.path}: its content was changed; restore it: dvc checkout {root}")


def remove_orphans(root: Path, parts: Iterable[Part]) -> None:
    """Remove what an interrupted append left behind: parts that no manifest names, and half-written ones."""
    named = {root / part.path for part in parts}
    for path in _own_files(root):
        if path not in named:
            path.unlink()


def _own_files(root: Path) -> Iterator[Path]:
    """The files of a store that carry a name which only this module and that of the manifest give."""
    yield from root.glob(".*.tmp")
    for table in (POSTS, OBSERVATIONS):
        for pattern in ("part-*.parquet", ".*.tmp"):
            yield from root.glob(f"{table.name}/platform=*/source=*/{pattern}")


def sync_and_hash(path: Path) -> str:
    """Make a file survive a power cut, and return its SHA-256."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return hash_file(path)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
