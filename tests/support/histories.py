"""What can happen to a wait, as values; and the smallest driver there can be: no I/O, no clock, no event loop."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from math import floor, inf
from typing import Any, Final

import attrs
from hypothesis import strategies as st

from hpp_async import (
    AuthenticationError,
    HPPError,
    NotProcessedError,
    Outcome,
    RateLimitedError,
    ResponseError,
    ServerError,
    Session,
    SessionNotFoundError,
    Transition,
    TransportError,
    UnexpectedPayloadError,
)
from hpp_async._core.actions import Action, Emit, Fail, Finish, Read, Sleep
from hpp_async._core.poller import Poller

SESSION_ID: Final = "0d6c1f52-hist-4b1e"
START: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY: Final = 86_400.0


# -- words for readings and failures; times are seconds from START, by the provider's clock ----------------------------


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def reading(
    status: str = "IN_PROGRESS",
    *,
    updated: float | None = 0.0,
    expires: float | None = None,
    read: float | None = 0.0,
    **fields: Any,
) -> Session:
    return Session(
        session_id=SESSION_ID,
        status=status,
        updated_at=None if updated is None else at(updated),
        expires_at=None if expires is None else at(expires),
        read_at=None if read is None else at(read),
        **fields,
    )


def no_answer() -> TransportError:
    return TransportError("no answer", session_id=SESSION_ID)


def not_a_reading() -> UnexpectedPayloadError:
    return UnexpectedPayloadError("not a reading", session_id=SESSION_ID)


def broken(status_code: int = 503, *, retry_after: float | None = None) -> ServerError:
    return ServerError("broken", session_id=SESSION_ID, status_code=status_code, retry_after=retry_after)


def not_processed(*, retry_after: float | None = None) -> NotProcessedError:
    return NotProcessedError("not processed", session_id=SESSION_ID, status_code=408, retry_after=retry_after)


def refused(status_code: int = 400) -> ResponseError:
    return ResponseError("refused", session_id=SESSION_ID, status_code=status_code)


def limited(hint: float | None = None) -> RateLimitedError:
    return RateLimitedError("limited", session_id=SESSION_ID, status_code=429, retry_after=hint)


def missing(error_code: str | None = None, *, read: float | None = None) -> SessionNotFoundError:
    return SessionNotFoundError(
        "missing",
        session_id=SESSION_ID,
        status_code=404,
        error_code=error_code,
        read_at=None if read is None else at(read),
    )


def unauthorized(*, retry_after: float | None = None) -> AuthenticationError:
    return AuthenticationError("unauthorized", session_id=SESSION_ID, status_code=401, retry_after=retry_after)


# -- a history ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Heard:
    """A reading arrives, *after* seconds after the step before."""

    reading: Session
    after: float = 0.0
    draw: float = 0.5


@attrs.frozen
class Missed:
    """A read fails."""

    error: HPPError
    after: float = 0.0
    draw: float = 0.5


@attrs.frozen
class Hinted:
    """A notification comes."""

    after: float = 0.0


Step = Heard | Missed | Hinted


@attrs.define
class Driver:
    """Does what the poller says, and keeps what it handed over. *asks* times each time: once must be enough."""

    poller: Poller
    now: float = 0.0
    asks: int = 1
    emitted: list[Transition] = attrs.field(factory=list[Transition])

    def ask(self) -> Action:
        """Return the first action that is not a transition to hand over."""
        while True:
            actions = [self.poller.next_action(self.now) for _ in range(self.asks)]
            assert all(action == actions[0] for action in actions), "asking twice is asking once"
            if not isinstance(actions[0], Emit):
                return actions[0]
            self.emitted.append(actions[0].transition)
            self.poller.emitted()

    def tell(self, step: Step) -> None:
        self.now += step.after
        match step:
            case Heard(heard, _, draw):
                self.poller.received(heard, self.now, draw)
            case Missed(error, _, draw):
                self.poller.failed(error, self.now, draw)
            case Hinted():
                self.poller.notified(self.now)

    def play(self, history: Iterable[Step]) -> Action:
        """Ask, tell, ask, tell …; return what is to be done at the end."""
        action = self.ask()
        for step in history:
            self.tell(step)
            action = self.ask()
        return action


def ending(action: Action) -> Outcome | HPPError | None:
    match action:
        case Finish(outcome):
            return outcome
        case Fail(error):
            return error
        case _:
            return None


# -- strategies --------------------------------------------------------------------------------------------------------

OPEN: Final = ("WAITING", "IN_PROGRESS", "BACK", "MANUAL_ID_CHECK", "AWAITING_3DS", "completed")
DECIDING: Final = ("COMPLETED", "FAILED", "CANCELLED", "ERROR", "DISABLED")

draws = st.floats(0.0, 1.0, exclude_max=True)
pauses = st.one_of(st.just(0.0), st.floats(0.0, 30.0), st.floats(0.0, 2 * DAY))
transient_errors = st.one_of(
    st.builds(no_answer),
    st.builds(not_a_reading),
    st.builds(broken, retry_after=st.none() | st.floats(0.0, 1e9)),
    st.builds(not_processed),
    st.builds(limited, st.none() | st.floats(0.0, 1e9)),
)
errors = st.one_of(
    transient_errors,
    transient_errors,
    st.builds(refused),
    st.builds(missing, st.sampled_from([None, "NOT_FOUND", "SESSION_COMPLETED"])),
    st.builds(unauthorized),
)


@attrs.frozen
class _Sketch:
    """A reading relative to the moment it arrives at, which is known only when the history is laid out."""

    status: str
    after: float
    draw: float
    ago: float | None
    expires_in: float | None
    skew: float | None

    def heard(self, now: float, ago: float | None) -> Heard:
        read = None if self.skew is None else now + self.skew
        heard = reading(
            self.status,
            updated=None if ago is None else now - ago,
            expires=None if self.expires_in is None else now + self.expires_in,
            read=read,
        )
        return Heard(heard, self.after, self.draw)


def _sketches(statuses: Sequence[str], *, expires: bool) -> st.SearchStrategy[_Sketch]:
    dates = st.one_of(st.none(), st.floats(0.0, 100.0), st.floats(-3 * DAY, 3 * DAY))
    lives = st.one_of(st.none(), st.floats(-100.0, 100.0), st.floats(-3 * DAY, 3 * DAY)) if expires else st.none()
    skews = st.one_of(st.just(0.0), st.just(0.0), st.none(), st.floats(-3 * DAY, 3 * DAY))
    return st.builds(
        _Sketch, status=st.sampled_from(statuses), after=pauses, draw=draws, ago=dates, expires_in=lives, skew=skews
    )


@st.composite
def histories(
    draw: st.DrawFn,
    statuses: Sequence[str] = (*OPEN, *OPEN, *DECIDING),
    *,
    failures: st.SearchStrategy[HPPError] = errors,
    expires: bool = True,
    max_size: int = 14,
) -> list[Step]:
    """
    Histories of readings, failures and notifications.

    Ordered, as they come, or each reading repeated; with dates that are missing, broken or in the future, an expiry
    that is missing or moves, and a ``Date`` that jumps.
    """
    sketch = _sketches(statuses, expires=expires)
    failed = st.builds(Missed, failures, pauses, draws)
    drawn = draw(st.lists(st.one_of(sketch, sketch, failed, st.builds(Hinted, pauses)), max_size=max_size))
    order = draw(st.sampled_from(["ordered", "as they come", "repeated"]))

    agos = [step.ago for step in drawn if isinstance(step, _Sketch) and step.ago is not None]
    agos.sort(reverse=True)  # the longest ago first; pauses only make later ones newer
    steps: list[Step] = []
    now = 0.0
    for step in drawn:
        now += step.after
        if not isinstance(step, _Sketch):
            steps.append(step)
            continue
        ago = agos.pop(0) if order == "ordered" and step.ago is not None else step.ago
        heard = step.heard(now, ago)
        steps.extend([heard, attrs.evolve(heard, after=0.0)] if order == "repeated" else [heard])
    return steps


# -- a provider with a true timeline -----------------------------------------------------------------------------------


@attrs.frozen
class Life:
    """A session that really goes through *changes*, ``(at, status)``, and expires after *lifetime* seconds."""

    changes: tuple[tuple[float, str], ...] = ((0.0, "WAITING"),)
    lifetime: float = 47 * 3600.0

    def reading(self, moment: float, *, lag: float = 0.0) -> Session:
        """Return what a replica that is *lag* seconds behind answers; ``Date`` counts whole seconds."""
        began, status = [change for change in self.changes if change[0] <= max(0.0, moment - lag)][-1]
        return reading(status, updated=began, expires=self.lifetime, read=floor(moment))


@attrs.frozen
class Trouble:
    """From *start*, for *length* seconds, every read gives *error*."""

    start: float
    length: float
    error: HPPError


@attrs.define
class World:
    """A life, and what happens around it, told to a poller until its wait is over."""

    life: Life
    poller: Poller
    troubles: Sequence[Trouble] = ()
    hints: Sequence[float] = ()
    glitches: bool = False
    latency: float = 0.0
    lag: float = 0.0
    seed: int = 0

    now: float = attrs.field(init=False, default=0.0)
    reads: int = attrs.field(init=False, default=0)
    failures: int = attrs.field(init=False, default=0)
    asked_at: list[float] = attrs.field(init=False, factory=list[float])

    def run(self, until: float = inf) -> Outcome | HPPError | None:
        """Go on until the wait ends, or the world does."""
        chance = random.Random(self.seed)
        hints = sorted(self.hints)
        driver = Driver(self.poller)
        while self.now <= until:
            driver.now = self.now
            action = driver.ask()
            if isinstance(action, Finish | Fail):
                return ending(action)
            if isinstance(action, Sleep):
                self.now = max(self.now, min(action.until, hints[0]) if hints else action.until)
                if hints and hints[0] <= self.now:
                    self.poller.notified(self.now)
                    hints.pop(0)
                continue
            assert isinstance(action, Read)
            self._read(chance)
        return None

    def _read(self, chance: random.Random) -> None:
        asked_at = self.now
        self.now += self.latency
        self.reads += 1
        assert self.reads < 20_000, "reads without end"
        self.asked_at.append(asked_at)
        error = next((t.error for t in self.troubles if t.start <= asked_at < t.start + t.length), None)
        if error is None and self.glitches and self.reads % 3 == 0 and self.now < self.life.lifetime:
            error = missing("NOT_FOUND", read=asked_at)
        if error is not None:
            self.failures += 1
            self.poller.failed(error, self.now, chance.random())
            return
        lag = self.lag if chance.random() < 0.5 else 0.0
        self.poller.received(self.life.reading(asked_at, lag=lag), self.now, chance.random())
