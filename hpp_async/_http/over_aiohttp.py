"""Connections of our own over aiohttp, which takes less CPU time than httpx's own transport (extra ``aiohttp``)."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from functools import lru_cache, partial
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import map_aiohttp_exceptions
from multidict import CIMultiDict

from hpp_async._http.connections import KEEPALIVE, OwnTransport, close_transport, own_transport
from hpp_async._http.environment import Environment
from hpp_async._http.family import Family


class OverAiohttp(AiohttpTransport):
    """One aiohttp connection, in a session of its own. The session is made at the first request, in its event loop."""

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        super().__init__(verify=ssl_context, client=partial(_session, ssl_context))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* in two thirds of the CPU time of httpx-aiohttp's method, which handles more than we send."""
        session = self.client
        if not isinstance(session, aiohttp.ClientSession):
            session = self.client = self.get_client()
        headers = CIMultiDict((name.decode("ascii"), value.decode("ascii")) for name, value in request.headers.raw)
        connect: float | None = request.extensions["timeout"]["connect"]
        try:
            response = await session.request(
                request.method,
                str(request.url),
                headers=headers,
                data=request.content or None,
                allow_redirects=False,
                auto_decompress=False,
                timeout=_timeout(connect),
            )
        except Exception:
            with map_aiohttp_exceptions():
                raise
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response))

    def drop(self) -> None:
        """Close the socket, without awaiting: the event loop is gone."""
        session: Any = self.client
        if not isinstance(session, aiohttp.ClientSession):
            return  # no request was made
        connector: Any = session.connector
        session.detach()
        # aiohttp offers no way to close a connection outside of its loop.
        protocols = [*connector._acquired, *(protocol for kept in connector._conns.values() for protocol, _ in kept)]
        for protocol in protocols:
            close_transport(protocol.transport)
        connector._acquired.clear()
        connector._conns.clear()


class _Body(httpx.AsyncByteStream):
    """The body of an aiohttp response."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._response.content.readany()
        except Exception:
            with map_aiohttp_exceptions():
                raise
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._response.release()


def transport(environment: Environment, family: Family) -> OwnTransport:
    """
    Return a transport for one connection: aiohttp's on asyncio without a proxy, and otherwise httpx's.

    aiohttp does not run on trio. It does not support SOCKS proxies, and does not say why a proxy failed.
    """
    if environment.proxy is None and _is_on_asyncio():
        return OverAiohttp(environment.ssl_context)
    return own_transport(environment, family)


def load_ahead(environment: Environment, family: Family) -> None:
    """Load the modules of httpx's transport if it will be used: see `hpp_async._http.connections.load_ahead`."""
    if environment.proxy is not None or "trio" in sys.modules:
        own_transport(environment, family)


@lru_cache(maxsize=16)
def _timeout(connect: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(sock_connect=connect)


def _session(ssl_context: ssl.SSLContext) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=ssl_context, limit=1, keepalive_timeout=KEEPALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),  # the default one sends cookies back
        skip_auto_headers=["Accept-Encoding"],  # a session is too small to be worth compressing
    )


def _is_on_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
