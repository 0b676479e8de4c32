"""What a wait does not believe at once: refusals, a missing expiry, this machine's calendar, frozen time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import anyio
import httpx
import pytest

from hpp_async import (
    AuthenticationError,
    Completed,
    Event,
    Expired,
    ExpiryUnknownError,
    HPPClient,
    NotProcessedError,
    OutageError,
    PollSchedule,
    RateLimitedError,
    ReadFailed,
)
from hpp_async.testing import Answered, Dateless, Dropped, ScriptedProvider, VirtualClock

pytestmark = pytest.mark.anyio

HOUR = 3600.0
PAYS = [(1, "IN_PROGRESS"), (400, "COMPLETED")]


class FreezingClock(VirtualClock):
    """The clock of a process that can be frozen: its timers fire late."""

    def freeze(self, seconds: float) -> None:
        self._now += seconds


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status_code", [401, 403])
async def test_two_seconds_of_refusals_end_no_wait(provider: ScriptedProvider, status_code: int) -> None:
    sessions = [provider.add([(1, "IN_PROGRESS"), (400 + number, "COMPLETED")]) for number in range(60)]
    provider.trouble(Answered(status_code), start=300, until=302)
    async with provider.client() as client, client.watch(sessions) as watch:
        endings = Counter([type(event.news) async for event in watch if event.is_last])

    assert endings == {Completed: 60}


async def test_a_refusal_is_confirmed_if_read_session_has_read_the_session(provider: ScriptedProvider) -> None:
    session = provider.add(PAYS)
    async with provider.client() as client:
        await client.read_session(session)
        await provider.clock.sleep(60)
        provider.answer_next(403)
        outcome = await client.wait_for_outcome(session)

    assert isinstance(outcome, Completed)


async def test_a_refusal_ends_the_wait_at_once_if_the_last_read_is_forgotten(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpp_async._waits.reads._REMEMBERED", 2)
    sessions = [provider.add(PAYS) for _ in range(3)]
    async with provider.client() as client:
        for session in sessions:
            await client.read_session(session)
        await provider.clock.sleep(60)
        provider.answer_next(403)
        with pytest.raises(AuthenticationError):
            await client.wait_for_outcome(sessions[0])


async def test_credentials_that_stay_refused_end_the_wait_after_four_seconds(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add(PAYS)
    provider.trouble(Answered(401), start=100)
    async with provider.client(schedule=PollSchedule.every(50)) as client:
        with pytest.raises(AuthenticationError):
            await client.wait_for_outcome(session)

    assert clock.now() == 104.0


# -- an expiry that nobody can read ------------------------------------------------------------------------------------


def answering(clock: VirtualClock, answer: Callable[[], httpx.Response]) -> HPPClient:
    """Return a client to which *answer* answers every request."""
    http_client = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer()))
    return HPPClient(auth=("PK1_a", "b"), endpoint="EU_PLAYGROUND", http_client=http_client, clock=clock)


@pytest.mark.parametrize("expires_at", [None, "soon", "0001-01-01T00:00:00Z"])
async def test_a_session_without_a_readable_expiry_ends_after_72_hours(
    clock: VirtualClock, expires_at: str | None
) -> None:
    born = clock.today()

    def answer() -> httpx.Response:
        date = clock.today().strftime("%a, %d %b %Y %H:%M:%S GMT")
        body = {"status": "WAITING", "updated_at": born.isoformat(), "expires_at": expires_at}
        return httpx.Response(200, headers={"Date": date}, json=body)

    client = answering(clock, answer)
    with pytest.raises(ExpiryUnknownError, match="72 hours") as caught:
        await client.wait_for_outcome("a-session")

    assert clock.now() == 72 * HOUR
    assert caught.value.token is not None


@pytest.mark.parametrize("skew", [timedelta(days=3), timedelta(days=-3)])
async def test_the_calendar_of_this_machine_alone_never_ends_a_session(skew: timedelta) -> None:
    provider = ScriptedProvider(VirtualClock(skew=skew))
    session = provider.add(PAYS)
    provider.trouble(Dateless())
    async with provider.client() as client:
        reading = await client.read_session(session)
        outcome = await client.wait_for_outcome(session)

    assert reading.is_locally_dated
    assert isinstance(outcome, Completed)


async def test_one_date_of_the_provider_is_enough_to_judge_the_expiry() -> None:
    provider = ScriptedProvider(VirtualClock(skew=timedelta(days=3)))
    session = provider.add()
    provider.trouble(Dateless(), start=1)
    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session)

    assert isinstance(outcome, Expired)
    assert outcome.confirmed
    assert provider.clock.now() >= 47 * HOUR


# -- frozen time -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("was_held", [False, True], ids=["", "after a pause of the budget"])
@pytest.mark.parametrize("frozen_at", [110.0, 130.0, 155.5])
async def test_time_in_which_the_process_is_frozen_does_not_count_as_outage(frozen_at: float, was_held: bool) -> None:
    clock = FreezingClock()
    provider = ScriptedProvider(clock)
    session = provider.add([(1, "IN_PROGRESS"), (9_000, "COMPLETED")])
    thawed_at = frozen_at + 8_950
    provider.trouble(Dropped(), start=100, until=thawed_at + 1)
    failures: list[float] = []

    def observe(event: Event) -> None:
        if isinstance(event, ReadFailed):
            failures.append(clock.now())

    client = provider.client(outage_tolerance=60, attempts=1, observers=[observe])
    async with client, anyio.create_task_group() as tasks:

        async def freeze() -> None:
            await clock.sleep(frozen_at)
            clock.freeze(thawed_at - clock.now())

        async def hold() -> None:
            await clock.sleep(5)
            provider.answer_next(httpx.Response(429, headers={"Retry-After": "60"}))
            with pytest.raises(RateLimitedError):
                await client.read_session(provider.add())

        tasks.start_soon(freeze)
        if was_held:
            tasks.start_soon(hold)
        assert isinstance(await client.wait_for_outcome(session), Completed)

    assert failures[0] < frozen_at < thawed_at <= failures[-1], "it failed before and after"


async def test_an_outage_ends_the_wait_in_time_even_if_each_read_takes_long(clock: VirtualClock) -> None:
    provider = ScriptedProvider(clock)
    provider.latency = 5.0
    session = provider.add(PAYS)
    provider.trouble(Answered(503), start=100)
    async with provider.client(outage_tolerance=120) as client:
        with pytest.raises(OutageError):
            await client.wait_for_outcome(session)

    assert 220.0 <= clock.now() <= 260.0


# -- what an answer asks for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status_code", [408, 421, 425, 500, 503])
async def test_retry_after_is_heeded_on_every_answer_that_is_tried_again(
    provider: ScriptedProvider, clock: VirtualClock, status_code: int
) -> None:
    session = provider.add([(0, "COMPLETED")])
    provider.answer_next(httpx.Response(status_code, headers={"Retry-After": "30"}))
    async with provider.client() as client:
        await client.wait_for_outcome(session)

    assert clock.now() == 30.0


@pytest.mark.parametrize("status_code", [408, 421, 425])
async def test_a_request_that_was_not_processed_is_tried_again(provider: ScriptedProvider, status_code: int) -> None:
    session = provider.add(PAYS)
    provider.answer_next(status_code)
    async with provider.client() as client:
        await client.read_session(session)
        provider.answer_next(status_code, status_code, status_code)
        with pytest.raises(NotProcessedError):
            await client.read_session(session)

    assert len(provider.requests) == 5


# -- a schedule of the user's own --------------------------------------------------------------------------------------


async def test_a_bad_delay_is_refused_once_and_costs_one_read(provider: ScriptedProvider) -> None:
    class Negative:
        def delay(self, *_: object, **__: object) -> float:
            return -1.0

    session = provider.add(PAYS)
    async with provider.client(schedule=Negative()) as client:
        wait = client.wait_for_outcome(session)
        for _ in range(3):
            with pytest.raises(ValueError, match=r"Negative\.delay\(\) returned -1\.0: return the seconds"):
                await wait

    assert len(provider.requests) == 1
