"""The shop on the web: the cart, the way to the payment page, and a page that follows the order; see ``shop``."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles
from shop.orders import Order, Shop, create, end_streams, find, open_shop, settled, store_from_env, versions
from shop.pages import HEADERS, STATIC, cart_page, order_page, problem_page

from hpp_async import HPPClient, HPPError, is_callback_secret
from hpp_async.fleet import Store

logger = logging.getLogger("shop")
router = APIRouter()


def shop_of(request: Request) -> Shop:
    shop: Shop = request.state.shop
    return shop


TheShop = Annotated[Shop, Depends(shop_of)]


async def order_of(shop: TheShop, number: str) -> Order:
    order = await find(shop, number)
    if order is None:
        raise HTTPException(404)
    return order


TheOrder = Annotated[Order, Depends(order_of)]
LastEventId = Annotated[str | None, Header()]


# -- pages -------------------------------------------------------------------------------------------------------------


@router.get("/")
async def show_cart() -> HTMLResponse:
    return HTMLResponse(cart_page(), headers=HEADERS)


@router.post("/orders")
async def create_order(shop: TheShop) -> Response:
    try:
        return RedirectResponse(await create(shop), 303)
    except HPPError:
        logger.exception("no payment page was created")
        page = problem_page("You cannot pay now", "The payment page cannot be reached. Nothing was ordered.")
        return HTMLResponse(page, 503, HEADERS)


@router.get("/orders/{number}")
async def show_order(shop: TheShop, number: str) -> HTMLResponse:
    order = await find(shop, number)
    if order is None:
        return HTMLResponse(problem_page("No such order", "Please check the address."), 404, HEADERS)
    return HTMLResponse(order_page(order), headers=HEADERS)


# -- the order while it changes ----------------------------------------------------------------------------------------


@router.get("/orders/{number}/status")
async def show_status(shop: TheShop, order: TheOrder, response: Response, wait: float = 0) -> dict[str, str]:
    """Answer once the order is settled, or with 202 after *wait* seconds, at most 25."""
    if not wait >= 0:  # nan is not, either
        raise HTTPException(400, "wait: give seconds, 0 or more")
    order = await settled(shop, order, min(wait, 25))
    response.status_code = 200 if order.is_settled else 202
    return order.shown()


async def order_to_follow(order: TheOrder, last_event_id: LastEventId = None) -> Order:
    """Refuse what can be refused only before the stream: its status code is sent before the generator runs."""
    if last_event_id is not None and not (last_event_id.isascii() and last_event_id.isdecimal()):
        raise HTTPException(400, "Last-Event-ID: give one of this stream's")
    if order.is_settled and last_event_id == str(order.version):
        raise HTTPException(204)  # else the browser would come back for ever
    return order


@router.get("/orders/{number}/events", response_class=EventSourceResponse)
async def follow_order(
    shop: TheShop, order: Annotated[Order, Depends(order_to_follow)], last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """Stream the order and its changes. FastAPI adds headers for proxies, and a comment each quarter minute."""
    async for version in versions(shop, order, seen=last_event_id):
        yield ServerSentEvent(id=str(version.version), event="order", data=version.shown())


# -- callbacks ---------------------------------------------------------------------------------------------------------


@router.post("/klarna/{secret}/{number}", status_code=204)
async def receive_callback(shop: TheShop, order: TheOrder, secret: str) -> None:
    """Have the session read now. The body is ignored: anybody can send one, and it may be empty."""
    if not is_callback_secret(secret, order.callback_secret):
        raise HTTPException(404)
    await shop.fleet.notify(order.session_id)


# -- the application ---------------------------------------------------------------------------------------------------


def create_app(client: HPPClient, store: Store[Any], *, url: str) -> FastAPI:
    """Return the shop, whose lifespan owns *client* and *store*."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, Shop]]:
        loop = asyncio.get_running_loop()
        async with open_shop(client, store, url) as shop:
            with at_signals(lambda: loop.call_soon_threadsafe(end_streams, shop)):
                yield {"shop": shop}

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


@contextmanager
def at_signals(do: Callable[[], object]) -> Generator[None]:
    """Call *do* when the server is told to stop. It ends the lifespan only after the last stream."""

    def stop(number: int, frame: FrameType | None) -> None:
        do()
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


def from_env() -> FastAPI:
    """Return the shop for ``uvicorn --factory``. The tables are made by ``__main__``."""
    return create_app(HPPClient.from_env(), store_from_env(), url=os.environ["SHOP_URL"])
