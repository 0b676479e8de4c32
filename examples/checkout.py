"""
From a cart to an order in one line, which can be interrupted anywhere and begun again: ``await check_out(…, number)``.

    python examples/checkout.py shop.db 1001    # buys the cart below, as the order with the number 1001
    python examples/checkout.py shop.db         # goes on with every purchase that has no ending yet

It takes HPP_USERNAME, HPP_PASSWORD and HPP_ENDPOINT from the environment. Kill it at any moment, and start it again: it
goes on from what is in the SQLite database. The consumer is never asked to pay twice, and at most one order is placed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from hpp_async import (
    FINAL,
    AuthenticationError,
    Authorization,
    ClientClosedError,
    Completed,
    HPPClient,
    HPPError,
    NotProcessedError,
    Options,
    OrderLine,
    OutageError,
    PlacedOrder,
    PlaceOrderMode,
    PurchaseOrder,
    RateLimitedError,
    ServerError,
    TransportError,
    UnexpectedPayloadError,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS purchase (
    number TEXT PRIMARY KEY,
    cart TEXT NOT NULL,
    payment_session_id TEXT,
    session_id TEXT,
    page TEXT,
    token TEXT,
    token_expires_at TEXT,
    order_id TEXT,
    fraud_status TEXT,
    ending TEXT
)
"""
CART = {
    "purchase_country": "SE",
    "purchase_currency": "SEK",
    "order_lines": [{"name": "Running shoe", "quantity": 2, "unit_price": 49900, "tax_rate": 2500}],
}
PAGE = Options(place_order_mode=PlaceOrderMode.NONE, page_title="Running shoes")
"""What the payment page is; a shop on the web gives its ``merchant_urls``, too."""
PASSING = (
    NotProcessedError,
    OutageError,
    RateLimitedError,
    ServerError,
    TransportError,
    UnexpectedPayloadError,
)
"""Errors after which the same step is worth another try."""
NEXT_TRY_AFTER = 30.0  # seconds
SETTLED_AFTER = timedelta(minutes=2)
"""How long after the expiry of a token nothing that was begun before can be under way: a 500 may take a minute."""

Sleep = Callable[[float], Awaitable[object]]


@attrs.frozen(kw_only=True)
class Purchase:
    """
    A row of the table. It says how far the purchase has come, and so which step is next.

    ============================ ======================================================
    the row has                  the next step
    ============================ ======================================================
    a number and a cart          create the payment session and the session of the page
    a ``session_id``             send the consumer to the page, and wait for the outcome
    a ``token``                  place the order
    an ``ending``                none
    ============================ ======================================================
    """

    number: str
    cart: str = attrs.field(repr=False)
    payment_session_id: str | None
    session_id: str | None
    page: str | None = attrs.field(repr=False)  # whoever has the URL can open the page
    token: str | None = attrs.field(repr=False)  # whoever has the token and our credentials can place the order
    token_expires_at: str | None
    order_id: str | None
    fraud_status: str | None
    ending: str | None

    @property
    def order(self) -> PurchaseOrder:
        """What is bought. It is the same after a restart, so that the provider knows a repeated order as one."""
        cart = json.loads(self.cart)
        lines = [OrderLine(**line) for line in cart.pop("order_lines")]
        return PurchaseOrder(**cart, order_lines=lines, merchant_reference1=self.number)


class Store:
    """The purchases, in a SQLite database. Each change is one transaction."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA synchronous = FULL")  # what is committed survives a power cut, too
        self._database.execute(SCHEMA)

    def add(self, number: str, cart: dict[str, Any]) -> None:
        """Add a purchase, unless there is one with this number."""
        with self._database:
            row = (number, json.dumps(cart))
            self._database.execute("INSERT OR IGNORE INTO purchase (number, cart) VALUES (?, ?)", row)

    def find(self, number: str) -> Purchase:
        row = self._database.execute("SELECT * FROM purchase WHERE number = ?", (number,)).fetchone()
        return Purchase(**row)

    def unfinished(self) -> list[str]:
        """Return the numbers of the purchases without an ending."""
        rows = self._database.execute("SELECT number FROM purchase WHERE ending IS NULL ORDER BY rowid")
        return [number for (number,) in rows]

    def keep(self, purchase: Purchase, **news: str | None) -> None:
        """
        Store *news* of *purchase*, unless its row has changed since it was read.

        If it has, another process was faster with the same step, and what that process stored counts.
        """
        changes = ", ".join(f"{column} = ?" for column in news)
        as_read = (purchase.number, purchase.session_id, purchase.token, purchase.ending)
        with self._database:
            self._database.execute(
                f"UPDATE purchase SET {changes} WHERE number = ? AND session_id IS ? AND token IS ? AND ending IS ?",
                (*news.values(), *as_read),
            )

    def close(self) -> None:
        self._database.close()


def show_page(purchase: Purchase) -> None:
    """Tell the consumer where to pay; a web shop redirects the browser there."""
    print(f"{purchase.number}: pay at {purchase.page}", flush=True)


async def check_out(
    client: HPPClient,
    store: Store,
    number: str,
    *,
    show: Callable[[Purchase], object] = show_page,
    sleep: Sleep = asyncio.sleep,
) -> Purchase:
    """
    Take the purchase from wherever it is to its ending, and return it.

    After a crash, call it again. A failure that may pass is treated as a crash: the step is begun again.
    """
    while (purchase := store.find(number)).ending is None:
        try:
            await take_next_step(client, store, purchase, show)
        except (AuthenticationError, ClientClosedError):
            raise  # about our credentials or our own shutdown: the purchase stays where it is
        except PASSING:
            await sleep(NEXT_TRY_AFTER)
        except HPPError as error:
            # It may have been paid, or the order may have been placed: look for it by its number, which is its
            # merchant_reference1. The message has no secrets.
            store.keep(purchase, ending=f"needs a person: {error}")
    return purchase


async def take_next_step(
    client: HPPClient, store: Store, purchase: Purchase, show: Callable[[Purchase], object]
) -> None:
    """Do what the row says is next, and store what came of it in one transaction. A crash before that repeats it."""
    if purchase.session_id is None:
        await create_page(client, store, purchase)
    elif purchase.token is None:
        show(purchase)  # its session is stored, so a payment cannot be lost
        await wait(client, store, purchase, purchase.session_id)
    else:
        await place(client, store, purchase, purchase.token)


async def create_page(client: HPPClient, store: Store, purchase: Purchase) -> None:
    """Create the page. If that is repeated, nobody has the URL of the page that is left over, so nobody pays there."""
    client.check_creation(options=PAGE)  # sends nothing: what is refused only later leaves a payment session behind
    payment_session = await client.create_payment_session(purchase.order)
    session = await client.create_session(payment_session, options=PAGE)
    store.keep(
        purchase,
        payment_session_id=payment_session.session_id,
        session_id=session.session_id,
        page=session.redirect_url,
    )


async def wait(client: HPPClient, store: Store, purchase: Purchase, session_id: str) -> None:
    """Wait for the outcome. A wait only reads, so it can be repeated."""
    outcome = await client.wait_for_outcome(session_id, stop_on=FINAL)
    match outcome:
        case Completed(payment=Authorization(token=token, expires_at=expires_at)):
            # Stored before it is used: after a crash the order must be placed with the same token.
            expiry = None if expires_at is None else expires_at.isoformat()
            store.keep(purchase, token=token, token_expires_at=expiry)
        case Completed(payment=PlacedOrder(order_id=order_id)):
            store.keep(purchase, order_id=order_id, ending="placed")
        case _:
            store.keep(purchase, ending="needs a person" if outcome.needs_attention else "not paid")


async def place(client: HPPClient, store: Store, purchase: Purchase, token: str) -> None:
    """Place the order. If that is repeated with the same token and cart, the provider gives its first answer again."""
    expires_at = None if purchase.token_expires_at is None else datetime.fromisoformat(purchase.token_expires_at)
    try:
        placed = await client.place_order(Authorization(token=token, expires_at=expires_at), purchase.order)
    except (ServerError, UnexpectedPayloadError) as error:
        answered_at = error.read_at or datetime.now(UTC)
        if expires_at is not None and answered_at < expires_at + SETTLED_AFTER:
            raise
        # That first answer may have been an error: then it comes for ever. No new order can be placed any more.
        assert purchase.payment_session_id is not None, "it is stored with the session"
        payment_session = await client.read_payment_session(purchase.payment_session_id)
        if payment_session.is_complete is False:
            store.keep(purchase, ending="needs a person: no order was placed, and the token has expired")
            return
        try:  # once more, as the provider answers again: perhaps it does so only since the last try
            placed = await client.place_order(Authorization(token=token, expires_at=expires_at), purchase.order)
        except (ServerError, UnexpectedPayloadError):
            store.keep(purchase, ending="needs a person: the order was placed, but its id is not known")
            return
    # The token has served its purpose, and is a secret. Placed is not accepted: deliver only if fraud_status says so.
    store.keep(purchase, order_id=placed.order_id, fraud_status=placed.fraud_status, token=None, ending="placed")


async def main(path: str, *numbers: str) -> None:
    with contextlib.closing(Store(path)) as store:
        for number in numbers:
            store.add(number, CART)
        async with HPPClient.from_env() as client, asyncio.TaskGroup() as tasks:
            purchases = [
                tasks.create_task(check_out(client, store, number)) for number in numbers or store.unfinished()
            ]
        for purchase in (task.result() for task in purchases):
            print(f"{purchase.number}: {purchase.ending}, order {purchase.order_id} {purchase.fraud_status}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
