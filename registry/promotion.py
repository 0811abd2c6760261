"""Carry a decision out: in the ledger first, and from there in every place that serves."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from features.errors import BundleError, ClipcastError, ConflictError
from registry.bundle import open_bundle, publish
from registry.decision import Decision
from registry.ledger import MOVES, Book, Entry, Kind, Row
from registry.places import PRODUCTION, Registry
from registry.reconciliation import mend_challenger_alias, reconcile


@dataclass(frozen=True)
class Candidate:
    """A version that a decision was made about.

    `data_source` says in words which data it was trained on; `version` is `None` if it was not registered.
    """

    model: str
    semver: str
    folder: Path
    data_source: str
    version: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)


def settle(
    registry: Registry,
    candidate: Candidate,
    decision: Decision,
    *,
    expected_head: int | None,
    who: str,
    logical_date: date | None = None,
    run_key: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Row:
    """Write a decision into the ledger, and move the candidate into production if it says so.

    Parameters
    ----------
    expected_head : int or None
        The champion's version that the candidate was compared with.
    run_key : str, optional
        With it, a run that is started again finds the row that it wrote before.
    details : mapping, optional
        What the row's evidence holds beside the decision, as plain JSON.

    Raises
    ------
    ConflictError
        Another version became champion since; nothing was changed.
    """
    entry = Entry(
        model=candidate.model,
        kind=Kind(decision.verdict),
        who=who,
        reason=decision.reason,
        data_source=candidate.data_source,
        version=candidate.version,
        semver=candidate.semver,
        bundle_sha256=open_bundle(candidate.folder).sha256,
        challenger=decision.challenger and candidate.version is not None,
        evidence={**decision.to_dict(), **(details or {})},
        metrics=candidate.metrics,
        logical_date=logical_date,
        run_key=run_key,
    )
    return record(registry, entry, candidate.folder, expected_head=expected_head)


def record(registry: Registry, entry: Entry, folder: Path, *, expected_head: int | None) -> Row:
    """Write an entry under the ledger's lock, with everything that follows from it.

    The order makes every interruption harmless: until the row is committed nothing counts, and whatever was
    moved by then, or was not moved after, `reconcile` brings in line with the ledger.
    """
    reconcile(registry, entry.who)
    if entry.kind in MOVES:
        with registry.ledger.writing() as book:
            book.intend(entry.model, int(entry.version or 0))
    try:
        with registry.ledger.writing() as book:
            earlier = _written_before(book, entry)
            row = earlier or book.append(entry, expected_head)
            if earlier is None:
                _follow(registry, book, row, folder)
            else:
                book.forget(entry.model, int(entry.version or 0))
    except Exception as error:
        with suppress(ClipcastError):  # the error that came first is told; what is not forgotten now grows stale
            _forget_unless_moved(registry, entry, error)
        raise
    registry.write_production_file()
    return row


def _follow(registry: Registry, book: Book, row: Row, folder: Path) -> None:
    """Publish the bundle and move the aliases, as the row that is about to be committed says."""
    if row.kind in MOVES or row.challenger:
        published = publish(folder, registry.bundles_dir)
        if published.name != row.bundle_sha256:
            raise BundleError(f"{folder} holds {published.name}, the decision was about {row.bundle_sha256}")
    if row.kind in MOVES:
        registry.versions.set_alias(row.model, PRODUCTION, int(row.version or 0))
        book.forget(row.model, int(row.version or 0))
    mend_challenger_alias(registry, book, row.model)


def _written_before(book: Book, entry: Entry) -> Row | None:
    """The row that this run wrote before it was interrupted, or another machine that took it over."""
    if entry.run_key is None:
        return None
    rows = book.decisions(entry.run_key)
    return next((row for row in rows if (row.model, row.kind) == (entry.model, entry.kind)), None)


def _forget_unless_moved(registry: Registry, entry: Entry, error: Exception) -> None:
    """Take back the intention; of an alias that moved already, `reconcile` has to know that it was ours."""
    refused = isinstance(error, ConflictError)  # before anything was moved
    if entry.kind in MOVES and (refused or registry.versions.get_alias(entry.model, PRODUCTION) != entry.version):
        with registry.ledger.writing() as book:
            book.forget(entry.model, int(entry.version or 0))
