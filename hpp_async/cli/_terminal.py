"""A wait on a terminal: its history, and below it a live line; and which view there is elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from math import ceil
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from hpp_async import AnyOutcome, AnyStatus, Expired, OutcomeWait, Session, SessionStatus, Transition
from hpp_async.cli._views import JSONView, PlainView, View
from hpp_async.cli._words import advice, duration, facts, local_time, reason

_STYLES: Final[dict[AnyStatus, str]] = {
    SessionStatus.WAITING: "bold blue",
    SessionStatus.COMPLETED: "bold green",
    SessionStatus.FAILED: "bold yellow",
    SessionStatus.ERROR: "bold yellow",
    SessionStatus.CANCELLED: "bold red",
    SessionStatus.DISABLED: "bold red",
}


def view_of(*, as_json: bool, show_token: bool) -> View:
    """Return the view that fits where the output goes."""
    if as_json:
        return JSONView(show_token=show_token)
    console = Console(highlight=False)
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        return TerminalView(console, show_token=show_token)
    return PlainView(show_token=show_token)


class TerminalView(View):
    """
    A line for each transition, and below them a live line with the state of the wait.

    *now* returns seconds by a steady clock.
    """

    def __init__(self, console: Console, *, show_token: bool, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(show_token=show_token)
        self._console = console
        self._now = now
        self._session: Session | None = None
        self._noted_at = 0.0
        # Each update of the wait draws the line, and no thread does, so that all its parts show the same moment.
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stderr=sys.stderr.isatty())

    def live(self, wait: OutcomeWait) -> AbstractContextManager[object]:
        """Print the session's id; return the context in which the live line is on the screen."""
        self._console.print(Text("session ", style="dim").append(wait.session_id, style="not dim"))
        return self._live

    def changed(self, transition: Transition, wait: OutcomeWait) -> None:
        """Print the time and the new status."""
        line = Text(f"{local_time(transition.session.updated_at)}  ", style="dim")
        self._console.print(line.append(_status(transition.status)))

    def waiting(self, wait: OutcomeWait) -> None:
        """Redraw the live line, and say above it what a narrow terminal cuts off: that the session cannot be read."""
        super().waiting(wait)
        if wait.latest is not self._session:
            self._session, self._noted_at = wait.latest, self._now()
        parts = [*self._standing(), *self._reads(wait), *self._expiry(), *self._failed()]
        line = Text(" · ", style="dim").join(parts)
        line.no_wrap, line.overflow = True, "ellipsis"
        self._live.update(line, refresh=True)

    def ended(self, outcome: AnyOutcome, wait: OutcomeWait) -> None:
        """Print the outcome, its reading, and what to do next."""
        name = Text("EXPIRED", style="bold red") if isinstance(outcome, Expired) else _status(outcome.status)
        reads = "1 read" if wait.reads == 1 else f"{wait.reads} reads"
        self._console.print(Text("\n").append(name).append(f" after {reads}", style="dim"))
        for label, text in facts(outcome.session, show_token=self.show_token).items():
            self._console.print(Text(f"  {label:<20}", style="dim").append(text, style="not dim"), soft_wrap=True)
        self._console.print(Text(advice(outcome)))

    # -- parts of the line --------------------------------------------------------------------------------------------

    def _standing(self) -> Iterator[Text]:
        if self._session is None:
            yield Text("not read yet")
            return
        status = _status(self._session.status)
        age = self._session.age
        yield status if age is None else status.append(f" for {duration(age + self._elapsed())}", style="not bold")

    def _reads(self, wait: OutcomeWait) -> Iterator[Text]:
        next_read_in = wait.next_read_in
        yield Text("reading" if next_read_in is None else f"next read in {duration(ceil(next_read_in))}")

    def _expiry(self) -> Iterator[Text]:
        expires_in = None if self._session is None else self._session.expires_in
        if expires_in is not None:
            left = expires_in - self._elapsed()
            yield Text(f"expires in {duration(left)}" if left > 0 else "past its expiry")

    def _failed(self) -> Iterator[Text]:
        if self.failure is not None:  # the last part, because it is long and a narrow terminal cuts it off
            yield Text(f"read failed: {reason(self.failure)}", style="yellow")

    def _elapsed(self) -> float:
        return self._now() - self._noted_at


def _status(status: AnyStatus) -> Text:
    return Text(status, style=_STYLES.get(status, "bold cyan"))
