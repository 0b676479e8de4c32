"""
The fault matrix: what a hostile or broken network does to a read and to a wait.

What holds whatever the fault is asserted by the scene; the error that DESIGN.md names for each fault is in a table.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio
import anyio.lowlevel
import httpx
import httpx2
import pytest
from clocks import FastClock, StillClock
from exchange import FIELDS
from fault_server import FaultServer, always, drawn, nothing, scripted
from httpx_aiohttp import HttpxAiohttpClient
from scene import ENDLESS, IMPATIENT, PATIENT, TRUST, on_two_loops, scene, timeout_for
from wire_faults import (
    BODIES,
    BROKEN_OFF,
    FAULTS,
    FLOODS,
    FRAMING,
    NOT_PROCESSED,
    ODDITIES,
    REDIRECTS,
    REFUSALS,
    SERVER_ERRORS,
    STRANGERS,
    THROTTLES,
    answered_twice,
    by_a_replica_behind,
    closed_as_it_is_reused,
)

from hpp_async import (
    HPPError,
    NotProcessedError,
    RateLimitedError,
    ReadBudget,
    ResponseError,
    ServerError,
    Slept,
    TransportError,
    UnexpectedPayloadError,
)
from hpp_async._client import ClientOptions
from hpp_async.testing import Provider, ScriptedProvider

pytestmark = pytest.mark.anyio

ERRORS: Final[dict[str, type[HPPError]]] = {
    **dict.fromkeys(BROKEN_OFF, TransportError),
    **dict.fromkeys(("dribbled header", "dribbled body", "1xx without end"), TransportError),
    **dict.fromkeys(FRAMING, TransportError),
    "length too short": UnexpectedPayloadError,
    **dict.fromkeys(BODIES, UnexpectedPayloadError),
    **dict.fromkeys(FLOODS, UnexpectedPayloadError),
    **dict.fromkeys((name for name in FLOODS if "header" in name or "line" in name or "space" in name), TransportError),
    "a gigabyte in chunks of one": TransportError,
    "a gigabyte of an error page": ServerError,
    **dict.fromkeys(STRANGERS, TransportError),
    **dict.fromkeys(REDIRECTS, ResponseError),
    **dict.fromkeys(REFUSALS, ResponseError),
    "101": TransportError,
    **dict.fromkeys(NOT_PROCESSED, NotProcessedError),
    **dict.fromkeys(SERVER_ERRORS, ServerError),
    **dict.fromkeys(THROTTLES, RateLimitedError),
}
"""What DESIGN.md calls each fault."""

ENOUGH: Final = 8 * 2**20
"""Bytes that anybody sent before the client hung up; most of them stand in the buffers of the system."""


def test_every_fault_has_a_name_in_the_design() -> None:
    assert ERRORS.keys() == FAULTS.keys()


# -- one read, and the pool after it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ERRORS)
async def test_a_read_that_meets_a_fault_says_so_and_the_next_one_is_well(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(caplog, attempts=1, timeout=timeout_for(name)) as here:
        here.server.plan = always(FAULTS[name])
        error = await here.read_error()
        asked, sent = len(here.server.paths), here.server.sent
        here.server.plan = nothing
        reading = await here.reading()

        assert type(error) is ERRORS[name]
        assert asked <= 2  # one that may have died of being reused is asked again
        assert sent < ENOUGH
        assert reading.status == "WAITING"


@pytest.mark.parametrize("name", ODDITIES)
async def test_an_odd_answer_is_a_reading_all_the_same(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(caplog, attempts=1) as here:
        here.server.plan = always(ODDITIES[name])
        for _ in range(2):
            reading = await here.client.read_session(here.session_id)
            assert (reading.status, reading.authorization_token) == ("WAITING", FIELDS["authorization_token"])

        assert len(here.server.paths) == 2


# -- waits ------------------------------------------------------------------------------------------------------------


@on_two_loops
@pytest.mark.parametrize("name", ERRORS)
async def test_a_wait_outlives_a_fault(name: str, caplog: pytest.LogCaptureFixture) -> None:
    fault = FAULTS[name]
    async with scene(caplog, timeout=timeout_for(name)) as here:
        more = nothing if timeout_for(name) < PATIENT else drawn(7, 0.4, fault)
        here.server.plan = here.life(scripted(fault, None, fault, then=more), every=3)
        outcome = await here.outcome()

        here.assert_right(outcome)
        assert here.server.done[fault] >= 2
        assert here.server.sent < 8 * ENOUGH


OTHERS: Final[dict[str, Callable[[], ClientOptions]]] = {
    "lent aiohttp": lambda: ClientOptions(http_client=HttpxAiohttpClient(verify=TRUST)),
    "aiohttp": lambda: ClientOptions(transport="aiohttp"),
    "lent httpx2": lambda: ClientOptions(http_client=httpx2.AsyncClient(verify=TRUST, trust_env=False)),
    "httpx2": lambda: ClientOptions(transport="httpx2"),
}
"""What else a client's connections may be made of."""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("over", OTHERS)
@pytest.mark.parametrize("name", ERRORS)
async def test_a_wait_over_another_transport_outlives_a_fault(
    name: str, over: str, caplog: pytest.LogCaptureFixture
) -> None:
    if "aiohttp" in over and name == "a gigabyte of white space":
        pytest.skip("aiohttp reads all of it")
    fault = FAULTS[name]
    options = OTHERS[over]() | ClientOptions(timeout=timeout_for(name))
    async with scene(caplog, **options) as here:
        here.server.plan = here.life(scripted(fault, None, fault, then=nothing), every=3)

        here.assert_right(await here.outcome())
        assert here.server.done[fault] >= 2
        assert here.server.sent < 8 * ENOUGH


@on_two_loops
@pytest.mark.parametrize("seed", range(8))
async def test_a_wait_outlives_all_of_them_at_once(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    faults = [fault for name, fault in (FAULTS | ODDITIES).items() if name not in ENDLESS]
    async with scene(caplog) as here:
        here.server.plan = here.life(drawn(seed, 0.8, *faults, by_a_replica_behind, closed_as_it_is_reused), every=12)
        here.server.draw.seed(seed)

        here.assert_right(await here.outcome())


async def test_many_waits_share_the_faults_and_the_budget(caplog: pytest.LogCaptureFixture) -> None:
    faults = BROKEN_OFF | BODIES | SERVER_ERRORS | FRAMING
    # What follows an answer that is too long is taken for the next one, before that was thought of.
    quick = [fault for name, fault in faults.items() if name not in ENDLESS | {"length too short"}]
    clock, draw = StillClock(), random.Random(3)
    async with scene(caplog, time=clock, budget=ReadBudget(4.0, max_in_flight=3)) as here:
        here.server.think = lambda: clock.take(draw.uniform(0.0, 1.0))
        here.server.plan = drawn(3, 0.5, *quick)
        await here.crowd(25, opened=20, paid=60, every=1.0)

        assert any(event.late_by > 0 for event in here.told.events if isinstance(event, Slept))  # the budget was short
        assert here.server.busiest == 3  # and three in flight at most


async def test_stalls_on_every_connection_do_not_use_up_the_pool(caplog: pytest.LogCaptureFixture) -> None:
    stalls = [fault for name, fault in BROKEN_OFF.items() if "stalled" in name]
    budget = ReadBudget(1000.0, max_in_flight=4)
    # Time must go on during a stall, or the second read would wait for the end of the first.
    async with scene(caplog, time=FastClock(), timeout=IMPATIENT, attempts=1, budget=budget) as here:
        here.server.plan = drawn(5, 1.0, *stalls)
        sessions = [here.server.provider.create() for _ in range(12)]
        errors: list[HPPError] = []

        async def read(session: str) -> None:
            try:
                await here.client.read_session(session)
            except HPPError as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            for session in sessions:
                tasks.start_soon(read, session)
        here.server.plan = nothing
        readings = [await here.reading(session) for session in sessions]

        assert [type(error) for error in errors] == [TransportError] * 12
        assert [reading.status for reading in readings] == ["WAITING"] * 12


# -- whose answer it is -----------------------------------------------------------------------------------------------


async def test_a_redirect_to_another_host_takes_nothing_there(caplog: pytest.LogCaptureFixture) -> None:
    other = FaultServer(Provider(now=StillClock().today), StillClock())
    async with other.serving(), scene(caplog) as here:
        here.server.elsewhere = other.url
        here.server.plan = here.life(drawn(1, 0.5, *REDIRECTS.values()))

        here.assert_right(await here.outcome())
        assert other.lines == set()
        assert other.paths == []


@on_two_loops
async def test_replicas_that_answer_out_of_order_show_no_step_back(caplog: pytest.LogCaptureFixture) -> None:
    for seed in range(3):
        async with scene(caplog) as here:
            here.server.draw.seed(seed)
            here.server.plan = here.life(drawn(seed, 0.5, by_a_replica_behind), every=8)

            here.assert_right(await here.outcome())


async def test_answers_meant_for_another_session_decide_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """
    Two sessions on one connection, and a proxy that answers twice: from then on every answer is the last question's.

    One of the two is paid, the other is not, and never was.
    """
    async with scene(caplog, budget=ReadBudget(1000.0, max_in_flight=1), attempts=1) as here:
        paid = here.server.provider.create([(0, "COMPLETED", FIELDS)])
        here.server.plan = scripted(None, answered_twice, None, answered_twice)
        statuses: list[tuple[str, str]] = []
        for session in [here.session_id, paid] * 4:
            try:
                statuses.append((session, (await here.client.read_session(session)).status))
            except HPPError as error:
                here.hear(error)

        assert set(statuses) == {(here.session_id, "WAITING"), (paid, "COMPLETED")}


# -- what httpx and a borrowed client may do ---------------------------------------------------------------------------


class Transport(httpx.AsyncBaseTransport):
    """Does what it is told to with each request."""

    def __init__(self, handle: Callable[[], httpx.Response]) -> None:
        self._handle = handle

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        return self._handle()


class Endless(httpx.AsyncByteStream):
    """A body that closing does not end."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        return bytes(2**16)


class MineError(AttributeError):
    """An error that cannot be copied: it wants more than its message."""

    def __init__(self, *, what: str) -> None:
        super().__init__(what)


async def test_an_error_of_a_borrowed_clients_own_reaches_every_caller(provider: ScriptedProvider) -> None:
    async def hook(_: httpx.Request) -> None:
        raise MineError(what="mine")

    http_client = httpx.AsyncClient(transport=provider, event_hooks={"request": [hook]})
    client = provider.client(http_client=http_client)
    reached = 0

    async def read() -> None:
        nonlocal reached
        with pytest.raises(MineError, match="mine"):
            await client.read_session("session")
        reached += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(read)

    assert reached == 3
