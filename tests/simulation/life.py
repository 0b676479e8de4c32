"""
What a life is, as plain frozen data: consumers and faults in the words of `hpp_async.testing`, and callers and the
process they run in, for which it has none.

Nothing here acts. Times are virtual seconds from the beginning of the life, by the provider's clock, unless a field
says otherwise.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import accumulate
from typing import Final

import attrs

from hpp_async.testing import Act, Fault, Script

OUTCOME: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED", "ERROR", "DISABLED"})
FINAL: Final = frozenset({"COMPLETED", "CANCELLED", "DISABLED"})
"""Both from KLARNA's tracking page, and not from the library, which the oracle is to judge."""


# -- the session, and who is on its page -------------------------------------------------------------------------------


def session_id(number: int) -> str:
    """Return the id of the life's session *number*."""
    return f"5e551012-0000-4000-8000-{number:012d}"


def acts_of(script: Script) -> list[tuple[float, Act]]:
    """Return what happens to a session, and when."""
    return list(zip(accumulate(act.after for act in script.acts), script.acts, strict=True))


def changes_of(script: Script) -> list[tuple[float, str]]:
    """Return when the session gets which status; it begins as WAITING."""
    return [(at, act.status) for at, act in acts_of(script) if act.status is not None]


def expiries_of(script: Script) -> list[float]:
    """Return every moment at which the session is ever said to expire, as it was at first in front."""
    moved = [at + act.expires_in for at, act in acts_of(script) if act.expires_in is not None]
    return [script.lasts.total_seconds(), *moved]


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
class Freeze:
    """The machine of the process is suspended: time passes everywhere, and nothing runs in the process."""

    at: float
    seconds: float

    @property
    def until(self) -> float:
        """When the process goes on."""
        return self.at + self.seconds


@attrs.frozen(kw_only=True)
class Life:
    """
    Everything that happens, but for what the client does about it.

    Attributes:
        readable_for: seconds after its expiry in which a session can still be read.
        is_called: whether the provider calls back at each change, as its faults let it.
        callbacks: ``(at, session)`` of callbacks besides, of somebody who knows the URL: nothing need have changed.
        disables: ``(at, session)`` of each call that disables a session.
        looks: ``(at, session)`` of each single read beside the waits.
        latency: the longest that an undisturbed answer takes.
        freezes: when the machine is suspended, in order; they do not overlap.
        timers_late_by: the longest by which the process's timers fire late, as on a busy machine.
    """

    seed: int = 0
    sessions: tuple[Script, ...] = (Script(lifetime=600.0),)
    readable_for: float = 86_400.0
    faults: tuple[Fault, ...] = ()
    callers: tuple[Caller, ...] = (Caller(),)
    is_called: bool = False
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
    freezes: tuple[Freeze, ...] = ()
    timers_late_by: float = 0.0

    def thawed(self, moment: float) -> float:
        """Return when something that is to happen at *moment* can happen."""
        return next((freeze.until for freeze in self.freezes if freeze.at <= moment < freeze.until), moment)

    def frozen(self, start: float, end: float) -> float:
        """Return for how many of the seconds from *start* to *end* the machine was suspended."""
        return sum(max(0.0, min(freeze.until, end) - max(freeze.at, start)) for freeze in self.freezes)

    @property
    def end(self) -> float:
        """By when every wait must have ended."""
        last = max(expiry for script in self.sessions for expiry in expiries_of(script))
        last = max(last, *(caller.starts_at for caller in self.callers), *(death.at for death in self.deaths), 0.0)
        away = sum(cancel.away for caller in self.callers for cancel in caller.cancels)
        faulty = max((fault.until for fault in self.faults), default=0.0)
        frozen = sum(freeze.seconds for freeze in self.freezes)
        return max(last, faulty) + away + frozen + 3 * self.outage_tolerance + 4 * 3600.0
