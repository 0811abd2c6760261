"""The database behind the ledger: its tables, and transactions that one process at a time may write in.

Everything that differs between SQLite and PostgreSQL is in this module.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from features.errors import LockedError, RegistryError

SCHEMA_VERSION = 1
LOCK_TIMEOUT_S = 60.0

# One number for all of clipcast: whoever writes to the ledger on PostgreSQL holds this advisory lock.
_ADVISORY_LOCK = 0x636C6970

metadata = sa.MetaData()

schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("logical_date", sa.String(40)),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("from_version", sa.Integer),
    sa.Column("to_version", sa.Integer),
    sa.Column("version", sa.Integer),
    sa.Column("semver", sa.String(40)),
    sa.Column("bundle_sha256", sa.String(64)),
    sa.Column("challenger", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("evidence_sha256", sa.String(64), nullable=False),
    sa.Column("metrics", sa.Text, nullable=False),
    sa.Column("data_source", sa.Text, nullable=False),
    sa.Column("run_key", sa.String(200)),
    # A run that was killed and started again cannot write its decision twice; NULLs never collide.
    sa.UniqueConstraint("run_key", "model", "kind"),
    sa.Index("ledger_of_model", "model", "id"),
    sqlite_autoincrement=True,
)

intents = sa.Table(
    "intents",
    metadata,
    sa.Column("model", sa.String(200), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(40), nullable=False),
)

holdout_uses = sa.Table(
    "holdout_uses",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("holdout_hash", sa.String(64), nullable=False),
    sa.Column("run_key", sa.String(200), nullable=False),
    sa.UniqueConstraint("model", "holdout_hash", "run_key"),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_key", sa.String(200), primary_key=True),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("owner_host", sa.String(200), nullable=False),
    sa.Column("owner_pid", sa.Integer, nullable=False),
    sa.Column("owner_born", sa.String(200), nullable=False),
    sa.Column("started_at", sa.String(40), nullable=False),
    sa.Column("seen_at", sa.String(40), nullable=False),
    sa.Column("finished_at", sa.String(40)),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("result", sa.Text),
)

_SQLITE_GUARD = """CREATE TRIGGER {table}_keeps_{act} BEFORE {act} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"""
_POSTGRES_FUNCTION = """CREATE OR REPLACE FUNCTION clipcast_append_only() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"""
_POSTGRES_GUARD = """CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION clipcast_append_only()"""


def now() -> str:
    """The present moment in UTC as the ledger writes it: ISO 8601, which sorts as time does."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Database:
    """The tables of the ledger in one SQLite file or PostgreSQL database, made at the first use.

    Raises
    ------
    RegistryError
        The database cannot be reached, or its tables belong to another version of clipcast.
    """

    def __init__(self, uri: str, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self._lock_timeout_s = lock_timeout_s
        self._engine = _engine(uri, lock_timeout_s)
        self.name = self._engine.url.render_as_string(hide_password=True)
        self._prepare()

    def close(self) -> None:
        """Give pooled connections back to the server."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database, and changes nothing."""
        # by itself, PostgreSQL shows every statement the latest state
        level = {} if self._engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with self._explained(), self._engine.execution_options(**level).connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that no other process writes beside; it is undone when the block raises.

        Raises
        ------
        LockedError
            Another process kept writing for longer than the lock timeout.
        """
        writer = self._engine.execution_options(clipcast_writes=True)
        with self._explained(), writer.begin() as connection:
            if connection.dialect.name == "postgresql":
                self._lock_postgres(connection)
            yield connection

    def _prepare(self) -> None:
        """Make the tables unless they are there, and refuse those of another clipcast."""
        found = self._found_version()
        if found is None:
            with self.writing() as connection:
                if not sa.inspect(connection).has_table(schema_version.name):
                    metadata.create_all(connection)
                    _guard(connection, ledger, holdout_uses)
                    connection.execute(schema_version.insert().values(version=SCHEMA_VERSION))
            found = self._found_version()
        if found != SCHEMA_VERSION:
            raise RegistryError(
                f"{self.name} has ledger tables of version {found}, this clipcast needs {SCHEMA_VERSION}; "
                "use the clipcast that made them, or point CLIPCAST_DATABASE_URI to another database"
            )

    def _found_version(self) -> int | None:
        with self.reading() as connection:
            if not sa.inspect(connection).has_table(schema_version.name):
                return None
            return connection.execute(sa.select(schema_version.c.version)).scalar()

    def _lock_postgres(self, connection: Connection) -> None:
        connection.execute(sa.text(f"SET LOCAL lock_timeout = {int(self._lock_timeout_s * 1000)}"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in clipcast's own errors what the database could not do."""
        try:
            yield
        except DBAPIError as error:
            cause = str(error.orig).strip().partition("\n")[0]
            if _is_lock_timeout(error):
                raise LockedError(
                    f"{self.name} was locked by another process for more than {self._lock_timeout_s:g} s; "
                    "wait until the other run has finished, then start this one again"
                ) from error
            raise RegistryError(f"{self.name} cannot be used: {cause}; check CLIPCAST_DATABASE_URI") from error


def _engine(uri: str, lock_timeout_s: float) -> Engine:
    try:
        url = make_url(uri)
        if url.get_backend_name() == "sqlite":
            return _sqlite_engine(url, lock_timeout_s)
        return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    except (ArgumentError, SQLAlchemyError, ImportError) as error:
        raise RegistryError(
            f"CLIPCAST_DATABASE_URI does not name a database that can be used: {type(error).__name__}; "
            "examples: sqlite:////var/lib/clipcast/ledger.db, postgresql+psycopg://user@host/name"
        ) from error


def _sqlite_engine(url: sa.URL, lock_timeout_s: float) -> Engine:
    if not url.database or url.database == ":memory:":
        raise RegistryError("the ledger needs a file or a server: a database in memory is lost with the process")
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RegistryError(f"{Path(url.database).parent} cannot be made: {error}") from error
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": lock_timeout_s})
    event.listen(engine, "connect", lambda raw, _: _configure_sqlite(raw, lock_timeout_s))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(raw: sqlite3.Connection, lock_timeout_s: float) -> None:
    raw.isolation_level = None  # the driver's own transactions would start too late and not be immediate
    deadline = time.monotonic() + lock_timeout_s
    while raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            raw.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            # two processes that open a new file at once: SQLite does not wait here by itself
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    raw.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("clipcast_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _guard(connection: Connection, *tables: sa.Table) -> None:
    """Make the database itself refuse to change or delete rows of these tables."""
    if connection.dialect.name == "sqlite":
        guards = [_SQLITE_GUARD.format(table=table.name, act=act) for table in tables for act in ("UPDATE", "DELETE")]
    else:
        guards = [_POSTGRES_FUNCTION, *(_POSTGRES_GUARD.format(table=table.name) for table in tables)]
    for guard in guards:
        connection.execute(sa.text(guard))


def _is_lock_timeout(error: DBAPIError) -> bool:
    return "database is locked" in str(error.orig) or getattr(error.orig, "sqlstate", None) == "55P03"
