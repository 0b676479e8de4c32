"""The position of a wait, the resume token (a position as text), and which dates of a reading can be used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Self

import attrs

from hpp_async._core.exceptions import ConfigurationError
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

_TOKEN_VERSION: Final = "hpp1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@attrs.frozen(kw_only=True)
class Position:
    """The position of a wait: what a later wait needs in order to go on from there."""

    session_id: str
    status: AnyStatus
    """The status that is believed."""
    updated_at: datetime | None
    """The newest ``updated_at`` that is believed."""
    expires_at: datetime | None
    """The last ``expires_at`` that was believed."""
    sequence: int
    """The sequence of the last transition."""

    @property
    def token(self) -> str:
        """The position as text. The status comes last, because it may contain colons."""
        dates = f"{_to_text(self.updated_at)}:{_to_text(self.expires_at)}"
        return f"{_TOKEN_VERSION}:{self.sequence}:{dates}:{self.session_id}:{self.status}"

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
            parsed = cls._parse(since)
            if parsed is None:
                raise ConfigurationError(
                    f"session {session_id}: since is neither a Session nor a resume token ({_TOKEN_VERSION}:…): pass "
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
    def _parse(cls, token: object) -> Self | None:
        if not isinstance(token, str):
            return None
        try:
            version, sequence, updated_at, expires_at, session_id, status = token.split(":", 5)
            if version != _TOKEN_VERSION or not session_id or not is_status(status) or not sequence.isdecimal():
                return None
            return cls(
                session_id=session_id,
                status=status_of(status),
                updated_at=_from_text(updated_at),
                expires_at=_from_text(expires_at),
                sequence=int(sequence),
            )
        except (ValueError, OverflowError):
            return None

    @classmethod
    def is_token(cls, text: object) -> bool:
        """Tell whether *text* is a well-formed token."""
        return cls._parse(text) is not None

    def as_session(self) -> Session:
        """Return the position as a reading, for an outcome of a wait that had no reading of its own."""
        return Session(
            session_id=self.session_id, status=self.status, updated_at=self.updated_at, expires_at=self.expires_at
        )


def is_token(text: object) -> bool:
    """
    Tell whether *text* is a well-formed resume token, which can be passed as ``since``.

    Use it for stored tokens that may be damaged. Whether a token belongs to the right session is checked by the call
    to which it is passed.
    """
    return Position.is_token(text)


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
