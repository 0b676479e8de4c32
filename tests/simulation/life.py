"""
What a life is, as plain frozen data: consumers, faults, callers and the process they run in.

Nothing here acts. Times are virtual seconds from the beginning of the life, by the provider's clock, unless a field
says otherwise.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

OUTCOME: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED", "ERROR", "DISABLED"})
FINAL: Final = frozenset({"COMPLETED", "CANCELLED", "DISABLED"})
"""Both from KLARNA's tracking page, and not from the library, which the oracle is to judge."""


# -- the session, and who is on its page -------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Timeline:
    """
    What really becomes of a session.

    Attributes:
        steps: ``(at, status)``, in order; WAITING before the first.
        lifetime: until ``expires_at``, as it is at first.
        moves: ``(at, expires_at)``: from then on it expires at another time.
        readable_for: seconds after expiry in which it can still be read.
        forgotten_at: from then on the provider answers 404.
    """

    steps: tuple[tuple[float, str], ...] = ()
    lifetime: float = 600.0
    moves: tuple[tuple[float, float], ...] = ()
    readable_for: float = 86_400.0
    forgotten_at: float | None = None

    def expires_at(self, moment: float) -> float:
        """Return when the session expires, by what is true at *moment*."""
        return next((expiry for at, expiry in reversed(self.moves) if at <= moment), self.lifetime)

    @property
    def end(self) -> float:
        """After the last expiry there is."""
        return max(self.lifetime, *(expiry for _, expiry in self.moves), 0.0)


# -- faults ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Slow:
    """The answer takes that many seconds more."""

    seconds: float


@attrs.frozen
class Dropped:
    """The connection ends under the request."""


@attrs.frozen
class Refused:
    """No connection comes about."""


@attrs.frozen
class Stalled:
    """No answer comes, and the transport gives up after that many seconds."""

    seconds: float


@attrs.frozen
class Answered:
    """The gateway answers with this status code, and these headers."""

    status_code: int
    headers: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class Garbled:
    """A good answer with another body."""

    body: bytes


@attrs.frozen
class Foreign:
    """The answer is another session's."""


@attrs.frozen
class Missing:
    """A 404 that is not true, with this error code."""

    error_code: str = "NOT_FOUND"


@attrs.frozen
class Stale:
    """The replica that answers is that many seconds behind."""

    lag: float


@attrs.frozen
class Undated:
    """The answer has neither ``updated_at`` nor ``expires_at``."""


@attrs.frozen
class Dateless:
    """The answer has no ``Date``."""


@attrs.frozen
class Skewed:
    """The replica that answers has a clock that is that many seconds ahead."""

    by: float


@attrs.frozen
class Scarce:
    """A good answer that says how little of the merchant's quota is left."""

    limit: int
    remaining: int
    reset: float


Fault = (
    Slow
    | Dropped
    | Refused
    | Stalled
    | Answered
    | Garbled
    | Foreign
    | Missing
    | Stale
    | Undated
    | Dateless
    | Skewed
    | Scarce
)


@attrs.frozen(kw_only=True)
class Trouble:
    """From *start*, for *length* seconds, a *share* of requests meets *fault*; of a session's at most *in_a_row*."""

    fault: Fault
    start: float
    length: float
    share: float = 1.0
    in_a_row: int | None = None

    def is_on(self, moment: float) -> bool:
        """Tell whether *moment* is within it."""
        return self.start <= moment < self.start + self.length


# -- who waits ---------------------------------------------------------------------------------------------------------


class Style(StrEnum):
    """How a caller uses a wait."""

    AWAIT = "await"
    ITERATE = "iterate"
    UPDATES = "updates"


class Manner(StrEnum):
    """How a caller is cancelled."""

    NATIVE = "native"
    """``task.cancel()`` on asyncio, a scope of trio's own on trio."""
    SCOPE = "scope"
    """A scope of anyio's."""


@attrs.frozen(kw_only=True)
class Cancel:
    """
    A cancellation, and how long the caller then stays away before it goes on with the same wait.

    It comes *turns* of the event loop after time *at*, or, where that is ``None``, after the next answer about the
    session.
    """

    at: float | None
    turns: int = 0
    manner: Manner = Manner.NATIVE
    away: float = 0.0


@attrs.frozen(kw_only=True)
class Caller:
    """One who waits: for which session, since when, how, and what interrupts it."""

    session: int = 0
    starts_at: float = 0.0
    style: Style = Style.AWAIT
    stop_on: frozenset[str] = OUTCOME
    timeout: float | None = None
    interval: float | None = None
    """Seconds, for a fixed schedule; ``None`` for the library's own."""
    linger: float = 0.0
    """Seconds that the caller takes over each transition, between two steps."""
    cancels: tuple[Cancel, ...] = ()


@attrs.frozen(kw_only=True)
class Death:
    """The process dies, and a new one begins later; its callers go on with the tokens that they have."""

    at: float
    down_for: float


@attrs.frozen(kw_only=True)
class Life:
    """
    Everything that happens, but for what the client does about it.

    Attributes:
        callbacks: ``(at, session)`` of each callback that arrives; lost ones are not there, repeated ones twice.
        disables: ``(at, session)`` of each call that disables a session.
        looks: ``(at, session)`` of each single read beside the waits.
        latency: the longest that an undisturbed answer takes.
    """

    seed: int = 0
    sessions: tuple[Timeline, ...] = (Timeline(),)
    troubles: tuple[Trouble, ...] = ()
    callers: tuple[Caller, ...] = (Caller(),)
    callbacks: tuple[tuple[float, int], ...] = ()
    disables: tuple[tuple[float, int], ...] = ()
    looks: tuple[tuple[float, int], ...] = ()
    deaths: tuple[Death, ...] = ()
    closed_at: float | None = None
    latency: float = 0.2
    reads_per_second: float = 12.5
    in_flight: int = 10
    attempts: int = 3
    outage_tolerance: float = 600.0

    @property
    def end(self) -> float:
        """By when every wait must have ended."""
        last = max(session.end for session in self.sessions)
        last = max(last, *(caller.starts_at for caller in self.callers), *(death.at for death in self.deaths), 0.0)
        away = sum(cancel.away for caller in self.callers for cancel in caller.cancels)
        trouble = max((trouble.start + trouble.length for trouble in self.troubles), default=0.0)
        return max(last, trouble) + away + 3 * self.outage_tolerance + 4 * 3600.0
