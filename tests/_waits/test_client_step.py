"""A chain of steps, for durable engines: the same reads and endings as one wait, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import anyio
import httpx
import pytest
from support.watching import PAYS, RETRIES

from hpp_async import (
    FINAL,
    AnyOutcome,
    Completed,
    ConfigurationError,
    Expired,
    HPPClient,
    HPPError,
    OutageError,
    Outcome,
    Parked,
    PollSchedule,
    SessionNotFoundError,
    Transition,
)
from hpp_async.testing import ScriptedProvider, VirtualClock

pytestmark = pytest.mark.anyio

LEFT = [(5.0, "IN_PROGRESS")]
PUNCTUAL = PollSchedule(jitter=0.0)


async def chain(
    provider: ScriptedProvider, session: str, *, hold: float
) -> tuple[list[str], AnyOutcome | HPPError, int]:
    """Call `HPPClient.step` until the end, each time with another client, as in another process."""
    token, seen, parked = None, list[str](), 0
    while True:
        async with provider.client(schedule=PUNCTUAL) as client:
            try:
                step = await client.step(session, since=token, hold=hold, stop_on=FINAL)
            except HPPError as error:
                return seen, error, parked
        if isinstance(step, Outcome):
            return seen, step, parked
        token = step.token
        if isinstance(step, Transition):
            seen.append(str(step.status))
        else:
            parked += 1
            assert step.resume_in > hold
            await provider.clock.sleep(step.resume_in)


async def one_wait(provider: ScriptedProvider, session: str) -> tuple[list[str], AnyOutcome | HPPError]:
    async with provider.client(schedule=PUNCTUAL) as client:
        wait = client.wait_for_outcome(session, stop_on=FINAL)
        seen = list[str]()
        try:
            async for transition in wait:
                seen.append(str(transition.status))
            return seen, await wait
        except HPPError as error:
            return seen, error


@pytest.mark.parametrize("hold", [0.0, 5.0, 30.0])
@pytest.mark.parametrize("life", [PAYS, RETRIES, LEFT], ids=["pays", "retries", "leaves"])
async def test_a_chain_of_steps_reads_and_ends_as_one_wait(
    provider: ScriptedProvider, life: Sequence[tuple[float, str]], hold: float
) -> None:
    session = provider.add(life, session_id="one", lifetime=timedelta(hours=2))
    seen, ending = await one_wait(provider, session)
    reads = len(provider.requests)
    provider.requests.clear()
    session = provider.add(life, session_id="other", lifetime=timedelta(hours=2))
    seen_in_steps, end_of_chain, _ = await chain(provider, session, hold=hold)

    assert (seen_in_steps, type(end_of_chain)) == (seen, type(ending))
    assert abs(len(provider.requests) - reads) <= 1 + 0.01 * reads


async def test_an_outage_ends_a_chain_of_steps_too(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add()
    provider.answer_next(*[httpx.ConnectError("refused")] * 1000)
    seen, ending, parked = await chain(provider, session, hold=10.0)

    assert seen == []
    assert isinstance(ending, OutageError)
    assert parked > 3
    assert 600 <= clock.now() < 700


async def test_a_step_that_is_not_due_yet_reads_nothing(provider: ScriptedProvider) -> None:
    session = provider.add()
    async with provider.client() as client:
        first = await client.step(session)
        assert isinstance(first, Transition)
        parked = await client.step(session, since=first.token, hold=1.0)
        again = await client.step(session, since=first.token, hold=1.0)

    assert isinstance(parked, Parked)
    assert parked == again
    assert 5.0 < parked.resume_in <= 10.0
    assert len(provider.requests) == 1


class BusyClock(VirtualClock):
    """The clock of a process that is held up for a while when it looks at the calendar."""

    held_up_for = 0.0

    def today(self) -> datetime:
        self._now += self.held_up_for
        return super().today()


async def test_a_process_that_is_held_up_when_a_step_begins_does_not_read_too_early() -> None:
    clock = BusyClock()
    provider = ScriptedProvider(clock)
    session = provider.add()
    async with provider.client(schedule=PollSchedule.every(10.0)) as client:
        first = await client.step(session)
        assert isinstance(first, Transition)
        clock.held_up_for = 0.5
        parked = await client.step(session, since=first.token, hold=1.0)

    assert isinstance(parked, Parked)
    assert clock.now() + parked.resume_in >= 10.0


async def test_a_step_holds_a_read_that_is_near(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add([(5.0, "COMPLETED")])
    async with provider.client() as client:
        first = await client.step(session)
        assert isinstance(first, Transition)
        second = await client.step(session, since=first.token)
        assert isinstance(second, Transition)
        third = await client.step(session, since=second.token)

    assert isinstance(third, Completed)
    assert 5.0 <= clock.now() <= 11.0


async def test_a_cancelled_step_can_be_taken_again(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add([(40.0, "COMPLETED")])

    async def steps(client: HPPClient, token: str) -> None:
        await client.step(session, since=token)

    async with provider.client() as client:
        first = await client.step(session)
        assert isinstance(first, Transition)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(steps, client, first.token)
            await clock.sleep(20.0)
            tasks.cancel_scope.cancel()
        step = await client.step(session, since=first.token)
        assert not client.notify(session)  # nobody follows it any more

    assert isinstance(step, Transition)
    assert (step.status, step.sequence) == ("COMPLETED", 2)


async def test_a_step_raises_what_ends_a_wait(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        with pytest.raises(SessionNotFoundError):
            await client.step("nowhere")
        with pytest.raises(ConfigurationError, match="hold"):
            await client.step("nowhere", hold=-1)
    session = provider.add(lifetime=timedelta(seconds=5))
    _, ending, _ = await chain(provider, session, hold=0.0)
    assert isinstance(ending, Expired)
