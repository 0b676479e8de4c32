"""
A small shop on FastAPI that is paid through Klarna's Hosted Payment Page.

It runs against the simulator as well as against the playground::

    HPP_ENDPOINT=… HPP_USERNAME=… HPP_PASSWORD=… SHOP_URL=http://127.0.0.1:8000 SHOP_SECRET=… \
        uvicorn --factory shop:from_env
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import anyio
import attrs
import httpx
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from hpp_async import (
    FINAL,
    Completed,
    Endpoint,
    Expired,
    Heartbeat,
    HPPClient,
    HPPError,
    Outcome,
    OutcomeWait,
    WaitTimeoutError,
    parse_callback,
)


@attrs.define
class Order:
    """What a real shop has in its database."""

    session_url: str
    redirect_url: str
    state: str = "open"  # then paid, released, or for a person to look at


def create_app(klarna: httpx.AsyncClient, hpp: HPPClient, *, url: str, secret: str) -> FastAPI:
    """
    Return the shop; its lifespan owns both clients.

    *klarna* has the provider's base URL and our credentials, *url* is where the provider finds us, and *secret* is in
    the path that it calls: callbacks are not signed.
    """
    orders: dict[str, Order] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with klarna, hpp, anyio.create_task_group() as tasks:
            app.state.tasks = tasks
            yield
            tasks.cancel_scope.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders", status_code=201)
    async def create_order(request: Request) -> dict[str, str]:
        body = {
            "payment_session_url": f"{klarna.base_url}payments/v1/sessions/1",  # from the Payments API
            "merchant_urls": {"status_update": f"{url}/klarna/{secret}"},
        }
        created = (await klarna.post("/hpp/v1/sessions", json=body)).raise_for_status().json()
        number = str(len(orders) + 1)
        orders[number] = Order(created["session_url"], created["redirect_url"])
        request.app.state.tasks.start_soon(settle, hpp, orders[number])
        return {"number": number, "redirect_url": created["redirect_url"]}

    @app.get("/orders/{number}")
    async def show_order(number: str, response: Response, wait: float = 0) -> dict[str, str]:
        """Tell how the order is; look for its outcome up to *wait* seconds first."""
        order = order_of(number)
        try:
            outcome = await hpp.wait_for_outcome(order.session_url, stop_on=FINAL, timeout=min(wait, 25))
        except WaitTimeoutError as error:
            response.status_code = 202
            return {"state": order.state, "status": "UNKNOWN" if error.latest is None else error.latest.status}
        return {"state": state_after(outcome), "status": outcome.status}

    @app.get("/orders/{number}/events")
    async def follow_order(number: str, last_event_id: Annotated[str | None, Header()] = None) -> StreamingResponse:
        """Stream every change; a browser that comes back names the last one it saw."""
        wait = hpp.wait_for_outcome(order_of(number).session_url, stop_on=FINAL, since=last_event_id)
        return StreamingResponse(events(wait), media_type="text/event-stream")

    @app.post("/klarna/{given}", status_code=204)
    async def hear_callback(given: str, request: Request) -> None:
        if not secrets.compare_digest(given.encode(), secret.encode()):
            raise HTTPException(404)
        callback = parse_callback(await request.body())
        if callback.session_id is not None:
            hpp.notify(callback.session_id)  # a hint to look now: what it says of the session is not believed

    def order_of(number: str) -> Order:
        if number not in orders:
            raise HTTPException(404)
        return orders[number]

    return app


async def settle(hpp: HPPClient, order: Order) -> None:
    """Wait, through declines, until *order* is paid or never can be; nobody has to have the page open."""
    try:
        order.state = state_after(await hpp.wait_for_outcome(order.session_url, stop_on=FINAL))
    except HPPError:  # it could not be found out, and may have been paid
        order.state = "for a person to look at"


def state_after(outcome: Outcome) -> str:
    match outcome:
        case Completed(needs_attention=True) | Expired(needs_attention=True):
            return "for a person to look at"
        case Completed():
            return "paid"
        case _:
            return "released"


async def events(wait: OutcomeWait) -> AsyncGenerator[str]:
    """Turn *wait* into server-sent events."""
    try:
        async for update in wait.updates(heartbeat=15):
            match update:
                case Heartbeat():
                    yield ": nothing new\n\n"  # a browser that left is noticed when something is sent
                case transition:
                    yield f"id: {transition.token}\nevent: status\ndata: {json.dumps(transition.status)}\n\n"
    except HPPError as error:
        yield f"event: interrupted\ndata: {json.dumps(str(error))}\n\n"
        return
    assert wait.outcome is not None, "it ended"
    yield f"event: outcome\ndata: {json.dumps(state_after(wait.outcome))}\n\n"


def from_env() -> FastAPI:
    endpoint = os.environ["HPP_ENDPOINT"]
    klarna = httpx.AsyncClient(
        base_url=Endpoint[endpoint] if endpoint in Endpoint.__members__ else endpoint,
        auth=(os.environ["HPP_USERNAME"], os.environ["HPP_PASSWORD"]),
    )
    return create_app(klarna, HPPClient.from_env(), url=os.environ["SHOP_URL"], secret=os.environ["SHOP_SECRET"])
