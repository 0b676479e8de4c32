"""Reads a session: sends a GET, tries again while it fails transiently, and decodes the answer to a `Session`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from hpp_async._core.exceptions import UnexpectedPayloadError
from hpp_async._core.session import Session
from hpp_async._http.calls import Calls, Success
from hpp_async._http.codec import UnreadableError, decode_session
from hpp_async._http.errors import support
from hpp_async._http.exchange import MAXIMUM_BODY
from hpp_async._http.retry import Pace, with_retries

_logger = logging.getLogger("hpp_async")


class Reader:
    """Reads sessions, each in up to *attempts* calls."""

    def __init__(self, calls: Calls, *, attempts: int) -> None:
        self._calls = calls
        self._attempts = attempts

    def read(self, session_id: str, pace: Pace) -> Awaitable[Session]:
        """
        Read the session; try again while that fails transiently. The attempts are counted in *pace*.

        Raises:
            TransportError: no answer came, or not in time.
            UnexpectedPayloadError: the answer is 2xx, and is not a reading of this session.
            ResponseError: the answer is not 2xx; see its subclasses.
            ClientClosedError: the client, or the lent httpx client, was closed.
        """
        return with_retries(lambda: self._read(session_id, pace), attempts=self._attempts, pace=pace)

    async def _read(self, session_id: str, pace: Pace) -> Session:
        success = await self._calls.call("GET", session_id, pace)
        session = _session_in(success, session_id)
        self._calls.trust(success)
        if _logger.isEnabledFor(logging.DEBUG):
            _logger.debug("session %s is %s%s", session_id, session.status, support(session.correlation_id))
        return session


def _session_in(success: Success, session_id: str) -> Session:
    try:
        if success.answer.body is None:
            raise UnreadableError(f"a body of more than {MAXIMUM_BODY} bytes, or one that cannot be decompressed")
        return decode_session(
            success.answer.body,
            session_id=session_id,
            read_at=success.dated.at,
            is_locally_dated=success.dated.is_local,
            correlation_id=success.correlation_id,
        )
    except UnreadableError as error:
        success.answer.connection.retire()
        raise UnexpectedPayloadError(
            f"session {session_id}: {success.answer.status_code} with {error}{support(success.correlation_id)}",
            session_id=session_id,
            correlation_id=success.correlation_id,
            read_at=success.dated.by_provider,
        ) from None
