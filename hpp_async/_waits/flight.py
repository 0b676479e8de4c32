"""One shared read of a session, and who is told of it."""

from __future__ import annotations

import copy
from typing import Protocol

import attrs

from hpp_async._core.exceptions import HPPError
from hpp_async._core.session import Session
from hpp_async._loop import Sleeper


class Flight:
    """One request for a session: in flight, then finished with a reading or a failure. Times are in loop seconds."""

    __slots__ = (
        "callers",
        "failure",
        "finished_at",
        "is_command",
        "is_dropped",
        "number",
        "reading",
        "session_id",
        "started_at",
    )

    def __init__(self, session_id: str, number: int, started_at: float, *, is_command: bool) -> None:
        self.session_id: str = session_id
        self.number: int = number
        self.started_at: float = started_at
        self.is_command: bool = is_command
        self.finished_at: float | None = None
        self.reading: Session | None = None
        self.failure: Exception | None = None
        self.is_dropped: bool = True
        """Whether it shows nothing: the default result, as the task may be cancelled, or lost with its event loop."""
        self.callers: list[Sleeper] = []
        """Who sleeps until it has finished."""

    def result(self) -> Session | None:
        """
        Return the reading.

        Raises:
            Exception: why there is none; a copy for each caller, as one object raised in many tasks tangles tracebacks.
        """
        if self.failure is None:
            return self.reading
        if not isinstance(self.failure, HPPError):
            raise self.failure  # of a user's hook: not every exception can be copied
        error = copy.copy(self.failure)
        error.__cause__ = self.failure.__cause__
        raise error


@attrs.frozen
class Notification:
    """
    A hint that a session changed: *at* is when it came (loop seconds), *after* the number of the last flight by then.

    A read serves it only if it started later. Flights are compared by number: a clock may show the same moment twice.
    """

    session_id: str
    at: float
    after: int


class Subscriber(Protocol):
    """Who follows sessions: a wait follows one, and a watch many."""

    def finished(self, flight: Flight) -> None:
        """Take note that a flight has finished; only those who asked for it care for a failure."""
        ...

    def follows(self, session_id: str) -> bool:
        """Tell, in any thread, whether the session is followed."""
        ...

    def notified(self, notification: Notification) -> bool:
        """Make a read of the session due; return whether the session is followed."""
        ...

    def wake(self) -> None:
        """Look again at whether the client is open."""
        ...


class SharedReads:
    """What all who follow one session share: the flight, the latest finished one with a reading, and who they are."""

    __slots__ = ("flight", "latest", "outdated", "session_id", "subscribers")

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.flight: Flight | None = None
        self.latest: Flight | None = None
        self.outdated = 0
        """The number of the last flight that had started when the last notification came."""
        self.subscribers: list[Subscriber] = []  # of one or two: a set is three times as large
