"""
The errors of this package, drawn as a tree.

::

    HPPError
    ├── ConfigurationError (ValueError)      refused before anything was sent
    ├── ReadError                            one read failed, or another request
    │   ├── TransportError                   no answer: connect, read, TLS, protocol          transient
    │   ├── UnexpectedPayloadError           2xx, but not what was asked for                  transient
    │   └── ResponseError                    any other answer
    │       ├── AuthenticationError          401, 403
    │       ├── SessionNotFoundError         404
    │       ├── RateLimitedError             429                                              transient
    │       ├── NotProcessedError            408, 421, 425                                    transient
    │       ├── OrderRefusedError            403, 404, 409 for an order to place
    │       └── ServerError                  5xx                                              transient
    ├── WaitError                            a wait ended without an outcome
    │   ├── WaitTimeoutError (TimeoutError)
    │   ├── SessionVanishedError
    │   ├── ExpiryUnknownError
    │   └── OutageError
    ├── ClientClosedError
    └── StoreClosedError                     of a fleet: in hpp_async.fleet

How a session ended is a value (`hpp_async.Outcome`). An error says that a call could not find that out. Messages
contain ids, status codes and the provider's error codes, and never credentials, tokens, bodies or personal data. All
errors can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hpp_async._core.session import Session


class HPPError(Exception):
    """The base of all errors that this package raises on purpose."""

    @property
    def is_transient(self) -> bool:
        """Whether another attempt may help. If so, the request is tried again."""
        return False

    def to_dict(self) -> dict[str, object]:
        """Return the error as plain data, for a JSON answer, a queue or a log: the class name and the message."""
        return {"type": "error", "error": type(self).__name__, "message": str(self)}

    def __reduce__(self) -> tuple[Callable[..., HPPError], tuple[object, ...], dict[str, object]]:
        # With Exception.__reduce__, pickle would call __init__ with the message alone, without the keyword arguments.
        return (_rebuild, (type(self), self.args), dict(self.__dict__))


def _rebuild(cls: type[HPPError], args: tuple[object, ...]) -> HPPError:
    error = cls.__new__(cls, *args)
    error.args = args
    return error


class ConfigurationError(HPPError, ValueError):
    """An argument was refused before anything was sent; the message says what to change."""


class ClientClosedError(HPPError):
    """The client was closed: before this call, or while the call was waiting."""


class ReadError(HPPError):
    """
    One read, or another request, failed: the base of all such errors.

    Attributes:
        session_id: the session that the request was about; ``None`` where none exists yet, or none is known.
        correlation_id: the provider's id of the exchange, which its support asks for; ``None`` where the answer has
            none, or no answer came.
        read_at: when the answer was made, by the provider's clock; ``None`` where that is not known.
        retry_after: seconds after which the answer asks for another request; ``None`` where it does not. The next
            attempt comes no earlier. Nor does the next read of a wait, unless its timeout, the session's expiry, the
            end of the outage tolerance or a notification comes first; a wait counts at most five minutes of it.
    """

    def __init__(
        self,
        message: str,
        *,
        session_id: str | None,
        correlation_id: str | None = None,
        read_at: datetime | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.session_id = session_id
        self.correlation_id = correlation_id
        self.read_at = read_at
        self.retry_after = retry_after


TransportReason = Literal[
    "name", "refused", "unreachable", "proxy", "tls", "certificate", "reset", "protocol", "silence", "other"
]
"""Why no answer came; see `TransportError`."""


class TransportError(ReadError):
    """
    No answer came: the connection, TLS, the protocol or a time limit failed.

    ``__cause__`` is httpx's error, without its traceback. It is ``None`` where the time limit passed, and where that
    error may quote the answer, as a protocol error does.

    Attributes:
        reason: to branch on: ``"name"`` (the host name cannot be resolved), ``"refused"`` (the port is closed),
            ``"unreachable"`` (no route), ``"proxy"`` (the proxy cannot be reached, asks for a password, or does not
            connect), ``"tls"``, ``"certificate"`` (the certificate is not accepted; the message says why), ``"reset"``
            (the connection ended before the answer did), ``"protocol"`` (the answer is not HTTP), ``"silence"`` (no
            whole answer came in time), or ``"other"``.
        is_dropped: whether the connection broke while the request was under way, or what came was not HTTP. The usual
            reason is that the server closes a kept-alive connection at the moment at which it is used again. So the
            request is then repeated once, without a back-off.
    """

    def __init__(
        self, message: str, *, session_id: str | None, reason: TransportReason = "other", is_dropped: bool = False
    ) -> None:
        super().__init__(message, session_id=session_id)
        self.reason: TransportReason = reason
        self.is_dropped = is_dropped

    @property
    def is_transient(self) -> bool:
        return True


class UnexpectedPayloadError(ReadError):
    """
    A 2xx answer came that is not what was asked for.

    It has no readable status, is another session's, or has no id of what was to be created.
    """

    @property
    def is_transient(self) -> bool:
        return True


class ResponseError(ReadError):
    """
    An answer came that is not 2xx.

    Attributes:
        status_code: the HTTP status.
        error_code: the provider's own code (``BAD_VALUE``), to branch on; ``None`` where the answer has none.
        error_messages: the provider's sentences, for people to read. They change without notice and may quote the
            request, so the message of this error leaves them out.
    """

    def __init__(
        self,
        message: str,
        *,
        session_id: str | None,
        status_code: int,
        error_code: str | None = None,
        error_messages: tuple[str, ...] = (),
        correlation_id: str | None = None,
        read_at: datetime | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            message, session_id=session_id, correlation_id=correlation_id, read_at=read_at, retry_after=retry_after
        )
        self.status_code = status_code
        self.error_code = error_code
        self.error_messages = error_messages


class AuthenticationError(ResponseError):
    """
    401 or 403: wrong credentials, environment or region, no right to read sessions, or an inactive merchant.

    A gateway in front of the provider may also answer so, for a moment. So on a session that was seen before
    (by this wait, in its ``since``, or by another wait or read of the client), a wait believes this answer only after
    two confirmation reads. On any other session it ends immediately.
    """


class SessionNotFoundError(ResponseError):
    """
    404: the session has expired, or is unknown to this endpoint and merchant.

    The provider gives the same answer for a wrong id, another region and another merchant. So a 404 says nothing about
    payment.
    """

    @property
    def speaks_of_completion(self) -> bool:
        """Whether the provider's code says that the session was paid (``SESSION_COMPLETED``)."""
        code = "" if self.error_code is None else self.error_code.upper()
        return "COMPLETE" in code and "INCOMPLETE" not in code


class RateLimitedError(ResponseError):
    """429: the merchant has used up its quota, and is refused until the quota resets; see ``retry_after``."""

    @property
    def is_transient(self) -> bool:
        return True


class NotProcessedError(ResponseError):
    """
    408, 421 or 425: a gateway did not let the request through, so another attempt may help.

    The request took too long to arrive (408, which some gateways also send when they close a kept-alive connection),
    came over a connection to the wrong server (421), or came too early (425).
    """

    @property
    def is_transient(self) -> bool:
        return True


class ServerError(ResponseError):
    """5xx: the provider, or a gateway in front of it, could not answer."""

    @property
    def is_transient(self) -> bool:
        return True


OrderRefusal = Literal["expired", "superseded", "lapsed", "used", "rejected", "mismatch"]
"""Why an order was not placed; see `OrderRefusedError`."""


class OrderRefusedError(ResponseError):
    """
    The provider does not place the order; the message says what to do.

    Attributes:
        reason: to branch on: ``"expired"`` (the token's 60 minutes are over), ``"superseded"`` (they are not over, and
            a newer token replaced it), ``"lapsed"`` (expired or superseded: the age of a bare token is not known),
            ``"used"`` (an order was placed with it, or with another token of the payment session), ``"rejected"`` (the
            provider does not approve the payment), or ``"mismatch"`` (the order is another one than before;
            ``error_messages`` names the fields).
    """

    def __init__(
        self,
        message: str,
        *,
        reason: OrderRefusal,
        session_id: str | None,
        status_code: int,
        error_code: str | None = None,
        error_messages: tuple[str, ...] = (),
        correlation_id: str | None = None,
        read_at: datetime | None = None,
    ) -> None:
        super().__init__(
            message,
            session_id=session_id,
            status_code=status_code,
            error_code=error_code,
            error_messages=error_messages,
            correlation_id=correlation_id,
            read_at=read_at,
        )
        self.reason: OrderRefusal = reason


class WaitError(HPPError):
    """
    A wait ended, and how the session ended is not known.

    Attributes:
        session_id: the session that was waited for.
        latest: the newest believed reading, or ``None`` where there was none.
        token: the resume token. Pass it to ``wait_for_outcome(since=…)`` to go on from here; ``None`` where the session
            was never seen.
        reads: how many reads this wait has used, failed ones included.
        last_error: the failure of the most recent read, or ``None`` where it succeeded. It is the ``__cause__``, too.
    """

    def __init__(
        self,
        message: str,
        *,
        session_id: str,
        latest: Session | None = None,
        token: str | None = None,
        reads: int = 0,
        last_error: HPPError | None = None,
    ) -> None:
        super().__init__(message)
        self.session_id = session_id
        self.latest = latest
        self.token = token
        self.reads = reads
        self.last_error = last_error

    @property
    def correlation_id(self) -> str | None:
        """The provider's id of the exchange behind ``last_error``, or else behind ``latest``."""
        if isinstance(self.last_error, ReadError) and self.last_error.correlation_id is not None:
            return self.last_error.correlation_id
        return None if self.latest is None else self.latest.correlation_id


class WaitTimeoutError(WaitError, TimeoutError):
    """The ``timeout`` of the wait passed, and one last read showed no outcome. This says nothing about payment."""


class SessionVanishedError(WaitError):
    """
    The session cannot be read any more, and may have been paid: search for its order before you sell again.

    A wait raises this in three cases:

    - The 404 itself says that the session was completed.
    - The session was seen before, but is not known to have expired, and two confirmation reads answered 404, too.
    - The session has expired by its dates, but ``since`` gave it a final status (such as COMPLETED), with which no
      session expires. Here, too, two confirmation reads answered 404.
    """


class ExpiryUnknownError(WaitError):
    """
    The session is still open 72 hours after it was first seen, and no reading says when it expires.

    Its ``expires_at`` is missing or broken, or no answer had a ``Date`` to compare it with. No session without a
    readable expiry is known to live that long, but nothing proves that this one is over: disable the session, and
    search for its order before you sell again.
    """


class OutageError(WaitError):
    """The session could not be read for longer than the client's ``outage_tolerance``; see ``last_error``."""
