"""Alembic's entry point: runs migrations over the connection that ``schema_version`` passes."""

from __future__ import annotations

from alembic import context

from pixelprobe_services.orchestrator.store.sql.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
