"""Words for what a watch says, and steps of one that cannot hang a test."""

from __future__ import annotations

from typing import Final

import anyio

from hpp_async import Transition, Watch, WatchEvent

PAYS: Final = [(30, "IN_PROGRESS"), (95, "COMPLETED")]
RETRIES: Final = [(10, "IN_PROGRESS"), (40, "FAILED"), (60, "IN_PROGRESS"), (90, "COMPLETED")]


def told(event: WatchEvent) -> str:
    """Return what an event says, in a word: a status, or how the session ended."""
    return str(event.news.status) if isinstance(event.news, Transition) else type(event.news).__name__


async def step(watch: Watch) -> WatchEvent:
    """Return the next event."""
    with anyio.fail_after(60):
        return await anext(watch)


async def events_of(watch: Watch, within: float = 60.0) -> list[WatchEvent]:
    """Return all events there are."""
    with anyio.fail_after(within):
        return [event async for event in watch]


def by_session(events: list[WatchEvent]) -> dict[str, list[str]]:
    """Return what was said of each session, in order."""
    said: dict[str, list[str]] = {}
    for event in events:
        said.setdefault(event.session_id, []).append(told(event))
    return said
