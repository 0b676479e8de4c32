"""The shop on the web: the cart, the way to the payment page, and a page that follows the order; see ``shop``."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from typing import Any

from aiohttp import web
from aiohttp_sse import sse_response
from shop.orders import Order, Shop, create, end_streams, find, open_shop, settled, versions
from shop.pages import HEADERS, STATIC, cart_page, order_page, problem_page

from hpp_async import HPPClient, HPPError, is_callback_secret
from hpp_async.fleet import Store

SHOP = web.AppKey("SHOP", Shop)
logger = logging.getLogger("shop")
routes = web.RouteTableDef()


async def order_of(request: web.Request) -> Order:
    order = await find(request.app[SHOP], request.match_info["number"])
    if order is None:
        raise web.HTTPNotFound
    return order


def html(page: str, status: int = 200) -> web.Response:
    return web.Response(text=page, status=status, headers=HEADERS, content_type="text/html")


# -- pages -------------------------------------------------------------------------------------------------------------


@routes.get("/")
async def show_cart(_: web.Request) -> web.Response:
    return html(cart_page())


@routes.post("/orders")
async def create_order(request: web.Request) -> web.Response:
    try:
        payment_page = await create(request.app[SHOP])
    except HPPError:
        logger.exception("no payment page was created")
        return html(problem_page("You cannot pay now", "The payment page cannot be reached. Nothing was ordered."), 503)
    raise web.HTTPSeeOther(payment_page)


@routes.get("/orders/{number}")
async def show_order(request: web.Request) -> web.Response:
    order = await find(request.app[SHOP], request.match_info["number"])
    if order is None:
        return html(problem_page("No such order", "Please check the address."), 404)
    return html(order_page(order))


# -- the order while it changes ----------------------------------------------------------------------------------------


@routes.get("/orders/{number}/status")
async def show_status(request: web.Request) -> web.Response:
    """Answer once the order is settled, or with 202 after ``wait`` seconds, at most 25."""
    try:
        wait = float(request.query.get("wait", "0"))
    except ValueError:
        wait = -1.0
    if not wait >= 0:  # nan is not, either
        raise web.HTTPBadRequest(text="wait: give seconds, 0 or more")
    order = await settled(request.app[SHOP], await order_of(request), min(wait, 25))
    return web.json_response(order.shown(), status=200 if order.is_settled else 202)


@routes.get("/orders/{number}/events")
async def follow_order(request: web.Request) -> web.StreamResponse:
    """Stream the order and its changes. aiohttp-sse adds headers for proxies, and a comment each quarter minute."""
    order, seen = await order_of(request), request.headers.get("Last-Event-ID")
    if seen is not None and not (seen.isascii() and seen.isdecimal()):
        raise web.HTTPBadRequest(text="Last-Event-ID: give one of this stream's")
    if order.is_settled and seen == str(order.version):
        raise web.HTTPNoContent  # else the browser would come back for ever
    async with sse_response(request) as stream:
        async for version in versions(request.app[SHOP], order, seen=seen):
            await stream.send(json.dumps(version.shown()), id=str(version.version), event="order")
    return stream


# -- callbacks ---------------------------------------------------------------------------------------------------------


@routes.post("/klarna/{secret}/{number}")
async def receive_callback(request: web.Request) -> web.Response:
    """Have the session read now. The body is ignored: anybody can send one, and it may be empty."""
    order = await order_of(request)
    if not is_callback_secret(request.match_info["secret"], order.callback_secret):
        raise web.HTTPNotFound
    await request.app[SHOP].fleet.notify(order.session_id)
    return web.Response(status=204)


# -- the application ---------------------------------------------------------------------------------------------------


def create_app(client: HPPClient, store: Store[Any], *, url: str) -> web.Application:
    """Return the shop, which owns *client* and *store* while it runs."""

    async def shop(app: web.Application) -> AsyncGenerator[None]:
        async with open_shop(client, store, url) as app[SHOP]:
            yield

    async def shutdown(app: web.Application) -> None:
        end_streams(app[SHOP])

    app = web.Application()
    app.cleanup_ctx.append(shop)
    app.on_shutdown.append(shutdown)
    app.add_routes(routes)
    app.router.add_static("/static", STATIC)
    return app
