"""The object of examples/engines/restate_sessions.py as a process of its own: started and killed by the tests."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from engine_scene import HOLD, PACES, note_news
from restate_sessions import work

from hpp_async import HPPClient


async def main(home: str, port: str, pace: str) -> None:
    async with HPPClient.from_env(schedule=PACES[pace]) as client:
        await work(client, note_news(Path(home)), port=int(port), hold=HOLD)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
