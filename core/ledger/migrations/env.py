"""Runs the migrations on the connection that the caller put into the configuration."""

from __future__ import annotations

from alembic import context

from core.ledger.schema import metadata

VERSION_TABLE = "ledger_version"

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
