"""A client of ours has one connection for each request that is under way, and keeps few of them."""

from __future__ import annotations

import anyio
import httpx
import pytest
from support.servers import request_of, serve, wire

from hpp_async import HPPClient
from hpp_async._http.connections import KEEPALIVE, Lent, Owned
from hpp_async.testing import Provider, VirtualClock

pytestmark = pytest.mark.anyio

AUTH = ("user", "secret")


class _Time:
    seconds = 0.0

    def now(self) -> float:
        return self.seconds


async def test_the_connection_used_last_goes_first() -> None:
    connections = Owned(_Time().now)
    first, second = await connections.take(), await connections.take()
    connections.give_back(first)
    connections.give_back(second)

    assert first is not second
    assert await connections.take() is second
    assert await connections.take() is first


async def test_a_connection_that_nobody_used_for_long_is_closed() -> None:
    time = _Time()
    connections = Owned(time.now)
    stale, fresh = await connections.take(), await connections.take()
    connections.give_back(stale)
    time.seconds = KEEPALIVE - 1
    connections.give_back(fresh)
    time.seconds = KEEPALIVE

    assert await connections.take() is fresh
    assert (stale.http_client.is_closed, fresh.http_client.is_closed) == (True, False)
    assert await connections.take() is not stale


async def test_closing_closes_those_in_use_too_and_can_be_repeated() -> None:
    connections = Owned(_Time().now)
    in_use, idle = await connections.take(), await connections.take()
    connections.give_back(idle)
    await connections.aclose()
    await connections.aclose()

    assert in_use.http_client.is_closed
    assert idle.http_client.is_closed


async def test_a_lent_client_is_shared_and_never_closed() -> None:
    async with httpx.AsyncClient() as http_client:
        connections = Lent(http_client)
        taken = [await connections.take(), await connections.take()]
        connections.give_back(taken[0])
        await connections.aclose()

        assert [connection.http_client for connection in taken] == [http_client, http_client]
        assert not http_client.is_closed


async def test_reads_one_after_the_other_share_one_connection_and_reads_at_once_do_not() -> None:
    model = Provider(now=VirtualClock().provider_time, quota=None)
    arrived, released = 0, anyio.Event()
    used: set[object] = set()

    async def handle(head: bytes, stream: object) -> bytes:
        nonlocal arrived
        arrived += 1
        used.add(stream)
        if arrived == 6:
            released.set()
        if arrived > 3:
            await released.wait()
        return wire(model.answer(*request_of(head)))

    sessions = [model.create() for _ in range(3)]
    with anyio.fail_after(30):
        async with serve(handle) as url, HPPClient(auth=AUTH, endpoint=url) as client:
            for session in sessions:
                await client.read_session(session)
            in_turn = len(used)
            async with anyio.create_task_group() as tasks:
                for session in sessions:
                    tasks.start_soon(client.read_session, session)

    assert (in_turn, len(used)) == (1, 3)
