"""Watching sessions, more of which may be named on standard input while the watch runs."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import contextmanager

from hpp_async import (
    ConfigurationError,
    HPPClient,
    HPPError,
    SessionStatus,
    Watch,
    WatchEvent,
    is_newer,
    is_token,
    session_id_of,
)
from hpp_async.cli import _records as records
from hpp_async.cli._exits import exit_code
from hpp_async.cli._lines import Lines
from hpp_async.cli._words import say

Sessions = Mapping[str, str | None]
"""Resume tokens by session id; ``None`` for a session that was not seen yet."""


def named(text: str, id_of: Callable[[str], str]) -> tuple[str, str | None]:
    """
    Return the id and, if there is one, the token of the session that *text* names: an id, a ``session_url`` or a token.

    Raises:
        ConfigurationError: *text* is none of these.
    """
    token = text if is_token(text) else None
    return id_of(text if token is None else session_id_of(token)), token


class Watching:
    """
    One watch, which prints a line of JSON for every event.

    Args:
        lines: each line names a session; the watch ends once the lines and all sessions have ended.
        id_of: returns the id of a session from a URL; see `hpp_async.cli._clients.id_of`.
        sessions: the sessions that are watched from the beginning.

    Attributes:
        tokens: the sessions that are still to be watched: what the next watch needs.
        code: the exit code: that of the first error; 0 as long as there is none.
    """

    def __init__(self, lines: Lines, id_of: Callable[[str], str], sessions: Sessions | None = None) -> None:
        self.tokens: Sessions = {} if sessions is None else sessions
        self.code = 0
        self._lines = lines
        self._id_of = id_of
        self._number = 0
        self._is_added = asyncio.Event()

    async def run(self, client: HPPClient, *, stop_on: Collection[SessionStatus]) -> int:
        """Watch until the lines have ended and no session is left, close *client*, and return the exit code."""
        async with client, client.watch(self.tokens, stop_on=stop_on) as watch:
            try:
                with _first_error():
                    async with asyncio.TaskGroup() as tasks:
                        reading = tasks.create_task(self._read(watch))
                        while True:
                            self._is_added.clear()
                            async for event in watch:
                                self._deal_with(event, tasks)
                            if reading.done():
                                break
                            await self._is_added.wait()
            finally:
                self.tokens = self._left(watch)
        return self.code

    async def _read(self, watch: Watch) -> None:
        try:
            while (lines := await self._lines.some()) is not None:
                for session_id, token in self._named(lines).items():
                    self._added(session_id, token)
                    watch.add(session_id, since=token)
                    self._is_added.set()
        finally:
            self._is_added.set()

    def _added(self, session_id: str, token: str | None) -> None:
        """Note that the session is added to the watch, which went on to *token* before."""

    def _named(self, lines: Iterable[str]) -> Sessions:
        """Return the sessions that *lines* name; of several tokens of one session the newest counts."""
        sessions: dict[str, str | None] = {}
        for line in lines:
            self._number += 1
            try:
                if text := line.strip():
                    session_id, token = named(text, self._id_of)
                    known = sessions.get(session_id)
                    if known is None or (token is not None and is_newer(token, known)):
                        sessions[session_id] = token
            except ConfigurationError as error:
                say(f"line {self._number} of standard input: {records.in_options(str(error))}")
                self._failed(error)
        return sessions

    def _deal_with(self, event: WatchEvent, tasks: asyncio.TaskGroup) -> None:
        """Do what *event* calls for, without delay; *tasks* takes what takes time."""
        del tasks
        if isinstance(event.news, HPPError):
            self._failed(event.news)
        print(records.line(records.of_event(event)), flush=True)

    def _failed(self, error: HPPError) -> None:
        self.code = self.code or exit_code(error)

    def _left(self, watch: Watch) -> Sessions:
        return watch.tokens()

    def command(self, options: Iterable[str]) -> str | None:
        """Return the command that continues the watch with *options*; ``None`` if no session is left."""
        if not self.tokens:
            return None
        lines = (token or session_id for session_id, token in self.tokens.items())
        parts = ["printf", r"%s\n", *lines], ["hpp-async", "watch", *options]
        return " | ".join(shlex.join(words) for words in parts)


@contextmanager
def _first_error() -> Generator[None]:
    """Let the first error of a task group be raised by itself: a command ends with one error."""
    try:
        yield
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
