"""``python -m pixelprobe_services.orchestrator.store.migrate``: bring a database to this program's schema.

An empty database gets the schema when an orchestrator first opens it. An older one is changed by this command
alone: back it up, stop all orchestrators, run this. An SQLite file is rebuilt after it, for which the disk
needs room for a second copy.
"""

from __future__ import annotations

import asyncio

import click

from pixelprobe_services.orchestrator.store.errors import StoreError, StoreSetupError
from pixelprobe_services.orchestrator.store.location import StoreLocation, store_options
from pixelprobe_services.orchestrator.store.sql.connection import connect
from pixelprobe_services.orchestrator.store.sql.schema_version import configuration, upgrade
from pixelprobe_services.server.settings import StartError, run


@click.command(help=__doc__)
@store_options
def main(store: StoreLocation) -> None:
    """Upgrade, and print the schemas before and after."""
    if store.url is None:
        raise StartError("memory:// has no schema")
    try:
        before, after = asyncio.run(_upgrade(store))
    except StoreSetupError as error:
        raise StartError(f"store {store}: {error}") from error
    except StoreError as error:
        raise StartError(f"store {store}: {error.message}") from error
    done = "is already at" if before == after else f"was {before or 'empty'} and is now at"
    click.echo(f"{store} {done} schema {after}")


async def _upgrade(store: StoreLocation) -> tuple[str | None, str | None]:
    connected = await asyncio.to_thread(connect, store, for_migration=True)
    try:
        revisions = await connected.database.write(lambda c: upgrade(c, configuration()))
        if connected.database.is_sqlite and revisions[0] != revisions[1]:
            await asyncio.to_thread(connected.database.rebuild)
        return revisions
    finally:
        await connected.close()


if __name__ == "__main__":
    run(main)
