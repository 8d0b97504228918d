"""Sites, their inputs, decisions, notifications, attempts and deadlines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    _create_site()
    op.create_table(
        "input",
        _of_site(),
        sa.Column("event_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("site", "event_id", name="pk_input"),
        _to_site("input"),
    )
    op.create_table(
        "decision",
        _of_site(),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.Column("previous", TEXT, nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("site", "seq", name="pk_decision"),
        _to_site("decision"),
    )
    _create_outbox()
    op.create_table(
        "deadline",
        sa.Column("id", TEXT, nullable=False),
        _of_site(),
        sa.Column("due", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deadline"),
        _to_site("deadline"),
    )
    op.create_index("ix_deadline_done_due", "deadline", ["done", "due"])


def downgrade() -> None:
    """Drop the tables and what they hold."""
    for table in ("deadline", "attempt", "notification", "decision", "input", "site"):
        op.drop_table(table)


def _create_site() -> None:
    op.create_table(
        "site",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("state", TEXT),
        sa.Column("state_version", sa.Integer, nullable=False),
        sa.Column("head", TEXT, nullable=False),
        sa.Column("outcomes", TEXT, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("log_id", TEXT, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("taken", sa.BigInteger, nullable=False),
        sa.Column("given", sa.BigInteger, nullable=False),
        sa.Column("now", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_site"),
    )


def _create_outbox() -> None:
    op.create_table(
        "notification",
        sa.Column("id", TEXT, nullable=False),
        _of_site(),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("recipient", TEXT, nullable=False),
        sa.Column("channel", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("urgent", sa.Boolean, nullable=False),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("not_before", TEXT, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("claims", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("lease_owner", TEXT),
        sa.Column("lease_until", TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_notification"),
        _to_site("notification"),
    )
    op.create_index("ix_notification_outcome_not_before", "notification", ["outcome", "not_before"])
    op.create_index("ix_notification_site_seq", "notification", ["site", "seq"])
    op.create_table(
        "attempt",
        sa.Column("notification_id", TEXT, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("receipt", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("notification_id", "number", name="pk_attempt"),
        sa.ForeignKeyConstraint(
            ["notification_id"], ["notification.id"], name="fk_attempt_notification_id_notification"
        ),
    )


def _of_site() -> sa.Column[str]:
    return sa.Column("site", TEXT, nullable=False)


def _to_site(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["site"], ["site.name"], name=f"fk_{table}_site_site")
