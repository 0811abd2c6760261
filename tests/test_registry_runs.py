"""A run is taken once; the dead are replaced and the living are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from features.errors import LockedError, RegistryError
from registry.database import Database
from registry.owner import Owner
from registry.runs import Runs, RunStatus, Start

KEY = "weekly/tiktok/2026-03-02/d1/p1"


@pytest.fixture
def database(database_uri: str) -> Database:
    return Database(database_uri)


@pytest.fixture
def runs(database: Database) -> Runs:
    return Runs(database)


def test_a_run_is_new_then_busy_then_finished_with_its_result(runs: Runs) -> None:
    me = Owner.this_process()
    assert runs.start_run(KEY).start is Start.NEW
    again = runs.start_run(KEY)
    assert (again.start, again.owner) == (Start.BUSY, me)
    runs.finish_run(KEY, RunStatus.DONE, {"version": 3})
    finished = runs.start_run(KEY)
    assert (finished.start, finished.result) == (Start.FINISHED, {"version": 3})


def test_other_runs_are_not_concerned(runs: Runs) -> None:
    runs.start_run(KEY)
    assert runs.start_run("daily/tiktok").start is Start.NEW


def test_a_failed_run_starts_again(runs: Runs) -> None:
    runs.start_run(KEY)
    runs.finish_run(KEY, RunStatus.FAILED, {"error": "no disk"})
    again = runs.start_run(KEY)
    assert (again.start, again.attempts) == (Start.RESUMED, 2)


def test_the_run_of_a_killed_process_is_resumed(runs: Runs, database_uri: str) -> None:
    script = f"""
import os, signal
from registry.database import Database
from registry.runs import Runs
assert Runs(Database({database_uri!r})).start_run({KEY!r}).start == "new"
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[1]
    killed = subprocess.run([sys.executable, "-c", script], cwd=root, check=False)
    assert killed.returncode == -9
    assert runs.start_run(KEY).start is Start.RESUMED


def test_a_recycled_process_number_is_not_the_process(runs: Runs) -> None:
    me = Owner.this_process()
    runs.start_run(KEY, replace(me, born="an earlier boot"))
    assert runs.start_run(KEY).start is Start.RESUMED


def test_a_living_process_keeps_its_run_however_long_it_takes(database: Database) -> None:
    runs = Runs(database, stale_after=timedelta(0))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        owner = next(_born(other.pid))
        runs.start_run(KEY, owner)
        assert runs.start_run(KEY).start is Start.BUSY
        other.kill()
    assert runs.start_run(KEY).start is Start.RESUMED


def test_a_process_that_died_but_was_not_reaped_is_dead() -> None:
    other = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    owner = next(_born(other.pid))
    deadline = time.monotonic() + 10
    while owner.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert owner.is_alive() is False
    other.communicate()


def test_another_machine_keeps_its_run_until_it_was_silent_for_long(database: Database) -> None:
    elsewhere = Owner("elsewhere", os.getpid(), "boot:1")
    assert Runs(database).start_run(KEY, elsewhere).start is Start.NEW
    assert Runs(database).start_run(KEY).start is Start.BUSY
    Runs(database).touch_run(KEY, elsewhere)
    assert Runs(database, stale_after=timedelta(0)).start_run(KEY).start is Start.RESUMED


def test_whoever_was_replaced_cannot_finish_the_run(database: Database) -> None:
    elsewhere = Owner("elsewhere", 1, "boot:1")
    runs = Runs(database, stale_after=timedelta(0))
    runs.start_run(KEY, elsewhere)
    runs.start_run(KEY)
    with pytest.raises(LockedError, match="not held by process 1 on elsewhere"):
        runs.finish_run(KEY, RunStatus.DONE, {}, elsewhere)
    with pytest.raises(LockedError, match="not held"):
        runs.touch_run(KEY, elsewhere)


def test_a_run_nobody_started_cannot_finish(runs: Runs) -> None:
    with pytest.raises(LockedError, match="nobody"):
        runs.finish_run(KEY, RunStatus.DONE, {})


def test_a_run_does_not_finish_by_running(runs: Runs) -> None:
    runs.start_run(KEY)
    with pytest.raises(RegistryError, match="done or failed"):
        runs.finish_run(KEY, RunStatus.RUNNING, {})


def _born(pid: int):  # type: ignore[no-untyped-def]
    """The owner that the process `pid` would call itself."""
    from registry import owner

    me = Owner.this_process()
    yield Owner(me.host, pid, owner._birth(pid) or "")
