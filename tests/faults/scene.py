"""
The scene of every fault: a client, a server that fails, and what must be true when the curtain falls.

Whatever the fault: no wrong outcome and none missed, nothing secret in any log, message or event, no connection, no
request and no task left, and the budget kept over any second, as the server counts.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import ssl
import traceback
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from datetime import timedelta
from math import ceil
from typing import Any, Final, Unpack

import anyio
import anyio.lowlevel
import attrs
import httpx
import httpx2
import pytest
from clocks import FastClock, StillClock
from exchange import AUTH, FIELDS, SECRETS, Fault
from fault_server import FaultServer, Plan, nothing
from httpx_aiohttp import AiohttpTransport
from support.servers import run
from wire_faults import BROKEN_OFF

from hpp_async import (
    Authorization,
    Completed,
    Event,
    HPPClient,
    HPPError,
    Outcome,
    PollSchedule,
    ReadBudget,
    Session,
    TransportError,
)
from hpp_async._client import ClientOptions
from hpp_async._http import environment, transports
from hpp_async._http.connections import Connection, Connections, Lent, Owned
from hpp_async._http.family import Family
from hpp_async.testing import Provider

on_two_loops: Final = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
"""For the dearer ones."""


def by_turns(names: Iterable[str]) -> pytest.MarkDecorator:
    """Run a test with each of *names*, on one loop and the other by turns: for what has been on both elsewhere."""
    loops = itertools.cycle(("asyncio", "trio"))
    return pytest.mark.parametrize(("name", "anyio_backend"), [(name, next(loops)) for name in names])


PATIENT, IMPATIENT = 5.0, 0.06
"""Seconds of a read's timeout, real ones: the second for what would never end."""

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
"""What would never end by itself."""

LIFE: Final = ("WAITING", "IN_PROGRESS", "COMPLETED")


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


@attrs.define
class Scene:
    """A client of a fault server, and everything the two ever said."""

    server: FaultServer
    client: HPPClient
    connections: WatchedConnections
    clock: StillClock | FastClock
    session_id: str
    told: Told
    began: float
    is_patient: bool
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
        for _ in range(0 if self.is_patient else 10):
            with suppress(TransportError):
                return await self.client.read_session(session_id or self.session_id)
        return await self.client.read_session(session_id or self.session_id)

    def is_hung_up_on(self) -> bool:
        """Tell whether the other side closed each connection that the client keeps."""
        return self.connections.have_expired

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

    def take_steps(self, *steps: tuple[float, str], lifetime: float = 169_200.0) -> None:
        """Play with another session, which takes these steps, so many seconds from now each."""
        life = [(after, status, FIELDS) for after, status in steps]
        self.session_id = self.server.provider.create(life, lifetime=timedelta(seconds=lifetime))
        self.began = self.clock.now()

    def age(self) -> float:
        """Return for how many seconds there has been this session."""
        return self.clock.now() - self.began

    async def outcome(self, schedule: PollSchedule = PollSchedule.every(2.0)) -> Outcome:
        wait = self.client.wait_for_outcome(self.session_id, schedule=schedule)
        outcome = await wait
        self.hear(wait, wait.token, outcome, *outcome.transitions)
        return outcome

    async def crowd(self, number: int, *, opened: float, paid: float, every: float) -> None:
        """Wait for *number* sessions at once, all opened and paid so many seconds from now: each outcome is right."""
        steps = [(after, status, FIELDS) for after, status in zip((0, opened, paid), LIFE, strict=True)]
        sessions = [self.server.provider.create(steps) for _ in range(number)]
        waits = [self.client.wait_for_outcome(session, schedule=PollSchedule.every(every)) for session in sessions]
        async with anyio.create_task_group() as tasks:
            for wait in waits:
                tasks.start_soon(run, wait)

        for wait in waits:
            assert wait.outcome is not None
            self.assert_right(wait.outcome)

    async def outages(self, times: int) -> list[HPPError]:
        """Go away *times* times during a wait, whose outcome is right; return what reads say of it meanwhile."""
        outcomes: list[Outcome] = []
        errors: list[HPPError] = []

        async def wait() -> None:
            outcomes.append(await self.outcome())

        self.server.plan = self.life(nothing)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            for _ in range(times):
                await self.told.more(1)
                self.server.refuse()
                await self.server.wait_until_left()
                errors.append(await self.read_error())
                await self.server.listen()
        self.assert_right(outcomes[0])
        return errors

    def assert_right(self, outcome: Outcome) -> None:
        """Nothing but what happened was seen, in its order, and the end of it was not missed."""
        assert isinstance(outcome, Completed)
        assert isinstance(outcome.payment, Authorization)
        assert outcome.payment.token == FIELDS["authorization_token"]
        seen = [LIFE.index(transition.status) for transition in outcome.transitions]
        assert seen == sorted(set(seen))
        assert seen[-1] == len(LIFE) - 1
        session_id = (outcome.session.session_id or self.session_id).lower()
        assert self.server.provider.status(session_id) == LIFE[-1]


TRUST: Final = ssl.create_default_context()
"""Reading what a machine trusts takes longer than most of these tests."""


@asynccontextmanager
async def scene(
    caplog: pytest.LogCaptureFixture,
    *,
    time: StillClock | FastClock | None = None,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    front: Callable[[str], AbstractAsyncContextManager[str]] = nullcontext,
    **options: Unpack[ClientOptions],
) -> AsyncGenerator[Scene]:
    """
    Set the scene, and see to it that nothing is left, nothing was given away, and the budget was kept.

    *host* is by what name the client knows the server, *front* sets something in front of it and says where that is,
    and *time* is another clock for both.
    """
    caplog.set_level(logging.DEBUG, "hpp_async")
    clock, told = StillClock() if time is None else time, Told()
    options = ClientOptions(timeout=PATIENT, outage_tolerance=1e6, clock=clock, observers=[told]) | options
    http_client: Any = options.get("http_client")
    provider = Provider(now=clock.provider_time, auth=AUTH, quota=None)
    with anyio.fail_after(30):
        tasks = _tasks()
        async with FaultServer(provider, clock, tls=tls).serving() as server, front(server.url) as url:
            began = clock.now()
            with _trusting(), _watched_by(clock) as watched:
                client = HPPClient(auth=AUTH, endpoint=url.replace("127.0.0.1", host), **options)
            (connections,) = watched
            timeout, session_id = options.get("timeout"), provider.create([(0, "WAITING", FIELDS)])
            is_patient = isinstance(timeout, float) and timeout >= PATIENT
            here = Scene(server, client, connections, clock, session_id, told, began, is_patient)
            at_rest = False
            try:
                yield here
            finally:
                with anyio.CancelScope(shield=True):
                    await client.aclose()
                    at_rest = connections.busy == 0
                    if http_client is not None:
                        await http_client.aclose()
            assert at_rest
            await server.wait_until_left()
            rate = (options.get("budget") or ReadBudget(12.5)).reads_per_second
            saved = max(1, rate // 5)  # of a budget, before anything is asked
            assert len(server.paths) <= rate * (clock.now() - began) + saved
            if isinstance(clock, StillClock):  # by which the server counts what the client did, and no busy machine
                assert most_in_a_second(server.moments) <= ceil(rate)
                assert most_in_a_second(clock.requests) <= ceil(rate)  # those that did not arrive, too
        for _ in range(100):  # a task that has done its work still has to end
            await anyio.lowlevel.checkpoint()
        assert _tasks() <= tasks
    assert_nothing_given_away(caplog, *here.said, *map(repr, told.events))


def assert_nothing_given_away(caplog: pytest.LogCaptureFixture, *said: str) -> None:
    """Nothing secret is in what was *said*, nor in a log, whosever it is; and no event loop had to complain."""
    logs = [f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records]
    everything = "\n".join([*logs, *said])
    assert [secret for secret in SECRETS if secret in everything] == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def timeout_for(name: str) -> float:
    return IMPATIENT if name in ENDLESS else PATIENT


def most_in_a_second(moments: Sequence[float]) -> int:
    """Return the largest number of *moments* (seconds, in order) that any second holds."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - 1.0 + 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most


def _tasks() -> set[int]:
    clocks = "hpp_async.testing idle"  # on trio the clock has a task, which ends when the loop is idle
    return {task.id for task in anyio.get_running_tasks() if task.name != clocks}


class WatchedConnections:
    """The connections of a client, every exchange on which a `StillClock` sees."""

    def __init__(self, connections: Connections, clock: StillClock | FastClock) -> None:
        self._connections = connections
        self._clock = clock
        self._taken: list[Connection] = []

    @property
    def family(self) -> Family:
        return self._connections.family

    async def take(self) -> Connection:
        connection = await self._connections.take()
        if connection not in self._taken:
            self._taken.append(connection)
            if isinstance(self._clock, StillClock):
                self._clock.watch(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        self._connections.give_back(connection)

    def drop(self) -> None:
        self._connections.drop()

    async def aclose(self) -> None:
        await self._connections.aclose()

    # httpx offers no look into its pools; nothing else tells what became of their connections, and whether a request
    # was left behind in one.

    @property
    def have_expired(self) -> bool:
        return all(one.has_expired() for transport in self._transports for one in transport._pool.connections)

    @property
    def busy(self) -> int:
        """How many requests and connections are not over."""
        return sum(map(_busy, self._transports))

    @property
    def _transports(self) -> list[Any]:
        return [
            connection.via._transport
            if isinstance(connection.via, httpx.AsyncClient | httpx2.AsyncClient)
            else connection.via
            for connection in self._taken
        ]


def _busy(transport: Any) -> int:
    if isinstance(transport, AiohttpTransport):
        session: Any = transport.client
        return 0 if session.closed else len(session.connector._acquired)
    return len(transport._pool._requests) + sum(not one.is_idle() for one in transport._pool.connections)


@contextmanager
def _watched_by(clock: StillClock | FastClock) -> Generator[list[WatchedConnections]]:
    """Let *clock* see what clients do that are made in the block; yields their connections."""
    watched: list[WatchedConnections] = []

    def watching(kind: Callable[..., Connections]) -> Callable[..., Connections]:
        def make(*args: object, **kwargs: object) -> Connections:
            watched.append(WatchedConnections(kind(*args, **kwargs), clock))
            return watched[-1]

        return make

    with pytest.MonkeyPatch.context() as patch:
        for kind in (Owned, Lent):
            patch.setattr(transports, kind.__name__, watching(kind))
        yield watched


@contextmanager
def _trusting() -> Generator[None]:
    """Read what this machine trusts once: it takes longer than most of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "_ssl_context", lambda _: TRUST)
        yield
