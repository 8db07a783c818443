"""Alembic's entry: runs migrations over the connection that ``store.sql.migrate`` hands over."""

from __future__ import annotations

from alembic import context

from pixelprobe_services.orchestrator.store.sql.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
