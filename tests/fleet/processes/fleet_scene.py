"""A fleet of real processes on a real PostgreSQL, before a provider that notes who reads what, and when."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Set
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Final

import anyio
import attrs
import pytest
from anyio.abc import ByteStream
from postgres import Cluster
from support.servers import request_of, serve, wire

from hpp_async import HPPClient
from hpp_async.fleet import Fleet, PostgresStore, PostgresTransaction
from hpp_async.testing import Provider

WORKER: Final = Path(__file__).with_name("fleet_worker.py")
AUTH: Final = ("PK00000_test", "not-a-secret")
LEASE: Final = 2.0
RATE: Final = 200.0


@attrs.define
class Process:
    """A worker."""

    name: str
    _process: asyncio.subprocess.Process
    is_told: bool = attrs.field(init=False, default=False)
    """Whether it was told to end."""

    @property
    def ended_with(self) -> int | None:
        return self._process.returncode

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.is_told = True
        if self._process.returncode is None:
            self.send(number)
            if number is signal.SIGTERM:
                self.send(signal.SIGCONT)  # a frozen process gets it only then
        return await self._process.wait()


@attrs.define
class Scene:
    """
    What a test has in its hands.

    Attributes:
        reads: when each session was read, and by which worker, in order.
    """

    database: Cluster
    provider: Provider
    store: PostgresStore
    endpoint: str = attrs.field(init=False)
    fleet: Fleet[PostgresTransaction] = attrs.field(init=False)
    reads: dict[str, list[tuple[float, str]]] = attrs.field(init=False, factory=dict)
    workers: list[Process] = attrs.field(init=False, factory=list)

    async def start(self, name: str, conninfo: str | None = None, *, hours: float = 0.0) -> Process:
        """Start a worker. The calendar of its machine is wrong by so many hours."""
        arguments = [name, conninfo or self.database.conninfo, self.endpoint, str(LEASE), str(RATE), str(hours)]
        process = await asyncio.create_subprocess_exec(sys.executable, str(WORKER), *arguments)
        worker = Process(name, process)
        self.workers.append(worker)
        return worker

    async def add(self, count: int, *, lifetime: timedelta | None = None) -> list[str]:
        sessions = [self.provider.create(lifetime=lifetime) for _ in range(count)]
        async with self.store.transaction() as tx:
            for session in sessions:
                await self.fleet.add(session, tx=tx)
        return sessions

    def pay(self, sessions: Collection[str]) -> None:
        for session in sessions:
            self.provider.change(session, "COMPLETED", order_id=f"order-{session}")

    def expire(self, sessions: Collection[str]) -> None:
        """Let sessions expire now, instead of at the end of their lifetime."""
        now = self.provider.now()
        for session in sessions:
            self.provider.life(session).move_expiry(now, now)

    async def answer(self, head: bytes, _: ByteStream) -> bytes:
        method, path, headers = request_of(head)
        session, worker = path.rpartition("/")[2], headers["user-agent"].split(" ")[0]
        self.reads.setdefault(session, []).append((monotonic(), worker))
        return wire(self.provider.answer(method, path, headers))

    def unexpectedly_over(self) -> list[str]:
        return [worker.name for worker in self.workers if worker.ended_with is not None and not worker.is_told]

    # -- what must hold ---------------------------------------------------------------------------------------------

    async def booked(self) -> Counter[str]:
        async with self.store.transaction() as tx:
            cursor = await tx.execute("SELECT session_id FROM booked")
            return Counter(row[0] for row in await cursor.fetchall())

    async def endings(self) -> dict[str, str]:
        """Return the ending that was booked of each session."""
        async with self.store.transaction() as tx:
            cursor = await tx.execute("SELECT session_id, ending FROM booked")
            return dict(await cursor.fetchall())

    async def are_booked_once(self, sessions: Collection[str]) -> None:
        """Wait until all sessions have ended; then fail if one was booked twice, or another one was booked."""
        for session in sessions:
            await self.fleet.wait_for_outcome(session)
        assert await self.booked() == dict.fromkeys(sessions, 1)

    async def are_owned_by(self, count: int) -> None:
        """Wait until so many workers divide all shards fairly."""

        held = Counter[int | None]()

        async def is_fair() -> bool:
            nonlocal held
            assert self.unexpectedly_over() == []
            held = Counter(shard.owner for shard in await self.fleet.shards())
            return None not in held and len(held) == count and max(held.values()) - min(held.values()) <= 1

        try:
            async with asyncio.timeout(25):
                while not await is_fair():  # noqa: ASYNC110 - nobody sets an event for it
                    await asyncio.sleep(0.05)
        except TimeoutError:
            for worker in self.workers:
                if worker.ended_with is None:
                    worker.send(signal.SIGUSR1)
            await asyncio.sleep(1.0)
            pytest.fail(f"the division is {held}, and not that of {count} workers")

    async def followed_by(self, names: Set[str], sessions: Collection[str]) -> float:
        """Wait until each session was read by one of these workers from now on; return after how many seconds."""
        began = monotonic()
        await until(
            lambda: all(
                any(at > began and worker in names for at, worker in self.reads.get(session, ()))
                for session in sessions
            )
        )
        return monotonic() - began

    def readers(self, session: str, since: float) -> set[str]:
        return {worker for at, worker in self.reads.get(session, ()) if at > since}


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - nobody sets an event for it
        await asyncio.sleep(0.01)


@asynccontextmanager
async def scene(database: Cluster) -> AsyncGenerator[Scene]:
    async with asyncio.timeout(90), PostgresStore(database.conninfo) as store:
        async with store.transaction() as tx:
            await tx.execute("DROP SCHEMA IF EXISTS hpp CASCADE")
            await tx.execute("DROP TABLE IF EXISTS booked, payment")
            await tx.execute("CREATE TABLE booked (session_id text, worker text, ending text)")
        await store.migrate()
        provider = Provider(now=lambda: datetime.now(UTC), auth=AUTH, quota=None, base_url="http://127.0.0.1")
        here = Scene(database, provider, store)
        async with serve(here.answer) as here.endpoint, HPPClient(auth=AUTH, endpoint=here.endpoint) as client:
            here.fleet = Fleet(client, store, shards=8, lease=LEASE)
            try:
                yield here
            finally:
                with anyio.CancelScope(shield=True):
                    for worker in here.workers:
                        await worker.end(signal.SIGKILL)


class Cuttable:
    """A proxy before the database: cut, it passes nothing on, in either direction, and closes nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    def cut(self) -> None:
        self._is_whole.clear()

    def mend(self) -> None:
        self._is_whole.set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._is_whole.wait()
        upstream = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, upstream[1]]
        await asyncio.gather(self._pump(reader, upstream[1]), self._pump(upstream[0], writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._is_whole.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        await self._is_whole.wait()  # not even the end of a connection gets through
        writer.close()

    async def __aenter__(self) -> Cuttable:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.mend()
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.sleep(0.05)
