"""The worker of examples/: stopped and started at any time, it loses no payment; and it runs as its docstring says."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Final

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from hpp_async.testing import Provider, ScriptedProvider, VirtualClock

EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "worker.py"
pytestmark = pytest.mark.skipif(not EXAMPLE.exists(), reason="the examples are not part of the wheel")

LIVES: Final = {
    "paid": ([(20, "IN_PROGRESS"), (60, "COMPLETED")], "paid"),
    "declined": ([(20, "IN_PROGRESS"), (40, "FAILED"), (50, "IN_PROGRESS"), (90, "COMPLETED")], "paid"),
    "given-up": ([(15, "IN_PROGRESS"), (70, "CANCELLED")], "not paid"),
    "later": ([(80, "IN_PROGRESS"), (130, "COMPLETED")], "paid"),
}


@pytest.fixture(scope="module")
def worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("worker", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def database(worker: ModuleType, tmp_path: Path) -> Generator[sqlite3.Connection]:
    with contextlib.closing(worker.open_database(str(tmp_path / "shop.db"))) as database:
        yield database


def insert(database: sqlite3.Connection, table: str, session_id: str) -> None:
    with database:
        row = (session_id, None, None) if table == "session" else (session_id,)
        database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


async def run_for(seconds: float, worker: ModuleType, provider: ScriptedProvider, database: sqlite3.Connection) -> None:
    """Do as a new process that works for *seconds* and is killed then."""
    async with provider.client() as client:
        working = asyncio.create_task(worker.work(client, database, sleep=provider.clock.sleep))
        await provider.clock.sleep(seconds)
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [0.5, 3.0, 7.0, 13.0, 1000.0])
async def test_a_worker_that_is_killed_every_few_seconds_loses_nothing(
    seconds: float, worker: ModuleType, database: sqlite3.Connection
) -> None:
    provider = ScriptedProvider(VirtualClock())
    for session_id, (steps, _) in LIVES.items():
        provider.add(steps, session_id=session_id)
        insert(database, "session", session_id)
    insert(database, "session", "unknown")
    while provider.clock.now() < 200.0:
        await run_for(seconds, worker, provider, database)
    endings = dict(database.execute("SELECT id, ending FROM session"))
    payments = {session_id for (session_id,) in database.execute("SELECT session_id FROM payment")}

    assert endings.pop("unknown") == "needs a person: SessionNotFoundError"
    assert endings == {session_id: ending for session_id, (_, ending) in LIVES.items()}
    assert payments == {session_id for session_id, ending in endings.items() if ending == "paid"}


@pytest.mark.asyncio
async def test_an_outage_ends_no_session(worker: ModuleType, database: sqlite3.Connection) -> None:
    provider = ScriptedProvider(VirtualClock())
    provider.add([(5_000, "COMPLETED")], session_id="paid")
    insert(database, "session", "paid")
    provider.answer_next(*[503] * 200)
    await run_for(10_000.0, worker, provider, database)

    assert database.execute("SELECT ending FROM session").fetchall() == [("paid",)]


@pytest.mark.asyncio
async def test_refused_credentials_stop_the_worker_and_end_no_session(
    worker: ModuleType, database: sqlite3.Connection
) -> None:
    provider = ScriptedProvider(VirtualClock())
    provider.answer_next(401)
    insert(database, "session", "paid")
    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        async with provider.client() as client:
            await worker.work(client, database, sleep=provider.clock.sleep)

    assert database.execute("SELECT ending FROM session").fetchall() == [(None,)]


@pytest.mark.asyncio
async def test_it_runs_as_a_program_until_it_is_told_to_stop(
    worker: ModuleType, database: sqlite3.Connection, tmp_path: Path
) -> None:
    simulator = pytest.importorskip("hpp_async.simulator", reason="needs the simulator extra")
    provider = Provider(now=lambda: datetime.now(UTC), auth=("user", "secret"))
    provider.create([(0, "IN_PROGRESS")], session_id="late")
    insert(database, "session", "late")
    with simulator.serve(provider) as url:
        environment = os.environ | {"HPP_USERNAME": "user", "HPP_PASSWORD": "secret", "HPP_ENDPOINT": url}
        command = [sys.executable, str(EXAMPLE), str(tmp_path / "shop.db")]
        with anyio.fail_after(30):
            async with await anyio.open_process(command, env=environment, stderr=None) as process:
                assert process.stdout is not None
                said = BufferedByteReceiveStream(process.stdout)
                assert await said.receive_until(b"\n", 99) == b"late IN_PROGRESS"
                provider.change("late", "COMPLETED")
                insert(database, "callback", "late")
                assert await said.receive_until(b"\n", 99) == b"late COMPLETED"
                assert await said.receive_until(b"\n", 99) == b"late paid"
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0

    assert database.execute("SELECT ending FROM session").fetchall() == [("paid",)]


class WithoutSignals(asyncio.SelectorEventLoop):
    """An event loop such as those of Windows."""

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: object) -> None:
        raise NotImplementedError


def test_it_stops_on_a_loop_without_signal_handlers(worker: ModuleType) -> None:
    async def work() -> None:
        worker.cancel_at_sigterm(asyncio.current_task())
        signal.raise_signal(signal.SIGTERM)
        await asyncio.Event().wait()

    before = signal.getsignal(signal.SIGTERM)
    try:
        with asyncio.Runner(loop_factory=WithoutSignals) as runner, pytest.raises(asyncio.CancelledError):
            runner.run(work())
    finally:
        signal.signal(signal.SIGTERM, before)
