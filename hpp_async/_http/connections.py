"""The connections that requests go over: those of a lent client of httpx or httpx2, or our own."""

from __future__ import annotations

import importlib
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, runtime_checkable

import attrs

from hpp_async._core.exceptions import ClientClosedError
from hpp_async._http.environment import Environment
from hpp_async._http.family import Family, HTTPClient

if TYPE_CHECKING:
    import httpx

KEEPALIVE: Final = 120.0
"""Seconds for which an idle connection is kept. With httpx's default of 5 s nearly every read would need a new one."""

MAXIMUM_AGE: Final = 300.0
"""Seconds after which a connection is not used for another request, so that changes of DNS are noticed."""

_JITTER: Final = 0.2
"""The share of the maximum age that is drawn at random."""


@attrs.define(eq=False)
class Connection:
    """
    A connection of our own, for one request at a time; or a lent client as a whole, for any number at once.

    Attributes:
        via: the lent client, or the transport of our own that makes the TCP connection.
        send: takes a request and returns its response, the body not read yet. The caller must close the response.
        proxy: host and port of the proxy that it goes through; ``None`` without one, and for a lent client.
        retires_at: the time from which on it is used no more, in seconds by the clock of its `Connections`.
        stream: httpcore's network stream of the last response; ``None`` if there is none.
    """

    via: HTTPClient | OwnTransport
    send: Callable[[httpx.Request], Awaitable[httpx.Response]]
    proxy: str | None = None
    retires_at: float = float("inf")
    stream: object = None

    def retire(self) -> None:
        """
        Use the connection for no other request, because the machine at its other end is out of order or going away.

        This has no effect on a lent client, which does not show which of its connections a request goes over.
        """
        self.retires_at = -float("inf")


MakeTransport = Callable[[Environment, Family], "OwnTransport"]


class OwnTransport(Protocol):
    """A transport of our own, as httpx's and httpx2's are: for requests of one family, over one connection."""

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send *request*, and return the response, the body not read yet."""
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...


@runtime_checkable
class Droppable(Protocol):
    """A transport that closes its connection by itself where its event loop is gone."""

    def drop(self) -> None:
        """Close the connection, without awaiting."""
        ...


class Connections(Protocol):
    """Lends connections to requests of one family."""

    @property
    def family(self) -> Family:
        """The family that requests must be of."""
        ...

    async def take(self) -> Connection:
        """
        Return the connection for the next request. The caller must `give_back` it once the response is closed.

        Raises:
            ClientClosedError: the lent httpx client was closed.
        """
        ...

    def give_back(self, connection: Connection) -> None:
        """Note that the request on *connection* is over."""
        ...

    def drop(self) -> None:
        """Close and forget our own connections, without awaiting: their event loop is gone."""
        ...

    async def aclose(self) -> None:
        """Close our own connections. If it is cancelled, it can be called again."""
        ...


class Lent:
    """
    The connections of an httpx client that the user owns, and closes.

    Its owner decides how long it keeps connections, and which proxies they go through. An `httpx.AsyncClient` takes
    proxies from the environment for loopback addresses, too, unless it is made with ``trust_env=False``.
    """

    def __init__(self, http_client: HTTPClient, family: Family) -> None:
        self.family = family
        self._http_client = http_client
        # The lent client must neither add credentials of its own nor follow redirects. For ``auth=None`` it would
        # search the URL for credentials, at every request.
        send = partial(http_client.send, stream=True, auth=family.auth(), follow_redirects=False)
        self._connection = Connection(http_client, send)

    async def take(self) -> Connection:
        """Return the client as a whole, which distributes requests over its connections by itself."""
        if self._http_client.is_closed:
            raise ClientClosedError("nothing can be sent: the lent httpx client was closed")
        return self._connection

    def give_back(self, connection: Connection) -> None:
        """Do nothing."""

    def drop(self) -> None:
        """Do nothing: closing the lent client is for its owner, who must also see that it is used in one event loop."""

    async def aclose(self) -> None:
        """Do nothing: closing the lent client is for its owner."""


class Owned:
    """
    Connections of our own: one for each request that is under way, each in a transport of its own.

    *Why not one transport.* Connections in one transport share a pool of httpcore's, which examines all of them twice
    for each request, and polls the sockets of the idle ones. With ten connections that takes a third of the CPU time of
    a read. An `httpx.AsyncClient` adds authentication, redirects, cookies, hooks and a choice of proxies, at a tenth of
    the CPU time of a read, and a call needs none of them.

    *How long a connection lives.* The connection that was given back last is used first, so that few are kept alive.
    `take` closes the others that were idle for two minutes. A connection that is used often never is idle for so long,
    and would stay with the address that the host's name had when it was made. So none is used that is older than four
    to five minutes.

    Args:
        environment: how to connect.
        family: the family of the transports.
        make: makes a transport, in the event loop; by default `own_transport`.
        now: returns the time, in seconds.
        draw: returns numbers that are uniform in [0, 1), so that connections made together are not closed together.
    """

    def __init__(
        self,
        environment: Environment,
        family: Family,
        make: MakeTransport | None = None,
        *,
        now: Callable[[], float],
        draw: Callable[[], float],
    ) -> None:
        self.family = family
        self._environment = environment
        self._make: MakeTransport = make or own_transport
        self._now = now
        self._draw = draw
        self._idle: deque[tuple[float, Connection]] = deque()
        self._open: set[Connection] = set()
        # The first transport is made here, because httpx then loads modules, which takes too long in the event loop.
        self._spare: OwnTransport | None = own_transport(environment, family) if make is None else None

    async def take(self) -> Connection:
        """Return the connection that was given back last, unless it is too old; else a new one."""
        now = self._now()
        # The last one may stay, however long it was idle: its transport connects again if it has to.
        while len(self._idle) > 1 and self._idle[0][0] <= now - KEEPALIVE:
            await self._close(self._idle.popleft()[1])
        while self._idle:
            _, connection = self._idle.pop()
            if now < connection.retires_at:
                return connection
            await self._close(connection)
        transport, self._spare = self._spare or self._make(self._environment, self.family), None
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
        """Keep *connection* for the next request, unless it was dropped or closed meanwhile."""
        if connection in self._open:
            self._idle.append((self._now(), connection))

    def drop(self) -> None:
        """Close and forget all connections, those in use included: their event loop is gone."""
        for connection in self._open:
            if isinstance(connection.via, Droppable):
                connection.via.drop()
            elif connection.stream is not None:
                _close_without_loop(connection.stream)
        self._idle.clear()
        self._open.clear()

    async def aclose(self) -> None:
        """Close all connections, those in use included. If it is cancelled, it can be called again."""
        self._idle.clear()
        while self._open:
            await self._close(next(iter(self._open)))

    async def _close(self, connection: Connection) -> None:
        await cast("OwnTransport", connection.via).aclose()
        self._open.discard(connection)


def own_transport(environment: Environment, family: Family) -> OwnTransport:
    """Return a transport of *family* for one connection."""
    proxy = environment.proxy
    return family.transport(
        verify=environment.ssl_context,
        proxy=None if proxy is None else family.proxy(str(proxy.url), auth=proxy.auth),
        limits=family.limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE),
        trust_env=False,
    )


# -- event loops -----------------------------------------------------------------------------------------------------


def load_ahead() -> None:
    """
    Load the modules that httpcore and anyio would otherwise load at the first request, where they block the event loop.

    Which event loop will run is not known yet. What asyncio needs is loaded, and what trio needs if trio was imported.
    """
    backends = ["asyncio", *(["trio"] if "trio" in sys.modules else [])]
    modules = ["encodings.idna", "concurrent.futures.thread", "anyio.to_thread"]
    for module in (*modules, *(f"anyio._backends._{name}" for name in backends)):
        with suppress(ImportError):
            importlib.import_module(module)


def _close_without_loop(stream: Any) -> None:
    """
    Close the socket under a network stream of httpcore's, and mark its asyncio transport as closed.

    The ``aclose`` of anyio's and trio's streams needs the event loop that the stream was made in, which is gone. An
    asyncio transport that is not marked warns that it was never closed. uvloop closes its sockets with the loop.
    """
    wrapped = stream.get_extra_info("socket")
    real = getattr(wrapped, "_sock", None)  # asyncio and trio both give a wrapper, which cannot be closed here
    if isinstance(real, socket.socket):
        real.close()
    inner: Any = getattr(stream, "_stream", None)
    while hasattr(inner, "transport_stream"):  # TLS
        inner = inner.transport_stream
    close_transport(getattr(inner, "_transport", None))


def close_transport(transport: Any) -> None:
    """Close the socket of an asyncio transport whose event loop is gone, and mark the transport as closed."""
    while hasattr(transport, "_ssl_protocol"):  # TLS
        protocol, transport._closed = transport._ssl_protocol, True
        transport = getattr(protocol, "_transport", None)
    real = getattr(transport, "_sock", None)
    if isinstance(real, socket.socket):
        real.close()
        transport._sock, transport._closing = None, True
    elif transport is not None and not hasattr(transport, "_sock"):
        # uvloop closes its sockets with the loop, and warns of TLS transports that nobody closed.
        with suppress(RuntimeError):
            transport.abort()
