"""A session's life as data: which status it is in when, until when it can be paid, and what a read of it shows."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, cast

import attrs

from hpp_async._core.session import SessionStatus

LIFETIME: Final = timedelta(hours=47)  # session lifetime page: 48 hours from the payment session, less one
FINAL: Final = frozenset({SessionStatus.COMPLETED, SessionStatus.CANCELLED, SessionStatus.DISABLED})


class SessionOverError(ValueError):
    """Nobody can do anything with the session any more: it is in a final status, or has expired."""


def _microseconds(after: float) -> float:
    """Return *after* as dates have it, who know nothing between two microseconds."""
    return round(after, 6)


@attrs.frozen
class Step:
    """
    A change of a session's life: ``after`` seconds from its creation it is in ``status``, with ``fields``.

    Attributes:
        status: ``None`` leaves it in the status it has, since when it has it.
        expires_in: seconds from this step until the session expires, from then on; ``None`` leaves its expiry.
        is_forgotten: from then on the provider answers 404.
    """

    after: float = attrs.field(converter=_microseconds)
    status: str | None
    fields: Mapping[str, object] = attrs.field(factory=dict[str, object])
    expires_in: float | None = None
    is_forgotten: bool = False


AnyStep = Step | tuple[float, str] | tuple[float, str, Mapping[str, object]]
"""A step, or what one is made of."""


def steps_of(steps: Iterable[AnyStep]) -> list[Step]:
    """Return *steps* in their order, with the creation before them where they do not say how a session begins."""
    # The cast is for pyright, which unpacks the two tuples as one with everything everywhere.
    life = [step if isinstance(step, Step) else Step(*cast("tuple[float, str]", step)) for step in steps]
    life.sort(key=lambda step: step.after)
    if not life or life[0].after > 0 or life[0].status is None:
        life.insert(0, Step(0.0, SessionStatus.WAITING))
    return life


@attrs.define(kw_only=True)
class Life:
    """
    One session, and everything that has become of it or is going to.

    Attributes:
        lifetime: from the creation until it expires, unless a step says otherwise.
        merchant: whose it is; ``None`` is everybody's.
        merchant_urls: where the consumer and the callbacks are sent, as the merchant gave them.
        page_title: what the merchant wants the payment page to be called.
        distributions: the ways in which its link was sent to the consumer.
        told: how many of its steps the merchant has been called about, or never will be.
        on_change: called, with nothing, when something else follows than was going to.
    """

    session_id: str
    created_at: datetime
    lifetime: timedelta
    steps: list[Step]
    place_order_mode: str = "NONE"
    merchant: str | None = None
    merchant_urls: Mapping[str, str] = attrs.field(factory=dict[str, str])
    page_title: str | None = None
    distributions: list[str] = attrs.field(factory=list[str])
    told: int = 1
    on_change: Callable[[], None] | None = attrs.field(default=None, eq=False, repr=False)

    def age(self, moment: datetime) -> float:
        """Return the seconds since the creation."""
        return (moment - self.created_at).total_seconds()

    def moment(self, step: Step) -> datetime:
        """Return when it takes *step*."""
        return self.created_at + timedelta(seconds=step.after)

    def passed(self, moment: datetime) -> list[Step]:
        """Return the steps it has taken by then: the first one always, a replica that is behind knows it too."""
        age = self.age(moment)
        return [step for number, step in enumerate(self.steps) if number == 0 or step.after <= age]

    def status(self, moment: datetime) -> str:
        """Return the status it is in then."""
        return self._latest(moment).status or ""

    def expiry(self, moment: datetime) -> datetime:
        """Return when it expires, by what is true at *moment*."""
        moved = [step for step in self.passed(moment) if step.expires_in is not None]
        if not moved:
            return self.created_at + self.lifetime
        return self.created_at + timedelta(seconds=moved[-1].after + (moved[-1].expires_in or 0.0))

    def move_expiry(self, expires_at: datetime, moment: datetime) -> None:
        """Let it expire at *expires_at*, whatever its steps until *moment* said."""
        passed = self.passed(moment)
        self.steps = [attrs.evolve(step, expires_in=None) if step in passed else step for step in self.steps]
        self.lifetime = expires_at - self.created_at

    def is_forgotten(self, moment: datetime) -> bool:
        """Tell whether the provider knows it no more."""
        return any(step.is_forgotten for step in self.passed(moment))

    def change(self, steps: Iterable[Step], moment: datetime) -> None:
        """Let *steps*, counted from *moment*, be what follows, in place of what was going to."""
        age = self.age(moment)
        following = [attrs.evolve(step, after=age + step.after) for step in steps]
        self.steps = self.passed(moment) + sorted(following, key=lambda step: step.after)
        if self.on_change is not None:
            self.on_change()

    def is_over(self, moment: datetime) -> bool:
        """Tell whether nothing can follow: a final status, or the end of its lifetime."""
        return self.status(moment) in FINAL or moment >= self.expiry(moment)

    def must_go_on(self, moment: datetime) -> None:
        """
        Do nothing.

        Raises:
            SessionOverError: nothing can follow.
        """
        if self.is_over(moment):
            status = self.status(moment)
            end = f"is {status}, which is final" if status in FINAL else "has expired"
            raise SessionOverError(f"session {self.session_id} {end}: nothing can follow")

    def reading(self, moment: datetime) -> dict[str, object]:
        """Return what a read shows then."""
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
    """Return *moment* as the dates page has it: ISO 8601 with milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
