"""One HTTP request and its result: an answer, or the reason why there is none. It knows neither sessions nor quotas."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

import anyio
import attrs

from hpp_async._core.exceptions import ClientClosedError, HPPError
from hpp_async._core.hidden import Hidden
from hpp_async._http.connections import Connection, Connections
from hpp_async._http.family import Family
from hpp_async._http.reasons import NoAnswer, cancelled, no_answer, silence
from hpp_async._http.scopes import Scopes
from hpp_async._http.secret_url import SecretURL
from hpp_async._loop import is_task_cancelled

if TYPE_CHECKING:
    import httpx

MAXIMUM_BODY: Final = 1024 * 1024
"""The most bytes that a body may have, decompressed. A session with all of its fields has about one thousand."""

_CONNECT_SHARE: Final = 0.45
"""
The share of an exchange's timeout that each of the two steps of connecting (TCP, TLS) may take.

It is less than half, so that a step of httpx's own times out before the exchange as a whole is cancelled. A TLS
handshake that is cancelled leaves its socket open (httpcore's ``start_tls``); a handshake that times out does not.
"""

_WINDOW_BITS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
_NO_HEADERS: Final[Mapping[str, str]] = {}


@attrs.frozen(kw_only=True, eq=False)
class Answer:
    """
    An HTTP answer.

    Attributes:
        status_code: the HTTP status.
        headers: the values, by names in lower case.
        body: decompressed; ``None`` if it was too large, or could not be decompressed (gzip and deflate can be).
        connection: the connection that it came over, to be retired if the answer makes no sense.
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
        """Return the value of the header *name*, given in lower case; ``None`` if there is none."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Exchange:
    """
    Sends requests over *connections*, which it does not own.

    Every request has *headers* and no others, not even those that a lent client was configured with. *timeout* is how
    many seconds an exchange may take as a whole, from connecting to the last byte of the body.
    """

    def __init__(self, connections: Connections, *, headers: Mapping[str, str], timeout: float) -> None:
        self._connections = connections
        self._family = connections.family
        self._headers = self._family.headers(dict(headers))
        self._no_body = self._family.stream(b"")
        self._timeout = timeout
        # httpx gets no timeout but for connecting (see _CONNECT_SHARE). The timeout of the exchange bounds all other
        # steps, and a timer of httpx's for each of them would take a thirtieth of the time of a read.
        connect = timeout * _CONNECT_SHARE if timeout < float("inf") else None  # aiohttp takes no infinite ones
        self._timeouts = self._family.timeout(None, connect=connect).as_dict()
        self._scopes = Scopes(timeout)
        self._is_abandoned = False

    async def ask(
        self,
        method: str,
        url: str | SecretURL,
        *,
        body: Hidden[bytes] | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Answer | NoAnswer:
        """
        Send one request, once; return its answer, or why none came. Cancellation ends the request.

        *headers* go out with this request alone; they go with a body.

        Raises:
            ClientClosedError: the lent httpx client was closed, or `abandon` was called, before or meanwhile.
            Exception: a hook of a lent client raised it.
        """
        if self._is_abandoned:
            raise _closed()
        connection: Connection | None = None
        # One scope bounds the exchange and lets `abandon` end it: a second one would cost a thirtieth of a read.
        scope = self._scopes.begin()
        try:
            with scope:
                connection = await self._connections.take()
                try:
                    return await self._answer_over(connection, self._request(method, url, body, headers))
                finally:
                    self._connections.give_back(connection)
        except self._family.status_error as error:
            # A hook of a lent client called raise_for_status(): the status is known, and the body is lost.
            assert connection is not None, "the request was sent"
            return _answer_of(error.response, b"", _headers_of(error.response), connection)
        except HPPError:
            raise
        except Exception as error:
            proxy = None if connection is None else connection.proxy
            failure = no_answer(error, host=self._host(url), proxy=proxy)
            if failure is None:
                raise
            return failure
        except anyio.get_cancelled_exc_class():
            if is_task_cancelled():
                raise
            # A hook of a lent client awaits a task that was cancelled. The callers would repeat the read for ever.
            return cancelled(self._host(url))
        finally:
            self._scopes.end(scope)
        if self._is_abandoned:
            raise _closed()
        return silence(self._host(url), self._timeout)

    def abandon(self) -> None:
        """End every exchange that is under way, and refuse each that begins later: the client is closed."""
        self._is_abandoned = True
        self._scopes.cancel_all()

    def drop(self) -> None:
        """Forget the exchanges, and close the connections, of an event loop that is gone."""
        self._scopes.forget()
        self._connections.drop()

    def _request(
        self, method: str, url: str | SecretURL, body: Hidden[bytes] | None, headers: Mapping[str, str]
    ) -> httpx.Request:
        """Return a new request each time: what a hook writes into one must not be sent with another."""
        family, parsed = self._family, self._family.parsed(url)
        extensions = {"timeout": self._timeouts.copy()}
        if body is None:
            request = family.request(method, parsed, stream=self._no_body, headers=self._headers, extensions=extensions)
        else:
            request = family.discreet_request(
                method,
                parsed,
                stream=family.stream(body()),
                # httpx itself would add them one by one, and look through all headers for each.
                headers=[*self._headers.raw, (b"Content-Length", b"%d" % len(body())), *_raw(headers)],
                extensions=extensions,
            )
            request.url = parsed  # httpx made a copy, of a class that shows what is in it
        request.read()  # so that hooks can use request.content
        request.headers.encoding = "ascii"  # else httpx would detect the encoding for each request
        return request

    def _host(self, url: str | SecretURL) -> str:
        """Return the host, and the port unless it is the scheme's default."""
        return self._family.parsed(url).netloc.decode("ascii")

    async def _answer_over(self, connection: Connection, request: httpx.Request) -> Answer:
        response = await connection.send(request)
        connection.stream = response.extensions.get("network_stream")
        try:
            headers = _headers_of(response)
            body = await _body_of(response, headers, self._family)
            return _answer_of(response, body, headers, connection)
        finally:
            # An await in `finally`, but a short one: closing takes no round trip in httpx, and can be cancelled.
            await response.aclose()


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _closed() -> ClientClosedError:
    return ClientClosedError("nothing more is sent: the client was closed")


def _answer_of(
    response: httpx.Response, body: bytes | None, headers: Mapping[bytes, bytes], connection: Connection
) -> Answer:
    if response.status_code >= 500:
        connection.retire()
    return Answer(status_code=response.status_code, headers=headers, body=body, connection=connection)


def _headers_of(response: httpx.Response) -> dict[bytes, bytes]:
    """Return the headers by names in lower case: httpx would decode all of them, and search all of them for a name."""
    return {name.lower(): value for name, value in response.headers.raw}


# -- the body ------------------------------------------------------------------------------------------------------


async def _body_of(response: httpx.Response, headers: Mapping[bytes, bytes], family: Family) -> bytes | None:
    """Return the decompressed body; ``None`` if it is too large, or cannot be decompressed."""
    if response.is_stream_consumed:  # a transport that builds whole responses, as mock transports do
        return response.content if len(response.content) <= MAXIMUM_BODY else None
    raw, size = bytearray(), 0
    try:
        # response.aiter_raw() would give the same chunks, through two more generators.
        async for chunk in cast("httpx.AsyncByteStream", response.stream):
            size += len(chunk)
            if size <= MAXIMUM_BODY:
                raw += chunk
            else:
                # Hang up, and let the iteration end by that: trio warns of an iteration that is left half-way.
                await response.aclose()
    except family.error:
        if size <= MAXIMUM_BODY:
            raise
    return None if size > MAXIMUM_BODY else unpacked(bytes(raw), headers.get(b"content-encoding", b""))


def unpacked(raw: bytes, encoding: bytes) -> bytes | None:
    """Return *raw* decompressed, by its ``Content-Encoding``; ``None`` if it is too large, or cannot be."""
    encoding = encoding.strip().lower()
    if encoding in (b"", b"identity"):
        return raw
    if encoding not in _WINDOW_BITS:
        return None
    # httpx's decoder is not used: it decompresses a whole chunk at once, and 64 KiB can become 64 MiB.
    unpack = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        body = unpack.decompress(raw, MAXIMUM_BODY + 1)
    except zlib.error:
        return None
    return body if len(body) <= MAXIMUM_BODY else None
