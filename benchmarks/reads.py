"""One read beside a bare `client.get(url, auth=…)`, and a whole wait beside a hand-written loop."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import httpx

from benchmarks.figures import Figure, in_turns
from benchmarks.provider import AUTH, SESSION_ID, UNLIMITED, InMemory, over_http, reads_at, wait_id
from hpp_async import Completed, HPPClient, Session

_PATH = "/hpp/v1/sessions/"


def measure(*, quick: bool) -> Iterator[Figure]:
    rounds, calls = (2, 5) if quick else (200, 25)
    with over_http() as base_url:
        yield asyncio.run(_over_http(base_url, rounds, calls))
        yield asyncio.run(_whole_wait(base_url, 2 if quick else 60))
    yield asyncio.run(_in_memory(rounds, calls))


async def _over_http(base_url: str, rounds: int, calls: int) -> Figure:
    """Compare both as they come, each with a client of its own and one kept-alive connection."""
    url = f"{base_url}{_PATH}{SESSION_ID}"
    ours = HPPClient(auth=AUTH, endpoint=base_url, budget=UNLIMITED)
    async with ours, httpx.AsyncClient() as theirs:
        compared = await in_turns(
            lambda: ours.read_session(SESSION_ID), lambda: theirs.get(url, auth=AUTH), rounds=rounds, calls=calls
        )

    assert await reads_at(base_url) == 2 * (rounds + 1) * calls, "some read was not a request"
    return compared.figure("read_over_http", bar=0.95, scale=1e6, unit="µs")


async def _in_memory(rounds: int, calls: int) -> Figure:
    """Compare both on one `httpx.AsyncClient` without a network, the worst case: nothing hides what we add."""
    transport = InMemory()
    url = f"https://api.klarna.com{_PATH}{SESSION_ID}"
    theirs = httpx.AsyncClient(transport=transport)
    ours = HPPClient(auth=AUTH, endpoint="https://api.klarna.com", budget=UNLIMITED, http_client=theirs)
    async with theirs, ours:
        compared = await in_turns(
            lambda: ours.read_session(SESSION_ID), lambda: theirs.get(url, auth=AUTH), rounds=rounds, calls=calls
        )

    assert transport.reads == 2 * (rounds + 1) * calls, "some read was not a request"
    return compared.figure("read_in_memory", bar=1.15, scale=1e6, unit="µs")


# -- a whole wait ------------------------------------------------------------------------------------------------

_DELAY = 0.001
_READS = 50


class _Hurried:
    """A schedule with a fixed, very short delay."""

    def delay(self, session: Session, *, age: float, draw: float) -> float:
        return _DELAY


async def _whole_wait(base_url: str, rounds: int) -> Figure:
    number = itertools.count()
    served = await reads_at(base_url)
    client = HPPClient(auth=AUTH, endpoint=base_url, budget=UNLIMITED, schedule=_Hurried())
    async with client, httpx.AsyncClient() as bare:

        async def ours() -> None:
            outcome = await client.wait_for_outcome(wait_id(_READS, next(number)))
            assert isinstance(outcome, Completed)

        async def theirs() -> None:
            url = f"{base_url}{_PATH}{wait_id(_READS, next(number))}"
            while True:
                response = await bare.get(url, auth=AUTH)
                response.raise_for_status()
                if response.json()["status"] == "COMPLETED":
                    return
                await asyncio.sleep(_DELAY)

        compared = await in_turns(ours, theirs, rounds=rounds, calls=1)

    assert await reads_at(base_url) - served == 2 * (rounds + 1) * _READS, "not the same number of reads"
    return compared.figure(f"wait_of_{_READS}_reads", bar=None, scale=1e3, unit="ms")
