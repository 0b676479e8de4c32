"""The orders of the shop: its tables, what becomes of each order, and how long a browser has to wait for that."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs

from hpp_async import (
    AnyOutcome,
    Completed,
    HPPClient,
    HPPError,
    MerchantURLs,
    Options,
    OrderLine,
    PlacedOrder,
    PlaceOrderMode,
    PurchaseOrder,
    Transition,
    WatchEvent,
    callback_secret,
)
from hpp_async.fleet import Fleet, FleetWait, SQLiteStore, SQLiteTransaction, Store

logger = logging.getLogger("shop")

CART = [
    OrderLine(name="Running shoe", quantity=2, unit_price=49900, tax_rate=2500),
    OrderLine(name="Shoelaces", quantity=1, unit_price=5900, tax_rate=2500),
]
SCHEMA = """
CREATE TABLE IF NOT EXISTS purchase (
    number TEXT PRIMARY KEY,
    session_id TEXT NOT NULL UNIQUE,
    payment_page TEXT NOT NULL,
    callback_secret TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'WAITING',
    state TEXT NOT NULL DEFAULT 'open',
    order_id TEXT,
    version INTEGER NOT NULL DEFAULT 0
)
"""

Tx = Any
"""A transaction of either store."""


@attrs.frozen(kw_only=True)
class Order:
    """
    A row of the table.

    Attributes:
        number: part of the address of the order's page, so nobody can guess it.
        payment_page: whoever has this URL can open the page.
        callback_secret: part of the URL of callbacks, because they are not signed.
        status: the session's, as it was read last.
        state: ``open``; then for good ``paid``, ``not paid``, or ``to be checked`` by a person.
        version: grows with each change.
    """

    number: str
    session_id: str
    payment_page: str = attrs.field(repr=False)
    callback_secret: str = attrs.field(repr=False)
    status: str
    state: str
    order_id: str | None
    version: int

    @property
    def is_settled(self) -> bool:
        return self.state != "open"

    @property
    def news(self) -> str:
        """What the consumer is told."""
        match self.state, self.status:
            case "paid", _:
                return "Thank you! Your order is paid."
            case "not paid", _:
                return "Your order was not paid, and no money was taken."
            case "to be checked", _:
                return "We are looking into your payment, and will contact you. Please do not pay again."
            case _, "WAITING":
                return "Your order waits for your payment."
            case _, "FAILED" | "ERROR":
                return "Your payment was declined. You can try again on the payment page."
            case _:
                return "Your payment is in progress."

    def shown(self) -> dict[str, str]:
        """Return what a browser gets of the order."""
        return {"state": self.state, "status": self.status, "news": self.news}


@attrs.define
class Shop:
    """What every request needs. *url* is the shop's own: the consumer comes back to it, and the provider calls it."""

    client: HPPClient
    store: Store[Any]
    url: str
    fleet: Fleet[Any] = attrs.field(init=False)
    steps: set[asyncio.Timeout] = attrs.field(init=False, factory=set[asyncio.Timeout])
    is_stopping: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.fleet = Fleet(self.client, self.store)


# -- the database ------------------------------------------------------------------------------------------------------


def store_from_env() -> Store[Any]:
    """Return the store that DATABASE_URL names: a URL of PostgreSQL, or a file; by default the file ``shop.db``."""
    database = os.environ.get("DATABASE_URL", "shop.db")
    if "://" not in database and "=" not in database:  # libpq also takes host=… password=…
        return SQLiteStore(database)
    from hpp_async.fleet import PostgresStore  # noqa: PLC0415 - the extra `postgres`

    return PostgresStore(database)


async def migrate(store: Store[Any]) -> None:
    """Make the tables; it can be called at each start."""
    await store.migrate()
    async with store.transaction() as tx:
        await tx.execute(SCHEMA)


async def execute(tx: Tx, sql: str, *values: object) -> Any:
    """Run a statement with ``?`` for each value: psycopg writes that ``%s``."""
    return await tx.execute(sql if isinstance(tx, SQLiteTransaction) else sql.replace("?", "%s"), values)


async def find(shop: Shop, number: str) -> Order | None:
    if re.fullmatch("[0-9a-f]{16}", number) is None:  # such as one with a NUL, which PostgreSQL refuses
        return None
    columns = [field.name for field in attrs.fields(Order)]
    async with shop.store.transaction() as tx:
        found = await execute(tx, f"SELECT {', '.join(columns)} FROM purchase WHERE number = ?", number)
        row = await found.fetchone()
    return None if row is None else Order(**dict(zip(columns, row, strict=True)))


# -- an order from its creation to its end -----------------------------------------------------------------------------


@asynccontextmanager
async def open_shop(client: HPPClient, store: Store[Any], url: str) -> AsyncGenerator[Shop]:
    """Follow all open orders, those from before a restart, too, until the end of the context."""
    async with client, store:
        shop = Shop(client, store, url)
        following = asyncio.create_task(shop.fleet.work(book))
        following.add_done_callback(stop_selling)
        try:
            yield shop
        finally:
            following.cancel()
            await asyncio.wait([following])


def stop_selling(following: asyncio.Task[None]) -> None:
    """End this process if nobody follows its orders any more: the process manager is to start it again."""
    if not following.cancelled() and (error := following.exception()) is not None:
        logger.critical("the orders are not followed any more: %s", error)
        signal.raise_signal(signal.SIGTERM)


async def create(shop: Shop) -> str:
    """Create an order and its payment page, store both, and return the URL of the page."""
    number, secret = secrets.token_hex(8), callback_secret()
    page = f"{shop.url}/orders/{number}"
    purchase = PurchaseOrder(
        purchase_country="SE", purchase_currency="SEK", order_lines=CART, merchant_reference1=number
    )
    urls = MerchantURLs(
        success=page, back=page, failure=page, error=page, status_update=f"{shop.url}/klarna/{secret}/{number}"
    )
    options = Options(place_order_mode=PlaceOrderMode.PLACE_ORDER)  # examples/checkout.py places orders itself
    shop.client.check_creation(merchant_urls=urls, options=options)
    payment_session = await shop.client.create_payment_session(purchase)
    session = await shop.client.create_session(payment_session, merchant_urls=urls, options=options)
    async with shop.store.transaction() as tx:
        await execute(
            tx,
            "INSERT INTO purchase (number, session_id, payment_page, callback_secret) VALUES (?, ?, ?, ?)",
            *(number, session.session_id, str(session.redirect_url), secret),
        )
        await shop.fleet.add(session, tx=tx)
    return str(session.redirect_url)


async def book(event: WatchEvent, tx: Tx) -> None:
    """Store what happened. It is committed together with how far the session was followed, or not at all."""
    state, order_id = state_after(event.news)
    status = None if isinstance(event.news, HPPError) else str(event.news.status)
    await execute(
        tx,
        "UPDATE purchase SET state = ?, order_id = ?, status = COALESCE(?, status), version = version + 1 "
        "WHERE session_id = ?",
        *(state, order_id, status, event.session_id),
    )


def state_after(news: Transition | AnyOutcome | HPPError) -> tuple[str, str | None]:
    """Return the state of the order, and the id of the order at the provider."""
    match news:
        case Transition():
            return "open", None
        case HPPError():
            return "to be checked", None  # the end is not known: it may have been paid
        case outcome if outcome.needs_attention:
            return "to be checked", None
        case Completed(payment=PlacedOrder(order_id=order_id)):
            return "paid", order_id
        case Completed():
            return "to be checked", None  # an authorization, without an order: the provider did not place it
        case _:
            return "not paid", None


# -- browsers that wait ------------------------------------------------------------------------------------------------


async def versions(shop: Shop, order: Order, *, seen: str | None = None) -> AsyncGenerator[Order]:
    """
    Yield the order, unless *seen* is its version, and then each new version of it.

    It ends with the version that is settled, or when the shop stops.
    """
    wait = shop.fleet.wait_for_outcome(order.session_id)
    current: Order | None = order
    while current is not None:
        if str(current.version) != seen:
            yield current
            seen = str(current.version)
        if current.is_settled or not await there_is_news(shop, wait):
            return
        current = await find(shop, order.number)


async def there_is_news(shop: Shop, wait: FleetWait[Any]) -> bool:
    """Wait for the next change of the session; return whether there was one before the shop stops."""
    if shop.is_stopping:
        return False
    step = asyncio.timeout(None)
    shop.steps.add(step)
    try:
        async with step:
            return await anext(wait, None) is not None
    except TimeoutError:  # from `end_streams`; a step that is cancelled loses nothing
        return False
    finally:
        shop.steps.discard(step)


def end_streams(shop: Shop) -> None:
    """End all streams and long polls: the server waits for them before it stops. The browsers come back."""
    shop.is_stopping = True
    for step in shop.steps:
        step.reschedule(0.0)  # its time is over


async def settled(shop: Shop, order: Order, seconds: float) -> Order:
    """Return the order once it is settled, or as it is after so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for version in versions(shop, order):
                order = version
    return order
