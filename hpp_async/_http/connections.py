"""Which `httpx.AsyncClient` sends the next request: the one that was lent, or one of our own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from http.cookiejar import CookieJar
from typing import Final, Protocol

import httpx

KEEPALIVE: Final = 120.0
"""Seconds an idle connection is kept: httpx's own 5 s would mean a new one for nearly every read."""


class Connections(Protocol):
    """Lends httpx clients to requests, one to one."""

    async def take(self) -> httpx.AsyncClient:
        """Return the client to send the next request with; `give_back` must follow, once the answer is closed."""
        ...

    def give_back(self, http_client: httpx.AsyncClient) -> None:
        """Note that a request is over."""
        ...

    async def aclose(self) -> None:
        """Close what is ours. Cancelled half-way, it can be called again."""
        ...


class Lent:
    """The connections of a client that somebody else owns."""

    def __init__(self, http_client: httpx.AsyncClient) -> None:
        self._http_client = http_client

    async def take(self) -> httpx.AsyncClient:
        """Return it: it shares out its connections itself."""
        return self._http_client

    def give_back(self, http_client: httpx.AsyncClient) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing: it is not ours."""


class Owned:
    """
    Clients of our own, as many as there were requests at once, each with one connection.

    In one client the connections would share a pool, and httpcore's looks at all of them twice a request, and polls the
    sockets of the idle ones: with ten that is a third of the CPU of a read. The last one used goes first, so that few
    are kept alive; those that nobody used for two minutes are closed. *now* is in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # Loading the certificates takes as long as fifty reads: here, once, and not in the middle of a wait.
        self._ssl_context = httpx.create_ssl_context()
        self._idle: deque[tuple[float, httpx.AsyncClient]] = deque()
        self._open: list[httpx.AsyncClient] = []

    async def take(self) -> httpx.AsyncClient:
        """Return the client that was given back last, or a new one."""
        # Not the last one: if need be httpx connects it anew.
        while len(self._idle) > 1 and self._idle[0][0] <= self._now() - KEEPALIVE:
            _, stale = self._idle.popleft()
            self._open.remove(stale)
            await stale.aclose()
        if self._idle:
            return self._idle.pop()[1]
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE)
        self._open.append(httpx.AsyncClient(verify=self._ssl_context, limits=limits, cookies=_NoCookies()))
        return self._open[-1]

    def give_back(self, http_client: httpx.AsyncClient) -> None:
        """Keep it for the next request."""
        self._idle.append((self._now(), http_client))

    async def aclose(self) -> None:
        """Close them all. Cancelled half-way, it can be called again."""
        self._idle.clear()
        while self._open:
            await self._open[-1].aclose()
            self._open.pop()


class _NoCookies(CookieJar):
    """No read sends a cookie, and looking for them in the answers costs httpx a twentieth of a read."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Take none."""
