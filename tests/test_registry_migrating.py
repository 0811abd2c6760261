"""Tables of an older clipcast open as they are, those of a newer one are refused, and none are changed by halves."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from features.errors import RegistryError
from registry import database as db
from registry.database import REVISION, REVISION_TABLE, Database, revision_of
from registry.ledger import Entry, Kind, Ledger
from registry.migrating import BEFORE_REVISIONS, migrations
from registry.runs import Runs, Start

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).with_name("golden")
MODEL = "clipcast-tiktok-performance"
APPEND_ONLY = "is append-only"


@contextmanager
def connected(uri: str) -> Iterator[Connection]:
    engine = sa.create_engine(uri, poolclass=sa.NullPool)
    with engine.begin() as connection:
        yield connection


def execute(uri: str, *statements: str) -> None:
    with connected(uri) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def old_uri(database_uri: str) -> str:
    """A database as a clipcast from before there were revisions left it, with rows in every table."""
    kind = sa.make_url(database_uri).get_backend_name()
    script = (GOLDEN / f"ledger_1_{kind}.sql").read_text(encoding="utf-8")
    if kind == "sqlite":
        with closing(sqlite3.connect(str(sa.make_url(database_uri).database))) as connection:
            connection.executescript(script)
    else:
        with connected(database_uri) as connection:
            connection.connection.cursor().execute(script)  # as it stands: no % in it is a parameter
    return database_uri


def differences(uri: str) -> list[object]:
    """How the tables differ from those that this clipcast reads and writes."""
    with connected(uri) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": REVISION_TABLE})
        return list(compare_metadata(context, db.metadata))


def shape(uri: str) -> object:
    """Everything that a database says of its tables and guards."""
    with connected(uri) as connection:
        if connection.dialect.name == "sqlite":
            found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            return {name: sql.replace(" ", "") for name, sql in found}
        seen = sa.inspect(connection)
        tables = {
            name: (
                [{**column, "type": str(column["type"])} for column in seen.get_columns(name)],
                seen.get_pk_constraint(name),
                seen.get_indexes(name),
                seen.get_unique_constraints(name),
            )
            for name in sorted(seen.get_table_names())
        }
        guards = "SELECT pg_get_triggerdef(oid), pg_get_functiondef(tgfoid) FROM pg_trigger WHERE NOT tgisinternal"
        return tables, sorted(map(tuple, connection.exec_driver_sql(guards)))


def test_the_migrations_make_the_tables_that_the_code_reads_and_writes(database_uri: str) -> None:
    Database(database_uri)
    assert differences(database_uri) == []
    execute(database_uri, "ALTER TABLE runs ADD COLUMN surprise INTEGER", "DROP INDEX ledger_of_model")
    assert len(differences(database_uri)) == 2, "the comparison is blind"


def test_the_newest_migration_is_the_one_that_the_code_asks_for(tmp_path: Path) -> None:
    with connected(f"sqlite:///{tmp_path}/empty.db") as connection:
        scripts = ScriptDirectory.from_config(migrations(connection))
    assert scripts.get_heads() == [REVISION]
    assert set(BEFORE_REVISIONS.values()) <= {script.revision for script in scripts.walk_revisions()}


def test_a_workspace_from_before_there_were_revisions_opens_with_all_it_holds(old_uri: str) -> None:
    database = Database(old_uri)
    ledger = Ledger(database)
    first, second = ledger.history(MODEL)
    assert (first.reason, first.metrics, first.run_key) == ("the first", {"r2": 0.7}, "weekly/1")
    assert (second.reason, second.challenger) == ("kept: it's no better", True)
    assert Runs(database).start_run("weekly/1").start is Start.FINISHED
    with ledger.reading() as book:
        assert book.intended(MODEL) == {3}
    row = ledger.append(Entry(**{**vars(first_entry()), "version": 3}), 1)
    assert (row.id, row.from_version, row.to_version) == (3, 1, 3)
    assert ledger.count_holdout_use(MODEL, "h", "weekly/2") == 2


def first_entry() -> Entry:
    return Entry(
        model=MODEL,
        kind=Kind.PROMOTED,
        who="tester",
        reason="better",
        data_source="simulated posts",
        version=1,
        semver="1.2.0",
        bundle_sha256="3" * 64,
    )


def test_an_old_database_becomes_the_same_as_a_new_one(
    old_uri: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    new_uri = f"sqlite:///{tmp_path}/new.db"
    if not old_uri.startswith("sqlite"):
        new_uri = request.getfixturevalue("postgres").new_database()
    Database(old_uri)
    Database(new_uri)
    assert shape(old_uri) == shape(new_uri)
    assert differences(old_uri) == []


@pytest.mark.parametrize("statement", ["UPDATE ledger SET who = 'x'", "DELETE FROM holdout_uses"])
def test_an_old_database_goes_on_refusing_to_change_its_past(old_uri: str, statement: str) -> None:
    Database(old_uri)
    with pytest.raises(sa.exc.DBAPIError, match=APPEND_ONLY):
        execute(old_uri, statement)


def test_an_older_clipcast_reads_what_a_newer_one_left_while_the_tables_are_the_same(database_uri: str) -> None:
    Database(database_uri)
    with connected(database_uri) as connection:
        assert connection.scalars(sa.select(db.schema_version)).all() == [1]


@pytest.mark.parametrize(
    "change",
    [
        ("UPDATE clipcast_revision SET version_num = 'r9999'",),
        ("DROP TABLE clipcast_revision", "UPDATE schema_version SET version = 9999"),
    ],
)
def test_tables_of_a_newer_clipcast_are_refused_with_what_to_do(database_uri: str, change: tuple[str, ...]) -> None:
    Database(database_uri)
    execute(database_uri, *change)
    before = shape(database_uri)
    with pytest.raises(RegistryError, match=r"version r?9999.* install that clipcast, or .*CLIPCAST_DATABASE_URI"):
        Database(database_uri)
    assert shape(database_uri) == before


def open_and_die(uri: str) -> None:
    """Open a database, and be killed when its tables are made and only the revision is not yet written."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        real = MigrationContext.run_migrations

        def ending(self: MigrationContext, **options: object) -> None:
            real(self, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(MigrationContext, "run_migrations", ending)
        Database(uri)


def test_a_process_killed_while_it_changes_the_tables_leaves_them_as_they_were(old_uri: str) -> None:
    killed_while_opening(old_uri)


def test_a_process_killed_while_it_makes_the_tables_leaves_none(database_uri: str) -> None:
    killed_while_opening(database_uri)


def killed_while_opening(uri: str) -> None:
    before = shape(uri)
    child = multiprocessing.get_context("spawn").Process(target=open_and_die, args=(uri,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert shape(uri) == before
    Database(uri)
    assert differences(uri) == []


def test_current_tables_are_opened_without_alembic(database_uri: str) -> None:
    Database(database_uri)
    script = f"""
import sys
sys.modules["alembic"] = None
from registry.database import Database
from registry.ledger import Ledger
assert Ledger(Database({database_uri!r})).head({MODEL!r}) is None
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_the_revision_is_kept_apart_from_those_of_other_tools(database_uri: str) -> None:
    execute(database_uri, "CREATE TABLE alembic_version (version_num VARCHAR(32))")
    execute(database_uri, "INSERT INTO alembic_version VALUES ('of another tool')")
    Database(database_uri)
    with connected(database_uri) as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "of another tool"
        assert revision_of(connection) == REVISION
