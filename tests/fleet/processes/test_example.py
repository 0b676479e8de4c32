"""The example of a shop with four web processes and two workers, started by its one command, before a simulator."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import psycopg
import pytest
from fleet_scene import AUTH
from postgres import Cluster, free_port

from hpp_async.simulator import serve
from hpp_async.testing import Consumer, Provider

pytestmark = pytest.mark.anyio

EXAMPLE: Final = Path(__file__).parents[3] / "examples" / "fleet"


@attrs.define
class Running:
    """The example while it runs."""

    process: asyncio.subprocess.Process
    provider: Provider
    database: str
    url: str

    def children(self, of: str) -> list[int]:
        """Return the ids of its processes whose command line has this word."""
        found = list[int]()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
                    command = (entry / "cmdline").read_bytes().decode()
                except (FileNotFoundError, ProcessLookupError):
                    continue  # it has ended meanwhile
                if parent == self.process.pid and of in command:
                    found.append(int(entry.name))
        return sorted(found)

    @contextmanager
    def only(self, web: int) -> Generator[None]:
        """Let this web process be the only one that takes connections: the others are frozen."""
        others = [pid for pid in self.children("spawn_main") if pid != web]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)

    async def order(self) -> tuple[str, str]:
        """Order something; return the order's number, and the id of its session."""
        async with self.connection() as web:
            number = (await web.post("/orders")).json()["number"]
        [(session,)] = await self.rows("SELECT session_id FROM purchase WHERE number = %s", number)
        return number, session

    def pay(self, session: str) -> None:
        self.provider.change(session, "COMPLETED", order_id=f"order-{session}")

    def connection(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=60)

    async def rows(self, sql: Any, *parameters: object) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.database) as connection:
            return await (await connection.execute(sql, parameters)).fetchall()

    async def is_up(self) -> bool:
        try:
            async with self.connection() as web:
                return (await web.get("/openapi.json")).status_code == 200
        except httpx.TransportError:
            return False


@asynccontextmanager
async def running(database: Cluster) -> AsyncGenerator[Running]:
    provider = Provider(now=lambda: datetime.now(UTC), auth=AUTH, quota=None, consumer=Consumer.NOBODY)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serve(provider) as endpoint:
        environment = {
            **os.environ,
            "DATABASE_URL": f"postgresql://fleet@127.0.0.1:{database.port}/postgres",
            "HPP_USERNAME": AUTH[0],
            "HPP_PASSWORD": AUTH[1],
            "HPP_ENDPOINT": endpoint,
            "PORT": str(port),
            "SHOP_URL": url,
        }
        process = await asyncio.create_subprocess_exec(sys.executable, str(EXAMPLE), env=environment)
        example = Running(process, provider, database.conninfo, url)
        try:
            async with asyncio.timeout(240):
                await until(example.is_up)
                yield example
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    while not await condition():  # noqa: ASYNC110 - nobody sets an event for it
        await asyncio.sleep(0.1)


@asynccontextmanager
async def callbacks(database: str) -> AsyncGenerator[Callable[[str], Awaitable[None]]]:
    """Give a function that returns once a web process has passed on a callback of this session to the workers."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute('LISTEN "hpp_workers:hpp"')
        messages = connection.notifies()

        async def heard(session: str) -> None:
            while (await anext(messages)).payload != f"notify:{session}":
                pass

        yield heard
        await messages.aclose()


async def data_of(lines: AsyncGenerator[str]) -> str:
    """Return the next event of a stream."""
    while not (line := await anext(lines)).startswith("data: "):
        pass
    return line.removeprefix("data: ")


async def test_every_process_takes_callbacks_and_shows_news_and_a_killed_worker_loses_nothing(
    database: Cluster,
) -> None:
    async with running(database) as shop, callbacks(shop.database) as heard, AsyncExitStack() as stack:
        webs = shop.children("spawn_main")
        first_worker, _ = shop.children("shop_worker")
        orders = [await shop.order() for _ in range(8)]
        streams = list[Any]()
        for web, (number, _) in zip(webs, orders, strict=False):
            connection = await stack.enter_async_context(shop.connection())
            with shop.only(web):
                answer = await stack.enter_async_context(connection.stream("GET", f"/orders/{number}/events"))
            streams.append(answer.aiter_lines())
        first = [await data_of(stream) for stream in streams]
        os.kill(first_worker, signal.SIGKILL)
        for web, (_, session) in zip(webs, orders, strict=False):
            with shop.only(web):
                shop.pay(session)
                await heard(session)
        last = [await data_of(stream) for stream in streams]
        for _, session in orders[4:]:
            shop.pay(session)

        async def all_are_booked() -> bool:
            return not await shop.rows("SELECT FROM purchase WHERE state = 'open'")

        await until(all_are_booked)
        booked = await shop.rows("SELECT session_id, state, order_id FROM purchase")
        parked = await shop.rows("SELECT id FROM hpp.session WHERE failures > 0 OR ended_at IS NULL")

    assert len(webs) == 4
    assert first == ['{"status": "WAITING", "ending": null}'] * 4
    assert set(last) <= {'{"status": "COMPLETED", "ending": null}', '{"status": "COMPLETED", "ending": "Completed"}'}
    assert sorted(booked) == sorted((session, "paid", f"order-{session}") for _, session in orders)
    assert parked == []


async def test_sigterm_ends_all_processes_with_streams_open(database: Cluster) -> None:
    async with running(database) as shop, shop.connection() as web:
        processes = [*shop.children("spawn_main"), *shop.children("shop_worker")]
        number, session = await shop.order()
        async with web.stream("GET", f"/orders/{number}/events") as answer:
            await data_of(answer.aiter_lines())  # type: ignore[arg-type]  # it is a generator
            shop.process.send_signal(signal.SIGTERM)
            await shop.process.wait()
        left = [*shop.children("spawn_main"), *shop.children("shop_worker")]
        owned = await shop.rows("SELECT FROM pg_locks WHERE locktype = 'advisory'")
        [(token,)] = await shop.rows("SELECT token FROM hpp.session WHERE id = %s", session)

    assert len(processes) == 6
    assert left == []
    assert owned == []
    assert token is not None
