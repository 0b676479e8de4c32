"""Watching sessions, and posting what happens to them as the provider's callbacks would."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from functools import partial

import attrs

from hpp_async import HPPClient, HPPError, SessionStatus, Transition, Watch, WatchEvent
from hpp_async.cli import _records as records
from hpp_async.cli._forwarding import Forwarder, Post
from hpp_async.cli._lines import Lines
from hpp_async.cli._watch import Sessions, Watching


@attrs.define(eq=False)
class _Progress:
    """
    How far the events of one session are dealt with.

    Attributes:
        token: the resume token after the last event that was dealt with.
        events: the number of events that are not dealt with yet.
        turn: held while an event is dealt with, so that the changes of a session are posted in their order.
    """

    token: str | None
    events: int = 0
    turn: asyncio.Lock = attrs.field(factory=asyncio.Lock)


class Listening(Watching):
    """
    A watch that posts every change by *forwarder*, and prints a line for each change, each post and each ending.

    A post never delays the watch: each event is dealt with in a task. What the next watch needs, and the token in each
    line, leave out what is not posted yet.
    """

    def __init__(
        self,
        lines: Lines,
        id_of: Callable[[str], str],
        sessions: Sessions,
        *,
        forwarder: Forwarder,
        as_json: bool,
    ) -> None:
        super().__init__(lines, id_of, sessions)
        self._forwarder = forwarder
        self._is_json = as_json
        self._progress = {session_id: _Progress(token) for session_id, token in sessions.items()}

    async def run(self, client: HPPClient, *, stop_on: Collection[SessionStatus]) -> int:
        """Watch and post until nothing is left to do, close *client*, and return the exit code."""
        async with self._forwarder:
            return await super().run(client, stop_on=stop_on)

    def command(self, options: Iterable[str]) -> str | None:
        """Return the command that continues the watch with *options*; ``None`` if no session is left."""
        lines = (token or session_id for session_id, token in self.tokens.items())
        return shlex.join(["hpp-async", "listen", *options, *lines]) if self.tokens else None

    def _added(self, session_id: str, token: str | None) -> None:
        self._progress.setdefault(session_id, _Progress(token))

    def _left(self, watch: Watch) -> Sessions:
        return watch.tokens() | {name: each.token for name, each in self._progress.items() if each.events}

    def _deal_with(self, event: WatchEvent, tasks: asyncio.TaskGroup) -> None:
        progress = self._progress.setdefault(event.session_id, _Progress(None))
        progress.events += 1
        if isinstance(event.news, Transition):
            self._print(event, str(event.news.status), records.news_of(event), token=progress.token)
        tasks.create_task(self._settle(event, progress))

    async def _settle(self, event: WatchEvent, progress: _Progress) -> None:
        """Post what *event* says, or print how the session ended, once the events before it are dealt with."""
        async with progress.turn:
            if not isinstance(event.news, Transition):
                if isinstance(event.news, HPPError):
                    self._failed(event.news)
                self._print(event, f"ended: {_ending(event)}", records.news_of(event), token=event.token)
            elif event.news.status != SessionStatus.WAITING:  # no callback says that a session was created
                report = partial(self._report, event, progress)
                if not await self._forwarder.forward(event.session_id, event.news.session, report):
                    self._failed(HPPError("a change could not be posted"))
            progress.token = event.token
            progress.events -= 1
        if event.is_last and not progress.events:
            del self._progress[event.session_id]

    def _report(self, event: WatchEvent, progress: _Progress, post: Post) -> None:
        token = event.token if post.again_in is None else progress.token
        self._print(event, f"-> {_result(post)}", records.of_post(post), token=token)

    def _print(self, event: WatchEvent, words: str, news: records.Record, *, token: str | None) -> None:
        if self._is_json:
            print(records.line(records.of_news(event, news, token=token)), flush=True)
        else:
            print(f"{datetime.now(UTC).astimezone():%H:%M:%S} {event.session_id} {words}", flush=True)


def _ending(event: WatchEvent) -> str:
    if not isinstance(event.news, HPPError):
        return type(event.news).__name__
    return records.in_options(str(event.news)).removeprefix(f"session {event.session_id}: ")


def _result(post: Post) -> str:
    took = f"{post.answer} in {1000 * post.seconds:.0f} ms"
    if post.again_in is not None:
        return f"{took}, again in {post.again_in:g} s"
    return took if post.is_success else f"{took}, given up"
