"""
A shop on aiohttp that is paid through Klarna's Hosted Payment Page.

Run it in the folder ``examples``, against the simulator or the playground::

    HPP_ENDPOINT=… HPP_USERNAME=… HPP_PASSWORD=… python -m shop_aiohttp

and open http://127.0.0.1:8000. It keeps its orders in the file ``shop.db``, or in the PostgreSQL that ``DATABASE_URL``
names: then several of these processes share the orders. Kill it whenever you like, and start it again: it goes on.
``PORT`` is where it listens, and ``SHOP_URL`` where consumers and the provider find it.
"""

from __future__ import annotations

import os

from aiohttp import web
from shop.orders import migrate, store_from_env
from shop_aiohttp.web import create_app

from hpp_async import HPPClient


async def shop(url: str) -> web.Application:
    store = store_from_env()
    await migrate(store)
    return create_app(HPPClient.from_env(), store, url=url)


def main() -> None:
    port = int(os.environ.get("PORT", "8000"))
    web.run_app(
        shop(os.environ.get("SHOP_URL", f"http://127.0.0.1:{port}")),
        host="127.0.0.1",
        port=port,
        access_log=None,  # the paths of callbacks are secret
        shutdown_timeout=2,  # seconds; the streams have ended before
        handler_cancellation=True,  # else a stream whose browser has left would wait for the order's next change
    )


if __name__ == "__main__":
    main()
