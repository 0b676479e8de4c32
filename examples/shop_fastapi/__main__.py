"""
A shop on FastAPI that is paid through Klarna's Hosted Payment Page.

Run it in the folder ``examples``, against the simulator or the playground::

    HPP_ENDPOINT=… HPP_USERNAME=… HPP_PASSWORD=… python -m shop_fastapi

and open http://127.0.0.1:8000. It keeps its orders in the file ``shop.db``, or in the PostgreSQL that ``DATABASE_URL``
names: then several of these processes share the orders. Kill it whenever you like, and start it again: it goes on.
``PORT`` is where it listens, and ``SHOP_URL`` where consumers and the provider find it.
"""

from __future__ import annotations

import asyncio
import os

import uvicorn
from shop.orders import migrate, store_from_env
from shop_fastapi.web import from_env


async def prepare() -> None:
    async with store_from_env() as store:
        await migrate(store)


def main() -> None:
    port = os.environ.setdefault("PORT", "8000")
    os.environ.setdefault("SHOP_URL", f"http://127.0.0.1:{port}")
    asyncio.run(prepare())
    uvicorn.run(
        from_env(),
        port=int(port),
        access_log=False,  # the paths of callbacks are secret
        timeout_graceful_shutdown=2,  # seconds; the streams have ended before
    )


if __name__ == "__main__":
    main()
