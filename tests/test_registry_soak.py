"""Processes that promote, roll back and read at once leave a straight line that names all that readers saw."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections import Counter
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import cast

import pytest
import sqlalchemy as sa

from features.errors import ConflictError, RegistryError
from registry import database as db
from registry.bundle import is_intact, open_bundle
from registry.decision import decide
from registry.gate import GateRules
from registry.ledger import MOVES
from registry.places import PRODUCTION, Registry
from registry.production import Production, read_production
from registry.promotion import Candidate, settle
from registry.reconciliation import reconcile
from registry.rollback import rollback
from tests.registry_fakes import MODEL, JsonVersions, good_evidence, make_registry, write_slope

RULES = GateRules()
CANDIDATES = 3
TURNS = ("promotions", "rollbacks", "reads")


def candidates(registry: Registry, worker: int) -> list[Candidate]:
    """Registered versions that only one process promotes."""
    made = []
    for number in range(CANDIDATES):
        folder = write_slope(registry.bundles_dir.parent / f"trained-{worker}-{number}", 1.0 + worker + number / 10)
        version = cast("JsonVersions", registry.versions).add(MODEL, folder)
        made.append(Candidate(MODEL, f"1.{version}.0", folder, "simulated posts", version))
    return made


def work(home: Path, worker: int, made: list[Candidate], seconds: float, start: Barrier) -> None:
    """In a process of its own: promote, roll back and read in random order, and count what was done."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        # checks of a version that serves again start a process: they take long, and write nothing
        monkeypatch.setattr("registry.rollback._check", lambda *_: ())
        places, chance, done, last = make_registry(home), random.Random(worker), Counter[str](), ""  # noqa: S311
        start.wait()
        end = time.monotonic() + seconds
        # on a machine so busy that nobody got to one of them, the first process goes on alone
        while time.monotonic() < end or (worker == 0 and not all(done[turn] for turn in TURNS)):
            turn = chance.choices(TURNS, (2, 1, 7))[0]
            try:
                if turn == "reads":
                    last = look(places, last)
                elif turn == "promotions":
                    chosen = chance.choice(made)
                    head = places.ledger.head(MODEL)
                    settle(places, chosen, decide(good_evidence(), RULES), expected_head=head, who=f"worker {worker}")
                else:
                    rollback(places, MODEL, RULES, who=f"worker {worker}", to_version=earlier(places, chance))
                done[turn] += 1
            except RegistryError as error:
                # the version to go back to may meanwhile be the one in production
                if not isinstance(error, ConflictError) and "cannot go back" not in str(error):
                    raise
                done["refused, since another was first"] += 1
    (home / f"done-{worker}.json").write_text(json.dumps(done))


def earlier(registry: Registry, chance: random.Random) -> int:
    """A version that was in production before the present one."""
    table = db.ledger.c
    with registry.ledger.reading() as book:
        head = book.head(MODEL)
    with registry.ledger.database.reading() as connection:
        moved = connection.scalars(sa.select(table.to_version).where(table.model == MODEL).distinct())
        return int(chance.choice([version for version in moved if version != head] or [0]))


def look(registry: Registry, last: str) -> str:
    """Read what serving reads: the ledger names it, its bundle is whole, and no earlier state ever comes back."""
    with registry.ledger.reading() as book:
        before, intended = book.champion(MODEL), book.intended(MODEL)
    alias = registry.versions.get_alias(MODEL, PRODUCTION)
    with registry.ledger.reading() as book:
        intended |= book.intended(MODEL)
    assert before is not None
    assert alias in intended | champions_since(registry, before.id), f"{alias} was not in production at that time"
    serving = read_production(registry.production_file)[MODEL]
    assert named(registry, serving), f"{serving} is not in the ledger"
    assert is_intact(registry.bundles_dir / serving.sha256, serving.sha256)
    assert serving.since >= last, f"the file went back from {last} to {serving.since}"
    champion = registry.ledger.champion(MODEL)
    assert champion is not None
    assert champion.at.isoformat() >= serving.since
    return serving.since


def named(registry: Registry, serving: Production) -> bool:
    """Whether a row of the ledger brought exactly this into production at exactly that time."""
    table = db.ledger.c
    query = sa.select(table.to_version, table.bundle_sha256).where(table.model == MODEL, table.kind.in_(MOVES))
    with registry.ledger.database.reading() as connection:
        found = connection.execute(query.where(table.at == serving.since)).all()
    return found == [(serving.version, serving.sha256)]


def champions_since(registry: Registry, row: int) -> set[int | None]:
    """The versions that a row of the ledger and those after it brought into production."""
    table = db.ledger.c
    query = sa.select(table.to_version).where(table.model == MODEL, table.kind.in_(MOVES), table.id >= row)
    with registry.ledger.database.reading() as connection:
        return set(connection.scalars(query))


@pytest.mark.parametrize(
    ("processes", "seconds"),
    [pytest.param(4, 5.0, marks=pytest.mark.slow), pytest.param(8, 60.0, marks=pytest.mark.soak)],
)
def test_processes_at_once_leave_a_straight_line_that_names_all_that_was_seen(
    tmp_path: Path, database_uri: str, processes: int, seconds: float, request: pytest.FixtureRequest
) -> None:
    home = tmp_path / "home"
    registry = make_registry(home, database_uri)
    made = [candidates(registry, worker) for worker in range(processes)]
    settle(registry, made[0][0], decide(good_evidence(), RULES), expected_head=None, who="tester")
    settle(registry, made[0][1], decide(good_evidence(), RULES), expected_head=1, who="tester")
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(processes)
    children = [spawn.Process(target=work, args=(home, worker, own, seconds, start)) for worker, own in enumerate(made)]
    for child in children:
        child.start()
    for child in children:
        child.join(seconds + 120)
    assert [child.exitcode for child in children] == [0] * processes

    done: Counter[str] = Counter()
    for worker in range(processes):
        done.update(json.loads((home / f"done-{worker}.json").read_text()))
    assert min(done[turn] for turn in TURNS) > 0, done
    rows = registry.ledger.history(MODEL)
    assert [row.from_version for row in rows] == [None, *(row.to_version for row in rows[:-1])]
    assert all(row.kind in MOVES for row in rows), "something had to be put right"
    assert len(rows) == 2 + done["promotions"] + done["rollbacks"], "a move was lost, or written twice"
    assert reconcile(registry, "tester").mended == []
    assert read_production(registry.production_file)[MODEL].version == rows[-1].to_version
    assert registry.versions.get_alias(MODEL, PRODUCTION) == rows[-1].to_version
    assert open_bundle(registry.bundles_dir / str(rows[-1].bundle_sha256)).sha256 == rows[-1].bundle_sha256
    kind = sa.make_url(database_uri).get_backend_name()
    counts = ", ".join(f"{number:,} {what}" for what, number in sorted(done.items()))
    request.config.get_terminal_writer().line(
        f"\n{kind}, {processes} processes, {seconds:g} s: {sum(done.values()):,} operations: {counts}"
    )
