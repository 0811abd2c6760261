"""The places that a version has to be in to serve: ledger, registry, published bundles, `production.json`."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from features.errors import BundleError, MissingExtraError
from registry.bundle import Bundle, is_intact, open_bundle, publish
from registry.ledger import Book, Ledger, Row
from registry.production import Production, write_production

if TYPE_CHECKING:
    from features.settings import Settings

CHOICE = "choose: go back to another version (clipcast rollback), or train a new one (clipcast run weekly)"
PRODUCTION = "production"
CHALLENGER = "challenger"


class Versions(Protocol):
    """What promotion needs of the registry of versions."""

    def get_alias(self, name: str, alias: str) -> int | None:
        """The version that an alias names, `None` where there is no such alias or model."""
        ...

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version."""
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; removing one that is not there changes nothing."""
        ...

    def holds(self, name: str, version: int, sha256: str) -> bool:
        """Whether a version is still registered, and is this bundle."""
        ...

    def download(self, name: str, version: int, into: Path) -> Path:
        """Fetch the bundle of a version and return its folder."""
        ...


@dataclass(frozen=True)
class Registry:
    """All places of one workspace together; the ledger is the truth about the others."""

    ledger: Ledger
    versions: Versions
    bundles_dir: Path
    production_file: Path

    @classmethod
    def open(cls, settings: Settings) -> Registry:
        """The registry that the settings name; tracking is not contacted before it is needed."""
        from registry.database import Database
        from registry.tracking import Tracking

        return cls(
            Ledger(Database(settings.database_uri)),
            Tracking(settings.tracking_uri, settings.artifacts_uri, settings.locks_dir),
            settings.bundles_dir,
            settings.production_file,
        )

    def bundle_of(self, row: Row) -> Bundle:
        """The published bundle that a row speaks of; a lost or damaged one is fetched again.

        Raises
        ------
        BundleError
            Neither the published copy nor the registered version can be had.
        """
        if row.version is None or row.bundle_sha256 is None:
            raise BundleError(f"{row.model}: row {row.id} of the ledger names no version with a bundle")
        folder = self.bundles_dir / row.bundle_sha256
        if not is_intact(folder, row.bundle_sha256):
            self._fetch(row.model, row.version, row.bundle_sha256)
        return open_bundle(folder, row.bundle_sha256)

    def holds(self, row: Row) -> bool:
        """Whether the version that a row speaks of is still registered, with the same bundle."""
        if row.version is None or row.bundle_sha256 is None:
            return False
        return self.versions.holds(row.model, row.version, row.bundle_sha256)

    def write_production_file(self) -> bool:
        """Let `production.json` follow the ledger; answer whether it had to change.

        The ledger is read under the file's lock, so that of two writers the later one has seen everything.
        """
        try:
            from filelock import FileLock
        except ImportError as error:
            raise MissingExtraError("filelock", "pipeline") from error
        self.production_file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.production_file.with_suffix(".lock")), self.ledger.reading() as book:
            return write_production(self.production_file, {model: _serving(book, model) for model in book.models()})

    def _fetch(self, model: str, version: int, sha256: str) -> None:
        if not self.versions.holds(model, version, sha256):
            raise BundleError(
                f"the bundle {sha256} of {model} version {version} is lost: it is not whole in {self.bundles_dir}, "
                f"and the version was deleted from the registry or replaced there; {CHOICE}"
            )
        with tempfile.TemporaryDirectory() as temporary:
            folder = self.versions.download(model, version, Path(temporary))
            open_bundle(folder, sha256)
            publish(folder, self.bundles_dir)


def _serving(book: Book, model: str) -> Production:
    champion, challenger = book.champion(model), book.challenger(model)
    if champion is None:
        raise BundleError(f"{model} has no champion in the ledger")
    return _production(champion, None if challenger is None else _production(challenger))


def _production(row: Row, challenger: Production | None = None) -> Production:
    return Production(
        version=int(row.version or 0),
        semver=str(row.semver),
        sha256=str(row.bundle_sha256),
        since=row.at.isoformat(),
        challenger=challenger,
    )
