"""Our own connections: one for each request that is under way; few are kept, and none for ever."""

from __future__ import annotations

import gc
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Generator
from typing import Any, Final, get_args

import aiohttp
import anyio
import httpx
import pytest
import trustme
from anyio.from_thread import start_blocking_portal
from support.servers import Handler, request_of, serve, wire

from hpp_async import ClientClosedError, HPPClient, ServerError, UnexpectedPayloadError
from hpp_async._core.endpoint import Target
from hpp_async._http import environment
from hpp_async._http.connections import KEEPALIVE, MAXIMUM_AGE, Connection, Lent, Owned
from hpp_async._http.environment import Environment
from hpp_async._http.exchange import Answer, Exchange
from hpp_async._http.family import family
from hpp_async._http.over_aiohttp import OverAiohttp
from hpp_async._http.transports import TransportName, connections_for
from hpp_async.testing import Provider, VirtualClock

pytestmark = pytest.mark.anyio

AUTH = ("user", "secret")
AUTHORITY = trustme.CA()
HTTPX = family("httpx")
DIRECT = Environment(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


class Time:
    seconds = 0.0

    def now(self) -> float:
        return self.seconds


def owned(time: Time | None = None, *, drawn: float = 0.0) -> Owned:
    return Owned(DIRECT, HTTPX, now=(time or Time()).now, draw=lambda: drawn)


TRANSPORTS: Final = get_args(TransportName)
over_each = pytest.mark.parametrize("transport", TRANSPORTS)
"""On trio, the last one does as the first."""


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Record which transports are closed."""
    noted: list[object] = []
    close = httpx.AsyncHTTPTransport.aclose

    async def aclose(self: httpx.AsyncHTTPTransport) -> None:
        noted.append(self)
        await close(self)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "aclose", aclose)
    return noted


async def test_the_connection_used_last_goes_first() -> None:
    connections = owned()
    first, second = await connections.take(), await connections.take()
    connections.give_back(first)
    connections.give_back(second)

    assert first is not second
    assert await connections.take() is second
    assert await connections.take() is first


async def test_a_connection_that_nobody_used_for_long_is_closed(closed: list[object]) -> None:
    time = Time()
    connections = owned(time)
    stale, fresh = await connections.take(), await connections.take()
    connections.give_back(stale)
    time.seconds = KEEPALIVE - 1
    connections.give_back(fresh)
    time.seconds = KEEPALIVE

    assert await connections.take() is fresh
    assert closed == [stale.via]
    assert await connections.take() is not stale


@pytest.mark.parametrize(("drawn", "age"), [(0.0, MAXIMUM_AGE), (0.5, 0.9 * MAXIMUM_AGE), (1.0, 0.8 * MAXIMUM_AGE)])
async def test_a_connection_is_used_for_four_to_five_minutes(drawn: float, age: float, closed: list[object]) -> None:
    time = Time()
    connections = owned(time, drawn=drawn)
    old = await connections.take()
    for second in range(0, int(age), 30):
        time.seconds = second
        connections.give_back(old)
        assert await connections.take() is old
    connections.give_back(old)
    time.seconds = age

    assert await connections.take() is not old
    assert closed == [old.via]


async def test_a_retired_connection_is_closed_before_the_next_request(closed: list[object]) -> None:
    connections = owned()
    good, bad = await connections.take(), await connections.take()
    bad.retire()
    connections.give_back(good)
    connections.give_back(bad)

    assert await connections.take() is good
    assert closed == [bad.via]


async def test_closing_includes_connections_in_use_and_can_be_repeated(closed: list[object]) -> None:
    connections = owned()
    in_use, idle = await connections.take(), await connections.take()
    connections.give_back(idle)
    await connections.aclose()
    await connections.aclose()
    connections.give_back(in_use)

    assert sorted(map(id, closed)) == sorted([id(in_use.via), id(idle.via)])
    assert await connections.take() is not in_use


async def test_a_close_that_is_cancelled_can_be_finished_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    attempts = 0

    async def aclose(self: httpx.AsyncHTTPTransport) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await anyio.sleep_forever()
        closed.append(self)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "aclose", aclose)
    connections = owned()
    retired = await connections.take()
    retired.retire()
    connections.give_back(retired)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await connections.take()
    await connections.aclose()

    assert closed == [retired.via]


async def test_a_lent_client_is_shared_and_never_closed() -> None:
    async with httpx.AsyncClient() as http_client:
        connections = Lent(http_client, HTTPX)
        taken = [await connections.take(), await connections.take()]
        taken[0].retire()
        connections.give_back(taken[0])
        await connections.aclose()

        assert [connection.via for connection in taken] == [http_client, http_client]
        assert not http_client.is_closed
    with pytest.raises(ClientClosedError):
        await connections.take()


# -- over sockets ----------------------------------------------------------------------------------------------------


def noting(model: Provider, used: list[object]) -> Handler:
    async def handle(head: bytes, stream: object) -> bytes:
        used.append(stream)
        return wire(model.answer(*request_of(head)))

    return handle


@over_each
async def test_reads_one_after_the_other_share_one_connection_and_reads_at_once_do_not(
    transport: TransportName,
) -> None:
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
        async with serve(handle) as url, HPPClient(auth=AUTH, endpoint=url, transport=transport) as client:
            for session in sessions:
                await client.read_session(session)
            in_turn = len(used)
            async with anyio.create_task_group() as tasks:
                for session in sessions:
                    tasks.start_soon(client.read_session, session)

    assert (in_turn, len(used)) == (1, 3)


@over_each
async def test_after_five_minutes_of_reads_another_connection_is_made(transport: TransportName) -> None:
    clock = VirtualClock()
    model = Provider(now=clock.provider_time, quota=None)
    session = model.create()
    used: list[object] = []
    with anyio.fail_after(30):
        async with (
            serve(noting(model, used)) as url,
            HPPClient(auth=AUTH, endpoint=url, clock=clock, transport=transport) as client,
        ):
            for _ in range(6):
                await client.read_session(session)
                await clock.sleep(60.0)

    assert len(used) == 6
    assert len(set(used)) == 2


@pytest.mark.parametrize("answer", ["503 X\r\nContent-Length: 0", "200 X\r\nContent-Length: 2"])
@over_each
async def test_no_connection_is_used_again_after_an_answer_that_is_out_of_order(
    answer: str, transport: TransportName
) -> None:
    model = Provider(now=VirtualClock().provider_time, quota=None)
    session = model.create()
    used: list[object] = []
    good = noting(model, used)

    async def handle(head: bytes, stream: Any) -> bytes:
        reply = await good(head, stream)
        return f"HTTP/1.1 {answer}\r\n\r\n{'[]' if '200' in answer else ''}".encode() if len(used) == 2 else reply

    with anyio.fail_after(30):
        async with (
            serve(handle) as url,
            HPPClient(auth=AUTH, endpoint=url, attempts=1, transport=transport) as client,
        ):
            await client.read_session(session)
            with pytest.raises((ServerError, UnexpectedPayloadError)):
                await client.read_session(session)
            await client.read_session(session)
            await client.read_session(session)

    assert used[0] is used[1]
    assert used[1] is not used[2]
    assert used[2] is used[3]


# -- event loops -----------------------------------------------------------------------------------------------------

LOOPS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend_options": {"use_uvloop": False}},
    "uvloop": {"backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}


@pytest.fixture
def served() -> Generator[tuple[str, str]]:
    """Serve in another thread, beyond the life of any event loop of the test; yields an http and an https URL."""

    async def handle(head: bytes, _: object) -> bytes:
        return b"HTTP/1.1 204 X\r\n\r\n"

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(handle)) as plain,
        portal.wrap_async_context_manager(serve(handle, tls=context)) as secure,
    ):
        yield plain, secure
    with warnings.catch_warnings():
        # What the server's loop leaves behind must not warn in the next test.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed resource <TCPTransport:ResourceWarning")  # uvloop's, as it closes a loop
@pytest.mark.parametrize("first", LOOPS)
@pytest.mark.parametrize("second", LOOPS)
@over_each
def test_what_belonged_to_a_loop_that_is_gone_is_dropped(
    first: str, second: str, transport: TransportName, served: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = ssl.create_default_context()
    AUTHORITY.configure_trust(trust)
    monkeypatch.setattr(environment, "_ssl_context", lambda _: trust)
    target = Target.of("http://localhost")
    connections = connections_for(target, None, transport, now=Time().now, draw=lambda: 0.0)
    exchange = Exchange(connections, headers={"Host": "provider.example"}, timeout=20.0)
    sockets: list[Any] = []

    async def ask() -> list[str]:
        answers = [await exchange.ask("GET", url) for url in served]
        for answer in answers:
            assert isinstance(answer, Answer)
            sockets.append(socket_of(answer.connection))
        return [str(answer.status_code if isinstance(answer, Answer) else answer) for answer in answers]

    assert anyio.run(ask, **LOOPS[first]) == ["204", "204"]
    exchange.drop()
    exchange.drop()
    gc.collect()  # a transport that nobody closed would warn here, and warnings are errors

    assert anyio.run(ask, **LOOPS[second]) == ["204", "204"]
    assert [one.fileno() for one in sockets[:2]] == [-1, -1]
    connections.drop()
    gc.collect()


def socket_of(connection: Connection) -> Any:
    via: Any = connection.via
    if not isinstance(via, OverAiohttp):
        stream: Any = connection.stream
        return stream.get_extra_info("socket")
    assert isinstance(via.client, aiohttp.ClientSession)
    connector: Any = via.client.connector
    *_, (protocol, _) = [kept for connections in connector._conns.values() for kept in connections]
    return protocol.transport.get_extra_info("socket")


def test_a_connection_that_is_dropped_in_use_is_not_kept() -> None:
    async def take() -> None:
        connections = owned()
        in_use = await connections.take()
        connections.drop()
        connections.give_back(in_use)

        assert await connections.take() is not in_use

    anyio.run(take)


FIRST_READ = """
import sys
import {first}
from hpp_async import HPPClient, TransportError

client = HPPClient(auth=("user", "secret"), endpoint="http://localhost:{port}", attempts=1, transport="{transport}")
loaded = set(sys.modules)

async def main():
    try:
        await client.read_session("session")
    except TransportError as error:
        assert error.reason == "refused", error
    print(*sorted(set(sys.modules) - loaded))
    await client.aclose()

{run}
"""


@pytest.mark.parametrize(
    ("first", "run"), [("asyncio", "asyncio.run(main())"), ("trio", "trio.run(main)"), ("uvloop", "uvloop.run(main())")]
)
@over_each
def test_the_first_read_loads_no_modules(first: str, run: str, transport: TransportName) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code = FIRST_READ.format(first=first, run=run, port=port, transport=transport)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)

    assert done.stdout.split() == []


def test_the_repr_of_a_connection_shows_no_secret() -> None:
    client = httpx.AsyncClient(auth=("user", "pw-4d1f9c"))

    assert "pw-4d1f9c" not in repr(Connection(client, client.send))
