"""Which readings are believed, and what changed between them."""

from __future__ import annotations

from datetime import datetime

import attrs

from hpp_async._core.memory import Memory
from hpp_async._core.position import Position, date_of, expiry_of
from hpp_async._core.session import AnyStatus, Session


@attrs.frozen(kw_only=True)
class Transition:
    """
    A change of status between two believed readings; the first sighting of a session is one, too.

    Attributes:
        previous: the status before; ``None`` for the first sighting.
        status: the status since.
        session: the reading that showed the change.
        sequence: 1 for the first transition of a session, 2 for the second; the count goes on after ``since``.
        is_last: whether this reading gives the outcome.
        token: the resume token. Pass it to ``wait_for_outcome(since=…)`` to go on after this transition. It holds an
            id, a status, dates and numbers, and nothing secret.
    """

    previous: AnyStatus | None
    status: AnyStatus
    session: Session
    sequence: int
    is_last: bool
    token: str

    def to_dict(self, *, show_secrets: bool = False) -> dict[str, object]:
        """
        Return the transition as plain data, for a JSON answer, a queue or a log: the change and its reading.

        See `Session.to_dict` for the reading and for *show_secrets*. ``token`` is the resume token, which is no secret.
        """
        return {
            "type": "transition",
            "previous": None if self.previous is None else str(self.previous),
            **self.session.to_dict(show_secrets=show_secrets),
            "sequence": self.sequence,
            "is_last": self.is_last,
            "token": self.token,
        }

    def __repr__(self) -> str:
        last = ", the last" if self.is_last else ""
        return (
            f"<Transition {self.sequence} of session {self.session.session_id}: {self.previous} -> {self.status}{last}>"
        )


@attrs.define(weakref_slot=False)
class History:
    """What one wait believes of one session."""

    session_id: str
    since: Position | None = None
    """Where an earlier wait was, until there is a believed reading."""
    latest: Session | None = attrs.field(init=False, default=None)
    """The newest believed reading."""
    transitions: tuple[Transition, ...] = attrs.field(init=False, default=())
    """The transitions so far, oldest first; the poller may drop those that were emitted."""
    _status: AnyStatus | None = attrs.field(init=False)
    """The status that is believed; ``None`` before the first sighting."""
    _newest_at: datetime | None = attrs.field(init=False)
    """The newest ``updated_at`` that is believed."""
    _expires_at: datetime | None = attrs.field(init=False)
    _sequence: int = attrs.field(init=False)
    """The sequence of the last transition."""

    def __attrs_post_init__(self) -> None:
        since = self.since
        self._status = None if since is None else since.status
        self._newest_at = None if since is None else since.updated_at
        self._expires_at = None if since is None else since.expires_at
        self._sequence = 0 if since is None else since.sequence

    @property
    def status(self) -> AnyStatus | None:
        """The status that is believed; ``None`` before the first sighting."""
        return self._status

    @property
    def newest_at(self) -> datetime | None:
        """The newest ``updated_at`` that is believed."""
        return self._newest_at

    @property
    def is_seen(self) -> bool:
        """Whether a reading or ``since`` shows that the session exists."""
        return self._status is not None

    @property
    def known(self) -> Session:
        """The newest believed reading, or else the position of ``since``. Only for a session that `is_seen`."""
        if self.latest is not None:
            return self.latest
        assert self.since is not None, "asked for a session that was never seen"
        return self.since.as_session()

    @property
    def expires_at(self) -> datetime | None:
        """The last ``expires_at`` that was believed. It can move; a reading without one leaves it as it is."""
        return self._expires_at

    @property
    def position(self) -> Position | None:
        """Where the wait is now; ``None`` before the first sighting."""
        if self._status is None:
            return None
        return Position(
            session_id=self.session_id,
            status=self._status,
            updated_at=self._newest_at,
            expires_at=self._expires_at,
            sequence=self._sequence,
        )

    def seen_for(self, reading: Session) -> float:
        """Return the seconds from the ``updated_at`` of ``since`` to *reading*; 0 where they are not known."""
        if self.since is None or self.since.updated_at is None or reading.read_at is None or reading.is_locally_dated:
            return 0.0
        return max(0.0, (reading.read_at - self.since.updated_at).total_seconds())

    def is_stale(self, reading: Session) -> bool:
        """
        Tell whether *reading* is older than one that is believed already: replicas answer out of order.

        A final status is never stale, whatever its date, and after it every status that is not final is stale. A
        reading without a date counts as the newest.
        """
        if reading.status.is_final:
            return False
        if self._status is not None and self._status.is_final:
            return True
        updated_at = date_of(reading)
        return updated_at is not None and self._newest_at is not None and updated_at < self._newest_at

    def observe(self, reading: Session, *, is_last: bool) -> Transition | None:
        """
        Take note of *reading*; return the transition that it completes, if any.

        A stale reading changes nothing. *is_last* says whether this reading gives the outcome.
        """
        if self.is_stale(reading):
            return None

        expires_at = expiry_of(reading)
        if expires_at is not None:
            self._expires_at = expires_at
        updated_at = date_of(reading)
        if updated_at is not None and (self._newest_at is None or updated_at >= self._newest_at):
            self._newest_at = updated_at
        self.latest, self.since = reading, None  # the reading says more than `since`
        previous, self._status = self._status, reading.status
        if previous == reading.status:
            return None

        self._sequence += 1
        position = self.position
        assert position is not None, "a status was just observed"
        transition = Transition(
            previous=previous,
            status=reading.status,
            session=reading,
            sequence=self._sequence,
            is_last=is_last,
            token=position.token,
        )
        self.transitions = (*self.transitions, transition)
        return transition

    def remember(self, memory: Memory | None) -> None:
        """Put *memory* into the token of the last transition: what is to come next, which `observe` could not know."""
        *before, transition = self.transitions
        position = self.position
        assert position is not None, "a status was just observed"
        token = attrs.evolve(position, memory=memory).token
        self.transitions = (*before, attrs.evolve(transition, token=token))
