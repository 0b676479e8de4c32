"""
A shop of four web processes and two workers, which share its sessions through PostgreSQL.

    python examples/fleet    # takes DATABASE_URL, and HPP_USERNAME, HPP_PASSWORD and HPP_ENDPOINT

Any web process creates an order, takes its callbacks, and shows what happens to it; the workers follow the sessions.
Kill any of the processes: nothing is lost, and no payment is booked twice. SIGTERM or Ctrl-C ends all of them.

In production your process manager starts ``uvicorn shop_web:app --workers 4`` and each ``python shop_worker.py``, and
starts them again when they die.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import uvicorn
from shop_fleet import migrate

WEB_PROCESSES = 4
WORKERS = 2


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # until uvicorn has a handler of its own
    asyncio.run(migrate())
    worker = str(Path(__file__).with_name("shop_worker.py"))
    workers = [subprocess.Popen([sys.executable, worker]) for _ in range(WORKERS)]
    try:
        uvicorn.run(
            "shop_web:app",
            port=int(os.environ.get("PORT", "8000")),
            workers=WEB_PROCESSES,
            timeout_graceful_shutdown=2,  # seconds; open streams would keep it from ending
            timeout_worker_healthcheck=30,
        )
    finally:
        for process in workers:
            process.terminate()
        for process in workers:
            process.wait()


if __name__ == "__main__":
    main()
