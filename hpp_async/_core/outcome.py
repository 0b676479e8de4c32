"""Which outcome a session has."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from hpp_async._core.history import Transition
from hpp_async._core.session import Session, SessionStatus

_AUTHORIZATION_LIFETIME: Final = timedelta(minutes=60)  # read page: an authorization token lives 60 minutes


@attrs.frozen(kw_only=True)
class Outcome:
    """
    How a wait ended, decided by the session; ``match`` on the subclass.

    A status that only the caller's ``stop_on`` names (BACK, say) gives a plain `Outcome`.

    Attributes:
        session: the reading that decided it.
        transitions: every change this wait saw, in order; those before ``since`` are not among them.
    """

    session: Session
    transitions: tuple[Transition, ...] = ()

    @property
    def status(self) -> SessionStatus:
        """The status that decided it; for `Expired` the last one seen."""
        return self.session.status

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow. False for `Failed` and `Errored`: the session is still open to another try."""
        return self.session.status.is_final

    @property
    def needs_attention(self) -> bool:
        """Whether a person should look at this session before money or goods move; see the subclasses."""
        return False


# No field is added here and below, so what attrs made for Outcome serves; made anew it costs the import 0.3 ms a class.
class Completed(Outcome):
    """The consumer paid: there is an authorization to place an order with, or the order itself."""

    __slots__ = ()

    @property
    def authorization_token(self) -> str | None:
        """Place the order with it; present with ``place_order_mode=NONE``. A secret."""
        return self.session.authorization_token

    @property
    def authorization_expires_at(self) -> datetime | None:
        """When the token runs out: ``updated_at`` plus 60 minutes, an estimate; ``None`` without token or date."""
        if self.session.authorization_token is None or self.session.updated_at is None:
            return None
        try:
            return self.session.updated_at + _AUTHORIZATION_LIFETIME
        except OverflowError:
            return None

    @property
    def order_id(self) -> str | None:
        """The order that was placed; present with ``PLACE_ORDER`` and ``CAPTURE_ORDER``."""
        return self.session.order_id

    @property
    def klarna_reference(self) -> str | None:
        """The provider's short reference for the order."""
        return self.session.klarna_reference

    @property
    def needs_attention(self) -> bool:
        """True with neither token nor order: paid, and nothing here to book it with. Ask the provider."""
        return self.session.authorization_token is None and self.session.order_id is None


class Failed(Outcome):
    """Declined. Not final: the consumer may try again on the same page, and pay (tracking page)."""

    __slots__ = ()


class Cancelled(Outcome):
    """The consumer gave up, for good (tracking page)."""

    __slots__ = ()


class Errored(Outcome):
    """An error while paying. Not final: the consumer may try again on the same page, and pay (tracking page)."""

    __slots__ = ()


class Disabled(Outcome):
    """The merchant disabled the session by a call of its own."""

    __slots__ = ()


@attrs.frozen(kw_only=True)
class Expired(Outcome):
    """
    ``expires_at`` passed without an outcome.

    Attributes:
        confirmed: True if a read after ``expires_at`` still showed an open status; False if it was inferred from a
            404, which the provider also answers for reasons of its own.
    """

    confirmed: bool

    @property
    def is_final(self) -> bool:
        """True: an expired session cannot be paid any more."""
        return True

    @property
    def needs_attention(self) -> bool:
        """
        True where the last reading speaks of more than an open session: a token, an order, an unknown status.

        Or of COMPLETED, known from ``since``, where no reading showed it again.
        """
        session = self.session
        is_open = session.status.is_recognized and session.status != SessionStatus.COMPLETED
        return bool(session.authorization_token or session.order_id) or not is_open


_OUTCOMES: Final[dict[SessionStatus, type[Outcome]]] = {
    SessionStatus.COMPLETED: Completed,
    SessionStatus.FAILED: Failed,
    SessionStatus.CANCELLED: Cancelled,
    SessionStatus.ERROR: Errored,
    SessionStatus.DISABLED: Disabled,
}


def outcome_of(session: Session, transitions: tuple[Transition, ...]) -> Outcome:
    """Return the outcome that *session*, a reading in the stop set, decides."""
    return _OUTCOMES.get(session.status, Outcome)(session=session, transitions=transitions)
