"""One wait, in virtual time, on every event loop: what is awaited, what is iterated, and every ending."""

from __future__ import annotations

import gc
import warnings
from datetime import datetime, timedelta

import anyio
import httpx
import pytest
from support.servers import run

from hpp_async import (
    FINAL,
    AuthenticationError,
    Cancelled,
    ClientClosedError,
    Completed,
    ConfigurationError,
    Disabled,
    Errored,
    Expired,
    Failed,
    Heartbeat,
    HPPError,
    OutageError,
    Outcome,
    PlacedOrder,
    PollSchedule,
    Session,
    SessionNotFoundError,
    SessionStatus,
    SessionVanishedError,
    Slept,
    Stopped,
    Transition,
    TransportError,
    WaitTimeoutError,
)
from hpp_async._waits.flight import SharedReads
from hpp_async.testing import ScriptedProvider, VirtualClock

pytestmark = pytest.mark.anyio

PAYS = [(30, "IN_PROGRESS"), (95, "COMPLETED")]
RETRIES = [(10, "IN_PROGRESS"), (40, "FAILED"), (60, "IN_PROGRESS"), (90, "COMPLETED")]
HOUR = 3600.0


async def test_awaiting_returns_the_outcome(provider: ScriptedProvider) -> None:
    session = provider.add(PAYS, place_order_mode="CAPTURE_ORDER")
    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session)

    assert isinstance(outcome, Completed)
    assert isinstance(outcome.payment, PlacedOrder)
    assert [transition.status for transition in outcome.transitions] == ["WAITING", "IN_PROGRESS", "COMPLETED"]


async def test_iterating_yields_each_transition_and_ends_after_the_last(provider: ScriptedProvider) -> None:
    session = provider.add(PAYS)
    async with provider.client() as client:
        wait = client.wait_for_outcome(session)
        seen = [(transition.previous, transition.status, transition.is_last) async for transition in wait]

        assert seen == [
            (None, "WAITING", False),
            ("WAITING", "IN_PROGRESS", False),
            ("IN_PROGRESS", "COMPLETED", True),
        ]
        assert isinstance(wait.outcome, Completed)
        assert await wait is wait.outcome
        assert wait.transitions == wait.outcome.transitions


async def test_an_outcome_is_seen_no_later_than_promised(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add(PAYS)
    async with provider.client() as client:
        await client.wait_for_outcome(session)

    assert 95 <= clock.now() <= 95 + 2 + 0.01 * 65 + 1  # a Date counts whole seconds


@pytest.mark.parametrize(
    ("status", "kind", "is_final"),
    [
        ("COMPLETED", Completed, True),
        ("FAILED", Failed, False),
        ("CANCELLED", Cancelled, True),
        ("ERROR", Errored, False),
        ("DISABLED", Disabled, True),
    ],
)
async def test_each_status_that_is_an_outcome_has_its_class(
    provider: ScriptedProvider, status: str, kind: type[Outcome], is_final: bool
) -> None:
    session = provider.add([(5, status)])
    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session)

    assert type(outcome) is kind
    assert outcome.is_final is is_final


async def test_final_waits_through_failed_to_completed(provider: ScriptedProvider) -> None:
    session = provider.add(RETRIES)
    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session, stop_on=FINAL)

    assert [transition.status for transition in outcome.transitions] == [
        "WAITING",
        "IN_PROGRESS",
        "FAILED",
        "IN_PROGRESS",
        "COMPLETED",
    ]


async def test_a_final_status_stops_whatever_stop_on_says(provider: ScriptedProvider) -> None:
    session = provider.add([(5, "CANCELLED")])
    async with provider.client() as client:
        assert isinstance(await client.wait_for_outcome(session, stop_on={"FAILED"}), Cancelled)


async def test_a_status_that_the_caller_chose_stops_the_wait(provider: ScriptedProvider) -> None:
    session = provider.add([(5, "BACK")])
    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session, stop_on={SessionStatus.BACK})

    assert type(outcome) is Stopped
    assert (outcome.status, outcome.is_final) == ("BACK", False)


async def test_an_unknown_status_is_a_transition_and_does_not_end_the_wait(provider: ScriptedProvider) -> None:
    session = provider.add([(5, "AWAITING_SOMETHING_NEW"), (20, "COMPLETED")])
    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session)

    assert [transition.status for transition in outcome.transitions] == [
        "WAITING",
        "AWAITING_SOMETHING_NEW",
        "COMPLETED",
    ]


@pytest.mark.parametrize("skew", [timedelta(0), timedelta(hours=2), timedelta(hours=-2)])
async def test_expiry_is_judged_on_the_providers_clock(skew: timedelta) -> None:
    clock = VirtualClock(skew=skew)
    provider = ScriptedProvider(clock)
    session = provider.add([(5, "IN_PROGRESS")], lifetime=timedelta(hours=1))
    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session)

    assert isinstance(outcome, Expired)
    assert outcome.confirmed
    assert HOUR <= clock.now() <= HOUR + 8


async def test_a_late_answer_from_before_the_expiry_does_not_show_it(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add([(5, "IN_PROGRESS"), (118, "COMPLETED")], lifetime=timedelta(seconds=120))
    client = provider.client(schedule=PollSchedule.every(2))
    wait = client.wait_for_outcome(session)
    await anext(wait)
    for _ in range(56):
        await clock.sleep(2)
        await client.read_session(session)
    slow = httpx.Response(200, json={"status": "IN_PROGRESS"}, headers={"Date": "Thu, 15 Jan 2026 12:01:55 GMT"})
    provider.latency = 12.0
    provider.answer_next(slow)

    assert isinstance(await wait, Completed)


async def test_expiry_moves_with_the_session(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add([(5, "IN_PROGRESS")], lifetime=timedelta(minutes=10))
    [session_id] = provider.model.sessions
    async with provider.client() as client:
        wait = client.wait_for_outcome(session)
        async for transition in wait:
            if transition.status == "IN_PROGRESS":
                provider.model.move_expiry(session_id, clock.provider_time() + timedelta(hours=2))

    assert isinstance(wait.outcome, Expired)
    assert 2 * HOUR <= clock.now() <= 2 * HOUR + 25


async def test_a_session_that_is_gone_after_its_expiry_is_expired_unconfirmed(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    provider.model.readable_for = timedelta(0)
    session = provider.add([], lifetime=timedelta(hours=1))
    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session)

    assert isinstance(outcome, Expired)
    assert not outcome.confirmed
    assert clock.now() >= HOUR


async def test_a_404_for_a_session_that_was_never_seen_ends_the_wait_at_once(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        with pytest.raises(SessionNotFoundError) as caught:
            await client.wait_for_outcome("no-such-session")

    assert len(provider.requests) == 1
    assert caught.value.correlation_id is not None


async def test_a_404_for_a_session_that_was_seen_is_confirmed_by_two_reads(provider: ScriptedProvider) -> None:
    session = provider.add()
    [session_id] = provider.model.sessions
    async with provider.client() as client:
        wait = client.wait_for_outcome(session)
        first = await anext(wait)
        provider.model.forget(session_id)
        with pytest.raises(SessionVanishedError) as caught:
            await wait

    assert len(provider.requests) == 4
    assert caught.value.latest == first.session
    assert caught.value.token == wait.token
    assert isinstance(caught.value.last_error, SessionNotFoundError)


async def test_a_404_that_says_completed_ends_the_wait_at_once(provider: ScriptedProvider) -> None:
    session = provider.add()
    provider.answer_next(httpx.Response(404, json={"error_code": "SESSION_COMPLETED"}))
    async with provider.client() as client:
        with pytest.raises(SessionVanishedError, match="probably paid"):
            await client.wait_for_outcome(session)

    assert len(provider.requests) == 1


@pytest.mark.parametrize("status_code", [401, 403])
async def test_refused_credentials_end_the_wait_at_once(provider: ScriptedProvider, status_code: int) -> None:
    session = provider.add()
    provider.answer_next(status_code)
    async with provider.client() as client:
        with pytest.raises(AuthenticationError):
            await client.wait_for_outcome(session)

    assert len(provider.requests) == 1


async def test_a_timeout_takes_one_last_read(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add()
    async with provider.client() as client:
        wait = client.wait_for_outcome(session, timeout=60)
        with pytest.raises(WaitTimeoutError) as caught:
            await wait

    assert clock.now() == 60
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.reads, caught.value.latest) == (wait.reads, wait.latest)


async def test_an_outcome_in_the_last_read_beats_the_timeout(provider: ScriptedProvider) -> None:
    session = provider.add([(59.99, "COMPLETED")])
    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session, timeout=timedelta(minutes=1), schedule=PollSchedule.every(50))

    assert isinstance(outcome, Completed)


async def test_looks_of_one_moment_are_one_read(provider: ScriptedProvider) -> None:
    session = provider.add()
    async with provider.client() as client:
        wait = client.wait_for_outcome(session)
        await anext(wait)
        await provider.clock.sleep(60)
        for _ in range(3):
            with pytest.raises(WaitTimeoutError):
                await client.wait_for_outcome(session, timeout=0)

    assert len(provider.requests) == 2


async def test_a_read_is_reported_once_as_slept_for_however_often_its_wait_is_woken(provider: ScriptedProvider) -> None:
    slept: list[Slept] = []
    observe = [lambda event: slept.append(event) if isinstance(event, Slept) else None]
    session, clock = provider.add(), provider.clock
    client = provider.client(observers=observe, schedule=PollSchedule.every(10))
    async with client, anyio.create_task_group() as tasks:
        wait = client.wait_for_outcome(session)
        await anext(wait)
        provider.latency = 5.0
        tasks.start_soon(run, wait)
        await clock.sleep(10.5)
        for _ in range(3):
            assert client.notify(session)
            await clock.sleep(0.5)

        assert len(slept) == 1
        tasks.cancel_scope.cancel()


async def test_no_wait_slept_for_less_than_no_time_before_a_read_of_anothers(provider: ScriptedProvider) -> None:
    slept: list[Slept] = []
    observe = [lambda event: slept.append(event) if isinstance(event, Slept) else None]
    session, clock = provider.add(), provider.clock
    client = provider.client(observers=observe, schedule=PollSchedule.every(10), attempts=1)
    async with client, anyio.create_task_group() as tasks:
        wait = client.wait_for_outcome(session)
        await anext(wait)
        provider.latency = 1.0
        provider.answer_next(503)
        async with anyio.create_task_group() as first:
            first.start_soon(run, wait)
            await clock.sleep(10.5)
            first.cancel_scope.cancel()  # the wait is left during a read, which fails
        await clock.sleep(1.0)
        provider.latency = 20.0
        tasks.start_soon(client.read_session, session)
        await clock.sleep(8.0)
        tasks.start_soon(run, wait)  # it is told of the failure now, and joins the read that is in flight
        await clock.sleep(5.0)

        assert [(event.seconds, event.late_by) for event in slept] == [(pytest.approx(10.0), 0.0), (0.0, 0.0)]
        tasks.cancel_scope.cancel()


async def test_a_timeout_of_zero_reads_once(provider: ScriptedProvider) -> None:
    session = provider.add()
    async with provider.client() as client:
        with pytest.raises(WaitTimeoutError):
            await client.wait_for_outcome(session, timeout=0)

    assert len(provider.requests) == 1


async def test_a_lasting_outage_is_an_error_with_its_cause(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add()
    async with provider.client(outage_tolerance=timedelta(minutes=5)) as client:
        wait = client.wait_for_outcome(session)
        await anext(wait)
        provider.answer_next(*[httpx.ConnectError("refused")] * 1000)
        with pytest.raises(OutageError) as caught:
            await wait

    assert isinstance(caught.value.__cause__, TransportError)
    assert 300 <= clock.now() <= 330


async def test_an_outage_that_ends_is_forgotten(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add(PAYS)
    provider.answer_next(*[503] * 20)
    async with provider.client() as client:
        assert isinstance(await client.wait_for_outcome(session), Completed)


async def test_unexpected_answers_do_not_end_a_wait(provider: ScriptedProvider) -> None:
    session = provider.add(PAYS)
    provider.answer_next(
        httpx.Response(302, headers={"Location": "https://elsewhere.example"}),
        httpx.Response(400),
        httpx.Response(200, text="<html>maintenance</html>"),
        httpx.Response(204),
    )
    async with provider.client() as client:
        assert isinstance(await client.wait_for_outcome(session), Completed)


async def test_closing_the_client_ends_its_waits(provider: ScriptedProvider) -> None:
    client = provider.client()
    wait = client.wait_for_outcome(provider.add())
    await anext(wait)
    await client.aclose()

    with pytest.raises(ClientClosedError):
        await wait
    with pytest.raises(ClientClosedError):
        await client.read_session(wait.session_id)


async def test_a_wait_since_a_token_goes_on_after_it(provider: ScriptedProvider) -> None:
    session = provider.add(RETRIES)
    async with provider.client() as client:
        first = client.wait_for_outcome(session, stop_on=FINAL)
        tokens = [transition.token async for transition in first]
        resumed = client.wait_for_outcome(session, since=tokens[2])
        seen = [(transition.previous, transition.status, transition.sequence) async for transition in resumed]

    assert seen == [("FAILED", "COMPLETED", 4)]


async def test_since_never_suppresses_an_outcome(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "FAILED")])
    async with provider.client() as client:
        reading = await client.read_session(session)
        wait = client.wait_for_outcome(session, since=reading)
        seen = [transition async for transition in wait]

    assert seen == []
    assert isinstance(wait.outcome, Failed)


async def test_a_session_with_a_token_counts_as_seen(provider: ScriptedProvider) -> None:
    session = provider.add(lifetime=timedelta(hours=1))
    [session_id] = provider.model.sessions
    async with provider.client() as client:
        token = (await anext(client.wait_for_outcome(session))).token
        provider.model.forget(session_id)
        with pytest.raises(SessionVanishedError):
            await client.wait_for_outcome(session, since=token)
        await provider.clock.sleep(HOUR)
        outcome = await client.wait_for_outcome(session, since=token)

    assert isinstance(outcome, Expired)
    assert (outcome.confirmed, outcome.status, outcome.transitions) == (False, "WAITING", ())


async def test_since_of_another_session_is_refused(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        token = (await anext(client.wait_for_outcome(provider.add()))).token
        with pytest.raises(ConfigurationError, match="since belongs to session"):
            client.wait_for_outcome(provider.add(), since=token)


async def test_updates_have_a_heartbeat_whenever_nothing_changes(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add([(25, "IN_PROGRESS"), (80, "COMPLETED")])  # wherever the jitter puts the reads
    async with provider.client() as client:
        wait = client.wait_for_outcome(session)
        seen = [(round(clock.now()), update) async for update in wait.updates(heartbeat=20)]

    kinds = ["beat" if isinstance(update, Heartbeat) else str(update.status) for _, update in seen]
    assert kinds == ["WAITING", "beat", "IN_PROGRESS", "beat", "beat", "COMPLETED"]
    assert [at for at, _ in seen][:2] == [0, 20]


async def test_a_heartbeat_can_be_as_short_as_a_hundredth_of_a_second(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        wait = client.wait_for_outcome(provider.add())
        updates = wait.updates(heartbeat=0.01)
        await anext(updates)

        assert isinstance(await anext(updates), Heartbeat)
        with pytest.raises(ConfigurationError, match="heartbeat"):
            wait.updates(heartbeat=0.009)


async def test_by_default_a_heartbeat_comes_after_fifteen_seconds(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    provider.latency = 50.0
    async with provider.client() as client:
        updates = client.wait_for_outcome(provider.add()).updates()

        assert isinstance(await anext(updates), Heartbeat)
        assert clock.now() == 15.0


async def test_a_heartbeat_comes_while_a_read_hangs(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "COMPLETED")])
    provider.latency = 50.0
    async with provider.client() as client:
        updates = [update async for update in client.wait_for_outcome(session).updates(heartbeat=timedelta(seconds=20))]

    assert [type(update) for update in updates] == [Heartbeat, Heartbeat, Transition]


async def test_break_needs_no_cleanup_and_the_wait_goes_on(provider: ScriptedProvider) -> None:
    session = provider.add(RETRIES)
    async with provider.client() as client:
        wait = client.wait_for_outcome(session, stop_on=FINAL)
        async for transition in wait:
            if transition.status == "FAILED":
                break
        rest = [transition.status async for transition in wait]

    assert rest == ["IN_PROGRESS", "COMPLETED"]


async def test_the_token_of_a_wait_is_that_of_the_last_yielded_transition(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        wait = client.wait_for_outcome(provider.add(PAYS))
        before = wait.token
        first = await anext(wait)

    assert before is None
    assert wait.token == first.token


async def test_an_ended_wait_ends_the_same_way_again(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        wait = client.wait_for_outcome("nowhere")
        for _ in range(2):
            with pytest.raises(SessionNotFoundError):
                await wait

    assert len(provider.requests) == 1


async def test_a_wait_that_is_dropped_warns(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        wait = client.wait_for_outcome("dropped")
        with pytest.warns(RuntimeWarning, match="session dropped was never awaited") as caught:
            del wait

    assert caught[0].filename == __file__


async def test_a_wait_that_is_cancelled_before_its_first_step_does_not_warn(provider: ScriptedProvider) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with provider.client() as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.wait_for_outcome, "cancelled")
            tasks.cancel_scope.cancel()
        gc.collect()

    assert [str(warning.message) for warning in caught if "cancelled" in str(warning.message)] == []


async def test_a_wait_that_is_dropped_after_a_look_at_its_frame_warns_once(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        wait = client.wait_for_outcome("dropped")
        assert wait.cr_frame is not None  # as trio looks before the first step
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del wait
            gc.collect()

    assert [str(warning.message) for warning in caught] == [
        "the wait for session dropped was never awaited or iterated"
    ]


async def test_nobody_follows_a_session_whose_wait_was_dropped_half_way(provider: ScriptedProvider) -> None:
    session = provider.add(PAYS)
    async with provider.client() as client:
        wait = client.wait_for_outcome(session)
        await anext(wait)
        assert client.notify(session)
        del wait
        gc.collect()

        assert not client.notify(session)


async def test_a_client_keeps_nothing_of_sessions_that_nobody_follows_any_more(provider: ScriptedProvider) -> None:
    def kept() -> int:
        gc.collect()
        return sum(isinstance(thing, SharedReads) for thing in gc.get_objects())

    before = kept()
    async with provider.client() as client:
        for _ in range(3):
            await client.wait_for_outcome(provider.add(PAYS))
            await client.read_session(provider.add(PAYS))

        assert kept() == before


async def test_the_repr_of_a_wait_shows_status_and_reads(provider: ScriptedProvider) -> None:
    provider.add(session_id="shown")
    async with provider.client() as client:
        wait = client.wait_for_outcome("shown")
        before = repr(wait)
        await anext(wait)

    assert before == "<OutcomeWait session shown: not read yet, 0 reads>"
    assert repr(wait) == "<OutcomeWait session shown: WAITING, 1 reads>"


async def test_48_hours_take_as_many_reads_as_the_schedule_says(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add(lifetime=timedelta(hours=48))
    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session)

    assert isinstance(outcome, Expired)
    assert 750 <= len(provider.requests) <= 850
    assert clock.now() == pytest.approx(48 * HOUR, abs=8)


@pytest.mark.parametrize(
    "arguments",
    [
        {"stop_on": "FAILED"},
        {"stop_on": {1}},
        {"stop_on": 1},
        {"stop_on": {"COMPLETE"}},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": "60"},
        {"schedule": 5.0},
        {"since": "not a token"},
        {"since": 7},
        {"since": Session(status=SessionStatus.WAITING, updated_at=datetime(2026, 1, 1))},  # noqa: DTZ001 - naive on purpose
    ],
)
async def test_bad_arguments_are_refused_before_anything_is_sent(
    provider: ScriptedProvider, arguments: dict[str, object]
) -> None:
    async with provider.client() as client:
        with pytest.raises(ConfigurationError, match=next(iter(arguments))):
            client.wait_for_outcome("session", **arguments)  # type: ignore[arg-type]  # wrong on purpose


async def test_the_error_for_a_bad_delay_names_the_schedule(provider: ScriptedProvider) -> None:
    class Broken:
        def delay(self, session: object, *, age: float, draw: float) -> float:
            return float("nan")

    async with provider.client() as client:
        with pytest.raises(HPPError, match=r"Broken\.delay\(\) returned nan"):
            await client.wait_for_outcome(provider.add(), schedule=Broken())
