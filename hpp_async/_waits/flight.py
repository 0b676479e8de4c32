"""One shared read of a session, and the subscribers that receive its result."""

from __future__ import annotations

import copy
from typing import Protocol

import attrs

from hpp_async._core.exceptions import HPPError
from hpp_async._core.session import Session
from hpp_async._waits.turns import ReadTurns
from hpp_async._waits.work import Work


class Flight(Work[Session | None]):
    """
    One shared read of a session, or one command. Times are in loop seconds.

    A finished flight has a ``reading``; or a ``failure``; or neither, if it is a command that succeeded, or if it
    ``is_dropped``. ``number`` counts the flights of a client: a later flight has a higher number. ``counted`` counts
    the attempts for observers, if there are any.
    """

    __slots__ = ("counted", "is_command", "number", "session_id", "started_at")

    def __init__(self, session_id: str, number: int, started_at: float, *, is_command: bool) -> None:
        super().__init__()
        self.session_id: str = session_id
        self.number: int = number
        self.started_at: float = started_at
        self.is_command: bool = is_command
        self.counted: ReadTurns | None = None

    @property
    def reading(self) -> Session | None:
        """The reading; ``None`` before the flight has finished, and if it has none."""
        return self.value

    def result(self) -> Session | None:
        """
        Return the reading; ``None`` for a command, and for a flight that was dropped.

        Raises:
            Exception: the failure. Each caller gets a copy of an `HPPError`: if many tasks raised one object, its
                traceback would grow with each of them.
        """
        if self.failure is None:
            return self.value
        if not isinstance(self.failure, HPPError):
            raise self.failure  # a hook of the user's raised it, and not every exception can be copied
        error = copy.copy(self.failure)
        error.__cause__ = self.failure.__cause__
        raise error


@attrs.frozen
class Notification:
    """
    A notice that a session may have changed.

    Only a read that starts after the notification serves it. Flights are compared by number for that, because the clock
    may show the same time for the notification and for the start of a flight.

    Attributes:
        session_id: the session that may have changed.
        at: when the notification came, in loop seconds.
        due: when the read is due, in loop seconds.
        after: the number of the last flight that had started by then.
    """

    session_id: str
    at: float
    due: float
    after: int


class Subscriber(Protocol):
    """A follower of sessions, which the shared reads call: a wait follows one session, and a watch many."""

    def finished(self, flight: Flight) -> None:
        """Take note that a flight has finished. A failure concerns only the subscribers that asked for the flight."""
        ...

    def follows(self, session_id: str) -> bool:
        """Tell whether the session is followed; from any thread."""
        ...

    def notified(self, notification: Notification) -> bool:
        """Make a read of the session due; return whether the session is followed."""
        ...

    def wake(self) -> None:
        """Let the step that is under way, if any, go on: the client was closed, or has moved to another event loop."""
        ...


class SharedReads:
    """
    The reads of one session that all of its subscribers share.

    ``flight`` is the read in flight, if there is one: no second one is started beside it. ``latest`` is the last
    finished flight that has a reading. It is ``None`` before the first, and after a notification until a newer flight
    has finished.
    """

    __slots__ = ("flight", "latest", "outdated", "session_id", "subscribers")

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.flight: Flight | None = None
        self.latest: Flight | None = None
        self.outdated = 0
        """The number of the last flight that had started when the last notification came: it cannot be ``latest``."""
        self.subscribers: list[Subscriber] = []  # mostly one or two, for which a set would be three times as large
