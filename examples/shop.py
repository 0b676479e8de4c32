"""
A small shop on FastAPI that is paid through Klarna's Hosted Payment Page.

It runs against the simulator or the playground::

    HPP_ENDPOINT=… HPP_USERNAME=… HPP_PASSWORD=… SHOP_URL=http://127.0.0.1:8000 \
        uvicorn --factory shop:from_env
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Annotated

import anyio
import attrs
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from hpp_async import (
    FINAL,
    AnyOutcome,
    Completed,
    ConfigurationError,
    CreatedSession,
    Expired,
    Heartbeat,
    HPPClient,
    HPPError,
    MerchantURLs,
    Options,
    OrderLine,
    OutcomeWait,
    PlacedOrder,
    PlaceOrderMode,
    PurchaseOrder,
    WaitTimeoutError,
    callback_secret,
    is_callback_secret,
)

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # else nginx would hold events back
LAST_ID = "last"  # the id of a stream's last event: a browser that has it needs nothing more


@attrs.define
class Order:
    """What a real shop has in its database."""

    session: CreatedSession
    secret: str = attrs.field(repr=False)  # in the URL of its callbacks, because they are not signed
    state: str = "open"  # then paid, released, or for a person to look at
    status: str = "UNKNOWN"

    @property
    def is_settled(self) -> bool:
        """Whether the state is known for good. Then the session is not read again: the provider forgets sessions."""
        return self.state != "open"


def create_app(hpp: HPPClient, *, url: str) -> FastAPI:
    """Return the shop, whose lifespan owns *hpp*. *url* is the shop's own, which the provider calls back."""
    orders: dict[str, Order] = {}
    numbers = itertools.count(1)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with hpp, anyio.create_task_group() as tasks:
            app.state.tasks = tasks
            with streams_end_at_signals(hpp):
                yield
            tasks.cancel_scope.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders", status_code=201)
    async def create_order(request: Request) -> dict[str, str]:
        number, secret = str(next(numbers)), callback_secret()
        urls = MerchantURLs(status_update=f"{url}/klarna/{secret}/{number}")
        options = Options(place_order_mode=PlaceOrderMode.PLACE_ORDER)  # checkout.py places orders itself
        hpp.check_creation(merchant_urls=urls, options=options)
        payment_session = await hpp.create_payment_session(cart_of(number))
        session = await hpp.create_session(payment_session, merchant_urls=urls, options=options)
        orders[number] = Order(session, secret)
        request.app.state.tasks.start_soon(settle, hpp, orders[number])
        return {"number": number, "redirect_url": str(session.redirect_url)}

    @app.get("/orders/{number}")
    async def show_order(number: str, response: Response, wait: float = 0) -> dict[str, str]:
        """Return the state of the order, after a wait of up to *wait* seconds for its outcome."""
        if not wait >= 0:  # nan is not, either
            raise HTTPException(400, "wait: give seconds, 0 or more")
        order = order_of(number)
        if order.is_settled:
            return {"state": order.state, "status": order.status}
        try:
            outcome = await hpp.wait_for_outcome(order.session, stop_on=FINAL, timeout=min(wait, 25))
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
            wait = hpp.wait_for_outcome(order.session, stop_on=FINAL, since=last_event_id)
        except ConfigurationError as error:
            raise HTTPException(400, "Last-Event-ID: give one of this stream's") from error
        return StreamingResponse(events(order, wait), media_type="text/event-stream", headers=STREAM_HEADERS)

    @app.post("/klarna/{given}/{number}", status_code=204)
    async def receive_callback(given: str, number: str) -> None:
        """Read the session now. The body is ignored: anybody can send one, and it may be empty."""
        order = order_of(number)
        if not is_callback_secret(given, order.secret):
            raise HTTPException(404)
        hpp.notify(order.session)

    def order_of(number: str) -> Order:
        if number not in orders:
            raise HTTPException(404)
        return orders[number]

    return app


def cart_of(number: str) -> PurchaseOrder:
    """Return what is bought: in this shop always the same."""
    return PurchaseOrder(
        purchase_country="SE",
        purchase_currency="SEK",
        order_lines=[OrderLine(name="Running shoe", quantity=2, unit_price=49900, tax_rate=2500)],
        merchant_reference1=number,
    )


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
        outcome = await hpp.wait_for_outcome(order.session, stop_on=FINAL)
    except HPPError:  # the end of the session is not known: it may have been paid
        order.state = "for a person to look at"
    else:
        order.state, order.status = state_after(outcome), outcome.status


def state_after(outcome: AnyOutcome) -> str:
    match outcome:
        case Completed(needs_attention=True) | Expired(needs_attention=True):
            return "for a person to look at"
        case Completed(payment=PlacedOrder()):
            return "paid"
        case Completed():
            return "for a person to look at"  # an authorization, without an order: the provider did not place it
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
    return create_app(HPPClient.from_env(), url=os.environ["SHOP_URL"])
