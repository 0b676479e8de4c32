"""Commands, which change a session at the provider: so far, one that disables it."""

from __future__ import annotations

from hpp_async._http.calls import Calls
from hpp_async._http.retry import Pace, with_retries


class Commands:
    """Sends commands to the provider, each in up to *attempts* calls."""

    def __init__(self, calls: Calls, *, attempts: int) -> None:
        self._calls = calls
        self._attempts = attempts

    async def disable(self, session_id: str, pace: Pace) -> None:
        """
        Disable the session; try again while that fails transiently. The attempts are counted in *pace*.

        Raises:
            TransportError: no answer came, or not in time. The session may be disabled all the same.
            ResponseError: the answer is not 2xx; 400 means that the session was completed before (disable page).
            ClientClosedError: the client, or the lent httpx client, was closed.
        """
        await with_retries(lambda: self._calls.call("DELETE", session_id, pace), attempts=self._attempts, pace=pace)
