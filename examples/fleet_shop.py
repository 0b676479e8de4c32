"""
A shop of four web processes and two workers, which share its sessions through PostgreSQL.

    python examples/fleet_shop.py   # takes DATABASE_URL, and HPP_USERNAME, HPP_PASSWORD and HPP_ENDPOINT

Any web process takes a session, a callback, or a consumer who waits; the workers follow the sessions. Kill any of the
processes: nothing is lost, and no payment is booked twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from hpp_async import Authorization, Completed, HPPClient, HPPError, PlacedOrder, Transition, WatchEvent
from hpp_async.fleet import Fleet, PostgresStore, PostgresTransaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS payment (
    session_id text PRIMARY KEY, order_id text, authorization_token text, needs_a_person text
)
"""
WEB_PROCESSES = 4
WORKERS = 2


@contextlib.asynccontextmanager
async def open_fleet() -> AsyncGenerator[Fleet[PostgresTransaction]]:
    """Connect this process to the fleet: every process does the same."""
    async with HPPClient.from_env() as client, PostgresStore(os.environ["DATABASE_URL"]) as store:
        yield Fleet(client, store)


# -- the web processes ------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with open_fleet() as app.state.fleet:
        yield


app = FastAPI(lifespan=lifespan)


@app.put("/sessions/{session_id}", status_code=204)
async def add(request: Request, session_id: str) -> None:
    """Follow a session: call it before the consumer is sent to the page."""
    await request.app.state.fleet.add(session_id)


@app.post("/klarna/{secret}/{session_id}")
async def status_update(request: Request, secret: str, session_id: str) -> Response:
    """Take a status callback, once you have checked the secret: the worker that follows the session reads it now."""
    await request.app.state.fleet.notify(session_id)
    return Response(status_code=204)


@app.get("/sessions/{session_id}/events")
async def events(request: Request, session_id: str) -> StreamingResponse:
    """Show the consumer's page what happens, as server-sent events. No request to the provider is made for it."""

    async def stream() -> AsyncGenerator[str]:
        async for news in request.app.state.fleet.wait_for_outcome(session_id):
            yield f"data: {json.dumps({'status': news.status, 'ending': news.ending})}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


# -- the workers ------------------------------------------------------------------------------------------------------


async def deal_with(event: WatchEvent, tx: PostgresTransaction) -> None:
    """Book what happened. It is committed together with the session's token, or not at all."""
    book = "INSERT INTO payment VALUES (%s, %s, %s, %s)"
    match event.news:
        case Transition():
            return
        case Completed(payment=PlacedOrder(order_id=order_id)):
            await tx.execute(book, (event.session_id, order_id, None, None))
        case Completed(payment=Authorization(token=token)):
            await tx.execute(book, (event.session_id, None, token, None))
        case HPPError() as error:
            await tx.execute(book, (event.session_id, None, None, type(error).__name__))
        case outcome if outcome.needs_attention:
            await tx.execute(book, (event.session_id, None, None, type(outcome).__name__))
        case _:
            pass  # it was not paid


async def work() -> None:
    working = asyncio.current_task()
    assert working is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)  # hands the sessions over
    async with open_fleet() as fleet:
        await fleet.work(deal_with)


# -- all of them ------------------------------------------------------------------------------------------------------


async def migrate() -> None:
    async with PostgresStore(os.environ["DATABASE_URL"]) as store:
        await store.migrate()
        async with store.transaction() as tx:
            await tx.execute(SCHEMA)


def main() -> None:
    asyncio.run(migrate())
    workers = [subprocess.Popen([sys.executable, __file__, "work"]) for _ in range(WORKERS)]
    try:
        uvicorn.run(
            "fleet_shop:app",
            port=int(os.environ.get("PORT", "8000")),
            workers=WEB_PROCESSES,
            timeout_worker_healthcheck=30,
        )
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
            asyncio.run(work())
    else:
        main()
