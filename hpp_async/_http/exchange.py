"""One HTTP request and what came of it: an answer, or why there is none. It knows neither sessions nor quotas."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import anyio
import attrs
import httpx

from hpp_async._core.exceptions import ClientClosedError, HPPError
from hpp_async._http.connections import Connection, Connections
from hpp_async._http.reasons import NoAnswer, no_answer, silence

MAXIMUM_BODY: Final = 1024 * 1024
"""Bytes of an answer, unpacked, above which it is refused; a full session has about one thousand."""

_REMEMBERED_URLS: Final = 1024
_CONNECT_SHARE: Final = 0.45
"""
Of the time for an exchange, for TCP and for TLS each: less than half, so that httpx itself gives up before the exchange
is cut off.

A handshake that is cancelled leaves its socket open (httpcore's ``start_tls``); one that times out does not.
"""

_WINDOW_BITS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
_NO_BODY: Final = httpx.ByteStream(b"")

_url: Final = lru_cache(maxsize=_REMEMBERED_URLS)(httpx.URL)
"""Parsing a URL costs as much as all else that is done around a request, and a session is read many times."""


@attrs.frozen(kw_only=True)
class Answer:
    """
    An HTTP answer.

    Attributes:
        headers: by their names in lower case.
        body: unpacked; ``None`` for one that is too large, or packed in a way that was not asked for.
        connection: where it came from; to be retired, if the answer cannot be made sense of.
    """

    status_code: int
    body: bytes | None = attrs.field(repr=False)
    headers: Mapping[bytes, bytes] = attrs.field(repr=False)
    connection: Connection = attrs.field(repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 200 to 299."""
        return 200 <= self.status_code < 300

    def header(self, name: bytes) -> str | None:
        """Return the value of the header with this lower-case *name*; ``None`` where there is none."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Exchange:
    """
    Sends requests over *connections*, which it neither owns nor closes.

    Every request has *headers*, and no others: none of those that a lent client was configured with. *timeout*, in
    seconds, bounds the exchange as a whole.
    """

    def __init__(self, connections: Connections, *, headers: Mapping[str, str], timeout: float) -> None:
        self._connections = connections
        self._headers = httpx.Headers(dict(headers))
        self._timeout = timeout
        # What bounds the whole ends each step of it. Timers of httpx's own, one a step, could never be first, and take
        # a thirtieth of a read; but for connecting, see above.
        self._timeouts = httpx.Timeout(None, connect=timeout * _CONNECT_SHARE).as_dict()
        self._under_way: set[anyio.CancelScope] = set()
        self._is_abandoned = False

    async def ask(self, method: str, url: str) -> Answer | NoAnswer:
        """
        Send one request without a body, once, and return what came of it.

        Raises:
            ClientClosedError: the lent httpx client was closed, or `abandon` was called, before or meanwhile.
        """
        if self._is_abandoned:
            raise _closed()
        connection: Connection | None = None
        # One scope bounds the exchange and lets `abandon` end it: a second one would cost a thirtieth of a read.
        scope = anyio.move_on_after(self._timeout)
        try:
            with scope:
                self._under_way.add(scope)
                connection = await self._connections.take()
                try:
                    return await _answer_over(connection, self._request(method, url))
                finally:
                    self._connections.give_back(connection)
        except httpx.HTTPStatusError as error:
            # A hook of a lent client raised for the status; the body is lost.
            assert connection is not None, "it was sent"
            return _answer_of(error.response, b"", _headers_of(error.response), connection)
        except HPPError:
            raise
        except Exception as error:
            proxy = None if connection is None else connection.proxy
            failure = no_answer(error, host=_host(url), proxy=proxy)
            if failure is None:
                raise
            return failure
        finally:
            self._under_way.discard(scope)
        if self._is_abandoned:
            raise _closed()
        return silence(_host(url), self._timeout)

    def abandon(self) -> None:
        """End every exchange that is under way, and refuse each that begins later: the client is closed."""
        self._is_abandoned = True
        for scope in list(self._under_way):
            scope.cancel()

    def drop(self) -> None:
        """Forget what belongs to an event loop that is gone."""
        self._under_way.clear()
        self._connections.drop()

    def _request(self, method: str, url: str) -> httpx.Request:
        """Return a new request: what a hook writes into its headers or extensions must not go out with another one."""
        request = httpx.Request(
            method, _url(url), stream=_NO_BODY, headers=self._headers, extensions={"timeout": self._timeouts.copy()}
        )
        request.read()  # hooks may look at the content
        request.headers.encoding = "ascii"  # else httpx finds that out anew for each request
        return request


def _closed() -> ClientClosedError:
    return ClientClosedError("nothing more is sent: the client was closed")


def _host(url: str) -> str:
    """Return host and port, but for the scheme's own port."""
    return _url(url).netloc.decode("ascii")


async def _answer_over(connection: Connection, request: httpx.Request) -> Answer:
    response = await connection.send(request)
    connection.stream = response.extensions.get("network_stream")
    try:
        headers = _headers_of(response)
        return _answer_of(response, await _body_of(response, headers), headers, connection)
    finally:
        # Bounded: in httpx closing takes no round trip, and a cancelled scope ends it.
        await response.aclose()


def _answer_of(
    response: httpx.Response, body: bytes | None, headers: Mapping[bytes, bytes], connection: Connection
) -> Answer:
    if response.status_code >= 500:
        connection.retire()
    return Answer(status_code=response.status_code, headers=headers, body=body, connection=connection)


def _headers_of(response: httpx.Response) -> dict[bytes, bytes]:
    """Return the headers by their names in lower case. httpx would decode them all, and search them for each name."""
    return {name.lower(): value for name, value in response.headers.raw}


# -- the body ------------------------------------------------------------------------------------------------------


async def _body_of(response: httpx.Response, headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the unpacked body; ``None`` for one that is too large, or packed in another way than gzip or deflate."""
    if response.is_stream_consumed:  # a transport that builds whole responses, as mock transports do
        return response.content if len(response.content) <= MAXIMUM_BODY else None
    raw, size = bytearray(), 0
    assert isinstance(response.stream, httpx.AsyncByteStream), "httpx saw to that"
    try:
        # What aiter_raw gives in chunks of the same size, through two generators more.
        async for chunk in response.stream:
            size += len(chunk)
            if size <= MAXIMUM_BODY:
                raw += chunk
            else:
                # Hang up, and let the iteration run into that: trio warns of one that is dropped half-way.
                await response.aclose()
    except httpx.HTTPError:
        if size <= MAXIMUM_BODY:
            raise
    return None if size > MAXIMUM_BODY else _unpacked(bytes(raw), headers.get(b"content-encoding", b""))


def _unpacked(raw: bytes, encoding: bytes) -> bytes | None:
    encoding = encoding.strip().lower()
    if encoding in (b"", b"identity"):
        return raw
    if encoding not in _WINDOW_BITS:
        return None
    # Not httpx's decoder: it unpacks a whole chunk at once, and 64 KiB can hold 64 MiB.
    unpack = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        body = unpack.decompress(raw, MAXIMUM_BODY + 1)
    except zlib.error:
        return None
    return body if len(body) <= MAXIMUM_BODY else None
