"""What changes something at the provider: so far, disable a session."""

from __future__ import annotations

from hpp_async._http.calls import Calls
from hpp_async._http.retry import Pace, with_retries


class Commands:
    """Commands to the provider, each with up to *attempts* calls."""

    def __init__(self, calls: Calls, *, attempts: int) -> None:
        self._calls = calls
        self._attempts = attempts

    async def disable(self, session_id: str, pace: Pace) -> None:
        """
        Disable the session, and try again while that fails transiently; the attempts are counted in *pace*.

        Raises:
            ResponseError: refused; 400 means that it was completed meanwhile (disable page).
            TransportError, ClientClosedError: as for a read.
        """
        await with_retries(lambda: self._calls.call("DELETE", session_id, pace), attempts=self._attempts, pace=pace)
