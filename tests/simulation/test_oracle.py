"""An oracle must be able to fail: clients that are broken on purpose are found out, each by the check for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import anyio
import attrs
import pytest

from hpp_async import AnyOutcome, AuthenticationError, CreatedSession, HPPClient, HPPError, OutcomeWait, Session
from hpp_async._core.actions import Action, Fail
from hpp_async._core.budget import Budget, Kind
from hpp_async._core.expiry import Expiry
from hpp_async._core.failures import Failures, Meaning
from hpp_async._core.history import History
from hpp_async._core.poller import Poller
from hpp_async._core.position import Position
from hpp_async._core.provider_clock import Dated, ProviderClock
from hpp_async._core.token_bucket import TokenBucket
from hpp_async._loop import Sleeper
from hpp_async._waits.flight import Flight
from hpp_async._waits.reads import Reads
from hpp_async._waits.tracker import Tracker
from hpp_async._waits.turns import Claim
from hpp_async.testing import (
    Answered,
    Dateless,
    Dropped,
    Fault,
    Garbled,
    Hint,
    Missing,
    Refused,
    Script,
    Stale,
    Stalled,
    Throttled,
    Undated,
    declines,
    errors,
    extends,
    opens,
    pays,
    retries,
    vanishes,
)
from simulation.life import (
    FINAL,
    OUTCOME,
    Caller,
    Cancel,
    Death,
    Freeze,
    Life,
    Manner,
    Style,
)
from simulation.oracle import OF_LIVES, OF_WAITS, judge
from simulation.run import Build, live

pytestmark = pytest.mark.thorough

PAYS: Final = Script(opens(after=20), pays(after=70), lifetime=600)
RETRIES: Final = Script(opens(after=5), declines(after=25), retries(after=30), pays(after=30), lifetime=600)
LEAVES: Final = Script(opens(after=5), vanishes, lifetime=120)
FOLLOWS: Final = Caller(style=Style.ITERATE, stop_on=FINAL)
Break = Callable[[pytest.MonkeyPatch], Build]


def _told(received: Callable[..., None], is_heard: Callable[[Session], bool]) -> Callable[..., None]:
    def deaf(poller: Poller, reading: Session, now: float, draw: float, **more: Any) -> None:
        if is_heard(reading):
            received(poller, reading, now, draw, **more)
        else:
            poller.failed(HPPError("deaf"), now, draw)

    return deaf


# -- what can be broken ------------------------------------------------------------------------------------------------


def stops_at_failed(_: pytest.MonkeyPatch) -> Build:
    class Hasty(HPPClient):
        def wait_for_outcome(self, session: CreatedSession | str, **options: Any) -> OutcomeWait:
            options["stop_on"] = OUTCOME
            return super().wait_for_outcome(session, **options)

    return Hasty


def forgets_where_it_was(_: pytest.MonkeyPatch) -> Build:
    class Forgetful(HPPClient):
        def wait_for_outcome(self, session: CreatedSession | str, **options: Any) -> OutcomeWait:
            options["since"] = None
            return super().wait_for_outcome(session, **options)

    return Forgetful


def forgets_the_newest_date(patch: pytest.MonkeyPatch) -> Build:
    of = Position.of

    def undated(since: Session | str, *, session_id: str) -> Position:
        return attrs.evolve(of(since, session_id=session_id), updated_at=None)

    patch.setattr(Position, "of", undated)
    return HPPClient


def says_that_it_is_disabled(_: pytest.MonkeyPatch) -> Build:
    class Liar(HPPClient):
        async def disable_session(self, session: CreatedSession | str) -> AnyOutcome | None:
            return None

    return Liar


def believes_what_is_stale(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr(History, "is_stale", lambda self, reading: False)
    return HPPClient


def hears_no_completed(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr(Poller, "received", _told(Poller.received, lambda reading: reading.status != "COMPLETED"))
    return HPPClient


def expires_at_the_first_look(patch: pytest.MonkeyPatch) -> Build:
    looks: Counter[Expiry] = Counter()

    def observe(self: Expiry, reading: Session, now: float, **more: Any) -> bool:
        looks[self] += 1
        return looks[self] > 3

    patch.setattr(Expiry, "observe", observe)
    return HPPClient


def takes_a_404_for_expiry(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr(Expiry, "is_past", lambda self, now, **dates: True)
    return HPPClient


def gives_up_on_the_first_failure(patch: pytest.MonkeyPatch) -> Build:
    ends_at = Failures.ends_at
    patch.setattr(Failures, "ends_at", lambda self, tolerance: ends_at(self, 1.0))
    return HPPClient


def skips_the_last_look(patch: pytest.MonkeyPatch) -> Build:
    ask = Poller.next_action

    def hasty(poller: Poller, now: float) -> Action:
        action = ask(poller, now)
        is_over = poller._is_over(now) and not isinstance(action, Fail)
        return poller._timed_out() if is_over else action

    patch.setattr(Poller, "next_action", hasty)
    return HPPClient


def dates_answers_to_their_arrival(patch: pytest.MonkeyPatch) -> Build:
    read = ProviderClock.read

    def late(clock: ProviderClock, header: str | None, *, now: float, today: datetime, asked_at: float) -> Dated:
        return read(clock, None if now - asked_at > 5.0 else header, now=now, today=today)

    observe = Expiry.observe

    def careless(expiry: Expiry, reading: Session, now: float, **more: Any) -> bool:
        more["asked_at"] = now
        return observe(expiry, reading, now, **more)

    patch.setattr(ProviderClock, "read", late)
    patch.setattr(Expiry, "observe", careless)
    return HPPClient


def asks_on_when_it_is_refused(patch: pytest.MonkeyPatch) -> Build:
    failed = Poller.failed

    def stubborn(poller: Poller, error: HPPError, now: float, draw: float, **more: Any) -> None:
        failed(poller, HPPError() if isinstance(error, AuthenticationError) else error, now, draw, **more)

    patch.setattr(Poller, "failed", stubborn)
    return HPPClient


def believes_the_first_refusal(patch: pytest.MonkeyPatch) -> Build:
    note = Failures.note

    def hasty(failures: Failures, *args: Any, **more: Any) -> Meaning:
        note(failures, *args, **more)
        return Meaning.BELIEVED

    patch.setattr(Failures, "note", hasty)
    return HPPClient


def counts_frozen_time(patch: pytest.MonkeyPatch) -> Build:
    note = Failures.note

    def impatient(failures: Failures, error: HPPError, now: float, **more: Any) -> Meaning:
        since = failures.outage_since
        meaning = note(failures, error, now, **more)
        failures.outage_since = failures.outage_since if since is None else since
        return meaning

    patch.setattr(Failures, "note", impatient)
    return HPPClient


def knows_no_expiry_after_an_hour(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr("hpp_async._core.expiry.UNKNOWN_FOR", 3600.0)
    return HPPClient


def believes_this_machines_calendar(patch: pytest.MonkeyPatch) -> Build:
    observe = Expiry.observe

    def trusting(expiry: Expiry, reading: Session, *more: Any, **named: Any) -> bool:
        return observe(expiry, attrs.evolve(reading, is_locally_dated=False), *more, **named)

    patch.setattr(Expiry, "observe", trusting)
    return HPPClient


def hears_everything_twice(patch: pytest.MonkeyPatch) -> Build:
    observe = History.observe

    def doubled(history: History, reading: Session, *, is_last: bool) -> object:
        transition = observe(history, reading, is_last=is_last)
        if transition is not None:
            history.transitions += (transition,)
        return transition

    patch.setattr(History, "observe", doubled)
    return HPPClient


def oversleeps(patch: pytest.MonkeyPatch) -> Build:
    rest = Poller._rest_until
    patch.setattr(Poller, "_rest_until", lambda self, due, now, **more: rest(self, 5.0 * due - 4.0 * now + 10.0, now))
    return HPPClient


def hardly_sleeps(patch: pytest.MonkeyPatch) -> Build:
    rest = Poller._rest_until
    patch.setattr(Poller, "_rest_until", lambda self, due, now, **more: rest(self, now + 0.3, now))
    return HPPClient


def reads_at_once_after_a_restart(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr("hpp_async._core.poller.delay_of", lambda memory, own: None)
    return HPPClient


def begins_each_delay_anew_after_a_restart(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr("hpp_async._core.poller.next_read", lambda at, delay, *, now, **more: (now, now + delay))
    return HPPClient


def forgets_an_outage_at_a_restart(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr(Failures, "resume", lambda failing, at, due: Failures())
    return HPPClient


def loses_what_it_had_in_hand(patch: pytest.MonkeyPatch) -> Build:
    def emitted(poller: Poller) -> None:
        poller._emitted = len(poller._history.transitions) + 1

    patch.setattr(Poller, "emitted", emitted)
    return HPPClient


def swallows_cancellation(patch: pytest.MonkeyPatch) -> Build:
    sleep = Sleeper.sleep

    async def deaf(sleeper: Sleeper, until: float = float("inf")) -> None:
        with anyio.CancelScope(shield=True):
            await sleep(sleeper, until)

    patch.setattr(Sleeper, "sleep", deaf)
    return HPPClient


def ignores_the_budget(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr(TokenBucket, "ready_at", lambda self, now: now)
    return HPPClient


def starves_the_schedule(patch: pytest.MonkeyPatch) -> Build:
    next_grant = Budget._next_grant

    def partial_to_arrivals(budget: Budget, now: float) -> tuple[Kind | None, float]:
        budget._is_schedule_next = False
        return next_grant(budget, now)

    patch.setattr(Budget, "_next_grant", partial_to_arrivals)
    return HPPClient


def ignores_a_429(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr(Budget, "refused", lambda self, retry_after, now: now)
    return HPPClient


def shares_no_flight(patch: pytest.MonkeyPatch) -> Build:
    ask = Reads.ask

    def alone(reads: Reads, session_id: str, claim: Claim, kind: Kind, key: float = 0.0) -> Flight | None:
        reads._shared(session_id).flight = None
        return ask(reads, session_id, claim, kind, key)

    patch.setattr(Reads, "ask", alone)
    return HPPClient


def shares_no_answer(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr(Tracker, "_use_latest", lambda self, fresh_from: False)
    return HPPClient


def ignores_callbacks(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr(Reads, "notify", lambda self, session_id: True)
    return HPPClient


def follows_each_callback_at_once(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr("hpp_async._waits.reads._NOTIFICATION_INTERVAL", 0.0)
    return HPPClient


def puts_a_read_off_with_each_callback(patch: pytest.MonkeyPatch) -> Build:
    due_for = Reads._due_for_notification

    def forgetful(reads: Reads, session_id: str, now: float) -> float:
        if session_id in reads._notified:
            reads._notified[session_id] = reads._notified[session_id][0], True
        return due_for(reads, session_id, now)

    patch.setattr(Reads, "_due_for_notification", forgetful)
    return HPPClient


def books_late_timers_as_lateness(patch: pytest.MonkeyPatch) -> Build:
    admit_at_once = Budget.admit_at_once

    def held(budget: Budget, kind: Kind, key: float, now: float) -> bool:
        if kind is Kind.DUE:
            budget._lateness += max(0.0, budget.virtual(now) - key)
        return admit_at_once(budget, kind, key, now)

    patch.setattr(Budget, "admit_at_once", held)
    return HPPClient


def reads_on_when_closed(patch: pytest.MonkeyPatch) -> Build:
    patch.setattr(Reads, "check_open", lambda self, session_id: None)
    return HPPClient


CROWD: Final = tuple(Caller(session=number, stop_on=FINAL) for number in range(6))
BUSY: Final = Life(sessions=(PAYS,) * 6, callers=CROWD, reads_per_second=1.0, latency=0.0)
FLOODED: Final = Life(
    sessions=(PAYS,) * 5, looks=tuple((at / 4, 1 + at % 4) for at in range(400)), reads_per_second=1.0, latency=0.0
)
"""Four looks a second beside one wait, where the budget has one read a second."""
CALLED: Final = Life(sessions=(PAYS,), callbacks=tuple((5.0 + at / 5, 0) for at in range(200)), latency=0.0)
"""Five callbacks a second, for forty seconds."""
UNPUNCTUAL: Final = Life(
    sessions=(PAYS,) * 4,
    callers=tuple(Caller(session=number, interval=1.0) for number in range(4)),
    reads_per_second=100.0,
    timers_late_by=0.5,
)
"""Timers fire late, and the budget is never short."""
LIMITED: Final = Fault(Throttled(30, Hint.RETRY_AFTER), start=20, until=40)
SLOW: Final = 2
"""A seed by which an answer from before the expiry is long on its way."""
UNDATED: Final = Life(
    seed=6,
    sessions=(Script(opens(after=4), declines(after=1), lifetime=200),),
    faults=(Fault(Stale(260), until=300, share=0.5), Fault(Undated(), start=20, until=60, share=0.5)),
    callers=(Caller(stop_on=FINAL),),
    deaths=(Death(at=40, down_for=1),),
)
"""The last transition before the process dies has no date, and stale readings follow in the next process."""
FROZEN: Final = Life(
    sessions=(Script(opens(after=20), lifetime=20_000),),
    faults=(Fault(Refused(), start=30, until=8_000),),
    freezes=(Freeze(at=60.0, seconds=7_200.0),),
)
ENDLESS: Final = Life(sessions=(Script(lifetime=47 * 3600.0),), readable_for=1e6, faults=(Fault(Undated(), until=1e6),))
CALENDAR: Final = Life(
    sessions=(LEAVES,), readable_for=30.0, faults=(Fault(Dateless(), until=150),), callers=(Caller(stop_on=FINAL),)
)
"""No reading has a Date until the session has expired and can no longer be read."""
RESTARTED: Final = Life(
    sessions=(Script(lifetime=600),),
    callers=(FOLLOWS,),
    deaths=tuple(Death(at=float(at), down_for=0.0) for at in range(60, 90, 3)),
)
"""The process is restarted every three seconds for a while."""
DOWN: Final = Life(
    sessions=(Script(lifetime=5_000),),
    faults=(Fault(Refused(), start=30, until=8_000),),
    deaths=tuple(Death(at=float(at), down_for=0.0) for at in range(60, 2_400, 20)),
    outage_tolerance=60.0,
)
LATE: Final = tuple(Caller(starts_at=float(at), style=Style.ITERATE) for at in (0, 1))

BROKEN: Final[list[tuple[Break, str, Life]]] = [
    (stops_at_failed, "an_outcome_is_what_the_provider_said", Life(sessions=(RETRIES,), callers=(FOLLOWS,))),
    (forgets_where_it_was, "transitions_are_changes", Life(callers=(FOLLOWS,), deaths=(Death(at=60, down_for=1),))),
    (forgets_the_newest_date, "transitions_are_what_was_said", UNDATED),
    (
        says_that_it_is_disabled,
        "disabling_is_true",
        Life(sessions=(LEAVES,), disables=((60.0, 0),)),
    ),
    (
        believes_what_is_stale,
        "transitions_are_changes",
        Life(
            sessions=(RETRIES,),
            callers=(FOLLOWS,),
            faults=(Fault(Stale(12), until=200, share=0.5),),
        ),
    ),
    (hears_no_completed, "no_outcome_is_missed", Life(sessions=(PAYS,))),
    (expires_at_the_first_look, "expiry_is_true", Life(sessions=(PAYS,))),
    (
        takes_a_404_for_expiry,
        "expiry_is_true",
        Life(sessions=(PAYS,), faults=(Fault(Missing(), start=10, until=30, in_a_row=1),)),
    ),
    (
        gives_up_on_the_first_failure,
        "an_error_has_its_reason",
        Life(sessions=(PAYS,), faults=(Fault(Dropped(), start=10, until=40),)),
    ),
    (
        dates_answers_to_their_arrival,
        "expiry_is_true",
        Life(seed=SLOW, sessions=(LEAVES,), latency=15.0),
    ),
    (
        asks_on_when_it_is_refused,
        "it_ends_when_it_must",
        Life(sessions=(PAYS,), faults=(Fault(Answered(403), start=10, until=25),)),
    ),
    (
        believes_the_first_refusal,
        "an_error_has_its_reason",
        Life(sessions=(PAYS,), faults=(Fault(Answered(403), start=10, until=12),)),
    ),
    (counts_frozen_time, "an_error_has_its_reason", FROZEN),
    (knows_no_expiry_after_an_hour, "an_error_has_its_reason", ENDLESS),
    (believes_this_machines_calendar, "expiry_is_true", CALENDAR),
    (reads_at_once_after_a_restart, "a_restart_costs_nothing", RESTARTED),
    (begins_each_delay_anew_after_a_restart, "a_restart_costs_nothing", RESTARTED),
    (forgets_an_outage_at_a_restart, "it_ends_when_it_must", DOWN),
    (hears_everything_twice, "transitions_are_what_was_said", Life(sessions=(PAYS,))),
    (hardly_sleeps, "answers_are_shared", Life(sessions=(PAYS,))),
    (skips_the_last_look, "an_error_has_its_reason", Life(callers=(Caller(timeout=30.0),))),
    (oversleeps, "looks_come_in_time", Life(sessions=(PAYS,))),
    (starves_the_schedule, "looks_come_in_time", FLOODED),
    (books_late_timers_as_lateness, "looks_come_in_time", UNPUNCTUAL),
    (follows_each_callback_at_once, "notifications_are_bounded", CALLED),
    (hardly_sleeps, "reads_are_bounded", Life(sessions=(PAYS,))),
    (loses_what_it_had_in_hand, "callers_get_every_transition_once", Life(sessions=(RETRIES,), callers=(FOLLOWS,))),
    (
        swallows_cancellation,
        "cancelled_at_once",
        Life(sessions=(PAYS,), callers=(Caller(cancels=(Cancel(at=3.0, manner=Manner.SCOPE),)),)),
    ),
    (ignores_the_budget, "the_budget_is_kept", BUSY),
    (ignores_a_429, "pauses_are_kept", Life(sessions=(PAYS,) * 6, callers=CROWD, faults=(LIMITED,), attempts=1)),
    (shares_no_flight, "one_flight_per_session", Life(sessions=(PAYS,), callers=(Caller(), Caller()), latency=3.0)),
    (shares_no_answer, "a_young_answer_is_used", Life(sessions=(PAYS,), callers=LATE)),
    (ignores_callbacks, "a_callback_is_followed_by_a_read", Life(sessions=(PAYS,), callbacks=((15.0, 0),))),
    (
        puts_a_read_off_with_each_callback,
        "a_callback_is_followed_by_a_read",
        attrs.evolve(CALLED, latency=9.0, callbacks=CALLED.callbacks[:20]),
    ),
    (reads_on_when_closed, "nothing_goes_out_after_closing", Life(sessions=(PAYS,), closed_at=50.0)),
]
cases = pytest.mark.parametrize(
    ("broken", "check", "life"), BROKEN, ids=[f"{broken.__name__}-{check}" for broken, check, _ in BROKEN]
)


SHORT: Final = Script(opens(after=4.5), pays(after=20), lifetime=60)
QUICK: Final = Caller(style=Style.ITERATE, starts_at=4, interval=7.0)
SOUND: Final = {
    "the last look counts by a Date in whole seconds": Life(
        seed=364,
        sessions=(Script(opens(after=55), errors(after=46), lifetime=163.2),),
        callers=(Caller(stop_on=FINAL),),
        latency=0.4,
    ),
    "a 429 that asks for no pause slows down all the same": Life(
        sessions=(PAYS,),
        callers=(Caller(interval=1.0),),
        faults=(Fault(Throttled(0), until=30),),
        reads_per_second=5.0,
    ),
    "a callback comes between two attempts": Life(
        sessions=(PAYS,), faults=(Fault(Garbled(), until=2),), callbacks=((0.5, 0),)
    ),
    "a callback comes during an earlier attempt of a read": Life(
        sessions=(PAYS,),
        faults=(Fault(Stalled(10), first=1),),
        callbacks=((1.0, 0),),
        callers=(Caller(interval=7.0),),
    ),
    "a resume token remembers a newer date than its transition's": UNDATED,
    "the answer went with the last who waited": Life(sessions=(Script(pays(after=0)),), callers=(Caller(), QUICK)),
    "a 404 is told to those who asked, and a young reading to whoever comes": Life(
        sessions=(SHORT,), callers=(Caller(interval=3.0), QUICK), faults=(Fault(Missing(), start=2, until=4),)
    ),
    "who was away has not heard that the session was extended": Life(
        sessions=(Script(opens(after=1), extends(after=60, expires_in=60), lifetime=100),),
        readable_for=3.0,
        faults=(Fault(Undated(), start=70, until=200),),
        callers=(Caller(), Caller(cancels=(Cancel(at=10, away=300),))),
    ),
}
"""What only looks wrong: lives in which the oracle itself was wrong once."""


@cases
def test_what_is_broken_is_found_out(broken: Break, check: str, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = judge(live(life, "asyncio", build=broken(monkeypatch)))

    assert [what for what in wrong if check in what], wrong


@cases
def test_what_is_sound_is_not(broken: Break, check: str, life: Life) -> None:
    assert judge(live(life, "asyncio")) == []


@pytest.mark.parametrize("life", SOUND.values(), ids=list(SOUND))
def test_what_only_looks_wrong_is_not(life: Life) -> None:
    assert judge(live(life, "asyncio")) == []


def test_every_check_can_fail() -> None:
    shown = {check for _, check, _ in BROKEN}

    assert {check.__name__ for check in (*OF_WAITS, *OF_LIVES)} == shown
