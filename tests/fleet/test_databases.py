"""Databases that are set up in ways of their own: encodings, isolation levels, rights, row factories, no room."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres import Cluster, database
from psycopg.rows import dict_row
from shops import Shop, eventually, shop

from hpp_async import Completed, WatchEvent
from hpp_async.fleet import PostgresStore, SQLiteStore
from hpp_async.fleet._locks import hang_up
from hpp_async.testing import Script, ScriptedProvider, opens, pays

pytestmark = pytest.mark.anyio

__all__ = ["database"]

PAID = Script(opens(after=5), pays(after=20))


@pytest.fixture
async def here(provider: ScriptedProvider, database: Cluster) -> AsyncGenerator[Shop]:
    store = PostgresStore(database.conninfo, schema="databases")
    async with store.transaction() as tx:
        await tx.execute("DROP SCHEMA IF EXISTS databases CASCADE")
        await tx.execute("DROP TABLE IF EXISTS booked")
    async with shop(provider, store, shards=2) as here:
        yield here


async def paid(here: Shop) -> str:
    session = here.client.session_id(here.provider.add(PAID))
    await here.fleet.add(session)
    return session


# -- how a database is set up -----------------------------------------------------------------------------------------


async def test_a_migration_with_nothing_to_make_waits_for_nobody_and_keeps_nobody_waiting(
    here: Shop, database: Cluster
) -> None:
    async with (
        PostgresStore(database.conninfo, schema="databases") as other,
        asyncio.timeout(60),
        here.store.transaction() as tx,
    ):
        await here.fleet.add("one", tx=tx)
        await other.migrate()
        await here.fleet.add("two")

    assert [item.session_id for item in await here.fleet.sessions()] == ["one", "two"]


async def test_who_may_make_no_tables_may_migrate_where_they_are_made(here: Shop, database: Cluster) -> None:
    name = f"u{uuid.uuid4().hex}"
    async with here.store.transaction() as tx:
        await tx.execute(f"CREATE USER {name}")
    async with PostgresStore(database.conninfo.replace("user=fleet", f"user={name}"), schema="databases") as store:
        await store.migrate()


async def test_a_process_that_is_frozen_in_a_migration_keeps_others_waiting_for_seconds_only(
    here: Shop, database: Cluster
) -> None:
    limits = list[str]()

    class Noting(PostgresStore):
        async def _is_migrated(self, tx: psycopg.AsyncConnection[Any]) -> bool:
            row = await (await tx.execute("SHOW idle_in_transaction_session_timeout")).fetchone()
            assert row is not None
            limits.append(row[0])
            return len(limits) > 1  # as if another process had made the tables meanwhile

    async with Noting(database.conninfo, schema="databases") as store:
        await store.migrate()

    assert limits == ["5s", "5s"]


async def test_a_row_factory_of_the_users_does_not_reach_the_fleets_own_statements(here: Shop) -> None:
    async def deal_with(event: WatchEvent, tx: Any) -> None:
        tx.row_factory = dict_row
        await here.fleet.add("another", tx=tx)
        if isinstance(event.news, Completed):
            row = await (await tx.execute("SELECT 1 AS one")).fetchone()
            assert row == {"one": 1}

    async with here.store.transaction() as tx:
        tx.row_factory = dict_row
        await here.fleet.add("one", tx=tx)
    session = await paid(here)
    working = asyncio.create_task(here.fleet.work(deal_with))
    news = await here.fleet.wait_for_outcome(session)
    shown = len(await here.fleet.shards()), len(await here.fleet.workers()), len(await here.fleet.sessions())
    working.cancel()
    await asyncio.wait([working])

    assert news.ending == "Completed"
    assert shown[:2] == (2, 1)


async def test_a_database_without_an_encoding_of_its_own_keeps_text(
    provider: ScriptedProvider, database: Cluster
) -> None:
    name = f"d{uuid.uuid4().hex}"
    async with await psycopg.AsyncConnection.connect(database.conninfo, autocommit=True) as connection:
        await connection.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'".encode()
        )
    store = PostgresStore(database.conninfo.replace("dbname=postgres", f"dbname={name}"), schema="größe")
    async with shop(provider, store, shards=2) as here:
        session = await paid(here)
        async with here.working():
            await here.fleet.wait_for_outcome(session)

        assert await here.booked() == [session]


async def test_the_fleets_own_transactions_are_read_committed_and_the_shops_are_as_the_database_says(
    here: Shop, database: Cluster
) -> None:
    conninfo = f"{database.conninfo} options='-c default_transaction_isolation=serializable'"
    levels = list[str]()
    async with PostgresStore(conninfo, schema="databases", max_connections=1) as store:
        for transaction in (store.transaction, store.own_transaction, store.transaction):
            async with transaction() as tx:
                row = await (await tx.execute("SHOW transaction_isolation")).fetchone()
                assert row is not None
                levels.append(row[0])

    assert levels == ["serializable", "read committed", "serializable"]


async def test_a_statement_whose_process_is_gone_ends_soon(here: Shop, database: Cluster) -> None:
    async def sleep() -> None:
        async with store.transaction() as tx:
            connections.append(tx)
            await tx.execute("SELECT pg_sleep(3600)")

    async def sleepers() -> int:
        async with here.store.transaction() as tx:
            query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
            [(count,)] = await (await tx.execute(query)).fetchall()
        return int(count)

    connections = list[psycopg.AsyncConnection[Any]]()
    async with PostgresStore(database.conninfo, schema="databases") as store:
        sleeping = asyncio.create_task(sleep())
        await eventually(sleepers)
        hang_up(connections[0])  # as the operating system does for a process that was killed
        with pytest.raises(psycopg.OperationalError):
            await sleeping

        async def are_gone() -> bool:
            return not await sleepers()

        await eventually(are_gone)


# -- a database that takes no writes ----------------------------------------------------------------------------------


async def read_only(tx: Any) -> None:
    await tx.execute("SET TRANSACTION READ ONLY")
    await tx.execute("INSERT INTO booked VALUES ('nobody')")


async def full(tx: Any) -> None:
    await tx.execute("PRAGMA max_page_count = 1")  # as it is, and no page more
    try:
        await tx.execute("INSERT INTO booked VALUES (zeroblob(1000000))")
    finally:
        await asyncio.to_thread(tx._database.execute, "PRAGMA max_page_count = 1000000")


async def is_booked_in_the_end(here: Shop, breaks: Callable[[Any], Awaitable[None]]) -> bool:
    """Let the first three events meet a database that takes no writes, in a fleet that parks what has failed once."""
    here.fleet._pause = lambda *_: None

    async def deal_with(event: WatchEvent, tx: Any) -> None:
        await here.deal_with(event, tx)
        if len(here.events) < 4:
            await breaks(tx)

    session = await paid(here)
    working = asyncio.create_task(here.fleet.work(deal_with))
    await here.fleet.wait_for_outcome(session)
    working.cancel()
    await asyncio.wait([working])
    return await here.booked() == [session]


async def test_a_database_that_is_read_only_for_a_while_fails_no_event(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpp_async.fleet._failing._LATER", 1)

    assert await is_booked_in_the_end(here, read_only)


async def test_a_disk_that_is_full_for_a_while_fails_no_event(
    provider: ScriptedProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpp_async.fleet._failing._LATER", 1)
    async with shop(provider, SQLiteStore(tmp_path / "shop.db"), shards=2) as here:
        assert await is_booked_in_the_end(here, full)
