"""
A provider whose sessions change with their reads, and processes that read them through an engine.

A life is a list of statuses, each with the number of reads that show it. A read counts if it is due: if the delay of
the schedule has passed since the read before it. So every chain of steps that reads when a wait would read makes
exactly the reads of a wait, however slow the machine is; and each read that no wait would make is counted as too early.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import accumulate, groupby
from pathlib import Path
from time import monotonic
from typing import Final

import anyio
import attrs
from anyio.abc import ByteStream
from support.servers import request_of, serve, wire

from hpp_async import FINAL, AnyOutcome, Delay, HPPClient, HPPError, PollSchedule, Transition
from hpp_async.testing import Provider

AUTH: Final = ("PK00000_test", "not-a-secret")

WAITING: Final = 0.3
ACTIVE: Final = 0.5
HOLD: Final = 0.4
"""Seconds: between the two delays. While a session is WAITING, reads are made within one step; then each is a step."""

SCHEDULE: Final = PollSchedule(
    waiting=Delay(initial=WAITING, maximum=WAITING), active=Delay(initial=ACTIVE, maximum=ACTIVE), jitter=0.0
)

PACES: Final = {"fast": SCHEDULE, "slow": PollSchedule.every(3600.0)}
"""The schedules that a worker can be started with."""

_EARLY: Final = 0.5
"""A read is early if it comes before this share of the delay has passed: a busy machine is not always exact."""

LifeByReads = Sequence[tuple[str, int]]

PAYS: Final[LifeByReads] = [("WAITING", 5), ("IN_PROGRESS", 5), ("COMPLETED", 1)]
RETRIES: Final[LifeByReads] = [("WAITING", 2), ("IN_PROGRESS", 2), ("FAILED", 2), ("IN_PROGRESS", 2), ("CANCELLED", 1)]
AWAY: Final[LifeByReads] = [("WAITING", 8), ("COMPLETED", 1)]
"""All reads are made within one step, but for the first and those of the end."""
ON_THE_PAGE: Final[LifeByReads] = [("IN_PROGRESS", 6), ("COMPLETED", 1)]
"""Each read is a step, and the time between them is the engine's."""
NOWHERE: Final = "nowhere"
"""The id of a session that does not exist."""


@attrs.define
class Session:
    """A session that changes with its reads, and the reads that were made of it."""

    life: LifeByReads
    due: int = 0
    early: int = 0
    last_at: float | None = None

    @property
    def reads(self) -> int:
        return self.due + self.early

    @property
    def status(self) -> str:
        """The status that is shown, before the first read as well."""
        ends = accumulate(count for _, count in self.life)
        return next(
            (status for (status, _), end in zip(self.life, ends, strict=True) if max(1, self.due) <= end),
            self.life[-1][0],
        )

    def read(self) -> None:
        """Take note of a read that arrives."""
        delay = WAITING if self.status == "WAITING" else ACTIVE
        now = monotonic()
        is_spread = self.due < 2  # the first delay of a wait is random, and may be short
        if is_spread or self.last_at is None or now - self.last_at > _EARLY * delay:
            self.due += 1
        else:
            self.early += 1
        self.last_at = now


@attrs.define
class Worker:
    """A process that takes steps for an engine."""

    _command: list[str]
    _environment: Mapping[str, str]
    _process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(*self._command, env=self._environment)

    @property
    def ended_with(self) -> int | None:
        return None if self._process is None else self._process.returncode

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self._process.wait()

    async def is_replaced(self) -> None:
        """Kill the process, and start another one."""
        await self.end()
        await self.start()


@attrs.define
class Scene:
    """What a test has in its hands."""

    provider: Provider
    home: Path
    endpoint: str = attrs.field(init=False)
    sessions: dict[str, Session] = attrs.field(init=False, factory=dict[str, Session])
    asked_for: set[str] = attrs.field(init=False, factory=set[str])
    workers: list[Worker] = attrs.field(init=False, factory=list[Worker])

    def add(self, life: LifeByReads, session_id: str | None = None) -> str:
        session_id = self.provider.create(session_id=session_id)
        self.sessions[session_id] = Session(life)
        return session_id

    async def answer(self, head: bytes, _: ByteStream) -> bytes:
        method, path, headers = request_of(head)
        session_id = path.rpartition("/")[2]
        self.asked_for.add(session_id)
        session = self.sessions.get(session_id)
        if session is not None:
            session.read()
            if self.provider.status(session_id) != session.status:
                self.provider.change(session_id, session.status)
        return wire(self.provider.answer(method, path, headers))

    def worker(self, program: Path, *arguments: str) -> Worker:
        """Return a worker that runs *program*, which finds the provider and the folder of the test by itself."""
        environment = {
            **os.environ,
            "HPP_USERNAME": AUTH[0],
            "HPP_PASSWORD": AUTH[1],
            "HPP_ENDPOINT": self.endpoint,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        worker = Worker([sys.executable, str(program), str(self.home), *arguments], environment)
        self.workers.append(worker)
        return worker

    def news(self, session_id: str) -> list[str]:
        """Return what workers were told of the session, in order."""
        lines = noted(self.home).read_text().splitlines() if noted(self.home).exists() else []
        return [news for line in lines for told, news in [line.split(" ")] if told == session_id]

    async def has_read(self, session_id: str, count: int) -> None:
        """Wait until so many reads of the session were made."""
        await self.until(lambda: self.sessions[session_id].reads >= count)

    def is_as_after_a_crash(self, session_id: str, followed: Followed, wait: Followed) -> None:
        """Check that a crash cost no more than one read and one repetition of the news."""
        session = self.sessions[session_id]
        assert (followed.distinct_news, followed.ending) == (wait.news, wait.ending)
        assert (session.due, session.early <= 1 + 1) == (wait.reads, True)

    async def has_asked_for(self, session_ids: Collection[str]) -> None:
        """Wait until each session was asked for, those that do not exist included."""
        await self.until(lambda: self.asked_for.issuperset(session_ids))

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            assert all(worker.ended_with in (None, -signal.SIGKILL) for worker in self.workers), "a worker ended"
            await asyncio.sleep(0.01)


def noted(home: Path) -> Path:
    """Return where workers note what they were told."""
    return home / "news"


def note_news(home: Path) -> Callable[[Transition | AnyOutcome], Awaitable[None]]:
    """Return what workers do with news: note it."""

    async def note(news: Transition | AnyOutcome) -> None:
        word = str(news.status) if isinstance(news, Transition) else type(news).__name__
        with noted(home).open("a") as file:
            file.write(f"{news.session.session_id} {word}\n")

    return note


@attrs.frozen
class Followed:
    """What a wait, or a chain of steps, made of a session."""

    reads: int
    news: Sequence[str]
    ending: str

    def with_one_more_read(self) -> Followed:
        """Return what a chain of steps makes of the session: the outcome is a step of its own, and it reads."""
        return attrs.evolve(self, reads=self.reads + 1)

    @property
    def distinct_news(self) -> list[str]:
        """The news without repetitions: a step that is repeated repeats its news."""
        return [news for news, _ in groupby(self.news)]


async def one_wait(here: Scene, life: LifeByReads) -> Followed:
    """Return what one wait in one process makes of a session with this life."""
    session_id, news = here.add(life), list[str]()
    async with HPPClient(auth=AUTH, endpoint=here.endpoint, schedule=SCHEDULE) as client:
        wait = client.wait_for_outcome(session_id, stop_on=FINAL)
        try:
            async for transition in wait:
                news.append(str(transition.status))
            ending = type(await wait).__name__
        except HPPError as error:
            ending = type(error).__name__
    session = here.sessions[session_id]
    assert session.early == 0
    return Followed(session.reads, [*news, ending], ending)


def chain(here: Scene, session_id: str, ending: str) -> Followed:
    """Return what a chain of steps made of the session."""
    return Followed(here.sessions[session_id].reads, here.news(session_id), ending)


@asynccontextmanager
async def scene(home: Path) -> AsyncGenerator[Scene]:
    async with asyncio.timeout(90):
        provider = Provider(now=lambda: datetime.now(UTC), auth=AUTH, quota=None, base_url="http://127.0.0.1")
        here = Scene(provider, home)
        async with serve(here.answer) as here.endpoint:
            try:
                yield here
            finally:
                with anyio.CancelScope(shield=True):
                    for worker in here.workers:
                        await worker.end()
