"""
The fault matrix: what a hostile or broken network does to a read and to a wait.

Whatever the fault: the error that DESIGN.md names, no wrong outcome and none missed, nothing secret said, no connection
and no task left, the budget kept. It happens on real sockets, with the client's clock 500 times as fast.
"""

from __future__ import annotations

import logging
import pickle
import random
import ssl
import traceback
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Final, Unpack

import anyio
import anyio.lowlevel
import attrs
import httpx
import pytest
import trustme
from fault_server import (
    AUTH,
    BODIES,
    BROKEN_OFF,
    FAULTS,
    FIELDS,
    FLOODS,
    FRAMING,
    GREETINGS,
    ODDITIES,
    REDIRECTS,
    REFUSALS,
    SECRETS,
    SERVER_ERRORS,
    STRANGERS,
    THROTTLES,
    FastClock,
    Fault,
    FaultServer,
    Plan,
    always,
    answered_twice,
    by_a_replica_behind,
    closed_as_it_is_reused,
    drawn,
    faulty,
    nothing,
    scripted,
)
from servers import run

from hpp_async import (
    Completed,
    ConfigurationError,
    Event,
    HPPClient,
    HPPError,
    OutageError,
    Outcome,
    PollSchedule,
    RateLimitedError,
    ReadBudget,
    ResponseError,
    ServerError,
    Session,
    TransportError,
    UnexpectedPayloadError,
    WaitEnded,
)
from hpp_async._client import Options
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
    **dict.fromkeys(SERVER_ERRORS, ServerError),
    **dict.fromkeys(THROTTLES, RateLimitedError),
}
"""What DESIGN.md calls each fault."""

ENDLESS: Final = {
    *(name for name in BROKEN_OFF if "stalled" in name),
    "dribbled header",
    "dribbled body",
    "length too long",
    "a gigabyte in chunks of one",
    "1xx without end",
    "silent",
    "speaks first",
}
on_two_loops: Final = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
"""For the dearer ones."""

PATIENT, IMPATIENT = 5.0, 0.06
"""Seconds of a read's timeout, real ones: the second for what would never end."""

ENOUGH: Final = 8 * 2**20
"""Bytes that anybody sent before the client hung up; most of them stand in the buffers of the system."""

LIFE: Final = ("WAITING", "IN_PROGRESS", "COMPLETED")


def test_every_fault_has_a_name_in_the_design() -> None:
    assert ERRORS.keys() == FAULTS.keys()


# -- the scene --------------------------------------------------------------------------------------------------------


class Told:
    """An observer, and those who wait for what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = anyio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()
        self._news = anyio.Event()

    async def more(self, number: int) -> None:
        """Return when *number* more things have happened."""
        until = len(self.events) + number
        while len(self.events) < until:
            await self._news.wait()

    async def end(self) -> None:
        """Return when a wait has ended."""
        while not any(isinstance(event, WaitEnded) for event in self.events):
            await self._news.wait()


@attrs.define
class Scene:
    """A client of a fault server, and everything the two ever said."""

    server: FaultServer
    client: HPPClient
    clock: FastClock
    session_id: str
    told: Told
    said: list[str] = attrs.field(factory=list[str])

    def hear(self, *things: object) -> None:
        for thing in things:
            self.said.append(f"{thing!r} {thing}")
            if isinstance(thing, HPPError):
                self.said += traceback.format_exception(thing)
                self.said.append(repr(pickle.loads(pickle.dumps(thing))))

    async def read_error(self) -> HPPError:
        with pytest.raises(HPPError) as caught:
            await self.client.read_session(self.session_id)
        self.hear(caught.value)
        return caught.value

    async def reading(self, session_id: str | None = None) -> Session:
        """Return a reading, of a pool that is well. An impatient client on a busy machine may have to try again."""
        for _ in range(10 if self.client._reader._timeout < PATIENT else 0):
            with suppress(TransportError):
                return await self.client.read_session(session_id or self.session_id)
        return await self.client.read_session(session_id or self.session_id)

    def life(self, faults: Plan, *, every: int = 4) -> Plan:
        """Go on as *faults* says, and let the session take a step of its life at *every* so many requests."""
        requests = 0

        def plan() -> Fault | None:
            nonlocal requests
            requests += 1
            if requests % every == 0 and requests // every < len(LIFE):
                self.server.provider.change(self.session_id, LIFE[requests // every], **FIELDS)
            return faults()

        return plan

    async def outcome(self) -> Outcome:
        wait = self.client.wait_for_outcome(self.session_id, schedule=PollSchedule.every(2.0))
        outcome = await wait
        self.hear(wait, wait.token, outcome, *outcome.transitions)
        return outcome

    def assert_right(self, outcome: Outcome) -> None:
        """Nothing but what happened was seen, in its order, and the end of it was not missed."""
        assert isinstance(outcome, Completed)
        assert outcome.authorization_token == FIELDS["authorization_token"]
        seen = [LIFE.index(transition.status) for transition in outcome.transitions]
        assert seen == sorted(set(seen))
        assert seen[-1] == len(LIFE) - 1


_TRUST: Final = ssl.create_default_context()
"""Reading what a machine trusts takes longer than most of these tests."""


@asynccontextmanager
async def scene(
    caplog: pytest.LogCaptureFixture,
    *,
    tls: ssl.SSLContext | None = None,
    **options: Unpack[Options],
) -> AsyncGenerator[Scene]:
    """Set the scene; when the curtain falls, nothing is left, nothing was given away, and the budget was kept."""
    caplog.set_level(logging.DEBUG, "hpp_async")
    clock, told = FastClock(), Told()
    options = Options(timeout=PATIENT, outage_tolerance=1e6, clock=clock, observers=[told]) | options
    if "http_client" not in options:
        options["http_client"] = httpx.AsyncClient(verify=_TRUST)
    with anyio.fail_after(20):
        tasks = _tasks()
        async with faulty(FaultServer(Provider(now=clock.today, auth=AUTH, quota=None), tls=tls)) as server:
            began = clock.now()
            client = HPPClient(auth=AUTH, endpoint=server.url, **options)
            here = Scene(server, client, clock, server.provider.create([(0, "WAITING", FIELDS)]), told)
            yield here
            await client.aclose()
            assert _requests_in_pool(client) == 0
            if options["http_client"] is not None:
                await options["http_client"].aclose()
            await server.wait_until_left()
            budget = options.get("budget") or ReadBudget(12.5)
            assert len(server.paths) <= budget.reads_per_second * (clock.now() - began) + 1
        for _ in range(10):  # a task that has done its work still has to end
            await anyio.lowlevel.checkpoint()
        assert _tasks() <= tasks
    logs = [f"{record.getMessage()} {record.args}" for record in caplog.records if record.name == "hpp_async"]
    said = "\n".join([*logs, *here.said, *map(repr, told.events)])
    assert [secret for secret in SECRETS if secret in said] == []


def _tasks() -> set[int]:
    return {task.id for task in anyio.get_running_tasks()}


def _requests_in_pool(client: HPPClient) -> int:
    # httpx offers no look into its pool; nothing else tells whether a request was left behind in it.
    http_client = client._reader._http
    pool = http_client._transport._pool  # type: ignore[attr-defined]
    return len(pool._requests) + sum(not connection.is_idle() for connection in pool.connections)


def timeout_for(name: str) -> float:
    return IMPATIENT if name in ENDLESS else PATIENT


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


@on_two_loops
@pytest.mark.parametrize("seed", range(8))
async def test_a_wait_outlives_all_of_them_at_once(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    faults = [fault for name, fault in (FAULTS | ODDITIES).items() if name not in ENDLESS]
    async with scene(caplog) as here:
        here.server.plan = here.life(drawn(seed, 0.8, *faults, by_a_replica_behind, closed_as_it_is_reused), every=12)
        here.server.draw.seed(seed)

        here.assert_right(await here.outcome())


async def test_many_waits_share_the_faults_and_the_budget(caplog: pytest.LogCaptureFixture) -> None:
    budget = ReadBudget(4.0, in_flight=3)
    faults = BROKEN_OFF | BODIES | SERVER_ERRORS | FRAMING
    quick = [fault for name, fault in faults.items() if name not in ENDLESS]
    async with scene(caplog, budget=budget) as here:
        provider = here.server.provider
        here.server.plan = drawn(3, 0.5, *quick)
        steps = [(0, "WAITING", FIELDS), (20, "IN_PROGRESS", FIELDS), (60, "COMPLETED", FIELDS)]
        sessions = [provider.create(steps) for _ in range(25)]
        waits = [here.client.wait_for_outcome(session, schedule=PollSchedule.every(1.0)) for session in sessions]
        async with anyio.create_task_group() as tasks:
            for wait in waits:
                tasks.start_soon(run, wait)

        for wait in waits:
            assert wait.outcome is not None
            here.assert_right(wait.outcome)
        assert here.client._reads.lateness() > 0  # the budget was short


async def test_stalls_on_every_connection_do_not_use_up_the_pool(caplog: pytest.LogCaptureFixture) -> None:
    stalls = [fault for name, fault in BROKEN_OFF.items() if "stalled" in name]
    async with scene(caplog, timeout=IMPATIENT, attempts=1, budget=ReadBudget(1000.0, in_flight=4)) as here:
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


# -- connections ------------------------------------------------------------------------------------------------------


@on_two_loops
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("name", GREETINGS)
async def test_a_connection_that_fails_before_a_request_ends_no_wait(
    name: str, is_tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tls, http_client = _tls("127.0.0.1") if is_tls else (None, None)
    async with scene(caplog, tls=tls, http_client=http_client, attempts=1, timeout=timeout_for(name) * 2) as here:
        draw = random.Random(11)
        here.server.greet = lambda: GREETINGS[name]
        error = await here.read_error()
        here.server.greet = lambda: GREETINGS[name] if draw.random() < 0.4 else None
        # Answers that close their connection, so that each read needs a new one.
        here.server.plan = here.life(always(ODDITIES["closed after it"]))
        outcome = await here.outcome()

        assert type(error) is TransportError
        here.assert_right(outcome)


async def test_refused_connections_end_no_wait(caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[Outcome] = []
    async with scene(caplog) as here, anyio.create_task_group() as tasks:

        async def wait() -> None:
            outcomes.append(await here.outcome())

        here.server.plan = here.life(nothing)
        tasks.start_soon(wait)
        for _ in range(5):
            await here.told.more(1)
            here.server.refuse()
            await here.server.wait_until_left()
            error = await here.read_error()
            assert type(error) is TransportError
            await tasks.start(here.server.listen)
        await here.told.end()
        here.assert_right(outcomes[0])
        tasks.cancel_scope.cancel()


async def test_an_unknown_host_is_a_transport_error_and_an_outage() -> None:
    # A name longer than DNS has: every resolver refuses it by itself.
    endpoint = "https://" + ".".join(["unknown"] * 40) + ".invalid"
    with anyio.fail_after(20):
        async with HPPClient(auth=AUTH, endpoint=endpoint, clock=FastClock(), outage_tolerance=30) as client:
            with pytest.raises(TransportError, match="ConnectError"):
                await client.read_session("session")
            with pytest.raises(OutageError) as caught:
                await client.wait_for_outcome("session")

    assert type(caught.value.__cause__) is TransportError


@pytest.mark.parametrize("host", ["a..example", ".example", "x" * 64 + ".example"])
def test_a_host_that_no_resolver_takes_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="is no host name"):
        HPPClient(auth=AUTH, endpoint=f"https://{host}")


@pytest.mark.parametrize("seed", range(3))
async def test_a_connection_closed_as_it_is_reused_is_not_felt(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(caplog, attempts=1) as here:
        here.server.draw.seed(seed)
        here.server.plan = always(closed_as_it_is_reused)
        readings = [await here.client.read_session(here.session_id) for _ in range(6)]

        assert [reading.status for reading in readings] == ["WAITING"] * 6
        assert [type(event).__name__ for event in here.told.events] == ["ReadFinished"] * 6


# -- TLS --------------------------------------------------------------------------------------------------------------


def _tls(
    host: str, *, is_trusted: bool = True, not_after: datetime | None = None
) -> tuple[ssl.SSLContext, httpx.AsyncClient]:
    """Return what a server for *host* needs, and a client that trusts its authority, or that trusts another."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host, not_after=not_after).configure_cert(server)
    client = ssl.create_default_context()
    (authority if is_trusted else trustme.CA()).configure_trust(client)
    return server, httpx.AsyncClient(verify=client)


def _old_tls() -> tuple[ssl.SSLContext, httpx.AsyncClient]:
    server, client = _tls("127.0.0.1")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        server.minimum_version = ssl.TLSVersion.TLSv1
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    return server, client


CERTIFICATES: Final[dict[str, Callable[[], tuple[ssl.SSLContext, httpx.AsyncClient]]]] = {
    "of an unknown authority": lambda: _tls("127.0.0.1", is_trusted=False),
    "of another host": lambda: _tls("api.klarna.com"),
    "expired": lambda: _tls("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC)),
    "of old TLS": _old_tls,
}


@pytest.mark.parametrize("name", CERTIFICATES)
async def test_no_request_goes_to_a_server_that_cannot_prove_itself(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    tls, http_client = CERTIFICATES[name]()
    async with scene(caplog, tls=tls, http_client=http_client, outage_tolerance=60) as here:
        error = await here.read_error()
        with pytest.raises(OutageError):
            await here.client.wait_for_outcome(here.session_id)

        assert type(error) is TransportError
        assert here.server.paths == []


async def test_the_clients_own_httpx_trusts_no_self_made_authority(caplog: pytest.LogCaptureFixture) -> None:
    tls, unused = _tls("127.0.0.1")
    await unused.aclose()
    async with scene(caplog, tls=tls, attempts=1, http_client=None) as here:
        error = await here.read_error()

        assert type(error) is TransportError
        assert here.server.paths == []


@on_two_loops
@pytest.mark.parametrize("name", BROKEN_OFF)
async def test_a_wait_outlives_what_breaks_off_within_tls(name: str, caplog: pytest.LogCaptureFixture) -> None:
    tls, http_client = _tls("127.0.0.1")
    fault = FAULTS[name]
    async with scene(caplog, tls=tls, http_client=http_client, timeout=timeout_for(name) * 2) as here:
        here.server.plan = here.life(scripted(None, fault, None, fault))

        here.assert_right(await here.outcome())


# -- whose answer it is -----------------------------------------------------------------------------------------------


async def test_a_redirect_to_another_host_takes_nothing_there(caplog: pytest.LogCaptureFixture) -> None:
    other = FaultServer(Provider(now=FastClock().today))
    async with faulty(other), scene(caplog) as here:
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
    async with scene(caplog, budget=ReadBudget(1000.0, in_flight=1), attempts=1) as here:
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
