"""Which runs are under way, by whom, and what finished runs answered.

So a second start of the same run resumes it, repeats its answer, or says who is at it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from features.errors import LockedError, RegistryError
from registry import database as db
from registry.bundle import canonical_json
from registry.database import Database
from registry.owner import Owner

STALE_AFTER = timedelta(hours=6)


class Start(StrEnum):
    """How a run begins."""

    NEW = "new"
    RESUMED = "resumed"
    FINISHED = "finished"
    BUSY = "busy"


class RunStatus(StrEnum):
    """How a run stands in its record."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Run:
    """A run as `Runs.start` found it: whose it is, how often it was tried, and its result once finished."""

    key: str
    start: Start
    owner: Owner
    attempts: int
    result: Mapping[str, Any] | None = None


class Runs:
    """The records of runs in the ledger's database, keyed by what makes a run the same run."""

    def __init__(self, database: Database, stale_after: timedelta = STALE_AFTER) -> None:
        self._database = database
        self._stale_after = stale_after

    def start_run(self, run_key: str, owner: Owner | None = None) -> Run:
        """Take a run, unless it is finished or another living process has it.

        A run is taken over when its owner has died, or was not heard of for `stale_after` on another machine.
        """
        mine = owner or Owner.this_process()
        with self._database.writing() as connection:
            found = _find(connection, run_key)
            if found is None:
                connection.execute(db.runs.insert().values(run_key=run_key, attempts=1, **_taken(mine)))
                return Run(run_key, Start.NEW, mine, attempts=1)
            theirs = _owner(found)
            if found["status"] == RunStatus.DONE:
                return Run(run_key, Start.FINISHED, theirs, found["attempts"], json.loads(found["result"]))
            if found["status"] == RunStatus.RUNNING and not self._is_abandoned(theirs, found["seen_at"]):
                return Run(run_key, Start.BUSY, theirs, found["attempts"])
            attempts = found["attempts"] + 1
            taken = db.runs.update().where(db.runs.c.run_key == run_key)
            connection.execute(taken.values(attempts=attempts, finished_at=None, result=None, **_taken(mine)))
            return Run(run_key, Start.RESUMED, mine, attempts)

    def touch_run(self, run_key: str, owner: Owner | None = None) -> None:
        """Say that the run is alive, for machines that cannot look at this one's processes."""
        self._update(run_key, owner, seen_at=db.now())

    def finish_run(
        self,
        run_key: str,
        status: RunStatus,
        result: Mapping[str, Any],
        owner: Owner | None = None,
    ) -> None:
        """Record how a run ended; one that failed may be started again.

        Raises
        ------
        LockedError
            Another process has taken the run over meanwhile.
        """
        if status is RunStatus.RUNNING:
            raise RegistryError(f"run {run_key} cannot finish as {status}; give done or failed")
        self._update(run_key, owner, status=status, finished_at=db.now(), result=canonical_json(result))

    def _update(self, run_key: str, owner: Owner | None, **values: Any) -> None:
        mine = owner or Owner.this_process()
        with self._database.writing() as connection:
            found = _find(connection, run_key)
            if found is None or found["status"] != RunStatus.RUNNING or _owner(found) != mine:
                holder = "nobody" if found is None else f"{_owner(found)} ({found['status']})"
                raise LockedError(f"run {run_key} is not held by {mine} but by {holder}; leave it to that process")
            connection.execute(db.runs.update().where(db.runs.c.run_key == run_key).values(values))

    def _is_abandoned(self, owner: Owner, seen_at: str) -> bool:
        alive = owner.is_alive()
        if alive is None:
            return datetime.now(UTC) - datetime.fromisoformat(seen_at) > self._stale_after
        return not alive


def _find(connection: Connection, run_key: str) -> RowMapping | None:
    return connection.execute(sa.select(db.runs).where(db.runs.c.run_key == run_key)).mappings().one_or_none()


def _taken(owner: Owner) -> dict[str, Any]:
    moment = db.now()
    return {
        "status": RunStatus.RUNNING,
        "owner_host": owner.host,
        "owner_pid": owner.pid,
        "owner_born": owner.born,
        "started_at": moment,
        "seen_at": moment,
    }


def _owner(found: RowMapping) -> Owner:
    return Owner(found["owner_host"], found["owner_pid"], found["owner_born"])
