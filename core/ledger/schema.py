"""The tables as this release knows them; `migrations/` is how a database gets there."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

HEAD: Final = "0001"
"""The newest schema revision; a test holds it against the migrations."""

# Byte order everywhere: a server's language must not change how ids and times sort.
TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

site: Final = Table(
    "site",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("state", TEXT),
    Column("state_version", Integer, nullable=False),
    Column("head", TEXT, nullable=False),
    Column("outcomes", TEXT, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("log_id", TEXT, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("taken", BigInteger, nullable=False),
    Column("given", BigInteger, nullable=False),
    Column("now", TEXT, nullable=False),
)

input_taken: Final = Table(
    "input",
    metadata,
    Column("site", TEXT, ForeignKey("site.name"), nullable=False),
    Column("event_id", TEXT, nullable=False),
    PrimaryKeyConstraint("site", "event_id"),
)

decision: Final = Table(
    "decision",
    metadata,
    Column("site", TEXT, ForeignKey("site.name"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("body", TEXT, nullable=False),
    Column("previous", TEXT, nullable=False),
    Column("hash", TEXT, nullable=False),
    PrimaryKeyConstraint("site", "seq"),
)

notification: Final = Table(
    "notification",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("site", TEXT, ForeignKey("site.name"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("recipient", TEXT, nullable=False),
    Column("channel", TEXT, nullable=False),
    Column("message", TEXT, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("created_at", TEXT, nullable=False),
    Column("not_before", TEXT, nullable=False),
    Column("outcome", TEXT, nullable=False),
    Column("claims", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lease_owner", TEXT),
    Column("lease_until", TEXT),
    Index(None, "outcome", "not_before"),
    Index(None, "site", "seq"),
)

attempt: Final = Table(
    "attempt",
    metadata,
    Column("notification_id", TEXT, ForeignKey("notification.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("outcome", TEXT, nullable=False),
    Column("detail", TEXT, nullable=False),
    Column("receipt", TEXT, nullable=False),
    PrimaryKeyConstraint("notification_id", "number"),
)

deadline: Final = Table(
    "deadline",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("site", TEXT, ForeignKey("site.name"), nullable=False),
    Column("due", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("body", TEXT, nullable=False),
    Column("done", Boolean, nullable=False),
    Index(None, "done", "due"),
)
