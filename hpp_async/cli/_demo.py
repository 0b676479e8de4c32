"""A demonstration: a provider on loopback, a scripted consumer, and a wait over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

import httpx

from hpp_async import HPPClient, Outcome, PollSchedule, SessionStatus
from hpp_async.cli._clients import OUTAGE_TOLERANCE, SIMULATED
from hpp_async.cli._follow import follow
from hpp_async.cli._views import View
from hpp_async.cli._words import say
from hpp_async.simulator import serve
from hpp_async.testing import Consumer, Provider


def simulated(consumer: Consumer, speed: float) -> Provider:
    """Return a provider in real time."""
    return Provider(now=lambda: datetime.now(UTC), auth=SIMULATED, consumer=consumer, speed=speed)


def demonstrate(consumer: Consumer, speed: float, *, stop_on: AbstractSet[SessionStatus], view: View) -> Outcome:
    """
    Wait in *view* for a session that *consumer* visits.

    Raises:
        HPPError: the wait's.
    """
    with serve(simulated(consumer, speed)) as url:
        say(f"the simulated provider is at {url}/simulator; its consumer {consumer.story}")
        return asyncio.run(_wait(url, stop_on=stop_on, every=min(1.5, max(0.1, 1.5 / speed)), view=view))


async def _wait(url: str, *, stop_on: AbstractSet[SessionStatus], every: float, view: View) -> Outcome:
    # No proxy of the environment is between this process and loopback.
    async with httpx.AsyncClient(trust_env=False) as http:
        body = {"payment_session_url": f"{url}/payments/v1/sessions/demo"}
        created = await http.post(f"{url}/hpp/v1/sessions", json=body, auth=SIMULATED)
        client = HPPClient(
            auth=SIMULATED,
            endpoint=url,
            http_client=http,
            schedule=PollSchedule.every(every),
            outage_tolerance=OUTAGE_TOLERANCE,
            observers=(view.observe,),
        )
        return await follow(client, client.wait_for_outcome(created.json()["session_url"], stop_on=stop_on), view)
