"""What happened in a life of a fleet, as the oracle is shown it."""

from __future__ import annotations

from collections import Counter

import attrs

from fleet_simulation.database import Booked, Row
from fleet_simulation.life import Life
from fleet_simulation.spans import Span
from hpp_async.fleet import FleetSession


@attrs.frozen(kw_only=True)
class Read:
    """A request for a session, as it left its process."""

    at: float
    worker: str
    session: int
    is_again: bool = False
    """Whether it is another attempt of a read, after one that failed: the client makes it, whoever still waits."""


@attrs.define(kw_only=True)
class Try:
    """A call of ``deal_with``."""

    session: int
    worker: str
    began_at: float
    ended_at: float | None = None
    """When it returned; ``None`` where it did not."""
    has_failed: bool = False


@attrs.frozen(kw_only=True)
class Trouble:
    """A disturbance as it happened."""

    kind: str
    whom: str
    start: float
    end: float

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)


@attrs.frozen(kw_only=True)
class Heard:
    """What a wait in the shop was told."""

    at: float
    session: int
    ending: str | None
    status: str | None
    is_last: bool


@attrs.define
class Record:
    """Everything, in order."""

    life: Life
    reads: list[Read] = attrs.field(factory=list[Read])
    tries: list[Try] = attrs.field(factory=list[Try])
    troubles: list[Trouble] = attrs.field(factory=list[Trouble])
    heard: list[Heard] = attrs.field(factory=list[Heard])
    booked: list[Booked] = attrs.field(factory=list[Booked])
    committed: list[tuple[float, Row | None, Row]] = attrs.field(factory=list[tuple[float, Row | None, Row]])
    """When which version of a session's row was followed by which."""
    owned: list[tuple[float, int, str, bool]] = attrs.field(factory=list[tuple[float, int, str, bool]])
    """When which shard was taken by which process, or let go."""
    present: list[tuple[str, Span]] = attrs.field(factory=list[tuple[str, Span]])
    """From when to when which worker was there."""
    rows: dict[str, Row] = attrs.field(factory=dict[str, Row])
    """The rows at the end."""
    overview: list[FleetSession] = attrs.field(factory=list[FleetSession])
    ended_at: float = 0.0
    complaints: list[str] = attrs.field(factory=list[str])
    trace: list[str] = attrs.field(factory=list[str])
    met: Counter[str] = attrs.field(factory=Counter[str])

    def note(self, at: float, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{at:10.4f}  {what}")


def session_id(number: int) -> str:
    """Return the id of the life's session *number*."""
    return f"f1ee7000-0000-4000-8000-{number:012d}"


def number_of(session: str) -> int:
    """Return the number of the session with this id."""
    return int(session[-12:])
