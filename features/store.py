"""The store of posts on disk: two append-only tables in partitioned parquet, and a manifest for the version.

Layout below the store's folder::

    posts/platform=tiktok/source=default/part-<hash>.parquet          one row per post and version of it
    observations/platform=tiktok/source=default/part-<hash>.parquet   one row per post and look
    manifest.json                                                     the parts that count

Parts are never changed. The manifest is replaced last and in one step: before, nothing was appended; after,
all of it. The lock that keeps writers apart is a file beside the folder, `.<name>.lock`: no part of the data.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.errors import LockedError, MissingExtraError, SchemaError, StoreError
from features.manifest import Manifest, Part, read_manifest, write_manifest
from features.parts import (
    OBSERVATIONS,
    POSTS,
    PartWriter,
    Table,
    check_parts,
    remove_orphans,
    scan_parts,
    verify_parts,
)
from features.schema import IMPORT, REQUIRED, Platform
from features.seen import Seen
from features.space import told_when_full

WAIT_S = 600
"""How long a writer waits for another one."""


@dataclass(frozen=True)
class Appended:
    """What an append brought.

    Attributes
    ----------
    posts
        Posts that were new.
    edits
        Later versions of posts already known, kept beside the first, which stands.
    observations
        Observations that were new, contradictions included.
    contradictions
        Observations that give other counts for a post and time than an earlier one, which stands.
    duplicates
        Rows that brought nothing new.
    hash
        Names the version of the data after the append.
    """

    posts: int
    edits: int
    observations: int
    contradictions: int
    duplicates: int
    hash: str


class Store:
    """The posts and observations below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def manifest(self) -> Manifest:
        """The parts that the store consists of now."""
        return read_manifest(self.root)

    def platforms(self) -> list[Platform]:
        """The platforms of which there are posts."""
        found = {part.platform for part in self.manifest().parts}
        return [platform for platform in Platform if platform in found]

    def sources(self, platform: Platform | str) -> list[str]:
        """The sources that a platform's posts came from."""
        return sorted({part.source for part in self.manifest().of(POSTS.name, Platform(platform))})

    def posts(self, platform: Platform | str, manifest: Manifest | None = None) -> pl.LazyFrame:
        """The posts of a platform: the columns of `POST`, `source` and `revision`.

        `manifest` fixes the version, so that tables read one after the other belong together.
        """
        return self._scan(POSTS, platform, manifest)

    def observations(self, platform: Platform | str, manifest: Manifest | None = None) -> pl.LazyFrame:
        """The observations of a platform: the columns of `OBSERVATION`, `source` and `revision`."""
        return self._scan(OBSERVATIONS, platform, manifest)

    def append(self, chunks: Iterable[pl.DataFrame], source: str, *, wait_s: float = WAIT_S) -> Appended:
        """Append frames in the import format: all of them, or nothing if reading one raises.

        Rows that this source brought before are left out, and nothing is ever overwritten.
        """
        check_source(source)
        with told_when_full(self.root), locked(self.root, wait_s):
            manifest = self.manifest()
            check_parts(self.root, manifest.parts)
            remove_orphans(self.root, manifest.parts)
            append = _Append(self.root, source, manifest)
            try:
                for chunk in chunks:
                    append.add(chunk)
                grown = manifest.with_parts(append.finish())
                if grown != manifest:
                    write_manifest(self.root, grown)
            except BaseException:
                remove_orphans(self.root, self.manifest().parts)
                raise
            return append.result(grown.hash)

    def verify(self) -> None:
        """Read every part again, and raise where one is not what was written."""
        verify_parts(self.root, self.manifest().parts)

    def _scan(self, table: Table, platform: Platform | str, manifest: Manifest | None) -> pl.LazyFrame:
        """The rows of a table of one platform."""
        parts = list((manifest or self.manifest()).of(table.name, Platform(platform)))
        check_parts(self.root, parts)
        return scan_parts(self.root, table, parts)


def check_source(name: str) -> None:
    """Refuse a source whose name cannot be a folder everywhere."""
    if not re.fullmatch(r"[a-z0-9_-]{1,64}", name):
        raise StoreError(f"source {name!r}: use up to 64 small letters, digits, hyphens and underscores")


@contextmanager
def locked(root: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the one lock for writing to the store at `root`."""
    try:
        import filelock
    except ImportError as error:
        raise MissingExtraError("filelock", "pipeline") from error

    root = root.absolute()
    root.mkdir(parents=True, exist_ok=True)
    path = root.with_name(f".{root.name}.lock")
    try:
        with filelock.FileLock(path, timeout=wait_s):
            yield
    except filelock.Timeout as error:
        raise LockedError(f"{path}: another process has been writing for {wait_s:g} s; try again later") from error


class _Append:
    """One append under way: what is new is written as parts, and counted."""

    def __init__(self, root: Path, source: str, manifest: Manifest) -> None:
        self._root = root
        self._source = source
        self._manifest = manifest
        self._seen: dict[tuple[str, str], Seen] = {}
        self._writers: dict[tuple[str, str], PartWriter] = {}
        self._count: Counter[str] = Counter()

    def add(self, chunk: pl.DataFrame) -> None:
        """Write what is new in a frame in the import format."""
        _check_chunk(chunk)
        for rows in chunk.partition_by("platform", maintain_order=True):
            platform = rows["platform"][0]
            edits = self._keep(POSTS, platform, rows)
            looks = self._keep(OBSERVATIONS, platform, rows)
            self._count["posts"] += int((edits == 0).sum())
            self._count["edits"] += int((edits > 0).sum())
            self._count["observations"] += looks.len() - looks.null_count()
            self._count["contradictions"] += int((looks > 0).sum())
            self._count["duplicates"] += int((edits.is_null() & looks.is_null()).sum())

    def finish(self) -> list[Part]:
        """Write what is left, and name all parts written."""
        return [part for writer in self._writers.values() for part in writer.finish()]

    def result(self, version: str) -> Appended:
        """What was new, in numbers."""
        names = ("posts", "edits", "observations", "contradictions", "duplicates")
        return Appended(**{name: self._count[name] for name in names}, hash=version)

    def _keep(self, table: Table, platform: str, rows: pl.DataFrame) -> pl.Series:
        """Hand the new rows of one table to its writer, and return the revision of every row."""
        revision = self._met(table, platform).revise(rows)
        fresh = rows.select(table.columns).with_columns(revision).filter(revision.is_not_null())
        if fresh.height:
            self._writer(table, platform).add(fresh)
        return revision

    def _writer(self, table: Table, platform: str) -> PartWriter:
        """The writer of a table and platform, made when it is first needed."""
        folder = table.folder(platform, self._source)
        return self._writers.setdefault((table.name, platform), PartWriter(self._root, table, folder))

    def _met(self, table: Table, platform: str) -> Seen:
        """The rows of a table and platform that are there already, read part by part when first asked for."""
        if (table.name, platform) not in self._seen:
            seen = Seen(table.columns, table.key)
            for part in self._manifest.of(table.name, platform, self._source):
                seen.remember(scan_parts(self._root, table, [part]).collect())
            self._seen[table.name, platform] = seen
        return self._seen[table.name, platform]


def _check_chunk(chunk: pl.DataFrame) -> None:
    """Refuse a frame that is not in the import format, or lacks what no row may lack."""
    if dict(chunk.schema) != dict(IMPORT):
        expected = {f"{name}: {dtype}" for name, dtype in IMPORT.items()}
        found = {f"{name}: {dtype}" for name, dtype in chunk.schema.items()}
        raise SchemaError(
            f"not in the import format: missing {sorted(expected - found)}, "
            f"unexpected {sorted(found - expected)}, or in another order; read files with read_posts"
        )
    if holes := [name for name in REQUIRED if chunk[name].null_count()]:
        raise SchemaError(f"rows without {', '.join(holes)} cannot be stored; only posts to predict may lack them")
    unknown = chunk["platform"].unique().to_list()
    if strange := sorted(set(unknown) - set(Platform)):
        raise SchemaError(f"unknown platform {strange}; known are {', '.join(Platform)}")
