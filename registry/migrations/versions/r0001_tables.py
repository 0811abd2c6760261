"""The tables of the ledger and of runs, as they were before there were revisions."""

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None

APPEND_ONLY = ("ledger", "holdout_uses")

SQLITE_GUARD = """CREATE TRIGGER {table}_keeps_{act} BEFORE {act} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"""
POSTGRES_FUNCTION = """CREATE OR REPLACE FUNCTION clipcast_append_only() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"""
POSTGRES_GUARD = """CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION clipcast_append_only()"""


def upgrade() -> None:
    """Make the tables, and let the database itself refuse to change or delete rows of the append-only ones."""
    _make_tables()
    op.execute("INSERT INTO schema_version VALUES (1)")
    if op.get_bind().dialect.name == "sqlite":
        guards = [SQLITE_GUARD.format(table=table, act=act) for table in APPEND_ONLY for act in ("UPDATE", "DELETE")]
    else:
        guards = [POSTGRES_FUNCTION, *(POSTGRES_GUARD.format(table=table) for table in APPEND_ONLY)]
    for guard in guards:
        op.execute(guard)


def _make_tables() -> None:
    op.create_table("schema_version", sa.Column("version", sa.Integer, primary_key=True))
    op.create_table(
        "ledger",
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
        sa.UniqueConstraint("run_key", "model", "kind"),
        sqlite_autoincrement=True,
    )
    op.create_index("ledger_of_model", "ledger", ["model", "id"])
    op.create_table(
        "intents",
        sa.Column("model", sa.String(200), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("at", sa.String(40), nullable=False),
    )
    op.create_table(
        "holdout_uses",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("holdout_hash", sa.String(64), nullable=False),
        sa.Column("run_key", sa.String(200), nullable=False),
        sa.UniqueConstraint("model", "holdout_hash", "run_key"),
    )
    op.create_table(
        "runs",
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
