"""The exit codes, one for each ending."""

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
from hpp_async.cli._clients import OUTAGE_TOLERANCE


@attrs.frozen
class Exit:
    """An ending: its exit code, its class, and its description in the help."""

    code: int
    ending: type[object]
    meaning: str


UNEXPECTED: Final = 1

ALREADY_PAID: Final = 15
"""What ``disable`` exits with if the session was completed before. 0 would say that nobody has paid."""

# A class stands before its base classes: the first row that matches an ending gives its code.
EXITS: Final = (
    Exit(0, Completed, "COMPLETED: the consumer paid"),
    Exit(UNEXPECTED, Exception, "an error in this program, or a missing extra"),
    Exit(2, ConfigurationError, "an argument or environment variable was refused; nothing was sent"),
    Exit(3, Failed, "FAILED: declined; the session is still open for a retry"),
    Exit(4, Cancelled, "CANCELLED: the consumer cancelled"),
    Exit(5, Errored, "ERROR: an error while paying; the session is still open for a retry"),
    Exit(6, Disabled, "DISABLED: the merchant disabled the session"),
    Exit(7, Expired, "the session expired"),
    Exit(8, WaitTimeoutError, "--timeout has passed; the session may still be paid"),
    Exit(9, SessionVanishedError, "the session vanished before its expiry; it may have been paid"),
    Exit(10, OutageError, f"no readable answer for {OUTAGE_TOLERANCE / 60:g} minutes; the session may have been paid"),
    Exit(11, SessionNotFoundError, "the session is unknown here, or has expired"),
    Exit(12, AuthenticationError, "the credentials were refused"),
    Exit(14, ExpiryUnknownError, "still open after 72 hours, and its expiry is unknown"),
    Exit(13, HPPError, "the request failed for another reason"),
    Exit(130, KeyboardInterrupt, "Ctrl-C or SIGTERM"),
    Exit(141, BrokenPipeError, "the reader of the output has closed it"),
)


def exit_code(ending: object) -> int:
    """Return the exit code for *ending*, an outcome or an exception."""
    return next(
        (row.code for row in EXITS if row.code != UNEXPECTED and isinstance(ending, row.ending)),
        UNEXPECTED,
    )
