"""Databases: the ledger's tables, and transactions that one process at a time may write in.

Everything that differs between SQLite and PostgreSQL is in this module.
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from features.errors import LockedError, RegistryError
from features.safety import mask, redact

REVISION = "r0001"
"""The revision of the tables below; `registry/migrations` holds the way from every earlier one."""

LOCK_TIMEOUT_S = 60.0

SILENCE_S = 600
"""A writer that PostgreSQL has not heard of for so long loses the lock: its machine is gone, or asleep."""

ROWS_A_STATEMENT = 32
"""So many rows are inserted at once. For each of its statements SQLite's driver gives Python's interpreter away, and
may wait milliseconds for it beside a busy thread, so it gets few statements of many rows. PostgreSQL's driver sends
a statement for each row and waits for the last, with a third of the work."""

# Not Alembic's own name for it, which tables of other tools in the same database may have.
REVISION_TABLE = "clipcast_revision"

# One number for all of clipcast: whoever writes to the ledger on PostgreSQL holds this advisory lock.
ADVISORY_LOCK = 0x636C6970


@dataclass(frozen=True)
class Tables:
    """Tables that are made and changed together, in a database that may hold others."""

    name: str
    setting: str  # the variable that says where they are
    metadata: sa.MetaData
    revision: str
    migrations: Path  # the way there from every earlier revision
    revision_table: str
    lock: int  # PostgreSQL's advisory lock that whoever writes to them holds


metadata = sa.MetaData()

# What told the version of the tables before there were revisions. It stays 1 for as long as a clipcast of then can
# read and write them; a revision that ends that has to raise it, and that clipcast refuses.
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

LEDGER = Tables(
    name="ledger",
    setting="CLIPCAST_DATABASE_URI",
    metadata=metadata,
    revision=REVISION,
    migrations=Path(__file__).with_name("migrations"),
    revision_table=REVISION_TABLE,
    lock=ADVISORY_LOCK,
)


def now() -> str:
    """The present moment in UTC as the ledger writes it: ISO 8601, which sorts as time does."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Database:
    """Tables, the ledger's if no others are named, in one SQLite file or PostgreSQL database; made at the first use.

    Raises
    ------
    RegistryError
        The database cannot be reached, or its tables were made by a newer clipcast.
    """

    def __init__(self, uri: str, lock_timeout_s: float = LOCK_TIMEOUT_S, tables: Tables = LEDGER) -> None:
        self._tables = tables
        self._lock_timeout_s = lock_timeout_s
        self._engine = _engine(uri, lock_timeout_s, tables)
        self.name = mask(self._engine.url.render_as_string(hide_password=True))
        self._prepare()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database, and changes nothing."""
        # by itself, PostgreSQL shows every statement the latest state
        with self._explained(), self._at("REPEATABLE READ").connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that no other process writes beside; it is undone when the block raises.

        Raises
        ------
        LockedError
            Another process kept writing for longer than the lock timeout.
        """
        # a level above this one would still show what was there before the lock was waited for
        writer = self._at("READ COMMITTED").execution_options(clipcast_writes=True)
        with self._explained(), writer.begin() as connection:
            if connection.dialect.name == "postgresql":
                self._lock_postgres(connection)
            yield connection

    def _prepare(self) -> None:
        """Make the tables, or bring those of an older clipcast to this one's revision; mostly they are there."""
        with self.reading() as connection:
            found = revision_of(connection, self._tables)
        if found != self._tables.revision:
            from features.settings import schema_of
            from registry.migrating import migrate

            address = self._engine.url.render_as_string(hide_password=False)
            with self.writing() as connection:
                make_schema(connection, schema_of(address))
                migrate(connection, self.name, self._tables)

    def _lock_postgres(self, connection: Connection) -> None:
        limits = {"lock_timeout": self._lock_timeout_s, "idle_in_transaction_session_timeout": SILENCE_S}
        for name, seconds in limits.items():
            connection.execute(sa.text(f"SET LOCAL {name} = {int(seconds * 1000)}"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(self._tables.lock)))

    def _at(self, level: str) -> Engine:
        """The engine with an isolation level, which only PostgreSQL has to be told."""
        sqlite = self._engine.dialect.name == "sqlite"
        return self._engine if sqlite else self._engine.execution_options(isolation_level=level)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in clipcast's own errors what the database could not do."""
        try:
            yield
        except DBAPIError as error:
            cause = redact(str(error.orig)).strip().partition("\n")[0]
            if _is_lock_timeout(error):
                raise LockedError(
                    f"{self.name} was locked by another process for more than {self._lock_timeout_s:g} s; "
                    "wait until that has finished, then try again"
                ) from error
            raise RegistryError(f"{self.name} cannot be used: {cause}; check {self._tables.setting}") from error


def _engine(uri: str, lock_timeout_s: float, tables: Tables) -> Engine:
    try:
        url = make_url(uri)
        if url.get_backend_name() == "sqlite":
            return _sqlite_engine(url, lock_timeout_s, tables)
        # the ledger is asked a few times a run: a connection for each transaction leaves none behind
        return sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": 10})
    except (ArgumentError, SQLAlchemyError, ImportError) as error:
        raise RegistryError(
            f"{tables.setting} does not name a database that can be used: {type(error).__name__}; "
            "examples: sqlite:////var/lib/clipcast/ledger.db, postgresql+psycopg://user@host/name"
        ) from error


def _sqlite_engine(url: sa.URL, lock_timeout_s: float, tables: Tables) -> Engine:
    if not url.database or url.database == ":memory:":
        raise RegistryError(
            f"the {tables.name} needs a file or a server: a database in memory is lost with the process"
        )
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RegistryError(f"{Path(url.database).parent} cannot be made: {error}") from error
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": lock_timeout_s})
    event.listen(engine, "do_connect", lambda *_: _make_private(Path(str(url.database))))
    event.listen(engine, "connect", lambda raw, _: _configure_sqlite(raw, lock_timeout_s))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(path: Path) -> None:
    """Make a new file before SQLite does, which would let others read it where the umask lets them."""
    try:
        if not path.exists():
            path.touch(0o600)
    except OSError as error:
        raise RegistryError(f"{path} cannot be made: {error}") from error


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
    raw.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten too


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("clipcast_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def revision_of(connection: Connection, tables: Tables = LEDGER) -> str | None:
    """The revision that the tables were last brought to; `None` where there are none, or older ones."""
    if not sa.inspect(connection).has_table(tables.revision_table):
        return None
    kept_in = sa.table(tables.revision_table)
    found: str | None = connection.scalar(sa.select(sa.column("version_num")).select_from(kept_in))
    return found


def make_schema(connection: Connection, schema: str | None) -> None:
    """Make the schema that an address of PostgreSQL names, unless it is there."""
    if schema and connection.scalar(sa.select(sa.func.to_regnamespace(schema))) is None:
        connection.execute(sa.schema.CreateSchema(schema))


def insert_new(connection: Connection, table: sa.Table, rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows of a table's columns, in their order, passing over those whose key is there already."""
    sqlite = connection.dialect.name == "sqlite"
    row = f"({', '.join(['?' if sqlite else '%s'] * len(table.columns))})"
    into = f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) VALUES"
    remaining = iter(rows)
    while some := list(itertools.islice(remaining, ROWS_A_STATEMENT)):
        if sqlite:
            statement = f"{into} {', '.join([row] * len(some))} ON CONFLICT DO NOTHING"
            connection.exec_driver_sql(statement, tuple(itertools.chain.from_iterable(some)))
        else:
            connection.exec_driver_sql(f"{into} {row} ON CONFLICT DO NOTHING", [tuple(values) for values in some])


def _is_lock_timeout(error: DBAPIError) -> bool:
    return "database is locked" in str(error.orig) or getattr(error.orig, "sqlstate", None) == "55P03"
