"""
A small shop on FastAPI that is paid through Klarna's Hosted Payment Page.

It runs against the simulator or the playground::

    HPP_ENDPOINT=… HPP_USERNAME=… HPP_PASSWORD=… SHOP_URL=http://127.0.0.1:8000 SHOP_SECRET=… \
        uvicorn --factory shop:from_env
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Annotated

import anyio
import attrs
import httpx
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from hpp_async import (
    FINAL,
    AnyOutcome,
    Completed,
    ConfigurationError,
    Endpoint,
    Expired,
    Heartbeat,
    HPPClient,
    HPPError,
    OutcomeWait,
    WaitTimeoutError,
)

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # else nginx would hold events back
LAST_ID = "last"  # the id of a stream's last event: a browser that has it needs nothing more


@attrs.define
class Order:
    """What a real shop has in its database."""

    session_url: str
    state: str = "open"  # then paid, released, or for a person to look at
    status: str = "UNKNOWN"

    @property
    def is_settled(self) -> bool:
        """Whether the state is known for good. Then the session is not read again: the provider forgets sessions."""
        return self.state != "open"


def create_app(klarna: httpx.AsyncClient, hpp: HPPClient, *, url: str, secret: str) -> FastAPI:
    """
    Return the shop; its lifespan owns both clients.

    *klarna* has the provider's base URL and our credentials. *url* is the shop's own, which the provider calls back.
    *secret* is in the path of the callbacks, because they are not signed.
    """
    orders: dict[str, Order] = {}
    numbers = itertools.count(1)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with klarna, hpp, anyio.create_task_group() as tasks:
            app.state.tasks = tasks
            with streams_end_at_signals(hpp):
                yield
            tasks.cancel_scope.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders", status_code=201)
    async def create_order(request: Request) -> dict[str, str]:
        number = str(next(numbers))
        body = {
            "payment_session_url": f"{klarna.base_url}payments/v1/sessions/1",  # from the Payments API
            "merchant_urls": {"status_update": f"{url}/klarna/{secret}/{number}"},
        }
        created = (await klarna.post("/hpp/v1/sessions", json=body)).raise_for_status().json()
        orders[number] = Order(created["session_url"])
        request.app.state.tasks.start_soon(settle, hpp, orders[number])
        return {"number": number, "redirect_url": created["redirect_url"]}

    @app.get("/orders/{number}")
    async def show_order(number: str, response: Response, wait: float = 0) -> dict[str, str]:
        """Return the state of the order, after a wait of up to *wait* seconds for its outcome."""
        if not wait >= 0:  # nan is not, either
            raise HTTPException(400, "wait: give seconds, 0 or more")
        order = order_of(number)
        if order.is_settled:
            return {"state": order.state, "status": order.status}
        try:
            outcome = await hpp.wait_for_outcome(order.session_url, stop_on=FINAL, timeout=min(wait, 25))
        except WaitTimeoutError as error:
            response.status_code = 202
            return {"state": order.state, "status": "UNKNOWN" if error.latest is None else error.latest.status}
        except HPPError as error:  # the order may have been paid: `settle` finds that out
            raise HTTPException(503, str(error)) from error
        return {"state": state_after(outcome), "status": outcome.status}

    @app.get("/orders/{number}/events")
    async def follow_order(number: str, last_event_id: Annotated[str | None, Header()] = None) -> Response:
        """Stream every change; a browser that comes back sends the id of the last event that it has."""
        order = order_of(number)
        if last_event_id == LAST_ID:
            return Response(status_code=204)  # else the browser would come back for ever
        try:
            wait = hpp.wait_for_outcome(order.session_url, stop_on=FINAL, since=last_event_id)
        except ConfigurationError as error:
            raise HTTPException(400, "Last-Event-ID: give one of this stream's") from error
        return StreamingResponse(events(order, wait), media_type="text/event-stream", headers=STREAM_HEADERS)

    @app.post("/klarna/{given}/{number}", status_code=204)
    async def receive_callback(given: str, number: str) -> None:
        """Read the session now. The body is ignored: anybody can send one, and it may be empty."""
        if not secrets.compare_digest(given.encode(), secret.encode()):
            raise HTTPException(404)
        hpp.notify(order_of(number).session_url)

    def order_of(number: str) -> Order:
        if number not in orders:
            raise HTTPException(404)
        return orders[number]

    return app


@contextmanager
def streams_end_at_signals(hpp: HPPClient) -> Generator[None]:
    """End the streams when the server is told to stop: uvicorn waits for them before it ends the lifespan."""

    def stop(number: int, frame: FrameType | None) -> None:
        hpp.stop_streams()
        servers[signal.Signals(number)](number, frame)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    servers = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in servers:
            signal.signal(number, stop)
    except ValueError:  # only the main thread can have signal handlers, and a TestClient runs the shop in another one
        servers = {}
    yield
    for number, handler in servers.items():
        signal.signal(number, handler)


async def settle(hpp: HPPClient, order: Order) -> None:
    """Wait, also after a decline, until *order* is paid or can never be paid, whether or not a browser is connected."""
    try:
        outcome = await hpp.wait_for_outcome(order.session_url, stop_on=FINAL)
    except HPPError:  # the end of the session is not known: it may have been paid
        order.state = "for a person to look at"
    else:
        order.state, order.status = state_after(outcome), outcome.status


def state_after(outcome: AnyOutcome) -> str:
    match outcome:
        case Completed(needs_attention=True) | Expired(needs_attention=True):
            return "for a person to look at"
        case Completed():
            return "paid"
        case _:
            return "released"


async def events(order: Order, wait: OutcomeWait) -> AsyncGenerator[str]:
    """Yield the updates of *wait* as server-sent events."""
    if order.is_settled:
        await wait.aclose()
        yield last_event(order.state)
        return
    try:
        async for update in wait.updates(heartbeat=15):
            match update:
                case Heartbeat():
                    yield ": nothing new\n\n"  # only sending shows that a browser has left
                case transition:
                    yield f"id: {transition.token}\nevent: status\ndata: {json.dumps(transition.status)}\n\n"
    except HPPError as error:
        yield f"event: interrupted\ndata: {json.dumps(str(error))}\n\n"
        return
    if wait.outcome is not None:  # else the server stops, and the browser comes back to the next one
        yield last_event(state_after(wait.outcome))


def last_event(state: str) -> str:
    return f"id: {LAST_ID}\nevent: outcome\ndata: {json.dumps(state)}\n\n"


def from_env() -> FastAPI:
    endpoint = os.environ["HPP_ENDPOINT"]
    klarna = httpx.AsyncClient(
        base_url=Endpoint[endpoint] if endpoint in Endpoint.__members__ else endpoint,
        auth=(os.environ["HPP_USERNAME"], os.environ["HPP_PASSWORD"]),
    )
    return create_app(klarna, HPPClient.from_env(), url=os.environ["SHOP_URL"], secret=os.environ["SHOP_SECRET"])
