"""The ledger: an append-only account of every decision about what serves, and the truth about it.

Its rows form a straight line for each model: a row starts from the version where the row before ended (the
*head*). A row is written by compare-and-swap: whoever decided against a head that has moved since is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from features.errors import ConflictError, RegistryError
from registry import database as db
from registry import semver
from registry.bundle import canonical_json
from registry.database import Database
from registry.gate import Design


class Kind(StrEnum):
    """What a row of the ledger says."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    KEPT = "kept"
    INSUFFICIENT = "insufficient"
    REFUSED = "refused"
    RECONCILED = "reconciled"


MOVES = (Kind.PROMOTED, Kind.ROLLED_BACK)
_AGAIN = (Kind.ROLLED_BACK, Kind.RECONCILED)  # rows about a version that was decided on before


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A decision about one version, as it is handed to the ledger.

    `version` is the version that the decision speaks of; it becomes the head when `kind` is a move.
    `challenger` says that it passed every check but the gain. `evidence` and `metrics` are plain JSON.
    """

    model: str
    kind: Kind
    who: str
    reason: str
    data_source: str
    version: int | None = None
    semver: str | None = None
    bundle_sha256: str | None = None
    challenger: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    logical_date: date | None = None
    run_key: str | None = None

    def __post_init__(self) -> None:
        if self.kind in MOVES and None in (self.version, self.semver, self.bundle_sha256):
            raise RegistryError(f"{self.model}: a {self.kind} row needs version, semantic version and bundle sha256")
        for name, value in vars(self).items():
            if isinstance(value, str) and not _is_text(value):
                raise RegistryError(
                    f"{name} = {value!r} cannot be kept: it holds a NUL or half a character; write it in plain UTF-8"
                )


@dataclass(frozen=True, kw_only=True)
class Row(Entry):
    """A row of the ledger: the entry, and what the ledger added when it was written."""

    id: int
    at: datetime
    from_version: int | None
    to_version: int | None
    evidence_sha256: str

    @property
    def is_refresh(self) -> bool:
        """Whether this was decided about the champion's own recipe, fitted to newer rows."""
        decided_on = self.evidence.get("evidence") or {}
        return bool(decided_on.get("comparison") == Design.REFRESH)

    def to_dict(self) -> dict[str, Any]:
        """The row as plain JSON values."""
        values = dict(vars(self))
        day = self.logical_date
        return {**values, "at": self.at.isoformat(), "logical_date": None if day is None else day.isoformat()}


class Numbers(NamedTuple):
    """The highest version and semantic version of a model so far."""

    version: int
    semver: str | None


class Book:
    """The ledger within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def head(self, model: str) -> int | None:
        """The version in production, `None` before the first promotion."""
        row = self.champion(model)
        return None if row is None else row.to_version

    def champion(self, model: str) -> Row | None:
        """The row that brought the version in production there."""
        return self._last(db.ledger.c.model == model, db.ledger.c.kind.in_(MOVES))

    def challenger(self, model: str) -> Row | None:
        """The newest candidate of another recipe since the champion's came that passed every check but the gain.

        A refresh of the champion, promoted or kept, leaves its challenger as it is.
        """
        table = db.ledger.c
        moves = self._newest_first(table.model == model, table.kind.in_(MOVES))
        came = next((move for move in moves if not move.is_refresh), None)
        if came is None:
            return None
        passed = self._newest_first(table.model == model, table.challenger, table.id > came.id)
        return next((row for row in passed if not row.is_refresh), None)

    def models(self) -> tuple[str, ...]:
        """Every model that has ever been in production, in order of name."""
        moved = sa.select(db.ledger.c.model).where(db.ledger.c.kind.in_(MOVES)).distinct()
        return tuple(sorted(self._connection.scalars(moved)))

    def history(self, model: str | None = None) -> tuple[Row, ...]:
        """The rows of one model, or of all, oldest first."""
        query = sa.select(db.ledger).order_by(db.ledger.c.id)
        return self._rows(query if model is None else query.where(db.ledger.c.model == model))

    def latest(self, most: int) -> tuple[Row, ...]:
        """The newest rows of all models, newest first."""
        return self._rows(sa.select(db.ledger).order_by(db.ledger.c.id.desc()).limit(most))

    def numbers(self, model: str) -> Numbers:
        """The highest numbers that any version of a model was given; what was never decided on has no claim to one."""
        rows = self.history(model)
        return Numbers(
            max((row.version for row in rows if row.version is not None), default=0),
            max((row.semver for row in rows if row.semver is not None), key=semver.parse, default=None),
        )

    def decisions(self, run_key: str) -> tuple[Row, ...]:
        """What a run has written so far, or its candidates, whose keys go on behind its own and a slash."""
        key = db.ledger.c.run_key
        mine = sa.or_(key == run_key, key.startswith(f"{run_key}/", autoescape=True))
        return self._rows(sa.select(db.ledger).where(mine).order_by(db.ledger.c.id))

    def append(self, entry: Entry, expected_head: int | None) -> Row:
        """Write a row, if the head is still where the decision saw it.

        Raises
        ------
        ConflictError
            The head moved since, or another version was given the same semantic version.
        """
        head = self.head(entry.model)
        if head != expected_head:
            raise ConflictError(
                f"{entry.model}: the head moved from version {expected_head} to {head} while this was "
                "decided; nothing was changed, start the run again to compare with the new champion"
            )
        self._refuse_second(entry)
        evidence = _json(entry.evidence, entry.model)
        values = {
            **vars(entry),
            "logical_date": None if entry.logical_date is None else entry.logical_date.isoformat(),
            "evidence": evidence,
            "metrics": _json(entry.metrics, entry.model),
            "at": db.now(),
            "from_version": head,
            "to_version": entry.version if entry.kind in MOVES else head,
            "evidence_sha256": hashlib.sha256(evidence.encode()).hexdigest(),
        }
        written = self._connection.execute(db.ledger.insert().values(values).returning(db.ledger)).mappings().one()
        return _row(written)

    def _refuse_second(self, entry: Entry) -> None:
        """Refuse a decision about a candidate whose semantic version another one was given meanwhile."""
        table = db.ledger.c
        same = (table.model == entry.model, table.semver == entry.semver, table.version.is_distinct_from(entry.version))
        other = None if entry.kind in _AGAIN or entry.semver is None else self._last(*same)
        if other is not None:
            raise ConflictError(
                f"{entry.model}: version {other.version} was decided on as {entry.semver} while version "
                f"{entry.version} was trained under the same number; nothing was changed, start the run again to get "
                "the next one"
            )

    def intend(self, model: str, version: int) -> None:
        """Note that the alias is about to move to `version`, so that an interrupted move is known as such."""
        self.forget(model, version)
        self._connection.execute(db.intents.insert().values(model=model, version=version, at=db.now()))

    def intended(self, model: str) -> frozenset[int]:
        """The versions that moves under way, or interrupted ones, wanted to bring into production."""
        return frozenset(self._connection.scalars(sa.select(db.intents.c.version).where(db.intents.c.model == model)))

    def models_intended(self) -> frozenset[str]:
        """The models with a move under way or interrupted."""
        return frozenset(self._connection.scalars(sa.select(db.intents.c.model)))

    def forget(self, model: str, version: int) -> None:
        """Take back an intention: its move was completed, refused or undone."""
        table = db.intents
        self._connection.execute(table.delete().where(table.c.model == model, table.c.version == version))

    def forget_stale(self, model: str) -> None:
        """Take back intentions so old that whoever had them is gone: they would excuse a move of somebody else."""
        before = (datetime.now(UTC) - timedelta(seconds=db.SILENCE_S)).isoformat(timespec="microseconds")
        table = db.intents
        self._connection.execute(table.delete().where(table.c.model == model, table.c.at < before))

    def count_holdout_use(self, model: str, holdout_hash: str, run_key: str) -> int:
        """Count a run that looks at a sealed holdout, once however often it resumes; answer the uses."""
        table = db.holdout_uses
        same = (table.c.model == model, table.c.holdout_hash == holdout_hash)
        if not self._connection.scalar(sa.select(sa.func.count()).where(*same, table.c.run_key == run_key)):
            row = {"at": db.now(), "model": model, "holdout_hash": holdout_hash, "run_key": run_key}
            self._connection.execute(table.insert().values(row))
        return int(self._connection.scalar(sa.select(sa.func.count()).where(*same)) or 0)

    def _last(self, *where: sa.ColumnElement[bool]) -> Row | None:
        rows = self._rows(sa.select(db.ledger).where(*where).order_by(db.ledger.c.id.desc()).limit(1))
        return rows[0] if rows else None

    def _newest_first(self, *where: sa.ColumnElement[bool]) -> Iterator[Row]:
        query = sa.select(db.ledger).where(*where).order_by(db.ledger.c.id.desc())
        return (_row(found) for found in self._connection.execute(query).mappings())

    def _rows(self, query: sa.Select[Any]) -> tuple[Row, ...]:
        return tuple(_row(found) for found in self._connection.execute(query).mappings())


class Ledger:
    """The ledger of a database, one transaction a call; `reading` and `writing` hold one for longer."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @contextmanager
    def reading(self) -> Iterator[Book]:
        """One state of the ledger, for questions that belong together."""
        with self.database.reading() as connection:
            yield Book(connection)

    @contextmanager
    def writing(self) -> Iterator[Book]:
        """The ledger under its lock; what the block wrote is undone when it raises."""
        with self.database.writing() as connection:
            yield Book(connection)

    def head(self, model: str) -> int | None:
        """The version in production, `None` before the first promotion."""
        with self.reading() as book:
            return book.head(model)

    def champion(self, model: str) -> Row | None:
        """The row that brought the version in production there."""
        with self.reading() as book:
            return book.champion(model)

    def numbers(self, model: str) -> Numbers:
        """The highest numbers that any version of a model was given."""
        with self.reading() as book:
            return book.numbers(model)

    def history(self, model: str | None = None) -> Sequence[Row]:
        """The rows of one model, or of all, oldest first."""
        with self.reading() as book:
            return book.history(model)

    def decisions(self, run_key: str) -> Sequence[Row]:
        """What a run has written so far, or its candidates; a run that was killed continues after it."""
        with self.reading() as book:
            return book.decisions(run_key)

    def append(self, entry: Entry, expected_head: int | None) -> Row:
        """Write a row that moves nothing outside of the ledger, if the head is where the decision saw it."""
        with self.writing() as book:
            return book.append(entry, expected_head)

    def count_holdout_use(self, model: str, holdout_hash: str, run_key: str) -> int:
        """Count a run that looks at a sealed holdout, once however often it resumes; answer the uses."""
        with self.writing() as book:
            return book.count_holdout_use(model, holdout_hash, run_key)


def _is_text(value: str) -> bool:
    """Whether every database can keep a text: PostgreSQL takes no NUL, and none takes what is no UTF-8."""
    return "\x00" not in value and value.encode(errors="replace").decode() == value


def _json(value: Mapping[str, Any], model: str) -> str:
    try:
        return canonical_json(value)
    except (TypeError, ValueError) as error:
        raise RegistryError(f"{model}: a ledger row holds plain JSON with finite numbers only: {error}") from error


def _row(found: Mapping[Any, Any]) -> Row:
    day = found["logical_date"]
    read = {
        "at": datetime.fromisoformat(found["at"]),
        "kind": Kind(found["kind"]),
        "evidence": json.loads(found["evidence"]),
        "metrics": json.loads(found["metrics"]),
        "logical_date": None if day is None else date.fromisoformat(day),
    }
    return Row(**{**found, **read})
