"""Make tables, or bring those of an older clipcast up to date, through Alembic.

Only imported when that is needed, since Alembic takes longer to import than most questions take to answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from features.errors import RegistryError
from features.settings import Settings
from registry.database import LEDGER, Database, Tables, revision_of, schema_version

if TYPE_CHECKING:
    from alembic.config import Config

BEFORE_REVISIONS = {1: "r0001"}
"""The revision that equals the ledger's tables of a clipcast which numbered them in `schema_version`."""


def migrate(connection: Connection, name: str, tables: Tables = LEDGER) -> None:
    """Bring the tables to this clipcast's revision, within a transaction that undoes all of it when it raises.

    Raises
    ------
    RegistryError
        The tables are newer than this clipcast; `name` tells whose they are.
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    config = migrations(connection, tables)
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    revision = revision_of(connection, tables)
    found = revision or _before_revisions(connection, tables)
    if found not in (None, *known):
        raise RegistryError(
            f"{name} has {tables.name} tables of version {found}, which a newer clipcast made, and this one knows them "
            f"up to {tables.revision}; install that clipcast, or point {tables.setting} to another database"
        )
    if found is not None and revision is None:
        command.stamp(config, found)
    command.upgrade(config, tables.revision)


def migrations(connection: Connection, tables: Tables = LEDGER) -> Config:
    """Alembic's view of our migrations, at work on an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(tables.migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def run_migrations(tables: Tables, uri_of: Callable[[Settings], str]) -> None:
    """What Alembic's `env.py` does: work on the connection it was given, or on the one that the settings name."""
    from alembic import context

    def work(connection: Connection) -> None:
        context.configure(
            connection=connection,
            target_metadata=tables.metadata,
            version_table=tables.revision_table,
            render_as_batch=True,  # SQLite changes a table by copying it
        )
        with context.begin_transaction():
            context.run_migrations()

    given = context.config.attributes.get("connection")
    if given is not None:
        work(given)
        return
    with Database(uri_of(Settings.load()), tables=tables).writing() as opened:
        work(opened)


def _before_revisions(connection: Connection, tables: Tables) -> str | None:
    """The revision of tables that were made before there were revisions."""
    if tables is not LEDGER or not sa.inspect(connection).has_table(schema_version.name):
        return None
    number = connection.scalar(sa.select(schema_version.c.version))
    return BEFORE_REVISIONS.get(number or 0, str(number))
