"""A web process, one of several: it creates sessions, takes callbacks, and shows what the workers find out."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from shop_fleet import Shop, open_shop

from hpp_async import (
    MerchantURLs,
    Options,
    OrderLine,
    PlaceOrderMode,
    PurchaseOrder,
    callback_secret,
    is_callback_secret,
)

URL = os.environ.get("SHOP_URL", "http://127.0.0.1:8000")  # the shop's own, which the provider calls back
LAST = "last"  # the id of a stream's last event


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with open_shop() as app.state.shop:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=201)
async def create_order(request: Request) -> dict[str, str]:
    """Create the payment page, and store the purchase and its session together: then send the consumer to the page."""
    shop: Shop = request.app.state.shop
    number, secret = secrets.token_hex(8), callback_secret()
    order = PurchaseOrder(
        purchase_country="SE",
        purchase_currency="SEK",
        order_lines=[OrderLine(name="Running shoe", quantity=2, unit_price=49900, tax_rate=2500)],
        merchant_reference1=number,
    )
    session = await shop.client.create_session(
        await shop.client.create_payment_session(order),
        merchant_urls=MerchantURLs(status_update=f"{URL}/klarna/{secret}/{number}"),
        options=Options(place_order_mode=PlaceOrderMode.PLACE_ORDER),
    )
    async with shop.store.transaction() as tx:
        insert = "INSERT INTO purchase (number, session_id, callback_secret) VALUES (%s, %s, %s)"
        await tx.execute(insert, (number, session.session_id, secret))
        await shop.fleet.add(session, tx=tx)
    return {"number": number, "redirect_url": str(session.redirect_url)}


@app.post("/klarna/{given}/{number}", status_code=204)
async def receive_callback(request: Request, given: str, number: str) -> None:
    """Let the worker that follows the session read it now: the callback itself is only a hint."""
    session_id, secret, _ = await purchase(request, number)
    if not is_callback_secret(given, secret):
        raise HTTPException(404)
    await request.app.state.shop.fleet.notify(session_id)


@app.get("/orders/{number}")
async def show_order(request: Request, number: str) -> dict[str, str]:
    _, _, state = await purchase(request, number)
    return {"state": state}


async def session_to_follow(
    request: Request, number: str, last_event_id: Annotated[str | None, Header()] = None
) -> str:
    session_id, _, _ = await purchase(request, number)
    if last_event_id == LAST:
        raise HTTPException(204)  # else the browser would come back for ever
    return session_id


@app.get("/orders/{number}/events", response_class=EventSourceResponse)
async def follow_order(
    request: Request, session_id: Annotated[str, Depends(session_to_follow)]
) -> AsyncIterator[ServerSentEvent]:
    """Stream what the workers find out. No request to the provider is made for it."""
    async for news in request.app.state.shop.fleet.wait_for_outcome(session_id):
        data = {"status": news.status, "ending": news.ending}
        yield ServerSentEvent(id=LAST if news.is_last else None, data=data)


async def purchase(request: Request, number: str) -> tuple[str, str, str]:
    if re.fullmatch("[0-9a-f]+", number) is None:  # such as one with a NUL, which PostgreSQL refuses
        raise HTTPException(404)
    async with request.app.state.shop.store.transaction() as tx:
        query = "SELECT session_id, callback_secret, state FROM purchase WHERE number = %s"
        row = await (await tx.execute(query, (number,))).fetchone()
    if row is None:
        raise HTTPException(404)
    session_id, secret, state = row
    return session_id, secret, state
