"""Which connection the next request goes over: one of a lent `httpx.AsyncClient`, or one of our own."""

from __future__ import annotations

import importlib
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

import attrs
import httpx

from hpp_async._core.exceptions import ClientClosedError
from hpp_async._http.environment import Environment

KEEPALIVE: Final = 120.0
"""Seconds an idle connection is kept: httpx's own 5 s would mean a new one for nearly every read."""

MAXIMUM_AGE: Final = 300.0
"""Seconds after which a connection is made anew."""

_JITTER: Final = 0.2
_ONE: Final = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE)

_NO_AUTH: Final = httpx.Auth()
"""Said outright: for ``auth=None`` httpx takes the URL apart in search of credentials, at every request."""


@attrs.define(eq=False)
class Connection:
    """
    What requests are sent over.

    Attributes:
        via: what the connection belongs to: a lent client as a whole, or a transport of our own.
        send: takes a request and returns its response, the body not read yet; the response must be closed.
        proxy: host and port of the proxy it goes through, as far as we know of one.
        stream: httpcore's network stream that the last request went over, where there is one.
        retires_at: when it is used no more (seconds by the clock of its `Connections`); for one of our own.
    """

    via: httpx.AsyncClient | httpx.AsyncHTTPTransport
    send: Callable[[httpx.Request], Awaitable[httpx.Response]]
    proxy: str | None = None
    retires_at: float = float("inf")
    stream: object = None

    def retire(self) -> None:
        """
        Use the connection for no other request: what answers at its other end is out of order, or is going away.

        A lent client has several connections and tells nobody which one it uses, so there it makes no difference.
        """
        self.retires_at = -float("inf")


class Connections(Protocol):
    """Hands out connections to requests."""

    async def take(self) -> Connection:
        """
        Return the connection for the next request; `give_back` must follow, once the response is closed.

        Raises:
            ClientClosedError: the lent httpx client was closed.
        """
        ...

    def give_back(self, connection: Connection) -> None:
        """Note that a request is over."""
        ...

    def drop(self) -> None:
        """Forget what belongs to an event loop that is gone: its sockets are closed, and another loop begins anew."""
        ...

    async def aclose(self) -> None:
        """Close what is ours. Cancelled half-way, it can be called again."""
        ...


class Lent:
    """
    The connections of an httpx client that somebody else owns.

    How long it keeps a connection, and which proxies it goes through, is its owner's business: an `httpx.AsyncClient`
    takes proxies from the environment for loopback addresses, too, unless it is made with ``trust_env=False``.
    """

    def __init__(self, http_client: httpx.AsyncClient) -> None:
        self._http_client = http_client
        # It is kept from adding credentials and from following redirects.
        send = partial(http_client.send, stream=True, auth=_NO_AUTH, follow_redirects=False)
        self._connection = Connection(http_client, send)

    async def take(self) -> Connection:
        """Return the client as a whole: it distributes requests over its connections by itself."""
        if self._http_client.is_closed:
            raise ClientClosedError("nothing can be sent: the lent httpx client was closed")
        return self._connection

    def give_back(self, connection: Connection) -> None:
        """Do nothing."""

    def drop(self) -> None:
        """Do nothing: an httpx client that is lent has to be used in one event loop, and is its owner's to close."""

    async def aclose(self) -> None:
        """Do nothing: the client is not ours."""


class Owned:
    """
    Connections of our own, as many as there were requests at once, each in an httpx transport of its own.

    In one transport they would share a pool, and httpcore's pool looks at all of them twice a request and polls the
    sockets of the idle ones: with ten connections that is a third of the CPU of a read. A whole `httpx.AsyncClient`
    would add authentication, redirects, cookies, hooks and a choice of proxy, of which a call needs none, at a tenth of
    the CPU of a read.

    The connection that was used last is used first, so that few are kept alive; one that was idle for two minutes is
    closed. So is every one of four to five minutes: else a connection that is used more often than it idles out would
    never be made anew, wherever the host's name points meanwhile.

    Args:
        environment: how to connect.
        now: the time, in seconds.
        draw: numbers that are uniform in [0, 1), so that connections made together do not end together.
    """

    def __init__(self, environment: Environment, *, now: Callable[[], float], draw: Callable[[], float]) -> None:
        self._environment = environment
        self._now = now
        self._draw = draw
        self._idle: deque[tuple[float, Connection]] = deque()
        self._open: set[Connection] = set()
        # The first one is made here, and not in the middle of a wait: httpx loads the modules that it needs for it.
        self._spare: httpx.AsyncHTTPTransport | None = self._transport()

    async def take(self) -> Connection:
        """Return the connection that was given back last, or a new one."""
        now = self._now()
        # All but the last one, which httpx connects anew if need be.
        while len(self._idle) > 1 and self._idle[0][0] <= now - KEEPALIVE:
            await self._close(self._idle.popleft()[1])
        while self._idle:
            _, connection = self._idle.pop()
            if now < connection.retires_at:
                return connection
            await self._close(connection)
        transport, self._spare = self._spare or self._transport(), None
        age = MAXIMUM_AGE * (1.0 - _JITTER * self._draw())
        proxy = self._environment.proxy
        connection = Connection(
            transport,
            transport.handle_async_request,
            proxy=None if proxy is None else proxy.url.netloc.decode("ascii"),
            retires_at=now + age,
        )
        self._open.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next request."""
        if connection in self._open:
            self._idle.append((self._now(), connection))

    def drop(self) -> None:
        """Forget all connections, those in use too: their event loop is gone."""
        for connection in self._open:
            if connection.stream is not None:
                _close_without_loop(connection.stream)
        self._idle.clear()
        self._open.clear()

    async def aclose(self) -> None:
        """Close them all. Cancelled half-way, it can be called again."""
        self._idle.clear()
        while self._open:
            await self._close(next(iter(self._open)))

    async def _close(self, connection: Connection) -> None:
        assert isinstance(connection.via, httpx.AsyncHTTPTransport), "it is one of our own"
        await connection.via.aclose()
        self._open.discard(connection)

    def _transport(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(
            verify=self._environment.ssl_context,
            proxy=self._environment.proxy,
            limits=_ONE,
            trust_env=False,
        )


# -- event loops -----------------------------------------------------------------------------------------------------


def load_ahead() -> None:
    """
    Load what httpcore and anyio load at the first request, when loading would hold the event loop.

    Which loop it will be is not known yet. It is asyncio's, or trio's where somebody has loaded trio.
    """
    backends = ["asyncio", *(["trio"] if "trio" in sys.modules else [])]
    modules = ["encodings.idna", "concurrent.futures.thread", "anyio.to_thread"]
    for module in (*modules, *(f"anyio._backends._{name}" for name in backends)):
        with suppress(ImportError):
            importlib.import_module(module)


def _close_without_loop(stream: Any) -> None:
    """
    Close the socket under a network stream of httpcore's, and let nobody try it again.

    anyio's and trio's own ``aclose`` need the event loop that the stream was made in; and where that is asyncio's, its
    transport warns of a socket that it was not asked to close. On uvloop closing the loop has closed the sockets.
    """
    wrapped = stream.get_extra_info("socket")
    real = getattr(wrapped, "_sock", None)  # both asyncio and trio hand out a wrapper that cannot be closed here
    if isinstance(real, socket.socket):
        real.close()
    inner: Any = getattr(stream, "_stream", None)
    while hasattr(inner, "transport_stream"):  # TLS
        inner = inner.transport_stream
    transport: Any = getattr(inner, "_transport", None)
    if isinstance(getattr(transport, "_sock", None), socket.socket):
        transport._sock, transport._closing = None, True
