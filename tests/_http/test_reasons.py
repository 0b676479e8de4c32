"""Why no answer came, over sockets: each in our own words, on every event loop."""

from __future__ import annotations

import errno
import socket
import ssl
import struct
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx
import pytest
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream
from httpx_aiohttp import AiohttpTransport

from hpp_async import HPPClient, TransportError
from hpp_async._http.connections import Lent, Owned
from hpp_async._http.environment import Environment
from hpp_async._http.exchange import Exchange
from hpp_async._http.family import family
from hpp_async._http.reasons import NoAnswer, no_answer

HTTPX = FAMILY = family("httpx")
AUTHORITY = trustme.CA()
TRUSTING = ssl.create_default_context()
AUTHORITY.configure_trust(TRUSTING)
DISTRUSTING = ssl.create_default_context()
SECRET = "Basic c2VjcmV0"
HEADERS = {"Host": "provider.example", "Authorization": SECRET}

Behaviour = Callable[[Any], Awaitable[None]]


async def hangs_up(stream: ByteStream) -> None:
    await stream.receive()


async def resets(stream: ByteStream) -> None:
    await stream.receive()
    stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def is_silent(stream: ByteStream) -> None:
    await anyio.sleep_forever()


async def speaks_something_else(stream: ByteStream) -> None:
    await stream.receive()
    await stream.send(b"220 mail.example ESMTP body-of-somebody\r\n\r\n")
    await anyio.sleep_forever()


async def asks_for_a_password(stream: ByteStream) -> None:
    await stream.receive()
    await stream.send(b"HTTP/1.1 407 Password body-of-somebody\r\nContent-Length: 0\r\n\r\n")


async def has_no_way(stream: ByteStream) -> None:
    await stream.receive()
    await stream.send(b"HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n")


def shows(certificate: trustme.LeafCert) -> Behaviour:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    async def behave(stream: ByteStream) -> None:
        await TLSStream.wrap(stream, server_side=True, ssl_context=context)

    return behave


@asynccontextmanager
async def serving(behave: Behaviour) -> AsyncGenerator[int]:
    """Serve on loopback; yields the port."""

    async def connection(stream: ByteStream) -> None:
        async with stream:
            try:
                await behave(stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
                return

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, connection)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.fixture(params=["httpx", "httpx2"], autouse=True)
def over(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test over the connections of httpx, and over those of httpx2."""
    monkeypatch.setitem(globals(), "FAMILY", family(request.param))


async def ask(
    url: str, *, trust: ssl.SSLContext = DISTRUSTING, proxy: str | None = None, timeout: float = 20.0
) -> NoAnswer:
    connections = Owned(
        Environment(trust, None if proxy is None else httpx.Proxy(proxy)), FAMILY, now=lambda: 0.0, draw=lambda: 0.0
    )
    try:
        failure = await Exchange(connections, headers=HEADERS, timeout=timeout).ask("GET", url)
    finally:
        await connections.aclose()
    assert isinstance(failure, NoAnswer)
    return failure


def assert_said(failure: NoAnswer, reason: str, *words: str) -> None:
    assert failure.reason == reason, failure
    assert [word for word in words if word not in failure.message] == [], failure.message
    assert "body-of-somebody" not in failure.message
    if failure.cause is not None:
        shown = "".join(traceback.TracebackException.from_exception(failure.cause, capture_locals=True).format())
        assert SECRET not in shown
        assert "File" not in shown


@pytest.mark.anyio
async def test_a_name_that_nobody_knows() -> None:
    with anyio.fail_after(30):
        failure = await ask("https://no-such-host.invalid/")

    assert_said(failure, "name", "the host name of no-such-host.invalid cannot be resolved")


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_closed_port(host: str) -> None:
    url = f"http://{host}:{closed_port()}"
    with anyio.fail_after(30):
        failure = await ask(url)

    assert_said(failure, "refused", f"{url.removeprefix('http://')} refused the connection")


@pytest.mark.anyio
@pytest.mark.parametrize("behave", [hangs_up, resets])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_connection_that_ends_too_early(behave: Behaviour, scheme: str) -> None:
    with anyio.fail_after(30):
        async with serving(behave) as port:
            failure = await ask(f"{scheme}://127.0.0.1:{port}")

    assert_said(failure, "reset", f"127.0.0.1:{port}")


@pytest.mark.anyio
async def test_silence() -> None:
    with anyio.fail_after(30):
        async with serving(is_silent) as port:
            failure = await ask(f"http://127.0.0.1:{port}", timeout=0.05)
            during_tls = await ask(f"https://127.0.0.1:{port}", timeout=0.1)

    assert_said(failure, "silence", f"no complete answer from 127.0.0.1:{port} within 0.05 s")
    assert_said(during_tls, "silence", f"127.0.0.1:{port}")


@pytest.mark.anyio
async def test_something_that_is_not_http() -> None:
    with anyio.fail_after(30):
        async with serving(speaks_something_else) as port:
            plain = await ask(f"http://127.0.0.1:{port}")
            over_tls = await ask(f"https://127.0.0.1:{port}")

    assert_said(plain, "protocol", f"127.0.0.1:{port} answered with something that is not HTTP")
    assert_said(over_tls, "tls", f"no TLS connection with 127.0.0.1:{port}: wrong version number")
    assert plain.cause is None


PAST = datetime(2020, 1, 1, tzinfo=UTC)
CERTIFICATES = {
    "self-made": (AUTHORITY.issue_cert("127.0.0.1"), DISTRUSTING, "unable to get local issuer certificate"),
    "expired": (AUTHORITY.issue_cert("127.0.0.1", not_after=PAST), TRUSTING, "certificate has expired"),
    "of another": (AUTHORITY.issue_cert("other.example"), TRUSTING, "IP address mismatch"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", CERTIFICATES)
async def test_a_certificate_that_is_not_accepted(name: str) -> None:
    certificate, trust, why = CERTIFICATES[name]
    with anyio.fail_after(30):
        async with serving(shows(certificate)) as port:
            failure = await ask(f"https://127.0.0.1:{port}", trust=trust)

    assert_said(failure, "certificate", f"the certificate of 127.0.0.1:{port} is not accepted: ", why)


@pytest.mark.anyio
async def test_a_proxy() -> None:
    url = "https://api.klarna.com"
    closed = f"127.0.0.1:{closed_port()}"
    with anyio.fail_after(30):
        refused = await ask(url, proxy=f"http://user:secret@{closed}")
        unknown = await ask(url, proxy="http://user:secret@no-such-proxy.invalid:3128")
        async with serving(asks_for_a_password) as port:
            asked = await ask(url, proxy=f"http://127.0.0.1:{port}")
        async with serving(has_no_way) as port:
            failed = await ask(url, proxy=f"http://127.0.0.1:{port}")

    assert_said(refused, "proxy", f"the proxy {closed} refused the connection")
    assert_said(unknown, "proxy", "the host name of the proxy no-such-proxy.invalid:3128 cannot be resolved")
    assert_said(asked, "proxy", "the proxy asks for a password (407)")
    assert_said(failed, "proxy", "the proxy did not connect (502)")


@pytest.mark.anyio
async def test_the_reason_reaches_the_caller() -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    with anyio.fail_after(30):
        async with HPPClient(auth=("user", "secret"), endpoint=url, attempts=1) as client:
            with pytest.raises(TransportError) as caught:
                await client.read_session("session")

    assert caught.value.reason == "refused"
    assert str(caught.value) == (
        f"session session: no answer: {url.removeprefix('http://')} refused the connection; is anything listening "
        "there? (ConnectError)"
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENETUNREACH, "unreachable"), "unreachable"),
        (ConnectionRefusedError(), "refused"),
        (BrokenPipeError(), "reset"),
        (TimeoutError(), "silence"),
        (httpx.PoolTimeout("pool"), "silence"),
        (httpx.WriteError("gone"), "reset"),
        (httpx.RemoteProtocolError("<StreamReset stream_id:1, error_code:7, remote_reset:True>"), "reset"),
        (httpx.RemoteProtocolError("<ConnectionTerminated error_code:0, last_stream_id:0>"), "reset"),
        (httpx.ProxyError("SOCKS says no"), "proxy"),
        (httpx.InvalidURL("?"), "other"),
        (ssl.SSLError(), "tls"),
        (OSError(), "other"),
    ],
)
def test_reasons_that_do_not_occur_on_loopback(error: Exception, reason: str) -> None:
    failure = no_answer(error, host="api.klarna.com", proxy=None)

    assert failure is not None
    assert failure.reason == reason


def test_a_former_attempts_failure_explains_nothing() -> None:
    error = httpx.ReadTimeout("slow")
    error.__context__ = TransportError("first", session_id="session")
    error.__context__.__context__ = ConnectionRefusedError()
    failure = no_answer(error, host="api.klarna.com", proxy=None)

    assert failure is not None
    assert failure.reason == "silence"


# -- over aiohttp ----------------------------------------------------------------------------------------------------


async def over_aiohttp(url: str, *, proxy: str | None = None) -> NoAnswer:
    transport = AiohttpTransport(proxy=None if proxy is None else httpx.Proxy(proxy))
    async with httpx.AsyncClient(transport=transport) as http_client:
        failure = await Exchange(Lent(http_client, HTTPX), headers=HEADERS, timeout=20.0).ask("GET", url)
    assert isinstance(failure, NoAnswer)
    return failure


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_reasons_are_the_same_over_aiohttp() -> None:
    closed = f"127.0.0.1:{closed_port()}"
    with anyio.fail_after(30):
        assert_said(await over_aiohttp("https://no-such-host.invalid"), "name", "no-such-host.invalid")
        assert_said(await over_aiohttp(f"http://{closed}"), "refused", closed)
        assert_said(await over_aiohttp("https://api.klarna.com", proxy=f"http://{closed}"), "proxy", "refused")
        for behave in (hangs_up, resets):
            async with serving(behave) as port:
                assert_said(await over_aiohttp(f"http://127.0.0.1:{port}"), "reset", str(port))
        async with serving(shows(CERTIFICATES["self-made"][0])) as port:
            assert_said(await over_aiohttp(f"https://127.0.0.1:{port}"), "certificate", "local issuer")
        async with serving(asks_for_a_password) as port:
            failure = await over_aiohttp("https://api.klarna.com", proxy=f"http://127.0.0.1:{port}")
            assert_said(failure, "proxy", "asks for a password")
