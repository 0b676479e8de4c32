"""One GET: a `Session`, or one kind of error. Below this edge it is httpx; above it nobody sees httpx's names."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import lru_cache, partial
from typing import Final

import anyio
import httpx

from hpp_async._core.budget import Quota
from hpp_async._core.credentials import Credentials
from hpp_async._core.endpoint import Target
from hpp_async._core.exceptions import (
    AuthenticationError,
    ClientClosedError,
    RateLimitedError,
    ResponseError,
    ServerError,
    SessionNotFoundError,
    TransportError,
    UnexpectedPayloadError,
)
from hpp_async._core.provider_clock import Dated, ProviderClock, parse_date
from hpp_async._core.session import Session
from hpp_async._http.codec import UnreadableError, correlation_id_of, decode_error, decode_session
from hpp_async._http.connections import Connections
from hpp_async._http.retry import Pace, with_retries
from hpp_async._loop import Clock

MAXIMUM_BODY: Final = 1024 * 1024
"""Bytes of an answer, unpacked, above which it is refused; a full session has about one thousand."""

_PREPARED_REQUESTS: Final = 1024
_CONNECT_SHARE: Final = 0.45
"""
Of a read's time, for TCP and for TLS each: less than half, so that httpx itself gives up before the read is cut off.

A handshake that is cancelled leaves its socket open (httpcore's ``start_tls``); one that times out does not.
"""

_DROPPED: Final = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_WINDOW_BITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}

_NO_AUTH: Final = httpx.Auth()
"""Said outright: for ``auth=None`` httpx takes the URL apart in search of credentials, at every read."""

_logger = logging.getLogger("hpp_async")


class Reader:
    """
    Reads sessions from one endpoint over *connections*, which it neither owns nor closes.

    *timeout*, in seconds, bounds the whole of one attempt; there are up to *attempts*.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        target: Target,
        credentials: Credentials,
        clock: Clock,
        timeout: float,
        user_agent: str,
        attempts: int,
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._provider_clock = ProviderClock()
        self._timeout = timeout
        self._attempts = attempts
        # The read page's example, and the agent's name, which the provider wants. Nothing that a session says or that
        # a borrowed client was configured with is among them, and no Accept-Encoding: a session is small.
        headers = httpx.Headers(
            {
                "Host": httpx.URL(target.base_url).netloc.decode("ascii"),
                "Authorization": credentials.authorization,
                "Accept": "application/json",
                "Content-Type": "application/json",
                "Cache-Control": "no-cache",
                "User-Agent": user_agent,
            }
        )
        # What bounds the whole ends each step of it. Timers of httpx's own, one a step, could never be first, and take
        # a thirtieth of a read; but for connecting, see above.
        extensions = {"timeout": httpx.Timeout(None, connect=timeout * _CONNECT_SHARE).as_dict()}

        def build(method: str, session_id: str) -> httpx.Request:
            request = httpx.Request(method, target.url(session_id), extensions=extensions)
            request.headers = headers.copy()  # as an argument it would be taken apart: slower, thrice the size
            return request

        # Building a request costs as much as the rest of what we do around one, and a session is read many times.
        self._prepare: Callable[[str], httpx.Request] = lru_cache(maxsize=_PREPARED_REQUESTS)(partial(build, "GET"))
        self._build = build

    def read(self, session_id: str, pace: Pace) -> Awaitable[Session]:
        """
        Read the session, and again while that fails transiently; the attempts are counted in *pace*.

        Raises:
            TransportError: no answer, or not in time.
            UnexpectedPayloadError: a 2xx answer that is not a reading of this session.
            ResponseError: any other answer; see its subclasses.
            ClientClosedError: the borrowed httpx client was closed.
        """
        return with_retries(lambda: self._read(session_id, pace), attempts=self._attempts, pace=pace)

    async def _read(self, session_id: str, pace: Pace) -> Session:
        asked_at = self._clock.now()
        response, body = await self._exchange(self._prepare, session_id)
        return self._session_of(session_id, response, body, asked_at, pace)

    def disable(self, session_id: str, pace: Pace) -> Awaitable[None]:
        """
        Disable the session; see `read` for the attempts.

        Raises:
            ResponseError: refused; 400 means that it was completed meanwhile (disable page).
            TransportError, ClientClosedError: as `read`.
        """
        return with_retries(lambda: self._disable(session_id, pace), attempts=self._attempts, pace=pace)

    async def _disable(self, session_id: str, pace: Pace) -> None:
        asked_at = self._clock.now()
        response, body = await self._exchange(partial(self._build, "DELETE"), session_id)
        self._check(session_id, response, body, asked_at, pace)

    async def _exchange(
        self, request_for: Callable[[str], httpx.Request], session_id: str
    ) -> tuple[httpx.Response, bytes | None]:
        try:
            with anyio.move_on_after(self._timeout):
                http_client = await self._connections.take()
                try:
                    if http_client.is_closed:
                        raise ClientClosedError(f"session {session_id} cannot be read: the httpx client was closed")
                    return await _answer_to(request_for(session_id), http_client)
                finally:
                    self._connections.give_back(http_client)
        except httpx.HTTPStatusError as error:
            # A hook of a borrowed client that raises for statuses; the body went with it.
            return error.response, b""
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise TransportError(
                f"session {session_id}: no answer ({_name_of(error)})",
                session_id=session_id,
                is_dropped=isinstance(error, _DROPPED),
            ) from (None if _is_quoting(error) else error)
        except Exception as error:
            if isinstance(error, AttributeError) and _is_raised_in(error, "anyio"):
                # On uvloop, where a connection is gone as soon as it is made, anyio asks None for its peer's name.
                said, cause = "the connection is gone", error
            elif _is_of_aiohttp(error):
                # httpx-aiohttp lets some of aiohttp's own through, and those quote what they cannot read.
                said, cause = type(error).__name__, None
            else:
                raise
            raise TransportError(f"session {session_id}: no answer ({said})", session_id=session_id) from cause
        raise TransportError(f"session {session_id}: no whole answer within {self._timeout:g} s", session_id=session_id)

    def _session_of(
        self, session_id: str, response: httpx.Response, body: bytes | None, asked_at: float, pace: Pace
    ) -> Session:
        dated, correlation_id = self._check(session_id, response, body, asked_at, pace)
        read_at = dated.at
        try:
            if body is None:
                raise UnreadableError(f"more than {MAXIMUM_BODY} bytes, or packed in a way that was not asked for")
            session = decode_session(body, session_id=session_id, read_at=read_at, correlation_id=correlation_id)
        except UnreadableError as error:
            raise UnexpectedPayloadError(
                f"session {session_id}: {response.status_code} with {error}{_support(correlation_id)}",
                session_id=session_id,
                correlation_id=correlation_id,
                read_at=read_at,
            ) from None
        self._provider_clock.trust(dated)
        _logger.debug("session %s is %s%s", session_id, session.status, _support(correlation_id))
        return session

    def _check(
        self, session_id: str, response: httpx.Response, body: bytes | None, asked_at: float, pace: Pace
    ) -> tuple[Dated, str | None]:
        """Return the provider's time of an answer and its correlation id; raise what it says unless it is a success."""
        now = self._clock.now()
        headers = dict(response.headers.items())  # httpx searches its own from end to end for each name
        dated = self._provider_clock.read(headers.get("date"), now=now, today=self._clock.today(), asked_at=asked_at)
        correlation_id = correlation_id_of(headers.get("klarna-correlation-id"))
        if response.is_success:
            quota = _quota_of(*map(headers.get, ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")))
            pace.answered(quota, now)
            return dated, correlation_id
        error = _error_of(session_id, response, body or b"", read_at=dated.at, correlation_id=correlation_id)
        if isinstance(error, RateLimitedError):
            pace.refused(error.retry_after, now)
        raise error


@lru_cache(maxsize=512)  # the provider counts down from 50 or 200, again and again
def _quota_of(limit: str | None, remaining: str | None, reset: str | None) -> Quota:
    return Quota(limit=_number(limit), remaining=_number(remaining), reset=_number(reset))


def _number(header: str | None) -> float | None:
    """Return the number a header begins with (``40, 40;w=1``): never negative, never absurdly long."""
    found = None if header is None else _NUMBER.match(header)
    return None if found is None else float(found[0])


def _is_raised_in(error: Exception, package: str) -> bool:
    """Tell whether *error* comes out of *package* itself, rather than out of a hook of a borrowed client."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).startswith(f"{package}.")


def _name_of(error: Exception) -> str:
    """Name the error; aiohttp's own, for httpx-aiohttp takes it for a time-out when the server hangs up."""
    return type(error.__cause__ if _is_of_aiohttp(error.__cause__) else error).__name__


def _is_quoting(error: Exception) -> bool:
    """Tell whether the error may quote what was received, and that may be a part of a body."""
    return isinstance(error, httpx.ProtocolError) or (
        _is_of_aiohttp(error.__cause__) and not isinstance(error.__cause__, OSError)
    )


def _is_of_aiohttp(error: BaseException | None) -> bool:
    return type(error).__module__.startswith("aiohttp.")


async def _answer_to(request: httpx.Request, http_client: httpx.AsyncClient) -> tuple[httpx.Response, bytes | None]:
    """Return the response, closed, and its body, as `_collect` gives it."""
    response = await http_client.send(request, stream=True, auth=_NO_AUTH, follow_redirects=False)
    try:
        return response, await _collect(response)
    finally:
        # Bounded: in httpx closing takes no round trip, and a cancelled scope ends it.
        await response.aclose()


async def _collect(response: httpx.Response) -> bytes | None:
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
    if size > MAXIMUM_BODY:
        return None
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return bytes(raw)
    if encoding not in _WINDOW_BITS:
        return None
    # Not httpx's decoder: it unpacks a whole chunk at once, and 64 KiB can hold 64 MiB.
    unpack = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        body = unpack.decompress(bytes(raw), MAXIMUM_BODY + 1)
    except zlib.error:
        return None
    return body if len(body) <= MAXIMUM_BODY else None


def _error_of(
    session_id: str, response: httpx.Response, body: bytes, *, read_at: datetime, correlation_id: str | None
) -> ResponseError:
    details = decode_error(body)
    status_code = response.status_code
    correlation_id = details.correlation_id or correlation_id
    said = f"{status_code} {details.error_code}" if details.error_code else str(status_code)

    kind, advice = _kind_of(status_code)
    more = {"retry_after": retry_after(response, read_at)} if kind is RateLimitedError else {}
    return kind(
        f"session {session_id}: {said}: {advice}{_support(correlation_id)}",
        session_id=session_id,
        status_code=status_code,
        error_code=details.error_code,
        error_messages=details.error_messages,
        correlation_id=correlation_id,
        read_at=read_at,
        **more,
    )


def _kind_of(status_code: int) -> tuple[type[ResponseError], str]:
    match status_code:
        case 401 | 403:
            return AuthenticationError, "check credentials, region and environment, and the right to read sessions"
        case 404:
            return SessionNotFoundError, "expired, or unknown to this region, environment and merchant"
        case 429:
            return RateLimitedError, "the merchant's requests are used up for the moment"
        case _ if status_code >= 500:
            return ServerError, "the provider could not answer"
        case _:
            return ResponseError, "not an answer to a read; is there a proxy in between?"


def retry_after(response: httpx.Response, read_at: datetime) -> float | None:
    """
    Return the seconds until the provider expects to answer again: the larger of its two hints; ``None`` without one.

    No Retry-After is documented for this API; gateways send it, as seconds or as a date.
    """
    # A date is by the clock of the machine that names it, whatever time it is at the provider.
    said_at = parse_date(response.headers.get("Date", "")) or read_at
    hints: list[float] = []
    for header in ("X-Ratelimit-Reset", "Retry-After"):
        value = response.headers.get(header, "")
        try:
            hints.append(float(value))
        except ValueError:
            date = parse_date(value)
            if date is not None:
                hints.append((date - said_at).total_seconds())
    usable = [hint for hint in hints if 0 <= hint < float("inf")]
    return max(usable, default=None)


def _support(correlation_id: str | None) -> str:
    return "" if correlation_id is None else f" (correlation id {correlation_id})"
