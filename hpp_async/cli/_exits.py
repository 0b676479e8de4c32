"""Exit codes: one for each way to end."""

from __future__ import annotations

from typing import Final

import attrs

from hpp_async import (
    AuthenticationError,
    Cancelled,
    Completed,
    ConfigurationError,
    Disabled,
    Errored,
    Expired,
    ExpiryUnknownError,
    Failed,
    HPPError,
    OutageError,
    SessionNotFoundError,
    SessionVanishedError,
    WaitTimeoutError,
)


@attrs.frozen
class Exit:
    """A way to end, the class that stands for it, and what the help says of it."""

    code: int
    ending: type[object]
    meaning: str


UNEXPECTED: Final = 1

EXITS: Final = (
    Exit(0, Completed, "COMPLETED: the consumer paid"),
    Exit(UNEXPECTED, Exception, "an error of this program, or an extra that is not installed"),
    Exit(2, ConfigurationError, "arguments or environment were refused; nothing was sent"),
    Exit(3, Failed, "FAILED: declined; the session is still open to another try"),
    Exit(4, Cancelled, "CANCELLED: the consumer gave up"),
    Exit(5, Errored, "ERROR: an error while paying; the session is still open to another try"),
    Exit(6, Disabled, "DISABLED: by the merchant"),
    Exit(7, Expired, "the session expired"),
    Exit(8, WaitTimeoutError, "--timeout ran out; it may still be paid"),
    Exit(9, SessionVanishedError, "the session is gone before its expiry; it may have been paid elsewhere"),
    Exit(10, OutageError, "no readable answer for 10 minutes; it may have been paid meanwhile"),
    Exit(11, SessionNotFoundError, "the session is not known here, or expired"),
    Exit(12, AuthenticationError, "the credentials were refused"),
    Exit(14, ExpiryUnknownError, "still open after 72 hours, and nothing tells when it expires"),
    Exit(13, HPPError, "another failure of a read"),
    Exit(130, KeyboardInterrupt, "Ctrl-C"),
    Exit(141, BrokenPipeError, "nobody reads the output any more"),
)


def exit_code(ending: object) -> int:
    """Return the exit code for *ending*, an outcome or an exception."""
    return next(
        (row.code for row in EXITS if row.code != UNEXPECTED and isinstance(ending, row.ending)),
        UNEXPECTED,
    )
