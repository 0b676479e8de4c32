"""What happens to sessions, passed on inside this process: to workers, and to those who wait for one session."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

from hpp_async.fleet._division import shard_of

_SHARD: Final = re.compile(r"shard (\d+) of (\d+)")
"""A message for all who wait for a session of a shard. No session id has spaces."""


def news_of(shard: int, shards: int) -> str:
    """Return the message that wakes every wait for a session of a shard."""
    return f"shard {shard} of {shards}"


class Channels:
    """Passes on, in this process, what happens to sessions: to workers, and to those who wait for one session."""

    def __init__(self) -> None:
        self._workers: list[Callable[[str, str], object]] = []
        self._waits: dict[str, list[Callable[[], object]]] = {}

    @property
    def is_used(self) -> bool:
        """Whether anybody listens."""
        return bool(self._workers or self._waits)

    def join(self, worker: Callable[[str, str], object]) -> None:
        """Call *worker* with each message for workers, as a verb and a session id, until `leave`."""
        self._workers.append(worker)

    def leave(self, worker: Callable[[str, str], object]) -> None:
        """Undo `join`."""
        self._workers.remove(worker)

    def subscribe(self, session_id: str, wake: Callable[[], object]) -> None:
        """Call *wake* whenever something was stored of the session, until `unsubscribe`."""
        self._waits.setdefault(session_id, []).append(wake)

    def unsubscribe(self, session_id: str, wake: Callable[[], object]) -> None:
        """Undo `subscribe`."""
        waits = self._waits[session_id]
        waits.remove(wake)
        if not waits:
            del self._waits[session_id]

    def tell_workers(self, message: str) -> None:
        """Pass on a message for workers."""
        verb, _, session_id = message.partition(":")
        for worker in tuple(self._workers):
            worker(verb, session_id)

    def tell_waits(self, message: str) -> None:
        """Wake those who wait for the session, or for a session of the shard, that the message names."""
        shard = _SHARD.fullmatch(message)
        if shard is None:
            self._wake({message})
        else:
            number, shards = map(int, shard.groups())
            self._wake({session_id for session_id in self._waits if shard_of(session_id, shards) == number})

    def catch_up(self) -> None:
        """Let every worker and every wait read the database, because messages may have been missed."""
        self.tell_workers("missed")
        self._wake(set(self._waits))

    def _wake(self, session_ids: Collection[str]) -> None:
        for session_id in session_ids:
            for wake in tuple(self._waits.get(session_id, ())):
                wake()
