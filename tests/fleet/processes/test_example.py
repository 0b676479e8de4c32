"""The example of a shop with four web processes and two workers, started by its one command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Final

import httpx
import pytest
from fleet_scene import AUTH, scene
from postgres import Cluster, database, free_port

pytestmark = pytest.mark.anyio

__all__ = ["database"]

EXAMPLE: Final = Path(__file__).parents[3] / "examples" / "fleet_shop.py"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_payment_is_seen_at_a_web_process_and_booked_once(database: Cluster) -> None:
    async with scene(database) as here:
        port = free_port()
        environment = {
            **os.environ,
            "DATABASE_URL": f"postgresql://fleet@127.0.0.1:{database.port}/postgres",
            "HPP_USERNAME": AUTH[0],
            "HPP_PASSWORD": AUTH[1],
            "HPP_ENDPOINT": here.endpoint,
            "PORT": str(port),
        }
        shop = await asyncio.create_subprocess_exec(sys.executable, str(EXAMPLE), env=environment)
        try:
            sessions = [here.provider.create() for _ in range(5)]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as web:
                while not await is_up(web):  # noqa: ASYNC110 - nobody sets an event for it
                    await asyncio.sleep(0.1)
                for session in sessions:
                    assert (await web.put(f"/sessions/{session}")).status_code == 204
                    here.pay([session])
                    assert (await web.post(f"/klarna/a-secret/{session}")).status_code == 204
                answers = [await web.get(f"/sessions/{session}/events") for session in sessions]
            async with here.store.transaction() as tx:
                cursor = await tx.execute("SELECT session_id, order_id FROM payment ORDER BY session_id")
                booked = await cursor.fetchall()
        finally:
            shop.send_signal(signal.SIGINT)
            await shop.wait()

    last = [json.loads(answer.text.split("data: ")[-1]) for answer in answers]
    assert last == [{"status": "COMPLETED", "ending": "Completed"}] * 5
    assert booked == [(session, f"order-{session}") for session in sorted(sessions)]


async def is_up(web: httpx.AsyncClient) -> bool:
    try:
        return (await web.get("/openapi.json")).status_code == 200
    except httpx.TransportError:
        return False
