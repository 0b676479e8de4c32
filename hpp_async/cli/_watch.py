"""Watching the sessions that standard input names."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping

from hpp_async import ConfigurationError, HPPClient, HPPError, SessionStatus, is_token
from hpp_async.cli import _records as records
from hpp_async.cli._exits import exit_code

Sessions = Mapping[str, str | None]
"""Resume tokens by session id; ``None`` for a session that was not seen yet."""


def named(lines: Iterable[str], id_of: Callable[[str], str]) -> dict[str, str | None]:
    """
    Return the sessions that *lines* name: each line has a session id, a ``session_url`` or a resume token.

    Of several tokens of one session the last one counts.

    Raises:
        ConfigurationError: a line is refused; the message has its number.
    """
    sessions: dict[str, str | None] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        token = text if is_token(text) else None
        try:
            session_id = id_of(text if token is None else session_in(token))
        except ConfigurationError as error:
            raise ConfigurationError(f"line {number} of standard input: {error}") from None
        sessions[session_id] = token or sessions.get(session_id)
    return sessions


def session_in(token: str) -> str:
    """Return the id of the session that *token* belongs to."""
    return token.split(":", 5)[4]  # the last part, the status, may have colons


class Watching:
    """
    One watch, which prints a line of JSON for every event.

    Attributes:
        tokens: the sessions that are still to be watched: what the next watch needs.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.tokens = sessions

    async def run(self, client: HPPClient, *, stop_on: Collection[SessionStatus]) -> int:
        """
        Print the events until no session is left, and close *client*.

        Return the exit code: that of the first error which ended the wait on a session; 0 if there was none.
        """
        code = 0
        async with client, client.watch(self.tokens, stop_on=stop_on) as watch:
            try:
                async for event in watch:
                    if isinstance(event.news, HPPError):
                        code = code or exit_code(event.news)
                    print(records.line(records.of_event(event)), flush=True)
            finally:
                self.tokens = watch.tokens()
        return code

    def command(self, options: Iterable[str]) -> str:
        """Return the command that continues the watch with *options*."""
        lines = (token or session_id for session_id, token in self.tokens.items())
        parts = ["printf", r"%s\n", *lines], ["hpp-async", "watch", *options]
        return " | ".join(shlex.join(words) for words in parts)
