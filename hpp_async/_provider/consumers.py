"""What consumers do on the payment page, in words: ``Script(opens, declines, retries, pays(after=30))``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.session import SessionStatus
from hpp_async._provider.checks import duration
from hpp_async._provider.life import FINAL, LIFETIME, Step

_SHORT: Final = timedelta(seconds=30)  # a session made late in its payment session's life has as little left


@attrs.frozen
class Act:
    """
    Something that happens to a session, ``after`` seconds from the act before it, or from the session's creation.

    The words of this module are acts; calling one gives it another time, and fields that a read shows from then on:
    ``pays(after=30, order_id="1")``.

    Attributes:
        word: what it is called, in scripts and in files.
        after: seconds (or `timedelta`).
        status: the status it puts the session into; ``None`` leaves it.
        fields: of the provider's answer, besides those that the status brings with it.
        expires_in: seconds (or `timedelta`) until the session expires, from this act on; ``None`` leaves its expiry.
        is_forgotten: the provider answers 404 from then on.

    Raises:
        ConfigurationError: a time is not one, or is negative.
    """

    word: str
    after: float = 0.0
    status: str | None = None
    fields: Mapping[str, object] = attrs.field(factory=dict[str, object], kw_only=True)
    expires_in: float | None = attrs.field(default=None, kw_only=True)
    is_forgotten: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "after", duration(self.after, "after"))
        if self.expires_in is not None:
            object.__setattr__(self, "expires_in", duration(self.expires_in, "expires_in"))

    def __call__(
        self,
        after: float | timedelta | None = None,
        *,
        expires_in: float | timedelta | None = None,
        **fields: object,
    ) -> Act:
        """Return the same act at another time, or with fields."""
        return Act(
            self.word,
            self.after if after is None else duration(after, "after"),
            self.status,
            fields={**self.fields, **fields},
            expires_in=self.expires_in if expires_in is None else duration(expires_in, "expires_in"),
            is_forgotten=self.is_forgotten,
        )

    def step(self, after: float, speed: float = 1.0) -> Step:
        """Return what it does to a session, *after* seconds from its creation."""
        expires_in = None if self.expires_in is None else self.expires_in / speed
        return Step(after, self.status, self.fields, expires_in, self.is_forgotten)

    @property
    def is_last(self) -> bool:
        """Whether nobody can do anything on the page after it."""
        return self.word == "vanishes" or self.status in FINAL


# The times are those of somebody in a hurry: a demonstration takes seconds.
opens: Final = Act("opens", 2.0, SessionStatus.IN_PROGRESS)
"""Enters the payment page."""
waits: Final = Act("waits", 5.0)
"""Does nothing."""
pays: Final = Act("pays", 5.0, SessionStatus.COMPLETED)
"""Is authorized: the session is completed."""
declines: Final = Act("declines", 3.0, SessionStatus.FAILED)
"""Is declined; the session stays open for a retry."""
retries: Final = Act("retries", 3.0, SessionStatus.IN_PROGRESS)
"""Tries again, after a decline or an error."""
errors: Final = Act("errors", 4.0, SessionStatus.ERROR)
"""Meets an error; the session stays open for a retry."""
goes_back: Final = Act("goes_back", 3.0, SessionStatus.BACK)
"""Goes back to the shop; may return."""
returns: Final = Act("returns", 3.0, SessionStatus.IN_PROGRESS)
"""Comes back to the page."""
identifies: Final = Act("identifies", 3.0, SessionStatus.MANUAL_ID_CHECK)
"""Is asked for an identification."""
cancels: Final = Act("cancels", 4.0, SessionStatus.CANCELLED)
"""Gives up for good."""
vanishes: Final = Act("vanishes")
"""Closes the tab: nothing follows, and the session expires."""
disabled: Final = Act("disabled", 5.0, SessionStatus.DISABLED)
"""Is not the consumer's doing: the merchant disables the session."""
extends: Final = Act("extends", 5.0, expires_in=LIFETIME.total_seconds())
"""Interacts, so that the session expires later (or earlier), ``expires_in`` seconds from then (Kustom)."""
forgotten: Final = Act("forgotten", 5.0, is_forgotten=True)
"""Is not the consumer's doing: the provider answers 404 from then on."""


def becomes(status: str, after: float | timedelta = 3.0, **fields: object) -> Act:
    """Return an act that puts a session into any *status*, one that the provider has not got yet included."""
    return Act("becomes", duration(after, "after"), status, fields=fields)


ACTS: Final = {
    act.word: act
    for act in (
        opens,
        waits,
        pays,
        declines,
        retries,
        errors,
        goes_back,
        returns,
        identifies,
        cancels,
        vanishes,
        disabled,
        extends,
        forgotten,
    )
}
"""All acts by their words."""


@attrs.frozen(init=False)
class Script:
    """
    What becomes of a session, act by act: ``Script(opens(after=5), declines(after=20), retries, pays(after=30))``.

    Args:
        acts: in their order; each happens its own ``after`` seconds later than the one before it.
        lifetime: seconds (or `timedelta`) for which the session can be paid; the provider's 47 hours by default.
        story: what is done, as a sentence without its subject; by default the words of the acts.

    Raises:
        ConfigurationError: something is not an act, or follows one that nothing can follow.
    """

    acts: tuple[Act, ...]
    lasts: timedelta
    story: str

    def __init__(self, *acts: Act, lifetime: float | timedelta = LIFETIME, story: str | None = None) -> None:
        for number, act in enumerate(acts):
            if not isinstance(act, Act):
                raise ConfigurationError(f"acts[{number}]={act!r}: give an act, as hpp_async.testing.pays is one")
            if number and acts[number - 1].is_last and act.word not in ("extends", "forgotten", "waits"):
                raise ConfigurationError(f"acts[{number}]={act.word!r}: nothing can follow {acts[number - 1].word!r}")
        told = ", ".join(act.word.replace("_", " ") for act in acts) or "does not come"
        object.__setattr__(self, "acts", acts)
        object.__setattr__(self, "lasts", timedelta(seconds=duration(lifetime, "lifetime", at_least=0.001)))
        object.__setattr__(self, "story", told if story is None else story)

    def steps(self, speed: float = 1.0) -> tuple[Step, ...]:
        """Return what becomes of a session, *speed* times as fast as people are."""
        after, steps = 0.0, list[Step]()
        for act in self.acts:
            after += act.after / speed
            if act.status is not None or act.expires_in is not None or act.is_forgotten:
                steps.append(act.step(after, speed))
        return tuple(steps)

    def lifetime(self, speed: float = 1.0) -> timedelta:
        """Return how long the session can be paid: a lifetime of its own passes *speed* times as fast too."""
        return self.lasts if self.lasts == LIFETIME else self.lasts / speed


class Consumer(StrEnum):
    """Somebody on the payment page, by what they do there (tracking page): a script with a name."""

    PAY = "pay"
    DECLINE_AND_RETRY = "decline-and-retry"
    BACK = "back"
    CANCEL = "cancel"
    ERROR = "error"
    VANISH = "vanish"
    NOBODY = "nobody"

    @property
    def script(self) -> Script:
        """What they do, act by act."""
        return _SCRIPTS[self]

    @property
    def story(self) -> str:
        """What they do, as a sentence."""
        return self.script.story

    def steps(self, speed: float = 1.0) -> tuple[Step, ...]:
        """Return what becomes of a session in their hands, *speed* times as fast as people are."""
        return self.script.steps(speed)

    def lifetime(self, speed: float = 1.0) -> timedelta:
        """Return how long the session can be paid: one that is left alone soon expires, so that this can be seen."""
        return self.script.lifetime(speed)


_SCRIPTS: Final = {
    Consumer.PAY: Script(opens, pays, story="enters and pays"),
    Consumer.DECLINE_AND_RETRY: Script(
        opens, declines, retries, pays(after=4), story="is declined, tries again and pays"
    ),
    Consumer.BACK: Script(opens, goes_back, returns, pays(after=4), story="goes back to the shop, returns and pays"),
    Consumer.CANCEL: Script(opens, cancels, story="gives up"),
    Consumer.ERROR: Script(opens, errors, story="runs into an error, and leaves it at that"),
    Consumer.VANISH: Script(
        opens,
        vanishes,
        lifetime=_SHORT,
        story=f"enters and never comes back; it expires in {_SHORT.seconds} s",
    ),
    Consumer.NOBODY: Script(story="does not come; the payment page is for you to open"),
}


Visitor = Script | Consumer
"""Who comes to a session."""


CONSUMERS: Final[Mapping[str, Visitor]] = {str(consumer): consumer for consumer in Consumer}
"""The consumers that need no description, by their names."""


def script_of(life: Visitor | Iterable[Act]) -> Script:
    """Return the script that *life* is, or stands for."""
    if isinstance(life, Consumer):
        return life.script
    return life if isinstance(life, Script) else Script(*life)
