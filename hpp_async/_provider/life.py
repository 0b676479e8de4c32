"""A session's life as data: its statuses over time, its expiry, and what a read of it shows."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, cast

import attrs

from hpp_async._core.endpoint import check_session_id
from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.expiry import EXPIRY_GRACE
from hpp_async._core.schedule import seconds
from hpp_async._core.session import FINAL, SessionStatus

LIFETIME: Final = timedelta(hours=47)  # session lifetime page: 48 hours from the payment session, less one
PAST_EXPIRY: Final = timedelta(seconds=EXPIRY_GRACE + 1)
"""How long after the expiry of a session a client has no more doubt about it; dates in headers are whole seconds."""
_LONGEST: Final = 1e9  # seconds: about thirty years, which can still be added to a date


class SessionOverError(ValueError):
    """Nothing can happen to the session any more: it is in a final status, or it has expired."""


def duration(value: float | timedelta, name: str, *, at_least: float = 0.0) -> float:
    """
    Return *value*, seconds or a `timedelta`, as seconds; *name* is what the message calls it.

    Raises:
        ConfigurationError: not a number of seconds, below *at_least*, or longer than 1e9 seconds.
    """
    found = seconds(value, name, at_least=at_least)
    if not found <= _LONGEST:
        raise ConfigurationError(f"{name}={found:g}: give at most {_LONGEST:g} seconds")
    return found


def _microseconds(after: float) -> float:
    """Return *after* as a date can hold it: rounded to microseconds."""
    return round(after, 6)


@attrs.frozen
class Step:
    """
    A change in a session's life: ``after`` seconds from its creation it enters ``status``, with ``fields``.

    Attributes:
        status: ``None`` leaves the session in its status, and ``updated_at`` as it is.
        fields: of the provider's answer, besides those that the status brings with it.
        expires_in: seconds from this step to the session's new expiry; ``None`` leaves the expiry.
        is_forgotten: the provider answers 404 from this step on.
    """

    after: float = attrs.field(converter=_microseconds)
    status: str | None
    fields: Mapping[str, object] = attrs.field(factory=dict[str, object])
    expires_in: float | None = None
    is_forgotten: bool = False


AnyStep = Step | tuple[float, str] | tuple[float, str, Mapping[str, object]]
"""A `Step`, or its first two or three values as a tuple."""


def steps_of(steps: Iterable[AnyStep]) -> list[Step]:
    """Return *steps* in the order of their times, after a first step to WAITING if they have none at the creation."""
    # The cast is for pyright, which unpacks the two tuples as one with everything everywhere.
    life = [step if isinstance(step, Step) else Step(*cast("tuple[float, str]", step)) for step in steps]
    life.sort(key=lambda step: step.after)
    if not life or life[0].after > 0 or life[0].status is None:
        life.insert(0, Step(0.0, SessionStatus.WAITING))
    return life


def _session_id(_: object, __: object, value: str) -> None:
    check_session_id(value)


@attrs.define(kw_only=True)
class Life:
    """
    One session: what has happened to it, and what is planned.

    Attributes:
        session_id: up to 128 letters, digits, '-' and '_', because clients accept no others.
        lifetime: from the creation to the expiry, unless a step moves the expiry.
        merchant: the merchant that owns the session; ``None``: every merchant can read it.
        merchant_urls: where the consumer and the callbacks are sent, as the merchant gave them.
        page_title: the title that the merchant wants for the payment page.
        payment_session_id: the payment session that the session was created for, if that is known.
        categories: the ways to pay that the merchant wants offered; all of them, if there are none.
        distributions: the methods by which the consumer was sent the link, in order.
        called_back: the number of steps for which callbacks were made or are not wanted.
        on_change: called without arguments when the plan changes.

    Raises:
        ConfigurationError: *session_id* is one that no client accepts.
    """

    session_id: str = attrs.field(validator=_session_id)
    created_at: datetime
    lifetime: timedelta
    steps: list[Step]
    place_order_mode: str = "NONE"
    merchant: str | None = None
    merchant_urls: Mapping[str, str] = attrs.field(factory=dict[str, str])
    page_title: str | None = None
    payment_session_id: str | None = None
    categories: tuple[str, ...] = ()
    distributions: list[str] = attrs.field(factory=list[str])
    called_back: int = 1
    on_change: Callable[[], None] | None = attrs.field(default=None, eq=False, repr=False)

    def age(self, moment: datetime) -> float:
        """Return the seconds from the creation to *moment*."""
        return (moment - self.created_at).total_seconds()

    def moment(self, step: Step) -> datetime:
        """Return when *step* happens."""
        return self.created_at + timedelta(seconds=step.after)

    def passed(self, moment: datetime) -> list[Step]:
        """Return the steps up to *moment*, and the creation always: even a stale replica knows every session."""
        age = self.age(moment)
        return [step for number, step in enumerate(self.steps) if number == 0 or step.after <= age]

    def status(self, moment: datetime) -> str:
        """Return the status at *moment*."""
        return self._latest(moment).status or ""

    def updated_at(self, moment: datetime) -> datetime:
        """Return when the session entered the status that it has at *moment*."""
        return self.moment(self._latest(moment))

    def token(self, moment: datetime) -> str | None:
        """Return the authorization token that a read at *moment* shows, if there is one."""
        if self.status(moment) != SessionStatus.COMPLETED:
            return None
        token = self.reading(moment).get("authorization_token")
        return token if isinstance(token, str) and token else None

    def expiry(self, moment: datetime) -> datetime:
        """Return when the session expires, as known at *moment*."""
        moved = [step for step in self.passed(moment) if step.expires_in is not None]
        if not moved:
            return self.created_at + self.lifetime
        return self.created_at + timedelta(seconds=moved[-1].after + (moved[-1].expires_in or 0.0))

    def move_expiry(self, expires_at: datetime, moment: datetime) -> None:
        """Let the session expire at *expires_at*, whatever expiry its steps up to *moment* gave it."""
        passed = self.passed(moment)
        self.steps = [attrs.evolve(step, expires_in=None) if step in passed else step for step in self.steps]
        self.lifetime = expires_at - self.created_at

    def is_forgotten(self, moment: datetime) -> bool:
        """Tell whether the provider answers 404 for the session at *moment*."""
        return any(step.is_forgotten for step in self.passed(moment))

    def change(self, steps: Iterable[Step], moment: datetime) -> None:
        """Replace what is planned after *moment* by *steps*, whose times are counted from *moment*."""
        age = self.age(moment)
        following = [attrs.evolve(step, after=age + step.after) for step in steps]
        self.steps = self.passed(moment) + sorted(following, key=lambda step: step.after)
        if self.on_change is not None:
            self.on_change()

    def is_over(self, moment: datetime) -> bool:
        """Tell whether nothing can happen any more: the status is final, or the session has expired."""
        return self.status(moment) in FINAL or moment >= self.expiry(moment)

    def check_is_open(self, moment: datetime) -> None:
        """
        Check that something can still happen to the session.

        Raises:
            SessionOverError: the status is final, or the session has expired.
        """
        if self.is_over(moment):
            status = self.status(moment)
            end = f"is {status}, which is final" if status in FINAL else "has expired"
            raise SessionOverError(f"session {self.session_id} {end}: nothing can follow")

    def reading(self, moment: datetime) -> dict[str, object]:
        """Return the body of a read at *moment*."""
        step = self._latest(moment)
        body: dict[str, object] = {
            "session_id": self.session_id,
            "status": str(step.status),
            "updated_at": date(self.moment(step)),
            "expires_at": date(self.expiry(moment)),
        }
        if step.status == SessionStatus.COMPLETED:
            paid = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.session_id}/{self.place_order_mode}"))
            if self.place_order_mode == "NONE":
                body["authorization_token"] = paid
            else:
                body |= {"order_id": paid, "klarna_reference": paid[:8].upper()}
        return body | dict(step.fields)

    def _latest(self, moment: datetime) -> Step:
        return next(step for step in reversed(self.passed(moment)) if step.status is not None)


def date(moment: datetime) -> str:
    """Return *moment* in the provider's format (dates page): ISO 8601 with milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
