"""Which connection the next request goes over: one of a lent `httpx.AsyncClient`, or one of our own."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from http.cookiejar import CookieJar
from typing import Final, Protocol

import attrs
import httpx

from hpp_async._core.exceptions import ClientClosedError

KEEPALIVE: Final = 120.0
"""Seconds an idle connection is kept: httpx's own 5 s would mean a new one for nearly every read."""

_NO_AUTH: Final = httpx.Auth()
"""Said outright: for ``auth=None`` httpx takes the URL apart in search of credentials, at every request."""


@attrs.frozen(eq=False)
class Connection:
    """
    Sends requests.

    Attributes:
        http_client: what it belongs to.
        send: takes a request and returns its response, the body not read yet; the response must be closed.
    """

    http_client: httpx.AsyncClient
    send: Callable[[httpx.Request], Awaitable[httpx.Response]]

    @classmethod
    def of(cls, http_client: httpx.AsyncClient) -> Connection:
        """Return what sends over *http_client*, and lets it neither add credentials nor follow redirects."""
        return cls(http_client, partial(http_client.send, stream=True, auth=_NO_AUTH, follow_redirects=False))


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

    async def aclose(self) -> None:
        """Close what is ours. Cancelled half-way, it can be called again."""
        ...


class Lent:
    """The connections of an httpx client that somebody else owns."""

    def __init__(self, http_client: httpx.AsyncClient) -> None:
        self._connection = Connection.of(http_client)

    async def take(self) -> Connection:
        """Return the client as a whole: it distributes requests over its connections by itself."""
        if self._connection.http_client.is_closed:
            raise ClientClosedError("nothing can be sent: the lent httpx client was closed")
        return self._connection

    def give_back(self, connection: Connection) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing: the client is not ours."""


class Owned:
    """
    Connections of our own, as many as there were requests at once, each in an httpx client of its own.

    In one client the connections would share a pool, and httpcore's pool looks at all of them twice a request and polls
    the sockets of the idle ones: with ten connections that is a third of the CPU of a read. The connection that was
    used last is used first, so that few are kept alive; one that was idle for two minutes is closed. *now* is in
    seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # Loading the certificates takes as long as fifty reads: here, once, and not in the middle of a wait.
        self._ssl_context = httpx.create_ssl_context()
        self._idle: deque[tuple[float, Connection]] = deque()
        self._open: list[Connection] = []

    async def take(self) -> Connection:
        """Return the connection that was given back last, or a new one."""
        # All but the last one, which httpx connects anew if need be.
        while len(self._idle) > 1 and self._idle[0][0] <= self._now() - KEEPALIVE:
            _, stale = self._idle.popleft()
            self._open.remove(stale)
            await stale.http_client.aclose()
        if self._idle:
            return self._idle.pop()[1]
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE)
        http_client = httpx.AsyncClient(verify=self._ssl_context, limits=limits, cookies=_NoCookies())
        self._open.append(Connection.of(http_client))
        return self._open[-1]

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next request."""
        self._idle.append((self._now(), connection))

    async def aclose(self) -> None:
        """Close them all. Cancelled half-way, it can be called again."""
        self._idle.clear()
        while self._open:
            await self._open[-1].http_client.aclose()
            self._open.pop()


class _NoCookies(CookieJar):
    """No read sends a cookie, and looking for them in the answers costs httpx a twentieth of a read."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Take none."""
