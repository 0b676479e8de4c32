"""A worker, one of several: it follows its share of the sessions, and books what happened to them."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from shop_fleet import open_shop

from hpp_async import Completed, HPPError, PlacedOrder, Transition, WatchEvent
from hpp_async.fleet import PostgresTransaction


async def deal_with(event: WatchEvent, tx: PostgresTransaction) -> None:
    """Book what happened. It is committed together with how far the session was followed, or not at all."""
    state = "not paid"
    order_id: str | None = None
    match event.news:
        case Transition():
            return
        case Completed(payment=PlacedOrder(order_id=order_id)):
            state = "paid"
        case HPPError():
            state = "for a person to look at"
        case outcome if outcome.needs_attention:
            state = "for a person to look at"
        case Completed():
            state = "for a person to look at"  # an authorization, without an order: the provider did not place it
        case _:
            pass
    update = "UPDATE purchase SET state = %s, order_id = %s WHERE session_id = %s"
    await tx.execute(update, (state, order_id, event.session_id))


async def work() -> None:
    working = asyncio.current_task()
    assert working is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)  # hands the sessions over
    async with open_shop() as shop:
        await shop.fleet.work(deal_with)


if __name__ == "__main__":
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(work())
