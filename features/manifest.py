"""The manifest of a store: the parts it consists of, and the one hash that names this version of the data."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from features.errors import StoreError

FORMAT = 1
"""Version of the store's layout; a store of a later one is refused."""

NAME = "manifest.json"


@dataclass(frozen=True, order=True)
class Part:
    """One parquet file of a store; `path` is relative to the store and says table, platform and source."""

    path: str
    sha256: str
    rows: int
    size_bytes: int

    @property
    def table(self) -> str:
        """Either `posts` or `observations`."""
        return self.path.split("/")[0]

    @property
    def platform(self) -> str:
        """The platform of all its rows."""
        return self.path.split("/")[1].removeprefix("platform=")

    @property
    def source(self) -> str:
        """The source of all its rows."""
        return self.path.split("/")[2].removeprefix("source=")


@dataclass(frozen=True)
class Manifest:
    """The parts of a store, sorted by path."""

    parts: tuple[Part, ...] = ()

    @property
    def hash(self) -> str:
        """SHA-256 over the sorted parts: equal exactly where the data are."""
        lines = (f"{part.sha256} {part.rows} {part.path}\n" for part in sorted(self.parts))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def with_parts(self, parts: Iterable[Part]) -> "Manifest":
        """The manifest of a store with further parts."""
        return Manifest(tuple(sorted({*self.parts, *parts})))

    def of(self, table: str, platform: str, source: str | None = None) -> Iterator[Part]:
        """The parts of one table and platform, and of one source where it is given."""
        for part in self.parts:
            if part.table == table and part.platform == platform and source in (None, part.source):
                yield part


def read_manifest(root: Path) -> Manifest:
    """Read the manifest of the store at `root`; a store never written to is empty."""
    path = root / NAME
    if not path.exists():
        return Manifest()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["format"]
        manifest = Manifest(tuple(Part(**part) for part in content["parts"]) if version == FORMAT else ())
        said = content["hash"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: not a manifest ({error!r}); restore it: dvc checkout {root}") from error
    if version != FORMAT:
        raise StoreError(f"{path}: written in format {version}, this clipcast reads {FORMAT}; upgrade clipcast")
    if manifest.hash != said:
        raise StoreError(f"{path}: changed by other hands, the hash does not match; restore: dvc checkout {root}")
    return manifest


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step; from then on the store holds the new parts."""
    content = {
        "format": FORMAT,
        "hash": manifest.hash,
        "parts": [asdict(part) for part in manifest.parts],
    }
    temporary = root / f".{NAME}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(root / NAME)
    sync_folder(root)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
