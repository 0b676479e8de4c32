"""A watch, in virtual time, on every event loop: what it yields, how sessions end, and which sessions it watches."""

from __future__ import annotations

from datetime import timedelta

import anyio
import httpx
import pytest
from support.watching import PAYS, RETRIES, by_session, events_of, step, told

from hpp_async import (
    FINAL,
    AuthenticationError,
    Completed,
    ConfigurationError,
    Event,
    Expired,
    OutageError,
    PollSchedule,
    ReadBudget,
    Session,
    SessionNotFoundError,
    SessionVanishedError,
    Transition,
    WaitEnded,
    WaitError,
    Watch,
    is_newer,
)
from hpp_async.testing import ScriptedProvider, VirtualClock

pytestmark = pytest.mark.anyio

HOUR = 3600.0


async def test_a_watch_yields_each_transition_and_then_the_outcome(provider: ScriptedProvider) -> None:
    session = provider.add(PAYS)
    async with provider.client() as client, client.watch([session]) as watch:
        events = await events_of(watch)

    assert [told(event) for event in events] == ["WAITING", "IN_PROGRESS", "COMPLETED", "Completed"]
    assert [event.is_last for event in events] == [False, False, False, True]
    assert isinstance(events[-1].news, Completed)
    assert events[-1].news.transitions == (events[-2].news,)  # the others are not kept
    assert len(watch) == 0


async def test_the_rest_of_a_session_is_what_the_next_steps_would_yield(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add([(0, "WAITING"), (5, "IN_PROGRESS"), (10, "COMPLETED")])
    async with provider.client() as client, client.watch([session, provider.add()]) as watch:
        early = [(await anext(watch)).session_id for _ in range(2)]
        none = watch.rest_of(session)  # its outcome is not known yet
        for _ in range(2):
            await clock.sleep(5)
            await client.read_session(session)
        event = await anext(watch)
        rest = watch.rest_of(session)

        assert (set(early), none) == (set(map(client.session_id, early)), [])
        assert [told(one) for one in (event, *rest)] == ["IN_PROGRESS", "COMPLETED", "Completed"]
        assert [one.is_last for one in rest] == [False, True]
        assert client.session_id(session) not in watch.tokens()
        assert watch.rest_of(session) == []
        assert len(watch) == 1


async def test_a_watch_is_late_also_with_a_read_that_was_due_soon_after_a_restart(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add([(0, "WAITING"), (5, "IN_PROGRESS")])
    async with provider.client() as client:
        async with client.watch([session]) as watch:
            while told(await anext(watch)) != "IN_PROGRESS":
                pass
            tokens = {**watch.tokens(), client.session_id(provider.add()): None}
        async with client.watch(tokens) as watch:
            await anext(watch)
            await clock.sleep(100)  # the caller deals with the event
            late_by = watch.late_by

    assert 90 < late_by < 100


async def test_a_watch_is_late_while_a_due_read_does_not_begin(provider: ScriptedProvider, clock: VirtualClock) -> None:
    late_by = list[float]()
    sessions = [provider.add() for _ in range(2)]
    client = provider.client(schedule=PollSchedule.every(10), budget=ReadBudget(50, max_in_flight=1))
    async with client, client.watch(sessions) as watch:
        late_by.append(watch.late_by)  # first reads do not count
        await anext(watch)
        await anext(watch)
        late_by.append(watch.late_by)
        await clock.sleep(60)  # nothing is read between two steps
        late_by.append(watch.late_by)
        provider.answer_next(429)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(step, watch)
            await clock.sleep(1)  # the refusal pauses all reads: the second one does not begin
            late_by.append(watch.late_by)
            tasks.cancel_scope.cancel()

    assert late_by[:2] == [0.0, 0.0]
    assert 45 < late_by[2] <= 60
    assert late_by[2] < late_by[3] <= 61


async def test_sessions_of_every_life_are_followed_side_by_side(provider: ScriptedProvider) -> None:
    lives = {"paid": PAYS, "retried": RETRIES, "cancelled": [(50, "CANCELLED")], "left": [(9, "AWAITING_3DS")]}
    sessions = [provider.add(life, session_id=name, lifetime=timedelta(minutes=9)) for name, life in lives.items()]
    async with provider.client() as client, client.watch(sessions, stop_on=FINAL) as watch:
        said = by_session(await events_of(watch))

    assert said == {
        "paid": ["WAITING", "IN_PROGRESS", "COMPLETED", "Completed"],
        "retried": ["WAITING", "IN_PROGRESS", "FAILED", "IN_PROGRESS", "COMPLETED", "Completed"],
        "cancelled": ["WAITING", "CANCELLED", "Cancelled"],
        "left": ["WAITING", "AWAITING_3DS", "Expired"],
    }  # fmt: skip


async def test_an_outcome_is_seen_no_later_than_promised(provider: ScriptedProvider, clock: VirtualClock) -> None:
    sessions = [provider.add(PAYS) for _ in range(20)]
    async with provider.client() as client, client.watch(sessions) as watch:
        events = await events_of(watch)

    assert [type(event.news) for event in events if event.is_last] == [Completed] * 20
    assert clock.now() <= 95 + 2 + 0.01 * 65 + 1 + 20 / 12.5  # a Date counts whole seconds; the budget, in turn


# -- every ending is an event ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([401, 401, 401], AuthenticationError),
        ([403, 403, 403], AuthenticationError),
        ([404, 404, 404], SessionVanishedError),
        ([httpx.Response(404, json={"error_code": "SESSION_COMPLETED"})], SessionVanishedError),
        ([503] * 1000, OutageError),
        ([httpx.ConnectError("refused")] * 1000, OutageError),
    ],
)
async def test_the_error_of_a_session_is_its_last_event(
    provider: ScriptedProvider, answers: list[int | Exception | httpx.Response], kind: type[Exception]
) -> None:
    session = provider.add()
    async with provider.client() as client, client.watch([session]) as watch:
        first = await step(watch)
        provider.answer_next(*answers)
        [last] = await events_of(watch)

    assert type(last.news) is kind
    assert first.token is not None
    assert last.token is not None
    assert last.is_last
    assert last.token.endswith(":WAITING")
    assert not is_newer(last.token, first.token)
    if isinstance(last.news, WaitError):
        assert last.news.token == last.token


async def test_a_session_that_was_never_seen_ends_without_a_token(provider: ScriptedProvider) -> None:
    async with provider.client() as client, client.watch(["nowhere"]) as watch:
        [event] = await events_of(watch)

    assert isinstance(event.news, SessionNotFoundError)
    assert (event.session_id, event.token) == ("nowhere", None)


async def test_the_error_of_one_session_does_not_end_the_others(provider: ScriptedProvider) -> None:
    sessions = [provider.add(PAYS, session_id="paid"), "nowhere"]
    async with provider.client() as client, client.watch(sessions) as watch:
        said = by_session(await events_of(watch))

    assert said == {"nowhere": ["SessionNotFoundError"], "paid": ["WAITING", "IN_PROGRESS", "COMPLETED", "Completed"]}


@pytest.mark.parametrize(("readable_for", "is_confirmed"), [(timedelta(days=1), True), (timedelta(0), False)])
async def test_expiry_is_seen_when_it_comes(
    provider: ScriptedProvider, clock: VirtualClock, readable_for: timedelta, is_confirmed: bool
) -> None:
    provider.model.readable_for = readable_for
    session = provider.add([(5, "IN_PROGRESS")], lifetime=timedelta(hours=1))
    async with provider.client() as client, client.watch([session]) as watch:
        events = await events_of(watch)

    assert isinstance(events[-1].news, Expired)
    assert events[-1].news.confirmed is is_confirmed
    assert HOUR <= clock.now() <= HOUR + 8


async def test_a_failure_in_idle_time_does_not_count_as_outage(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "IN_PROGRESS")])
    provider.latency = 1.0
    provider.answer_next(503, 503)
    async with provider.client(outage_tolerance=60, attempts=1) as client, client.watch([session]) as watch:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(step, watch)
            await provider.clock.sleep(0.5)
            tasks.cancel_scope.cancel()
        await provider.clock.sleep(HOUR)

        assert told(await step(watch)) == "IN_PROGRESS"


async def test_the_error_of_a_schedule_is_raised_after_the_events_and_loses_nothing(provider: ScriptedProvider) -> None:
    class Picky:
        def delay(self, session: Session, *, age: float, draw: float) -> float:
            if session.session_id == "odd":
                raise ZeroDivisionError
            return 5.0

    sessions = [provider.add(session_id="odd"), provider.add(session_id="even")]
    client = provider.client(budget=ReadBudget(5))
    async with client, client.watch(sessions, schedule=Picky()) as watch:
        assert (await step(watch)).session_id == "odd"
        with pytest.raises(ZeroDivisionError):
            await step(watch)
        watch.discard("odd")
        provider.model.change("even", "DISABLED")

        assert by_session(await events_of(watch)) == {"even": ["DISABLED", "Disabled"]}


async def test_of_two_errors_in_one_step_the_first_is_raised(provider: ScriptedProvider, clock: VirtualClock) -> None:
    class Broken:
        def delay(self, session: Session, *, age: float, draw: float) -> float:
            raise ZeroDivisionError(session.session_id)

    watched = [provider.add() for _ in range(5)]
    provider.latency = 1.0
    async with provider.client() as client, client.watch(watched, schedule=Broken()) as watch:
        first = await step(watch)
        await clock.sleep(1)  # meanwhile the reads of the others finish
        with pytest.raises(ZeroDivisionError, match=first.session_id):
            await events_of(watch)


async def test_the_error_of_a_schedule_does_not_wait_for_all_due_reads(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    class Broken:
        def delay(self, session: Session, *, age: float, draw: float) -> float:
            return float("nan")

    sessions = [provider.add() for _ in range(50)]
    provider.latency = 0.1
    client = provider.client(budget=ReadBudget(1000, max_in_flight=2))
    async with client, client.watch(sessions, schedule=Broken()) as watch:
        with pytest.raises(ConfigurationError, match=r"Broken\.delay\(\) returned nan"):
            await dealt_with_slowly(watch, clock)

    assert len(provider.requests) < 5


async def dealt_with_slowly(watch: Watch, clock: VirtualClock) -> None:
    """Iterate the watch, and take a second for each event, in which more sessions are read."""
    async for _ in watch:
        await clock.sleep(1)


# -- which sessions ----------------------------------------------------------------------------------------------------


async def test_a_session_is_watched_once_however_it_is_named(provider: ScriptedProvider) -> None:
    session = provider.add(PAYS, session_id="named")
    async with provider.client() as client, client.watch([session, "named", session]) as watch:
        watch.add("named")
        before = len(watch)
        events = await events_of(watch)

    assert before == 1
    assert [event.session_id for event in events] == ["named"] * 4


async def test_sessions_come_and_go_while_others_are_watched(provider: ScriptedProvider, clock: VirtualClock) -> None:
    first, second = provider.add(session_id="first"), provider.add(PAYS, session_id="second")
    said: list[str] = []
    async with provider.client() as client, client.watch([first]) as watch, anyio.create_task_group() as tasks:

        async def follow() -> None:
            said.extend(f"{event.session_id} {told(event)}" for event in await events_of(watch))

        tasks.start_soon(follow)
        await clock.sleep(20)
        watch.add(second)
        await clock.sleep(20)
        watch.discard(first)

    assert said == [
        "first WAITING",
        *(f"second {word}" for word in ("WAITING", "IN_PROGRESS", "COMPLETED", "Completed")),
    ]


async def test_discarding_the_last_session_ends_the_iteration(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add()
    async with provider.client() as client, client.watch([session]) as watch, anyio.create_task_group() as tasks:
        await step(watch)
        tasks.start_soon(events_of, watch)
        await clock.sleep(1)
        watch.discard(session)
        watch.discard(session)

    assert (len(watch), clock.now()) == (0, 1)


async def test_a_watch_that_ran_out_goes_on_after_another_add(provider: ScriptedProvider) -> None:
    async with provider.client() as client, client.watch() as watch:
        before = await events_of(watch)
        watch.add(provider.add([(0, "DISABLED")]))
        after = [told(event) for event in await events_of(watch)]

    assert (before, after) == ([], ["DISABLED", "Disabled"])


async def test_a_watch_for_ever_waits_for_another_add(provider: ScriptedProvider, clock: VirtualClock) -> None:
    said: list[tuple[float, str]] = []
    async with provider.client() as client, client.watch(forever=True) as watch, anyio.create_task_group() as tasks:

        async def follow() -> None:
            for _ in range(4):
                event = await step(watch)
                said.append((clock.now(), told(event)))
            await step(watch)

        tasks.start_soon(follow)
        for _ in range(2):
            await clock.sleep(100)
            watch.add(provider.add([(0, "DISABLED")]))
        await clock.sleep(100)
        tasks.cancel_scope.cancel()

    assert said == [(100, "DISABLED"), (100, "Disabled"), (200, "DISABLED"), (200, "Disabled")]


async def test_a_mapping_resumes_each_session_where_it_was(provider: ScriptedProvider) -> None:
    sessions = {name: provider.add(RETRIES, session_id=name) for name in ("token", "reading", "nothing")}
    async with provider.client() as client:
        token = (await anext(client.wait_for_outcome(sessions["token"]))).token
        reading = await client.read_session(sessions["reading"])
        since = {sessions["token"]: token, sessions["reading"]: reading, sessions["nothing"]: None}
        async with client.watch(since) as watch:
            events = await events_of(watch)

    rest = ["IN_PROGRESS", "FAILED", "Failed"]
    assert by_session(events) == {"nothing": ["WAITING", *rest], "token": rest, "reading": rest}
    assert [
        event.news.sequence for event in events if isinstance(event.news, Transition) if event.session_id == "token"
    ] == [2, 3]


async def test_one_refused_session_refuses_the_whole_watch(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        with pytest.raises(ConfigurationError, match="not on this client's endpoint"):
            client.watch([provider.add(), "https://elsewhere.example/hpp/v1/sessions/1", provider.add()])

    assert provider.requests == []


async def test_a_damaged_token_is_the_only_event_of_its_session_and_stops_no_other(provider: ScriptedProvider) -> None:
    names = [provider.add([(0, "COMPLETED")], session_id=name) for name in ("damaged", "of-another", "well")]
    tokens = {"damaged": "hpp1:1:oops", "of-another": "hpp1:1:-:-:somebody:WAITING", "well": None}
    told_of: list[Event] = []
    async with provider.client(observers=[told_of.append]) as client, client.watch(tokens) as watch:
        before = watch.tokens()
        watch.add(names[0])  # it is watched already
        events = await events_of(watch)

    assert before == tokens
    assert len(names) == 3
    assert by_session(events) == {
        "damaged": ["ConfigurationError"],
        "of-another": ["ConfigurationError"],
        "well": ["COMPLETED", "Completed"],
    }
    assert [event.is_last for event in events] == [True, True, False, True]
    assert ["damaged" in str(events[0].news), "somebody" in str(events[1].news)] == [True, True]
    assert [event.session_id for event in told_of if isinstance(event, WaitEnded)] == ["damaged", "of-another", "well"]


async def test_a_session_with_a_damaged_token_can_be_discarded(provider: ScriptedProvider) -> None:
    async with provider.client() as client, client.watch({"damaged": "oops"}) as watch:
        watch.discard("damaged")

        assert len(watch) == 0
        assert await events_of(watch) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sessions": "one-id"}, "sessions is one string"),
        ({"stop_on": "FAILED"}, "stop_on"),
        ({"schedule": 5.0}, "schedule"),
        ({"sessions": [7]}, "session is a int"),
    ],
)
async def test_bad_arguments_are_refused(
    provider: ScriptedProvider, arguments: dict[str, object], message: str
) -> None:
    async with provider.client() as client:
        with pytest.raises(ConfigurationError, match=message):
            client.watch(**arguments)  # type: ignore[arg-type]  # wrong on purpose


# -- how it is used ----------------------------------------------------------------------------------------------------


async def test_a_watch_is_entered_before_it_is_iterated_and_once(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        watch = client.watch([provider.add()])
        with pytest.raises(RuntimeError, match="enter the watch before"):
            await anext(watch)
        async with watch:
            pass
        with pytest.raises(RuntimeError, match="entered only once"):
            await watch.__aenter__()

        assert await events_of(watch) == []


async def test_two_tasks_cannot_iterate_at_once(provider: ScriptedProvider, clock: VirtualClock) -> None:
    async with provider.client() as client, client.watch([provider.add(PAYS)]) as watch:
        await step(watch)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(events_of, watch)
            await clock.sleep(1)
            with pytest.raises(RuntimeError, match="in one task at a time"):
                await anext(watch)

    assert len(watch) == 0


async def test_the_repr_of_a_watch_shows_how_many_sessions_it_follows(provider: ScriptedProvider) -> None:
    async with provider.client() as client, client.watch([provider.add(), provider.add()]) as watch:
        during = repr(watch)

    assert (during, repr(watch)) == ("<Watch of 2 sessions>", "<Watch of 2 sessions, closed>")


async def test_the_schedule_of_a_watch_goes_before_the_clients(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add([(5, "COMPLETED")])
    async with provider.client() as client, client.watch([session], schedule=PollSchedule.every(50)) as watch:
        await events_of(watch)

    assert clock.now() == 50
