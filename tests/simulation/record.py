"""What happened in a life: what the provider saw and said, and what the callers saw, as the oracle is shown it."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import attrs

from hpp_async import HPPError, Outcome, Session
from hpp_async.testing import RequestFaults
from simulation.life import Caller, Life

Kind = Literal[
    "reading", "done", "missing", "unauthorized", "limited", "refused", "broken", "unreadable", "no answer", "lost"
]


@attrs.frozen(kw_only=True)
class Served:
    """
    What one answer said, read off the answer itself.

    Attributes:
        kind: what it is; "lost" where the client hung up.
        true_at: when the provider made it.
        lag: how far the replica that made it was behind, in seconds.
        date: its ``Date``, in seconds of the life; ``None`` without one.
        pause: for how long it asks all reads to pause.
    """

    kind: Kind
    true_at: float = 0.0
    lag: float = 0.0
    status: str | None = None
    updated_at: float | None = None
    expires_at: float | None = None
    date: float | None = None
    error_code: str | None = None
    pause: float | None = None


@attrs.define(kw_only=True)
class Request:
    """One request as the provider's edge saw it."""

    process: int
    session: int
    method: str
    asked_at: float
    ended_at: float | None = None
    served: Served = Served(kind="lost")
    met: RequestFaults = attrs.field(factory=RequestFaults)


@attrs.define(kw_only=True)
class Sitting:
    """A stretch of time in which a caller's task was at it, and how it ended."""

    began_at: float
    ended_at: float | None = None
    cancelled_at: float | None = None
    was_cancelled: bool = False


@attrs.frozen(kw_only=True)
class Seen:
    """A transition as a caller got it, or as its wait knows of it."""

    at: float
    previous: str | None
    status: str
    sequence: int
    is_last: bool
    session: Session = attrs.field(repr=False)


@attrs.define(kw_only=True)
class WaitRecord:
    """One wait of one caller, from its first step to its end, or to that of the process."""

    caller: int
    of: Caller
    process: int
    since: Seen | None
    started_at: float
    sittings: list[Sitting] = attrs.field(factory=list[Sitting])
    steps: list[tuple[float, float]] = attrs.field(factory=list[tuple[float, float]])
    """From when to when the caller was at it: in its sittings, but not between two steps."""
    yielded: list[Seen] = attrs.field(factory=list[Seen])
    known: list[Seen] = attrs.field(factory=list[Seen])
    """What ``wait.transitions`` said at the end."""
    outcome: Outcome | None = None
    error: HPPError | None = None
    ended_at: float | None = None
    has_died: bool = False
    complaints: list[str] = attrs.field(factory=list[str])
    """What went so wrong that the runner itself noticed."""

    @property
    def ending(self) -> str:
        """The name of the ending."""
        ending = self.outcome or self.error
        return ("Died" if self.has_died else "None") if ending is None else type(ending).__name__

    @property
    def stops_on(self) -> frozenset[str]:
        """The statuses that end it."""
        return self.of.stop_on | {"COMPLETED", "CANCELLED", "DISABLED"}


@attrs.define(kw_only=True)
class Call:
    """A call beside the waits: what was asked of which process, and what came of it."""

    process: int
    name: str
    session: int
    began_at: float
    ended_at: float | None = None
    result: object = None


@attrs.define
class Record:
    """Everything, in order."""

    life: Life
    requests: list[Request] = attrs.field(factory=list[Request])
    waits: list[WaitRecord] = attrs.field(factory=list[WaitRecord])
    calls: list[Call] = attrs.field(factory=list[Call])
    disabled: list[tuple[float, int]] = attrs.field(factory=list[tuple[float, int]])
    """When the provider really disabled which session."""
    closed: dict[int, float] = attrs.field(factory=dict[int, float])
    """When which process, or its client, ended."""
    complaints: list[str] = attrs.field(factory=list[str])
    trace: list[str] = attrs.field(factory=list[str])
    met: Counter[str] = attrs.field(factory=Counter[str])
    """How often each kind of ending, fault, cancellation and call was met."""

    def note(self, at: float, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{at:12.4f}  {what}")

    def waits_on(self, session: int, process: int) -> list[WaitRecord]:
        """Return the waits of *process* on *session*."""
        return [wait for wait in self.waits if wait.process == process and wait.of.session == session]
