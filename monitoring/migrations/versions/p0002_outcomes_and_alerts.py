"""Which predictions were asked for together, what came of them, and the alerts about that."""

import sqlalchemy as sa
from alembic import op

revision = "p0002"
down_revision = "p0001"


def upgrade() -> None:
    """Add the column, the way into predictions by post, and the tables of what monitoring finds."""
    op.add_column("predictions", sa.Column("batch", sa.String(64)))
    op.create_index("predictions_of_post", "predictions", ["post_id"])
    op.create_table(
        "matured",
        sa.Column("model", sa.String(200), primary_key=True),
        sa.Column("role", sa.String(20), primary_key=True),
        sa.Column("source", sa.String(200), primary_key=True),
        sa.Column("post_id", sa.Text, primary_key=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("semver", sa.String(40), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("published_s", sa.BigInteger, nullable=False),
        sa.Column("known_s", sa.BigInteger, nullable=False),
        sa.Column("seen_s", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("truth", sa.Double, nullable=False),
        sa.Column("prediction", sa.Double, nullable=False),
        sa.Column("lower", sa.Double, nullable=False),
        sa.Column("upper", sa.Double, nullable=False),
        sa.Column("anchor", sa.Double),
        sa.Column("expected_error", sa.Double),
        sa.Column("score_truth", sa.Double),
        sa.Column("score_prediction", sa.Double, nullable=False),
        sa.Column("draw", sa.Double, nullable=False),
        sa.Column("slices", sa.Text, nullable=False),
    )
    op.create_index("matured_of_time", "matured", ["model", "known_s"])
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("opened_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("closed_at", sa.Double),
        sa.Column("acknowledged_by", sa.String(200)),
        sa.Column("delivered_at", sa.Double),
        sa.Column("delivery_error", sa.Text),
        sa.Column("retrain_at", sa.Double),
        sa.Column("delivered_to", sa.Text),
        sa.Column("claimed_by", sa.Text),
        sa.Column("claimed_at", sa.Double),
        sqlite_autoincrement=True,
    )
    op.create_index("alerts_of_model", "alerts", ["model", "kind", "subject"])
    op.create_table(
        "looks",
        sa.Column("model", sa.String(200), primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
    )
