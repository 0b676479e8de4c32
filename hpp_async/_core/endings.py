"""
How a wait ends without a reading that ends it: by an answer, by an outage, or by the time that has passed.

*401 and 403.* A gateway in front of the provider may refuse, for a moment, a request that the provider would answer. So
on a session that was seen before, two confirmation reads must be refused, too.

*404.* A 404 is never proof of "not paid". The provider says "expired or could not be found", and says the same for a
wrong id, another region and another merchant. A neighbouring API of the provider answers 404 for a session that was
*paid* (``SESSION_COMPLETED``). So the first of these that is true is the meaning of a 404:

1. The answer says that the session was completed: it was probably paid.
2. The wait has never seen the session: nothing is known of it, and the wait ends with the 404.
3. The session has expired, by its readings and by the date of the 404, and its last status was not final. Where no
   reading gives an expiry, as after a restart, three 404s must agree, and the earliest of their dates counts.
4. The answer is the third 404 without a reading in between: the session has vanished.
5. Otherwise the 404 means nothing yet. A confirmation read follows.
"""

from __future__ import annotations

import attrs

from hpp_async._core.actions import Fail, Finish
from hpp_async._core.exceptions import (
    ExpiryUnknownError,
    HPPError,
    OutageError,
    SessionNotFoundError,
    SessionVanishedError,
    WaitError,
    WaitTimeoutError,
)
from hpp_async._core.expiry import UNKNOWN_FOR, Expiry
from hpp_async._core.failures import Failures, Meaning
from hpp_async._core.history import History
from hpp_async._core.outcome import Expired


@attrs.frozen
class Endings:
    """The endings of a wait that knows *history* after *reads* reads; *last_error* is the failure of the last one."""

    history: History
    reads: int
    last_error: HPPError | None

    def answered(
        self, failures: Failures, asked_at: float, meaning: Meaning, *, was_read: bool, expiry: Expiry
    ) -> Finish | Fail | None:
        """
        Return how the wait ends by a 401, 403 or 404, if it ends: by the last of *failures*, to a read of *asked_at*.

        *was_read* is whether the client has read the session.
        """
        history, error = self.history, self.last_error
        assert error is not None, "an answer was just noted as a failure"
        if not isinstance(error, SessionNotFoundError):
            is_doubtful = (was_read or history.is_seen) and meaning is Meaning.DOUBTFUL
            return None if is_doubtful else Fail(error)
        if error.speaks_of_completion:
            return self._ended(
                SessionVanishedError,
                f"is gone ({error.error_code}): it was probably paid. Look for its order before you sell again",
            )
        if not history.is_seen:
            return Fail(error)
        if meaning is Meaning.DOUBTFUL and expiry.at is None:
            return None  # the date of one 404 is all that there is, and a single machine's clock may be hours ahead
        # A session with a final status does not expire. Only `since` can give such a status here; then it has vanished.
        said_at = error.read_at if expiry.at is not None else failures.missing_at
        is_past = expiry.is_past(asked_at, said_at=said_at, known=history.expires_at)
        if is_past and not history.known.status.is_final:
            return Finish(Expired(session=history.known, transitions=history.transitions, confirmed=False))
        if meaning is Meaning.DOUBTFUL:
            return None
        return self._ended(
            SessionVanishedError,
            f"answers 404 and is not known to have expired. Its last status was {history.known.status}, and it may "
            "have been paid. Look for its order before you sell again",
        )

    def outage(self, lasted: float) -> Fail:
        """Return the end by an outage of *lasted* seconds."""
        return self._ended(
            OutageError,
            f"could not be read for {lasted:.0f} s ({type(self.last_error).__name__}). It may have been "
            "paid meanwhile: wait again with since=token",
        )

    def without_expiry(self) -> Fail:
        """Return the end of a session whose expiry nobody knows."""
        return self._ended(
            ExpiryUnknownError,
            f"is still {self.history.status} {UNKNOWN_FOR / 3600:.0f} hours after it was first seen, and no "
            "reading tells when it expires. Disable it, and look for its order before you sell again",
        )

    def timed_out(self, timeout: float) -> Fail:
        """Return the end by the timeout of the wait, in seconds."""
        seen = "was never read" if self.history.status is None else f"is still {self.history.status}"
        return self._ended(
            WaitTimeoutError,
            f"{seen} after {timeout:g} s. It may still be paid: disable it, or wait again with since=token",
        )

    def _ended(self, kind: type[WaitError], what: str) -> Fail:
        history = self.history
        position = history.position
        error = kind(
            f"session {history.session_id} {what}",
            session_id=history.session_id,
            latest=history.latest,
            # The driver, which has a calendar, replaces the token with one that has a memory.
            token=None if position is None else position.token,
            reads=self.reads,
            last_error=self.last_error,
        )
        error.__cause__ = self.last_error
        return Fail(error)
