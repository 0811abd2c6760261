"""Make the ledger's tables, or bring those of an older clipcast up to date, through Alembic.

Only imported when that is needed, since Alembic takes longer to import than most questions take to answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from features.errors import MissingExtraError, RegistryError
from registry.database import REVISION, revision_of, schema_version

if TYPE_CHECKING:
    from alembic.config import Config

BEFORE_REVISIONS = {1: "r0001"}
"""The revision that equals the tables of a clipcast which numbered them in `schema_version`."""


def migrate(connection: Connection, name: str) -> None:
    """Bring the tables to this clipcast's revision, within a transaction that undoes all of it when it raises.

    Raises
    ------
    RegistryError
        The tables are newer than this clipcast; `name` tells whose they are.
    """
    try:
        from alembic import command
        from alembic.script import ScriptDirectory
    except ImportError as error:
        raise MissingExtraError("alembic", "pipeline") from error
    config = migrations(connection)
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    found = revision_of(connection) or _before_revisions(connection)
    if found not in (None, *known):
        raise RegistryError(
            f"{name} has ledger tables of version {found}, which a newer clipcast made, and this one knows them up to "
            f"{REVISION}; install that clipcast, or point CLIPCAST_DATABASE_URI to another database"
        )
    if found is not None and revision_of(connection) is None:
        command.stamp(config, found)
    command.upgrade(config, REVISION)


def migrations(connection: Connection) -> Config:
    """Alembic's view of our migrations, at work on an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _before_revisions(connection: Connection) -> str | None:
    """The revision of tables that were made before there were revisions."""
    if not sa.inspect(connection).has_table(schema_version.name):
        return None
    number = connection.scalar(sa.select(schema_version.c.version))
    return BEFORE_REVISIONS.get(number or 0, str(number))
