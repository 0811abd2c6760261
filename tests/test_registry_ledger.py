"""The ledger only grows, in a straight line, whoever writes to it and however often."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from features.errors import ConflictError, LockedError, RegistryError
from registry import database as db
from registry.database import Database
from registry.ledger import Book, Entry, Kind, Ledger
from tests.postgres_world import Cluster

MODEL = "clipcast-tiktok-performance"


@pytest.fixture
def ledger(database_uri: str) -> Ledger:
    return Ledger(Database(database_uri))


def entry(version: int | None = 1, kind: Kind = Kind.PROMOTED, **changes: Any) -> Entry:
    values: dict[str, Any] = {
        "model": MODEL,
        "kind": kind,
        "who": "tester",
        "reason": "because",
        "data_source": "simulated posts",
        "version": version,
        "semver": f"1.{version}.0",
        "bundle_sha256": (f"{version}" * 64)[:64],
    }
    return Entry(**{**values, **changes})


def test_a_row_comes_back_as_it_was_written(ledger: Ledger) -> None:
    known = {"gain": 0.02, "é": [1, None]}
    day = date(2026, 3, 1)
    written = ledger.append(entry(evidence=known, metrics={"r2": 0.7}, logical_date=day), None)
    assert list(ledger.history(MODEL)) == [written]
    assert (written.from_version, written.to_version, written.kind) == (None, 1, Kind.PROMOTED)
    assert (written.evidence, written.logical_date) == (known, day)
    json.dumps(written.to_dict())


def test_the_evidence_hash_is_that_of_the_stored_text(ledger: Ledger) -> None:
    row = ledger.append(entry(evidence={"b": 1, "a": 2}), None)
    assert row.evidence_sha256 == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()


def test_only_moves_move_the_head(ledger: Ledger) -> None:
    assert ledger.head(MODEL) is None
    ledger.append(entry(1), None)
    for kind in (Kind.KEPT, Kind.INSUFFICIENT, Kind.REFUSED, Kind.RECONCILED):
        row = ledger.append(entry(2, kind), 1)
        assert (row.from_version, row.to_version, row.version) == (1, 1, 2)
    ledger.append(entry(3), 1)
    ledger.append(entry(1, Kind.ROLLED_BACK), 3)
    assert ledger.head(MODEL) == 1


def test_models_have_heads_of_their_own(ledger: Ledger) -> None:
    ledger.append(entry(1), None)
    ledger.append(entry(4, model="other"), None)
    assert (ledger.head(MODEL), ledger.head("other")) == (1, 4)
    with ledger.reading() as book:
        assert book.models() == (MODEL, "other")


def test_a_decision_against_an_old_head_is_refused_naming_both(ledger: Ledger) -> None:
    ledger.append(entry(1), None)
    ledger.append(entry(2), 1)
    with pytest.raises(ConflictError, match="from version 1 to 2"):
        ledger.append(entry(3), 1)
    assert ledger.head(MODEL) == 2


def test_the_challenger_is_the_newest_that_passed_since_the_last_move(ledger: Ledger) -> None:
    ledger.append(entry(1), None)
    ledger.append(entry(2, Kind.KEPT, challenger=True), 1)
    ledger.append(entry(3, Kind.KEPT, challenger=True), 1)
    ledger.append(entry(4, Kind.KEPT), 1)
    with ledger.reading() as book:
        challenger = book.challenger(MODEL)
    assert challenger is not None
    assert challenger.version == 3
    ledger.append(entry(5), 1)
    with ledger.reading() as book:
        assert book.challenger(MODEL) is None


def test_a_refresh_of_the_champion_keeps_its_challenger_until_another_recipe_comes(ledger: Ledger) -> None:
    def challenger() -> int | None:
        with ledger.reading() as book:
            row = book.challenger(MODEL)
        return None if row is None else row.version

    refresh = {"evidence": {"comparison": "refresh"}}
    ledger.append(entry(1, evidence={"evidence": {"comparison": "first"}}), None)
    ledger.append(entry(2, Kind.KEPT, challenger=True, evidence={"evidence": {"comparison": "replace"}}), 1)
    ledger.append(entry(3, evidence=refresh), 1)
    ledger.append(entry(4, evidence=refresh), 3)
    assert challenger() == 2
    ledger.append(entry(5, Kind.KEPT, challenger=True, evidence=refresh), 4)
    assert challenger() == 2  # what an older clipcast noted of a refresh makes it no rival
    ledger.append(entry(6, evidence=refresh), 4)
    assert challenger() == 2
    ledger.append(entry(4, Kind.ROLLED_BACK), 6)
    assert challenger() is None


@pytest.mark.parametrize("table", ["ledger", "holdout_uses"])
@pytest.mark.parametrize("statement", ["UPDATE {table} SET model = 'x'", "DELETE FROM {table}"])
def test_the_database_itself_refuses_to_change_the_past(
    ledger: Ledger, database_uri: str, table: str, statement: str
) -> None:
    ledger.append(entry(1), None)
    ledger.count_holdout_use(MODEL, "h", "run")
    engine = sa.create_engine(database_uri, poolclass=sa.NullPool)
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match=f"{table} is append-only"):
        connection.execute(sa.text(statement.format(table=table)))
    assert len(ledger.history()) == 1


def test_what_a_failed_transaction_wrote_is_undone(ledger: Ledger) -> None:
    def write_and_fail() -> None:
        with ledger.writing() as book:
            book.append(entry(1), None)
            raise RuntimeError("the power went out")

    with pytest.raises(RuntimeError, match="power"):
        write_and_fail()
    assert ledger.head(MODEL) is None


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()])
def test_evidence_that_is_not_plain_json_is_refused(ledger: Ledger, value: object) -> None:
    with pytest.raises(RegistryError, match="plain JSON"):
        ledger.append(entry(1, evidence={"x": value}), None)


def test_a_promotion_has_to_say_of_what() -> None:
    with pytest.raises(RegistryError, match="needs version"):
        entry(None)


def test_a_run_writes_a_decision_of_one_kind_once(ledger: Ledger) -> None:
    ledger.append(entry(1, run_key="r"), None)
    with pytest.raises(RegistryError, match=r"(?i)unique"):
        ledger.append(entry(2, run_key="r"), 1)
    ledger.append(entry(3, Kind.KEPT, run_key="r"), 1)
    assert [row.version for row in ledger.decisions("r")] == [1, 3]


def test_uses_of_a_holdout_are_counted_once_a_run(ledger: Ledger) -> None:
    uses = [ledger.count_holdout_use(MODEL, "h", run) for run in ("one", "two", "two", "three")]
    assert uses == [1, 2, 2, 3]
    assert ledger.count_holdout_use(MODEL, "another", "three") == 1


def test_hostile_text_is_stored_as_text(ledger: Ledger) -> None:
    text = "'); DROP TABLE ledger; -- \x01\u202e=cmd|' /C calc'!A0 ÿ😀"
    row = ledger.append(entry(1, reason=text, who=text), None)
    assert ledger.history(MODEL)[0].reason == row.reason == text


@pytest.mark.parametrize("text", ["half a \udcff", "the \x00 end"])
def test_text_that_a_database_cannot_keep_is_refused_by_name(text: str) -> None:
    with pytest.raises(RegistryError, match=r"reason .* cannot be kept"):
        entry(1, reason=text)


def test_the_ledger_is_found_again(database_uri: str) -> None:
    Ledger(Database(database_uri)).append(entry(1), None)
    assert Ledger(Database(database_uri)).head(MODEL) == 1


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("this is a diary, not a database" * 100)
    with pytest.raises(RegistryError, match="not a database"):
        Database(f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.mark.parametrize("bad", ["sqlite://", "nonsense", "oracle://x/y", "mysql+nothing://h/d"])
def test_an_address_that_cannot_be_used_is_a_clear_error(bad: str) -> None:
    with pytest.raises(RegistryError, match=r"database|file"):
        Database(bad)


def test_a_server_that_does_not_answer_is_a_clear_error_without_the_password() -> None:
    with pytest.raises(RegistryError) as caught:
        Database("postgresql+psycopg://user:secret@127.0.0.1:1/clipcast")
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_waiting_for_the_lock_ends_with_a_clear_error(database_uri: str) -> None:
    patient = Ledger(Database(database_uri))
    hasty = Ledger(Database(database_uri, lock_timeout_s=0.2))
    with patient.writing(), pytest.raises(LockedError, match="locked by another process"):
        hasty.append(entry(1), None)


def test_readers_are_not_kept_waiting_by_a_writer(database_uri: str) -> None:
    ledger = Ledger(Database(database_uri, lock_timeout_s=0.2))
    ledger.append(entry(1), None)
    with ledger.writing() as book:
        book.append(entry(2), 1)
        assert ledger.head(MODEL) == 1


def test_of_two_writers_who_saw_one_head_one_wins(ledger: Ledger) -> None:
    start = threading.Barrier(2)
    outcomes: list[str] = []

    def promote(version: int) -> None:
        start.wait()
        try:
            ledger.append(entry(version), None)
            outcomes.append("won")
        except ConflictError:
            outcomes.append("refused")

    threads = [threading.Thread(target=promote, args=(version,)) for version in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "won"]
    assert len(ledger.history(MODEL)) == 1


def climb(address: str, worker: int, rounds: int) -> None:
    """Promote again and again from whatever head is found; also the first to open an empty database."""
    ledger = Ledger(Database(address))
    done = 0
    while done < rounds:
        head = ledger.head(MODEL)
        try:
            ledger.append(entry(1000 * worker + done + 1), head)
            done += 1
        except ConflictError:
            continue


@pytest.fixture
def processes() -> Iterator[list[multiprocessing.process.BaseProcess]]:
    started: list[multiprocessing.process.BaseProcess] = []
    yield started
    for process in started:
        process.join(timeout=30)
        if process.is_alive():
            process.kill()


def test_processes_that_promote_at_once_leave_a_straight_line(
    database_uri: str, processes: list[multiprocessing.process.BaseProcess]
) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes += [spawn.Process(target=climb, args=(database_uri, worker, 10)) for worker in (1, 2, 3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    rows = Ledger(Database(database_uri)).history(MODEL)
    assert len(rows) == 30
    assert [row.from_version for row in rows] == [None, *(row.to_version for row in rows[:-1])]


def test_a_server_that_shows_the_past_by_default_forks_no_ledger(postgres: Cluster) -> None:
    """At that level a writer that waited for the lock would still see what was there before it waited."""
    address = postgres.new_database()
    name = sa.make_url(address).database
    postgres.sql("postgres", f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    ledger = Ledger(Database(address))
    told: list[BaseException] = []

    def second() -> None:
        try:
            ledger.append(entry(2), None)
        except ConflictError as error:
            told.append(error)

    rival = threading.Thread(target=second)
    with ledger.writing() as book:
        rival.start()
        wait_for_somebody_who_waits(book)
        book.append(entry(1), None)
    rival.join()
    assert len(told) == 1
    assert [row.version for row in ledger.history(MODEL)] == [1]


def wait_for_somebody_who_waits(book: Book) -> None:
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    deadline = time.monotonic() + 10
    while not book._connection.scalar(waiting):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_writer_that_fell_silent_loses_the_lock_and_changes_nothing(
    postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "SILENCE_S", 0.2)
    ledger = Ledger(Database(postgres.new_database()))

    def fall_asleep() -> None:
        with ledger.writing() as book:
            book.append(entry(1), None)
            time.sleep(0.5)
            ledger.append(entry(2), None)
            book.append(entry(3), 1)

    with pytest.raises(RegistryError, match="idle-in-transaction"):
        fall_asleep()
    assert [row.version for row in ledger.history(MODEL)] == [2]
