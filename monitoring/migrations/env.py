"""What Alembic runs to reach the prediction log's tables: on the connection it was given, or that of the settings."""

from monitoring.predictions import TABLES
from registry.migrating import run_migrations

run_migrations(TABLES, lambda settings: settings.predictions_uri)
