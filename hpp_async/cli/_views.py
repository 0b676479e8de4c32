"""A wait as lines of text or JSON: data on stdout, remarks on stderr."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext

from hpp_async import (
    AnyOutcome,
    CreatedSession,
    Event,
    HPPError,
    OutcomeWait,
    ReadFailed,
    ReadFinished,
    Session,
    Transition,
)
from hpp_async.cli import _records as records
from hpp_async.cli._words import LASTING, advice, facts, facts_of_creation, in_journal, say, unreadable


class View(ABC):
    """
    Shows one wait; `follow` calls it at every change.

    Attributes:
        show_token: whether the authorization token is printed.
        failure: the failure of the last read; ``None`` if it succeeded.
    """

    def __init__(self, *, show_token: bool) -> None:
        self.show_token = show_token
        self.failure: ReadFailed | None = None
        self._said_from = 0.0
        """For how many seconds the session must be unreadable until that is said; 0 while nothing was said of it."""

    def observe(self, event: Event) -> None:
        """Keep the last read's failure; this is the client's observer."""
        if isinstance(event, ReadFailed | ReadFinished):
            self.failure = event if isinstance(event, ReadFailed) else None

    def live(self, wait: OutcomeWait) -> AbstractContextManager[object]:
        """Return the context in which the wait is shown."""
        return nullcontext()

    @abstractmethod
    def changed(self, transition: Transition, wait: OutcomeWait) -> None:
        """Show a transition."""

    def waiting(self, wait: OutcomeWait) -> None:
        """
        Show that the wait goes on; called about once a second.

        While the session cannot be read, a remark says so: at once, after half a minute, and each time the outage has
        lasted twice as long as at the remark before.
        """
        lasted = wait.failing_for or 0.0
        if self.failure is None:
            if self._said_from:
                say(f"session {wait.session_id} can be read again")
            self._said_from = 0.0
        elif lasted >= self._said_from:
            say(f"session {wait.session_id} {unreadable(self.failure, lasted)}")
            self._said_from = max(LASTING, 2 * lasted)

    @abstractmethod
    def ended(self, outcome: AnyOutcome, wait: OutcomeWait) -> None:
        """Show the outcome."""

    def failed(self, error: HPPError, wait: OutcomeWait) -> None:  # noqa: B027 - most views need no more than the sentence
        """Show the error, besides the sentence that is printed for every error."""


class PlainView(View):
    """A line of text for each transition, and the outcome's reading."""

    def changed(self, transition: Transition, wait: OutcomeWait) -> None:
        """Print the time and the new status."""
        print(records.iso(transition.session.updated_at) or "-", transition.status, flush=True)

    def ended(self, outcome: AnyOutcome, wait: OutcomeWait) -> None:
        """Print the outcome's name and its reading."""
        _print_outcome(outcome, show_token=self.show_token)


class JSONView(View):
    """A JSON object for each transition, outcome or error."""

    def changed(self, transition: Transition, wait: OutcomeWait) -> None:
        """Print the transition."""
        print(records.line(records.of_transition(transition, wait)), flush=True)

    def ended(self, outcome: AnyOutcome, wait: OutcomeWait) -> None:
        """Print the outcome."""
        print(records.line(records.of_outcome(outcome, wait, show_token=self.show_token)), flush=True)
        if outcome.needs_attention:
            say(advice(outcome))

    def failed(self, error: HPPError, wait: OutcomeWait) -> None:
        """Print the error."""
        print(records.line(records.of_error(error, wait)), flush=True)


def print_reading(session: Session, *, show_token: bool, as_json: bool) -> None:
    """Print one reading."""
    if as_json:
        print(records.line(records.of_reading(session, show_token=show_token)), flush=True)
    else:
        print_lines({"status": session.status, **facts(session, show_token=show_token)})
    if session.expires_in is not None and session.expires_in <= 0 and not session.status.is_final:
        say("the session is past its expires_at")


def print_disabled(session_id: str, outcome: AnyOutcome | None, *, show_token: bool, as_json: bool) -> None:
    """Print that the session is disabled, or the outcome that it had already."""
    if outcome is None and as_json:
        print(records.line({"type": "disabled", "session_id": session_id}), flush=True)
    elif outcome is None:
        print_lines({"disabled": session_id})
    elif as_json:
        print(records.line(records.of_ending(outcome, session_id, show_token=show_token)), flush=True)
    else:
        _print_outcome(outcome, show_token=show_token)


def _print_outcome(outcome: AnyOutcome, *, show_token: bool) -> None:
    print_lines({"outcome": type(outcome).__name__, **facts(outcome.session, show_token=show_token)})
    say(advice(outcome))


def print_created(created: CreatedSession, *, as_json: bool) -> None:
    """Print a new session."""
    if as_json:
        print(records.line({"type": "created", **created.to_dict()}), flush=True)
    else:
        print_lines(facts_of_creation(created))
        say(f"Next: send the consumer to the redirect_url, and run hpp-async wait {created.session_id}")


def print_acted(record: Mapping[str, object], *, as_json: bool) -> None:
    """Print the session, if there is one, and the time of a simulated provider that *record* has."""
    if as_json:
        print(records.line(records.of_act(record)), flush=True)
    else:
        shown = ("session_id", "status", "updated_at", "expires_at", "now", *(["pace"] if record["pace"] != 1 else []))
        print_lines({name: str(record[name]) for name in shown if name in record})


def print_journal(entries: Iterable[Mapping[str, object]], *, as_json: bool) -> None:
    """Print a line for each of *entries*, the journal of a simulated provider."""
    for entry in entries:
        print(records.line({"type": "entry", **entry}) if as_json else in_journal(entry), flush=True)


def print_lines(lines: Mapping[str, str]) -> None:
    """Print each name with its value on a line."""
    print("\n".join(f"{name}: {text}" for name, text in lines.items()), flush=True)
