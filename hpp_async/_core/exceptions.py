"""
What can go wrong, drawn as a tree.

::

    HPPError
    ├── ConfigurationError (ValueError)      refused before anything was sent
    ├── ReadError                            one read failed
    │   ├── TransportError                   no answer: connect, read, TLS, protocol          transient
    │   ├── UnexpectedPayloadError           2xx, but not a reading of this session           transient
    │   └── ResponseError                    any other answer
    │       ├── AuthenticationError          401, 403
    │       ├── SessionNotFoundError         404
    │       ├── RateLimitedError             429                                              transient
    │       └── ServerError                  5xx                                              transient
    ├── WaitError                            a wait ended without having found out
    │   ├── WaitTimeoutError (TimeoutError)
    │   ├── SessionVanishedError
    │   └── OutageError
    └── ClientClosedError

What a session decides is a value (`hpp_async.Outcome`); "we could not find out" is one of these. Messages carry ids,
status codes and the provider's error codes; never credentials, tokens, bodies or personal data. All can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hpp_async._core.session import Session


class HPPError(Exception):
    """The root of everything this package raises on purpose."""

    @property
    def is_transient(self) -> bool:
        """Whether asking again may help: the read is retried, and a wait goes on."""
        return False

    def to_dict(self) -> dict[str, object]:
        """Return the error as plain data, for a JSON answer, a queue or a log: its class's name, and its message."""
        return {"type": "error", "error": type(self).__name__, "message": str(self)}

    def __reduce__(self) -> tuple[Callable[..., HPPError], tuple[object, ...], dict[str, object]]:
        # Exception's own __reduce__ calls __init__ with the message alone, which keyword-only arguments do not survive.
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
    One read failed; what every such failure carries.

    Attributes:
        session_id: the session that was read.
        correlation_id: the provider's id of the exchange, which its support asks for; ``None`` where no answer came.
        read_at: when the answer was made, by the provider's ``Date`` header; ``None`` where it is not known.
    """

    def __init__(
        self,
        message: str,
        *,
        session_id: str,
        correlation_id: str | None = None,
        read_at: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.session_id = session_id
        self.correlation_id = correlation_id
        self.read_at = read_at


TransportReason = Literal[
    "name", "refused", "unreachable", "proxy", "tls", "certificate", "reset", "protocol", "silence", "other"
]
"""Why no answer came; see `TransportError`."""


class TransportError(ReadError):
    """
    No answer came: the connection, TLS, the protocol or a time limit failed.

    The cause is httpx's error, without its traceback; but not one of the protocol, as those quote what came.

    Attributes:
        reason: to branch on: ``"name"`` (the host's name cannot be looked up), ``"refused"`` (the port is closed),
            ``"unreachable"`` (no route), ``"proxy"`` (it cannot be reached, asks for a password or does not connect),
            ``"tls"``, ``"certificate"`` (it is not accepted; the message has the reason), ``"reset"`` (the connection
            ended before the answer did), ``"protocol"`` (what came is not HTTP), ``"silence"`` (nothing came in time),
            or ``"other"``.
        is_dropped: whether the connection ended under the request, as one that was kept alive does when the other side
            closes it just then; asking again at once is what helps.
    """

    def __init__(
        self, message: str, *, session_id: str, reason: TransportReason = "other", is_dropped: bool = False
    ) -> None:
        super().__init__(message, session_id=session_id)
        self.reason: TransportReason = reason
        self.is_dropped = is_dropped

    @property
    def is_transient(self) -> bool:
        return True


class UnexpectedPayloadError(ReadError):
    """A 2xx answer came that is not a reading of this session: no readable status, or another session's."""

    @property
    def is_transient(self) -> bool:
        return True


class ResponseError(ReadError):
    """
    An answer came that is not 2xx.

    Attributes:
        status_code: of the HTTP answer.
        error_code: the provider's own code (``BAD_VALUE``), to branch on; ``None`` where the answer has none.
        error_messages: the provider's sentences. They are for people, change without notice and may quote what was
            sent; they are left out of this error's own message.
    """

    def __init__(
        self,
        message: str,
        *,
        session_id: str,
        status_code: int,
        error_code: str | None = None,
        error_messages: tuple[str, ...] = (),
        correlation_id: str | None = None,
        read_at: datetime | None = None,
    ) -> None:
        super().__init__(message, session_id=session_id, correlation_id=correlation_id, read_at=read_at)
        self.status_code = status_code
        self.error_code = error_code
        self.error_messages = error_messages


class AuthenticationError(ResponseError):
    """401 or 403: wrong credentials, environment or region, no right to read sessions, or an inactive merchant."""


class SessionNotFoundError(ResponseError):
    """
    404: the session is expired or unknown here.

    The provider answers the same for a wrong id, another region and another merchant, so this says nothing about
    payment.
    """

    @property
    def speaks_of_completion(self) -> bool:
        """Whether the code says that the session is gone because it was paid (``SESSION_COMPLETED``)."""
        code = "" if self.error_code is None else self.error_code.upper()
        return "COMPLETE" in code and "INCOMPLETE" not in code


class RateLimitedError(ResponseError):
    """
    429: the merchant has used up its requests, and every request of it is refused until the reset.

    Attributes:
        retry_after: seconds until the provider expects to answer again, as far as it said so.
    """

    def __init__(
        self,
        message: str,
        *,
        session_id: str,
        status_code: int = 429,
        retry_after: float | None = None,
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
        self.retry_after = retry_after

    @property
    def is_transient(self) -> bool:
        return True


class ServerError(ResponseError):
    """5xx: the provider, or a gateway in front of it, could not answer."""

    @property
    def is_transient(self) -> bool:
        return True


class WaitError(HPPError):
    """
    A wait ended without having found out how the session ended.

    Attributes:
        session_id: the session that was waited for.
        latest: the newest believed reading, or ``None`` where there was none.
        token: hand it to ``wait_for_outcome(since=…)`` to go on where this wait was; ``None`` before the first reading.
        reads: how many reads this wait asked for.
        last_error: the failure of the last read, or ``None`` where it succeeded.
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
        """The provider's id of the last exchange that had one."""
        if isinstance(self.last_error, ReadError) and self.last_error.correlation_id is not None:
            return self.last_error.correlation_id
        return None if self.latest is None else self.latest.correlation_id


class WaitTimeoutError(WaitError, TimeoutError):
    """The wait's own ``timeout`` ran out, one last read included. It says nothing about payment."""


class SessionVanishedError(WaitError):
    """
    The session was seen and is gone (404), before its expiry: it may have been paid elsewhere. Look it up.

    Or at any time, where ``since`` knows it as final: what was paid does not expire.
    """


class OutageError(WaitError):
    """No readable answer came for longer than the client's ``outage_tolerance``; the last failure is the cause."""
