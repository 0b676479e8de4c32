"""Cancellations that the driver of the database loses, as psycopg does on Python 3.11."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from shops import Shop, shop, until

from hpp_async.fleet import SQLiteStore
from hpp_async.testing import ScriptedProvider

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def here(provider: ScriptedProvider, tmp_path: Path) -> AsyncGenerator[Shop]:
    async with shop(provider, SQLiteStore(tmp_path / "shop.db"), shards=2) as here:
        await here.fleet.add("abc")
        yield here


@pytest.fixture
def inside(here: Shop, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let each transaction of the fleet's lose the cancellation that comes in its middle."""
    inside, begin = list[str](), here.store.own_transaction

    @asynccontextmanager
    async def losing() -> AsyncGenerator[Any]:
        async with begin() as tx:
            if not inside:
                inside.append("cancel now")
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    inside.append("lost")
            yield tx

    monkeypatch.setattr(here.store, "own_transaction", losing)
    return inside


async def test_a_wait_whose_cancellation_is_lost_ends(here: Shop, inside: list[str]) -> None:
    waiting = asyncio.create_task(here.fleet.wait_for_outcome("abc"))
    await until(lambda: inside)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=60)

    assert waiting.cancelled()
    assert inside == ["cancel now", "lost"]


async def test_a_wait_whose_cancellation_is_lost_beside_an_error_ends(
    here: Shop, inside: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(here.store, "run", fails)
    waiting = asyncio.create_task(here.fleet.wait_for_outcome("abc"))
    await until(lambda: inside)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=60)

    assert waiting.cancelled()


async def test_a_timeout_that_is_lost_is_a_timeout_and_loses_no_news(here: Shop, inside: list[str]) -> None:
    async with here.store.transaction() as tx:
        await here.store.run(tx, "store", "hpp1:0:-:-:abc:WAITING", "WAITING", "{}", None, False, "abc")
    wait = here.fleet.wait_for_outcome("abc")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(wait)

    assert inside == ["cancel now", "lost"]
    assert (await anext(wait)).status == "WAITING"


async def test_a_scope_of_anyio_knows_its_cancellation(here: Shop, inside: list[str]) -> None:
    with anyio.move_on_after(0.01) as scope:
        await here.fleet.wait_for_outcome("abc")

    assert scope.cancelled_caught
    assert inside == ["cancel now", "lost"]


async def test_work_that_is_told_to_end_while_it_begins_ends(here: Shop, inside: list[str]) -> None:
    async with here.working() as working:
        await until(lambda: inside)

    assert working.cancelled()
    assert inside == ["cancel now", "lost"]
