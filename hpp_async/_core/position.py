"""The position of a wait, the resume token (a position as text), and which dates of a reading can be used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.memory import Memory, numbers_of
from hpp_async._core.session import AnyStatus, Session, is_status, status_of

_FUTURE: Final = -86_400.0
"""
Seconds: the age of a reading whose ``updated_at`` is a day ahead of the provider's own clock.

A date that is further ahead counts as missing. Otherwise one broken date (session-full in the provider's OpenAPI file
says 2038) would make every later reading stale.
"""

_LONG_AFTER_EXPIRY: Final = 86_400.0
"""
Seconds in a day.

An ``expires_at`` that is more than a day before ``updated_at`` is broken (0001-01-01, 1970), and counts as missing.
"""

_VERSION: Final = "hpp2"
_FIRST_VERSION: Final = "hpp1"
"""Its tokens have the sequence where those of today have all numbers, and no `Memory`."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@attrs.frozen(kw_only=True)
class Position:
    """The position of a wait: what a later wait needs in order to go on from there."""

    session_id: str
    status: AnyStatus | None
    """The status that is believed; ``None`` where the session was never seen."""
    updated_at: datetime | None
    """The newest ``updated_at`` that is believed."""
    expires_at: datetime | None
    """The last ``expires_at`` that was believed."""
    sequence: int
    """The sequence of the last transition."""
    memory: Memory | None = None
    """What is remembered beside that; ``None`` where the position comes from a reading or an old token."""

    @classmethod
    def unseen(cls, session_id: str) -> Self:
        """Return the position of a wait that has never seen its session."""
        return cls(session_id=session_id, status=None, updated_at=None, expires_at=None, sequence=0)

    @property
    def token(self) -> str:
        """
        The position as text: version, numbers, two dates, session id and status, separated by colons.

        The numbers are the sequence (``n``) and the `Memory`. The status comes last, because it may contain colons, and
        is empty where the session was never seen.
        """
        numbers = f"n{self.sequence}{'' if self.memory is None else self.memory.text}"
        dates = f"{_to_text(self.updated_at)}:{_to_text(self.expires_at)}"
        return f"{_VERSION}:{numbers}:{dates}:{self.session_id}:{self.status or ''}"

    @classmethod
    def of(cls, since: Session | str, *, session_id: str) -> Self:
        """
        Return the position that *since*, a reading or a resume token of the session *session_id*, stands for.

        Raises:
            ConfigurationError: *since* is neither a reading nor a token, belongs to another session, or is a reading
                with a naive date.
        """
        if isinstance(since, Session):
            for name in ("updated_at", "expires_at", "read_at"):
                moment: datetime | None = getattr(since, name)
                if moment is not None and moment.tzinfo is None:
                    raise ConfigurationError(f"session {session_id}: since.{name} has no time zone")
            position = cls(
                session_id=since.session_id or session_id,
                status=since.status,
                updated_at=date_of(since),
                expires_at=since.expires_at,
                sequence=0,
            )
        else:
            parsed = cls.parse(since)
            if parsed is None:
                raise ConfigurationError(
                    f"session {session_id}: since is neither a Session nor a resume token ({_VERSION}:…): pass "
                    "the token of a Transition, of a wait or of a WaitError, as it was given"
                )
            position = parsed
        if position.session_id.casefold() != session_id.casefold():
            raise ConfigurationError(
                f"since belongs to session {position.session_id}, and the wait to session {session_id}: pass a token "
                f"that a wait for {session_id} gave you, or leave since out"
            )
        return attrs.evolve(position, session_id=session_id)

    @classmethod
    def parse(cls, token: object) -> Self | None:
        """Return the position that *token* stands for, of whichever session; ``None`` if it is not a token."""
        if not isinstance(token, str):
            return None
        try:
            version, text, updated_at, expires_at, session_id, status = token.split(":", 5)
            numbers = _numbers_in(version, text)
            if numbers is None or not session_id or not (is_status(status) or (version == _VERSION and not status)):
                return None
            return cls(
                session_id=session_id,
                status=status_of(status) if status else None,
                updated_at=_from_text(updated_at),
                expires_at=_from_text(expires_at),
                sequence=numbers["n"],
                memory=Memory.of(numbers),
            )
        except (ValueError, OverflowError):
            return None

    @property
    def progress(self) -> tuple[int, datetime, int]:
        """How far the wait has come: it never decreases along a life, and each transition increases it."""
        if self.status is None:
            return 0, _EPOCH, 0
        if self.status.is_final:
            return 2, _EPOCH, 0
        return 1, _LONG_AGO if self.updated_at is None else self.updated_at, self.sequence

    def as_session(self) -> Session:
        """Return the position as a reading, for an outcome of a wait that had no reading of its own."""
        assert self.status is not None, "asked for a session that was never seen"
        return Session(
            session_id=self.session_id, status=self.status, updated_at=self.updated_at, expires_at=self.expires_at
        )


def is_token(text: object) -> bool:
    """
    Tell whether *text* is a well-formed resume token, which can be passed as ``since``.

    Use it for stored tokens that may be damaged. Whether a token belongs to the right session is checked by the call
    to which it is passed.
    """
    return Position.parse(text) is not None


def session_id_of(token: str) -> str:
    """
    Return the id of the session that the resume token *token* belongs to.

    Raises:
        ConfigurationError: *token* is not a resume token.
    """
    return _parsed(token, "token").session_id


def is_newer(token: str, than: str) -> bool:
    """
    Tell whether *token* knows more of its session than the token *than*, and may replace it where it is stored.

    Two tokens of one session are compared by what was seen, and not by when they were made: a token of a session that
    was seen is newer than one of a session that was not; then the later ``updated_at`` counts; then the higher
    sequence. Nothing is newer than a final status. So the token of each transition is newer than those before it; and
    if two processes saw the same final status, neither token is newer, on whichever way they came to it. That makes
    a stored token a fence: store a token, and do what its event calls for, only if it is newer than the stored one.

    Tokens that differ only in when the next read is due are equally new. To store such tokens, at a shutdown, replace a
    stored token unless it is newer.

    Raises:
        ConfigurationError: *token* or *than* is not a resume token, or they belong to different sessions.
    """
    left, right = _parsed(token, "token"), _parsed(than, "than")
    if left.session_id.casefold() != right.session_id.casefold():
        raise ConfigurationError(
            f"token belongs to session {left.session_id}, and than to session {right.session_id}: only tokens of one "
            "session can be compared"
        )
    return left.progress > right.progress


def _parsed(token: str, name: str) -> Position:
    position = Position.parse(token)
    if position is None:
        raise ConfigurationError(
            f"{name} is not a resume token ({_VERSION}:…): pass the token of a Transition, a wait or a WaitError, "
            "as it was given"
        )
    return position


def _numbers_in(version: str, text: str) -> Mapping[str, int] | None:
    if version == _FIRST_VERSION and text.isdecimal():
        return {"n": int(text)}
    numbers = numbers_of(text) if version == _VERSION else None
    return numbers if numbers is not None and "n" in numbers else None


def _to_text(moment: datetime | None) -> str:
    return "-" if moment is None else str((moment - _EPOCH) // _MICROSECOND)


def _from_text(text: str) -> datetime | None:
    return None if text == "-" else _EPOCH + int(text) * _MICROSECOND


def date_of(reading: Session) -> datetime | None:
    """Return ``updated_at``; ``None`` where it is missing, or more than a day ahead of the provider's clock."""
    age = reading.age
    return None if age is not None and age < _FUTURE else reading.updated_at


def expiry_of(reading: Session) -> datetime | None:
    """Return ``expires_at``; ``None`` where it is missing, or more than a day before ``updated_at``."""
    if reading.updated_at is not None and reading.expires_at is not None:
        ahead = (reading.updated_at - reading.expires_at).total_seconds()
        return None if ahead > _LONG_AFTER_EXPIRY else reading.expires_at
    return reading.expires_at
