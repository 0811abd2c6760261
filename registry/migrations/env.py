"""What Alembic runs to reach the ledger's tables: on the connection it was given, or on that of the settings.

A new revision is drafted with `alembic revision --autogenerate --rev-id r0002 -m "what changes"`.
"""

from alembic import context

from features.settings import Settings
from registry.database import REVISION_TABLE, Database, metadata


def _migrate(connection) -> None:  # type: ignore[no-untyped-def]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=REVISION_TABLE,
        render_as_batch=True,  # SQLite changes a table by copying it
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    with Database(Settings.load().database_uri).writing() as opened:
        _migrate(opened)
