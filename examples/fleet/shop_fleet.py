"""What every process of the shop has: the client, the database with its table, and the fleet."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs

from hpp_async import HPPClient
from hpp_async.fleet import Fleet, PostgresStore, PostgresTransaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS purchase (
    number text PRIMARY KEY,
    session_id text NOT NULL UNIQUE,
    callback_secret text NOT NULL,
    state text NOT NULL DEFAULT 'open',  -- then paid, not paid, or for a person to look at
    order_id text
)
"""


@attrs.frozen
class Shop:
    client: HPPClient
    store: PostgresStore
    fleet: Fleet[PostgresTransaction]


@asynccontextmanager
async def open_shop() -> AsyncGenerator[Shop]:
    """Connect this process: every process does the same, the web's and the workers'."""
    async with HPPClient.from_env() as client, PostgresStore(os.environ["DATABASE_URL"]) as store:
        yield Shop(client, store, Fleet(client, store))


async def migrate() -> None:
    """Make the tables of the fleet and of the shop; it can be called at each start."""
    async with PostgresStore(os.environ["DATABASE_URL"]) as store:
        await store.migrate()
        async with store.transaction() as tx:
            await tx.execute(SCHEMA)
