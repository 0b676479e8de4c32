"""The activity of the recipe for Temporal, in Temporal's own environment for tests, which needs no server."""

from __future__ import annotations

import asyncio

import pytest
from support.watching import PAYS
from temporal_sessions import Follow, Steps
from temporalio import workflow
from temporalio.converter import DataConverter
from temporalio.testing import ActivityEnvironment

from hpp_async import FINAL, AnyOutcome, PollSchedule, Transition
from hpp_async.testing import ScriptedProvider, VirtualClock

PUNCTUAL = PollSchedule(jitter=0.0)


class Shop:
    def __init__(self) -> None:
        self.news = list[str]()

    async def deal_with(self, news: Transition | AnyOutcome) -> None:
        self.news.append(type(news).__name__ if not isinstance(news, Transition) else str(news.status))


@pytest.mark.asyncio
async def test_a_chain_of_activities_is_as_one_wait() -> None:
    provider, shop, environment = ScriptedProvider(VirtualClock()), Shop(), ActivityEnvironment()
    beats = list[tuple[object, ...]]()
    environment.on_heartbeat = lambda *details: beats.append(details)
    async with provider.client(schedule=PUNCTUAL) as client:
        await client.wait_for_outcome(provider.add(PAYS), stop_on=FINAL)
        reads = len(provider.requests)
        provider.requests.clear()
        steps, session_id, since, taken = Steps(client, shop.deal_with, hold=0.0), provider.add(PAYS), None, 0
        while True:
            step = await environment.run(steps.step, session_id, since, False)
            taken += 1
            since = step["token"]
            if step["ending"] is not None:
                break
            await provider.clock.sleep(step["resume_in"])

    assert step["ending"] == "Completed"
    assert shop.news == ["WAITING", "IN_PROGRESS", "COMPLETED", "Completed"]
    assert len(provider.requests) == reads + 1
    assert len(beats) == taken  # each step was alive at least once


@pytest.mark.asyncio
async def test_a_step_passes_through_the_default_converter() -> None:
    provider, environment = ScriptedProvider(VirtualClock()), ActivityEnvironment()
    async with provider.client() as client:
        step = await environment.run(Steps(client, Shop().deal_with).step, provider.add(), None, False)

    encoded = await DataConverter.default.encode([step])
    assert await DataConverter.default.decode(encoded) == [step]


@pytest.mark.asyncio
async def test_a_cancelled_activity_loses_nothing() -> None:
    provider, shop, environment = ScriptedProvider(VirtualClock()), Shop(), ActivityEnvironment()
    session_id = provider.add(PAYS)
    async with provider.client(schedule=PUNCTUAL) as client:
        steps = Steps(client, shop.deal_with, hold=60.0)
        first = await environment.run(steps.step, session_id, None, False)
        running = asyncio.ensure_future(environment.run(steps.step, session_id, first["token"], False))
        await asyncio.sleep(0)
        environment.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        second = await ActivityEnvironment().run(steps.step, session_id, first["token"], False)

    assert second["ending"] is None
    assert shop.news == ["WAITING", "IN_PROGRESS"]


def test_the_workflow_is_one_that_temporal_accepts() -> None:
    definition = workflow._Definition.must_from_class(Follow)

    assert (definition.name, list(definition.signals)) == ("Follow", ["called_back"])
