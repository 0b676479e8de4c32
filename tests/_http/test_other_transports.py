"""Over aiohttp and over httpx2, owned and lent through ``http_client``, everything works as over httpx's transport."""

from __future__ import annotations

import asyncio
import gzip
import random
import sys
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import httpx
import httpx2
import pytest
from anyio.abc import ByteStream
from support.servers import request_of, serve, wire

from hpp_async import (
    ClientClosedError,
    Completed,
    HPPClient,
    HPPError,
    PollSchedule,
    ResponseError,
    TransportError,
    UnexpectedPayloadError,
)
from hpp_async._http.transports import TransportName
from hpp_async.testing import Answer, Provider, VirtualClock

aiohttp = pytest.importorskip("aiohttp", reason="httpx-aiohttp is not installed")
httpx_aiohttp = pytest.importorskip("httpx_aiohttp", reason="httpx-aiohttp is not installed")

LOOPS = {"asyncio": ("asyncio", {"use_uvloop": False})}
if sys.platform != "win32":
    LOOPS["uvloop"] = ("asyncio", {"use_uvloop": True})
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", list(LOOPS.values()), ids=list(LOOPS)),  # aiohttp does not run on trio
]

AUTH = ("user", "secret")
SECRET = "a1a8f727-token"
WAYS = {"lent aiohttp", "aiohttp", "lent httpx2", "httpx2"}


@pytest.fixture(params=sorted(WAYS), autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run each test over each of them."""
    name: str = request.param
    monkeypatch.setitem(globals(), "WAY", name)
    return name


WAY: str = ""
"""The one that the test runs over."""

Respond = Callable[[Answer], Awaitable[bytes]]
"""Makes what goes onto the wire of what the provider says."""


async def _as_it_is(answer: Answer) -> bytes:
    return wire(answer)


def _with(answer: Answer, header: str, value: str) -> Answer:
    return attrs.evolve(answer, headers={**answer.headers, header: value})


def _packed(answer: Answer) -> Answer:
    return attrs.evolve(_with(answer, "Content-Encoding", "gzip"), body=gzip.compress(answer.body))


class Scene:
    """A provider on a real socket, and a client that reaches it."""

    def __init__(self, model: Provider, http_client: Any, client: HPPClient, heads: list[bytes]) -> None:
        self.model = model
        self.http_client = http_client
        self.client = client
        self.heads = heads
        self.session_id = model.create()

    def headers(self) -> list[dict[str, str]]:
        return [request_of(head)[2] for head in self.heads]

    def connections_in_use(self) -> int:
        # Neither aiohttp nor httpx has public access to its pool.
        connections: Any = self.client._connections
        lent = [self.http_client._transport] if self.http_client is not None else []
        transports = lent or [connection.via for connection in connections._open]
        return sum(
            len(transport._pool._requests) if "httpx2" in WAY else len(transport.client.connector._acquired)
            for transport in transports
        )


@asynccontextmanager
async def scene(
    respond: Respond = _as_it_is, *, schedule: PollSchedule = PollSchedule(), attempts: int = 3, timeout: float = 10.0
) -> AsyncGenerator[Scene]:
    model, heads = Provider(now=VirtualClock().provider_time, quota=None), list[bytes]()

    async def handle(head: bytes, _: ByteStream) -> bytes:
        heads.append(head)
        return await respond(model.answer(*request_of(head)))

    with anyio.fail_after(60):
        async with serve(handle) as url, lent_client() as http_client:
            client = HPPClient(
                auth=AUTH,
                endpoint=url.replace("127.0.0.1", "localhost"),  # aiohttp keeps no cookies of a bare address
                http_client=http_client,
                transport=OWN.get(WAY, "httpx"),
                schedule=schedule,
                attempts=attempts,
                timeout=timeout,
            )
            async with client:
                yield Scene(model, http_client, client, heads)


OWN: dict[str, TransportName] = {"aiohttp": "aiohttp", "httpx2": "httpx2"}


def lent_client() -> AbstractAsyncContextManager[Any]:
    if WAY == "lent aiohttp":
        return httpx.AsyncClient(transport=httpx_aiohttp.AiohttpTransport(client=_session))
    return httpx2.AsyncClient(trust_env=False) if WAY == "lent httpx2" else nullcontext()


def _session() -> Any:
    """As benchmarks/README.md shows it."""
    connector = aiohttp.TCPConnector(keepalive_timeout=120)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=["Accept-Encoding"]
    )


async def test_the_request_is_the_same_as_over_httpx() -> None:
    async with scene() as here:
        await here.client.read_session(here.session_id)
        async with HPPClient(auth=AUTH, endpoint=f"http://{here.headers()[0]['host']}") as client:
            await client.read_session(here.session_id)
        over_aiohttp, over_httpx = here.headers()

    assert over_aiohttp == over_httpx
    assert here.heads[0].split(b"\r\n")[0] == here.heads[1].split(b"\r\n")[0]


async def test_a_session_without_a_cookie_jar_sends_none_back() -> None:
    async def respond(answer: Answer) -> bytes:
        return wire(_with(answer, "Set-Cookie", "seen=1"))

    async with scene(respond) as here:
        for _ in range(2):
            await here.client.read_session(here.session_id)

        assert ["cookie" in headers for headers in here.headers()] == [False, False]


async def test_no_redirect_is_followed() -> None:
    async def respond(answer: Answer) -> bytes:
        return wire(attrs.evolve(_with(answer, "Location", "/elsewhere"), status_code=302))

    async with scene(respond) as here:
        with pytest.raises(ResponseError):
            await here.client.read_session(here.session_id)

        assert len(here.heads) == 1


async def test_a_packed_answer_is_unpacked_once() -> None:
    async def respond(answer: Answer) -> bytes:
        return wire(_packed(answer))

    async with scene(respond) as here:
        assert (await here.client.read_session(here.session_id)).status == "WAITING"


@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "packed"])
async def test_an_answer_that_is_too_large_is_refused_and_hung_up_on(is_packed: bool) -> None:
    async def respond(answer: Answer) -> bytes:
        if len(here.heads) > 1:
            return wire(answer)
        large = attrs.evolve(answer, body=b" " * 8 * 2**20)
        return wire(_packed(large) if is_packed else large)

    async with scene(respond, attempts=1) as here:
        with pytest.raises(UnexpectedPayloadError):
            await here.client.read_session(here.session_id)

        assert here.connections_in_use() == 0
        assert (await here.client.read_session(here.session_id)).status == "WAITING"


BROKEN = {
    "a strange status line": f"SSH-2.0 {SECRET}\r\n\r\n",
    "a strange header": f"HTTP/1.1 200 OK\r\nX {SECRET}\r\n\r\n",
    "a header without end": f"HTTP/1.1 200 OK\r\nX: {SECRET * 10_000}\r\n\r\n",
    "a strange chunk": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
    "a chunk cut off": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{SECRET}\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_breaks_the_protocol_is_a_transport_error_and_quotes_nothing(name: str) -> None:
    async def respond(_: Answer) -> bytes:
        return BROKEN[name].encode()

    async with scene(respond, attempts=1) as here:
        with pytest.raises(TransportError) as caught:
            await here.client.read_session(here.session_id)

        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert here.connections_in_use() == 0


@pytest.mark.parametrize("name", BROKEN)
async def test_a_wait_survives_what_breaks_the_protocol(name: str) -> None:
    async def respond(answer: Answer) -> bytes:
        if len(here.heads) == 3:
            here.model.change(here.session_id, "COMPLETED", authorization_token="token")
        return BROKEN[name].encode() if len(here.heads) % 2 else wire(answer)

    async with scene(respond, schedule=PollSchedule.every(0.1), attempts=1) as here:
        assert isinstance(await here.client.wait_for_outcome(here.session_id), Completed)


@pytest.mark.parametrize("is_early", [True, False], ids=["before the answer", "in the body"])
async def test_a_server_that_hangs_up_is_not_reported_as_a_time_out(is_early: bool) -> None:
    async def handle(head: bytes, stream: ByteStream) -> bytes:
        if not is_early:
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
        raise anyio.BrokenResourceError

    with anyio.fail_after(30):
        async with (
            serve(handle) as url,
            lent_client() as http_client,
            HPPClient(
                auth=AUTH, endpoint=url, http_client=http_client, transport=OWN.get(WAY, "httpx"), attempts=1
            ) as client,
        ):
            expected = r"RemoteProtocolError|ReadError" if "httpx2" in WAY else "ServerDisconnectedError|ClientPayload"
            with pytest.raises(TransportError, match=expected) as caught:
                await client.read_session("session")

            assert caught.value.reason == "reset"


async def test_an_error_that_quotes_nothing_is_the_cause() -> None:
    async with serve(_never) as url:
        pass
    own = OWN.get(WAY, "httpx")
    async with (
        lent_client() as http_client,
        HPPClient(auth=AUTH, endpoint=url, http_client=http_client, transport=own, attempts=1) as client,
    ):
        with pytest.raises(
            TransportError, match="ConnectError" if "httpx2" in WAY else "ClientConnectorError"
        ) as caught:
            await client.read_session("session")

    assert caught.value.reason == "refused"
    assert isinstance(caught.value.__cause__, httpx2.TransportError if "httpx2" in WAY else httpx.TransportError)


async def _never(head: bytes, stream: ByteStream) -> bytes:
    raise AssertionError("nobody is there")


async def test_an_answer_that_stalls_is_given_up_with_its_connection() -> None:
    async def respond(answer: Answer) -> bytes:
        if len(here.heads) == 1:
            await anyio.sleep_forever()
        return wire(answer)

    async with scene(respond, attempts=1, timeout=0.5) as here:
        with pytest.raises(TransportError, match=r"no complete answer from .* within"):
            await here.client.read_session(here.session_id)

        assert here.connections_in_use() == 0
        assert (await here.client.read_session(here.session_id)).status == "WAITING"


async def test_a_read_may_have_no_time_limit() -> None:
    async with scene(timeout=float("inf")) as here:
        assert (await here.client.read_session(here.session_id)).status == "WAITING"


async def test_a_client_is_closed_in_a_scope_that_is_cancelled() -> None:
    async def respond(answer: Answer) -> bytes:
        if len(here.heads) == 3:
            scope.cancel()
            await anyio.sleep_forever()
        if len(here.heads) == 2:
            both.set()
        await both.wait()
        return wire(answer)

    both = anyio.Event()
    async with scene(respond) as here:
        own: Any = here.client._connections
        with anyio.CancelScope() as scope:
            async with here.client:
                async with anyio.create_task_group() as tasks:  # at the same time, so over two connections
                    for session_id in (here.session_id, here.model.create()):
                        tasks.start_soon(here.client.read_session, session_id)
                await here.client.read_session(here.session_id)

        assert getattr(own, "_open", set()) == set()


@pytest.mark.parametrize("way", ["lent aiohttp", "lent httpx2"], indirect=True)
async def test_the_lent_client_is_left_open_and_its_closing_is_an_error() -> None:
    async with scene() as here:
        await here.client.read_session(here.session_id)
        await here.client.aclose()
        assert not here.http_client.is_closed

        url = f"http://{here.headers()[0]['host']}"
        async with HPPClient(auth=AUTH, endpoint=url, http_client=here.http_client) as another:
            await another.read_session(here.session_id)
            await here.http_client.aclose()
            with pytest.raises(ClientClosedError):
                await another.read_session(here.session_id)


async def test_closing_our_client_ends_the_request_that_is_under_way() -> None:
    asked = anyio.Event()

    async def respond(_: Answer) -> bytes:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    ended: list[type[BaseException]] = []

    async def read(here: Scene) -> None:
        try:
            await here.client.read_session(here.session_id)
        except HPPError as error:
            ended.append(type(error))

    async with scene(respond) as here:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, here)
            await asked.wait()
            await here.client.aclose()

        assert [error.__name__ for error in ended] == ["ClientClosedError"]
        assert here.connections_in_use() == 0


async def test_the_pool_survives_two_thousand_native_cancels() -> None:
    draw = random.Random(20_261_125)

    async def respond(answer: Answer) -> bytes:
        for _ in range(draw.randrange(4)):
            await anyio.lowlevel.checkpoint()
        return wire(answer)

    async with scene(respond) as here:
        sessions = [here.model.create() for _ in range(8)]
        cancels = 0
        while cancels < 2000:
            tasks = [asyncio.create_task(here.client.read_session(draw.choice(sessions))) for _ in range(8)]
            for _ in range(draw.randrange(30)):
                await asyncio.sleep(0)
            for task in tasks:
                cancels += task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        readings = [await here.client.read_session(session) for session in sessions]

        assert [reading.status for reading in readings] == ["WAITING"] * 8
        assert here.connections_in_use() == 0
