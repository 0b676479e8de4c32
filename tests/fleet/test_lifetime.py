"""A store that is closed, that outlives its event loop, and that is used in two at once."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from shops import Shop, eventually, shop, until

import hpp_async.fleet
from hpp_async.fleet import Fleet, SQLiteStore, Store, StoreClosedError, _sqlite
from hpp_async.fleet._lease import Lease
from hpp_async.testing import Script, ScriptedProvider, opens, pays

pytestmark = pytest.mark.anyio

PAID = Script(opens(after=5), pays(after=20))

Opens = Callable[[], Store[Any]]


@pytest.fixture
async def here(provider: ScriptedProvider, store: Store[Any]) -> AsyncGenerator[Shop]:
    async with shop(provider, store, shards=2, lease=2) as here:
        yield here


# -- closed -----------------------------------------------------------------------------------------------------------


async def test_a_store_that_is_closed_under_a_worker_ends_the_work_and_nothing_is_lost(
    here: Shop, opened: Opens
) -> None:
    session = here.client.session_id(here.provider.add(PAID))
    await here.fleet.add(session)
    async with here.working() as working:
        await until(lambda: here.events)
        await here.store.aclose()
        with pytest.raises(StoreClosedError, match=r"Store.* was closed: close it once work and all waits have ended"):
            await working

    await here.store.aclose()
    here.store = opened()
    here.fleet = Fleet(here.client, here.store, shards=2)
    async with here.store, here.working():
        await here.fleet.wait_for_outcome(session)
        assert await here.booked() == [session]


async def test_a_store_that_is_closed_ends_the_work_of_one_that_owns_nothing(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> bool:
        return False

    async def has_worker() -> bool:
        return bool(await here.fleet.workers())

    monkeypatch.setattr("hpp_async.fleet._sqlite._Alone.take", nothing)
    monkeypatch.setattr("hpp_async.fleet._locks.Locks.take", nothing)
    async with here.working() as working:
        await eventually(has_worker)
        await here.store.aclose()
        with pytest.raises(StoreClosedError):
            await working


async def test_a_store_that_is_closed_ends_every_wait_and_takes_no_call(here: Shop) -> None:
    session = here.client.session_id(here.provider.add())
    await here.fleet.add(session)
    waiting = asyncio.create_task(here.fleet.wait_for_outcome(session))
    await until(lambda: here.store.channels.is_used)
    await here.store.aclose()

    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: waiting,
        lambda: here.fleet.wait_for_outcome(session),
        lambda: here.fleet.add(session),
        here.fleet.sessions,
        lambda: here.fleet.work(here.deal_with),
        here.store.migrate,
        here.store.listen,
        here.store.__aenter__,
    ]
    for call in calls:
        with pytest.raises(StoreClosedError):
            await call()


# -- one loop after another -------------------------------------------------------------------------------------------


async def follow(here: Shop) -> str:
    """Follow a session to its end, in the loop that runs."""
    session = here.client.session_id(here.provider.add(PAID))
    await here.fleet.add(session)
    async with here.working():
        assert (await here.fleet.wait_for_outcome(session)).is_last
    return session


def with_shop(provider: ScriptedProvider, store: Store[Any]) -> Shop:
    client = provider.client()
    return Shop(provider, client, store, Fleet(client, store, shards=2, lease=2))


async def prepare(here: Shop) -> None:
    await here.store.migrate()
    async with here.store.transaction() as tx:
        await tx.execute("DROP TABLE IF EXISTS booked")
        await tx.execute("CREATE TABLE booked (session_id text)")


async def end(here: Shop) -> list[str]:
    async with here.client, here.store:
        return await here.booked()


def test_a_store_is_used_in_one_loop_after_another(provider: ScriptedProvider, opened: Opens) -> None:
    here = with_shop(provider, opened())
    asyncio.run(prepare(here))
    sessions = [asyncio.run(follow(here)) for _ in range(2)]

    assert asyncio.run(end(here)) == sorted(sessions)


def test_messages_reach_the_second_loop_as_well(provider: ScriptedProvider, opened: Opens) -> None:
    # Found by a newcomer: its news came by the look of every 15 seconds.
    here = with_shop(provider, opened())

    async def is_told() -> bool:
        woken = asyncio.Event()
        await here.store.listen()
        here.store.channels.subscribe("abc", woken.set)
        async with opened() as other, other.transaction() as tx:
            await other.run(tx, "add", "abc", 0)
            await other.tell_waits(tx, "abc")
        async with asyncio.timeout(60):
            await woken.wait()
        return woken.is_set()

    asyncio.run(prepare(here))
    assert asyncio.run(is_told())
    assert asyncio.run(is_told())
    asyncio.run(end(here))


def test_a_loop_ends_while_its_store_is_connecting() -> None:
    # psycopg's pool took the cancellation for a connection that failed, and asyncio.run never returned.
    async def begin(server: socket.socket) -> tuple[asyncio.Task[None], socket.socket]:
        port = server.getsockname()[1]
        migrating = asyncio.create_task(hpp_async.fleet.PostgresStore(f"postgresql://127.0.0.1:{port}/a").migrate())
        connection, _ = await asyncio.get_running_loop().sock_accept(server)  # and it says nothing
        return migrating, connection

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        migrating, connection = asyncio.run(begin(server))

    connection.close()
    assert migrating.cancelled()


GONE: list[object] = []
"""Tasks of loops that were closed under them: kept, so that nobody complains that they never ended."""


def test_a_loop_that_is_closed_under_a_worker_leaves_nothing_that_is_in_the_way(
    provider: ScriptedProvider, opened: Opens
) -> None:
    here = with_shop(provider, opened())
    budget = here.client.budget
    asyncio.run(prepare(here))
    work = here.fleet.work(here.deal_with)

    async def begin() -> str:
        session = here.client.session_id(here.provider.add(PAID))
        await here.fleet.add(session)
        GONE.append(asyncio.create_task(work))
        GONE.append(asyncio.create_task(here.fleet.wait_for_outcome(session)))
        await until(lambda: here.events and here.store.channels.is_used)
        GONE.extend(asyncio.all_tasks())
        return session

    loop = asyncio.new_event_loop()
    first = loop.run_until_complete(begin())
    loop.close()
    second = asyncio.run(follow(here))

    async def has_ended() -> None:
        async with here.working():
            await until(lambda: here.store.channels.is_used)
            with pytest.raises(RuntimeError, match="Event loop is closed"):
                work.close()  # as the garbage collector does
            await here.fleet.wait_for_outcome(first)

    asyncio.run(has_ended())
    assert asyncio.run(end(here)) == sorted([first, second])
    assert here.client.budget == budget


def test_what_a_worker_of_a_loop_that_is_gone_ends_with_does_not_concern_the_next_one(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "shop.db")

    async def take() -> AbstractAsyncContextManager[object]:
        await store.migrate()
        owning = store.own(1, Lease(5), bool)
        await owning.__aenter__()
        return owning

    async def take_again(earlier: AbstractAsyncContextManager[object]) -> dict[int, int]:
        async with store, store.own(1, Lease(5), bool) as ownership:
            await ownership.take(0)
            await earlier.__aexit__(None, None, None)
            async with store.transaction() as tx:
                return await store.owners(tx)

    loop = asyncio.new_event_loop()
    earlier = loop.run_until_complete(take())
    loop.close()

    assert list(asyncio.run(take_again(earlier))) == [0]


def test_a_transaction_that_a_loop_left_open_is_rolled_back(provider: ScriptedProvider, opened: Opens) -> None:
    here = with_shop(provider, opened())
    asyncio.run(prepare(here))

    async def begin() -> None:
        transaction = here.store.transaction()
        tx = await transaction.__aenter__()
        GONE.append(transaction)
        await tx.execute("INSERT INTO booked (session_id) VALUES ('abc')")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()

    assert asyncio.run(end(here)) == []


async def test_two_running_loops_at_once_are_refused(here: Shop) -> None:
    def use(do: Callable[[], Awaitable[object]]) -> None:
        async def main() -> None:
            with pytest.raises(
                RuntimeError, match=rf"this {type(here.store).__name__} is in use in another event loop"
            ):
                await do()

        asyncio.run(main())

    for do in (here.store.migrate, here.store.aclose, here.fleet.sessions, lambda: here.fleet.work(here.deal_with)):
        await anyio.to_thread.run_sync(use, do)
    assert await here.fleet.sessions() == []


async def test_a_child_of_a_fork_leaves_the_connections_of_its_parent_alone(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherited: list[Any] = _sqlite._INHERITED
    if not isinstance(here.store, SQLiteStore):
        from hpp_async.fleet import _connecting  # noqa: PLC0415 - it needs psycopg

        inherited = _connecting._INHERITED
    channels = here.store.channels
    assert await here.fleet.sessions() == []
    assert not inherited

    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert await here.fleet.sessions() == []
    assert here.store.channels is not channels
    assert inherited
    for connection in inherited:  # none was closed
        cursor = connection.execute("SELECT 1")
        assert cursor if isinstance(here.store, SQLiteStore) else await cursor

    while inherited:
        closed = inherited.pop().close()
        if closed is not None:
            await closed
