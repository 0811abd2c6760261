"""What Alembic runs to reach the ledger's tables: on the connection it was given, or on that of the settings.

A new revision is drafted with `alembic revision --autogenerate --rev-id r0002 -m "what changes"`.
"""

from registry.database import LEDGER
from registry.migrating import run_migrations

run_migrations(LEDGER, lambda settings: settings.database_uri)
