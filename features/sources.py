"""Where posts are collected from: anything that yields frames in the import format under a source's name."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import polars as pl

from features.errors import ClipcastError
from features.raw import KINDS
from features.raw_batch import Progress
from features.reading import free_path, read_posts, rejects_name
from features.store import Appended, Store

DONE = "done"
"""The folder of an inbox that files are moved to once their rows are in the store."""


class Source(Protocol):
    """Something that posts are collected from, such as a folder or a platform's interface."""

    @property
    def name(self) -> str:
        """The source that its posts are kept under."""

    def fetch(self, since: datetime | None) -> Iterator[pl.DataFrame]:
        """Yield frames in the import format of what was observed after `since`; more does no harm."""


@dataclass(frozen=True)
class Collected:
    """What collecting one file or source came to.

    Attributes
    ----------
    origin
        The file, or the name of the source.
    appended
        What it brought; nothing where it failed.
    rejected
        Rows set aside.
    rejects
        The file that shows them.
    error
        Why it failed; its rows are not in the store then.
    """

    source: str
    origin: str
    appended: Appended | None = None
    rejected: int = 0
    rejects: Path | None = None
    error: str | None = None


def collect(source: Source, store: Store, since: datetime | None = None) -> Collected:
    """Append what a source yields; a failure is reported, and leaves the store as it was."""
    try:
        return Collected(source.name, source.name, store.append(source.fetch(since), source.name))
    except ClipcastError as error:
        return Collected(source.name, source.name, error=str(error))


def import_file(
    path: Path, source: str, store: Store, rejects_dir: Path, progress: Progress | None = None
) -> Collected:
    """Append one file; the rows that cannot be used are written to a CSV file in `rejects_dir`.

    Raises
    ------
    ImportFileError
        The file as a whole cannot be used; nothing was imported.
    """
    reading = read_posts(path, progress=progress)
    appended = store.append(reading, source)
    if not reading.rejected:
        return Collected(source, str(path), appended)
    rejects = reading.write_rejects(rejects_dir / rejects_name(source, path))
    return Collected(source, str(path), appended, reading.rejected, rejects)


@dataclass(frozen=True)
class Inbox:
    """A folder that files in the import format are dropped into, as `<source>/<file>`.

    A file is left alone whose name starts with a dot, or does not end like that of a file of posts: write a
    file under such a name first, and rename it when it is whole.
    """

    folder: Path

    def files(self) -> list[tuple[str, Path]]:
        """The files that wait, each with its source, in the order of their names."""
        waiting = []
        for path in sorted(self.folder.glob("*/*")):
            kind = any(path.name.lower().endswith(ending) for ending in KINDS)
            if kind and path.is_file() and path.parent.name != DONE and not path.name.startswith("."):
                waiting.append((path.parent.name, path))
        return waiting

    def collect(self, store: Store, rejects_dir: Path) -> list[Collected]:
        """Append every file that waits; what succeeds moves to `done`, what fails stays and is reported."""
        return [self._collect(source, path, store, rejects_dir) for source, path in self.files()]

    def _collect(self, source: str, path: Path, store: Store, rejects_dir: Path) -> Collected:
        """Append one file, and move it away if that went well."""
        try:
            collected = import_file(path, source, store, rejects_dir)
        except ClipcastError as error:
            return Collected(source, str(path), error=str(error))
        done = self.folder / DONE / source / path.name
        done.parent.mkdir(parents=True, exist_ok=True)
        path.replace(free_path(done))
        return collected
