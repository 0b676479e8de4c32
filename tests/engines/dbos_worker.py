"""The workflow of examples/engines/dbos_sessions.py in a process of its own: started and killed by the tests."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from dbos_sessions import launch, start, workflow
from engine_scene import HOLD, PACES, note_news

from hpp_async import HPPClient


async def main(home: str, pace: str, database_url: str, *session_ids: str) -> None:
    async with HPPClient.from_env(schedule=PACES[pace]) as client:
        follow = workflow(client, note_news(Path(home)), hold=HOLD)
        launch(database_url)
        for session_id in session_ids:
            await start(follow, session_id)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
