"""What consumers do on the payment page, as data: ``Script(opens, declines, retries, pays(after=30))``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final, cast

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.session import FINAL, SessionStatus
from hpp_async._provider.life import LIFETIME, AnyStep, Step, duration

_SHORT: Final = timedelta(seconds=30)  # so that somebody who watches a demonstration sees the session expire


@attrs.frozen
class Act:
    """
    Something that happens to a session, ``after`` seconds from the act before it, or from the session's creation.

    This module has an act for each thing that can happen, such as `opens` and `pays`. Calling an act returns the same
    act at another time, or with fields of the provider's answer: ``pays(after=30, order_id="1")``.

    Attributes:
        word: the act's name in scripts and files.
        after: seconds (or `timedelta`).
        status: the status that the session enters; ``None`` leaves the session in its status.
        fields: of the provider's answer, besides those that the status brings with it.
        expires_in: seconds (or `timedelta`) from this act to the session's new expiry; ``None`` leaves the expiry.
        is_forgotten: the provider answers 404 from this act on.

    Raises:
        ConfigurationError: a time is not a number of seconds, or is negative.
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
        """Return the same act at another time, or with more fields."""
        return Act(
            self.word,
            self.after if after is None else duration(after, "after"),
            self.status,
            fields={**self.fields, **fields},
            expires_in=self.expires_in if expires_in is None else duration(expires_in, "expires_in"),
            is_forgotten=self.is_forgotten,
        )

    def step(self, after: float, speed: float = 1.0) -> Step:
        """Return the act as a step of a life, *after* seconds from the session's creation."""
        expires_in = None if self.expires_in is None else self.expires_in / speed
        return Step(after, self.status, self.fields, expires_in, self.is_forgotten)

    @property
    def is_last(self) -> bool:
        """Whether the consumer can do nothing after it."""
        return self.word == "vanishes" or self.status in FINAL


ACTS: Final[dict[str, Act]] = {}
"""The acts by their words, except ``becomes``, which needs a status."""


def _act(
    word: str,
    after: float = 0.0,
    status: SessionStatus | None = None,
    *,
    expires_in: float | None = None,
    is_forgotten: bool = False,
) -> Act:
    act = ACTS[word] = Act(word, after, status, expires_in=expires_in, is_forgotten=is_forgotten)
    return act


# The default times are those of a consumer in a hurry: a demonstration should take seconds.
opens: Final = _act("opens", 2.0, SessionStatus.IN_PROGRESS)
"""The consumer opens the payment page."""
waits: Final = _act("waits", 5.0)
"""Nothing happens for a while."""
pays: Final = _act("pays", 5.0, SessionStatus.COMPLETED)
"""The payment is authorized, and the session is completed."""
declines: Final = _act("declines", 3.0, SessionStatus.FAILED)
"""The payment is declined; the session stays open for a retry."""
retries: Final = _act("retries", 3.0, SessionStatus.IN_PROGRESS)
"""The consumer tries again after a decline or an error."""
errors: Final = _act("errors", 4.0, SessionStatus.ERROR)
"""The payment ends in an error; the session stays open for a retry."""
goes_back: Final = _act("goes_back", 3.0, SessionStatus.BACK)
"""The consumer goes back to the shop, and may return."""
returns: Final = _act("returns", 3.0, SessionStatus.IN_PROGRESS)
"""The consumer returns to the payment page."""
identifies: Final = _act("identifies", 3.0, SessionStatus.MANUAL_ID_CHECK)
"""The consumer is asked for an identification."""
cancels: Final = _act("cancels", 4.0, SessionStatus.CANCELLED)
"""The consumer cancels for good."""
vanishes: Final = _act("vanishes")
"""The consumer closes the tab: no status follows, and the session expires."""
disabled: Final = _act("disabled", 5.0, SessionStatus.DISABLED)
"""The merchant disables the session."""
extends: Final = _act("extends", 5.0, expires_in=LIFETIME.total_seconds())
"""The consumer interacts, which moves the expiry to ``expires_in`` seconds from then (Kustom)."""
forgotten: Final = _act("forgotten", 5.0, is_forgotten=True)
"""The provider forgets the session, and answers 404 from then on."""


def becomes(status: str, after: float | timedelta = 3.0, **fields: object) -> Act:
    """Return an act after which the session is in *status*, which may be one that the provider does not have yet."""
    return Act("becomes", duration(after, "after"), status, fields=fields)


@attrs.frozen(init=False)
class Script:
    """
    What happens to a session, act by act: ``Script(opens(after=5), declines(after=20), retries, pays(after=30))``.

    Args:
        acts: what happens, in order; each act happens ``after`` seconds after the one before it.
        lifetime: seconds (or `timedelta`) for which the session can be paid; by default the provider's 47 hours.
        story: what the consumer does, as a sentence without its subject; by default the words of the acts.

    Raises:
        ConfigurationError: one of *acts* is not an act, or follows an act that nothing can follow.
    """

    acts: tuple[Act, ...]
    lasts: timedelta
    story: str

    def __init__(self, *acts: Act, lifetime: float | timedelta = LIFETIME, story: str | None = None) -> None:
        for number, act in enumerate(acts):
            if not isinstance(act, Act):
                raise ConfigurationError(f"acts[{number}]={act!r}: give an act such as hpp_async.testing.pays")
            if number and acts[number - 1].is_last and act.word not in ("extends", "forgotten", "waits"):
                raise ConfigurationError(f"acts[{number}]={act.word!r}: nothing can follow {acts[number - 1].word!r}")
        words = ", ".join(act.word.replace("_", " ") for act in acts) or "does not come"
        object.__setattr__(self, "acts", acts)
        object.__setattr__(self, "lasts", timedelta(seconds=duration(lifetime, "lifetime", at_least=0.001)))
        object.__setattr__(self, "story", words if story is None else story)

    def steps(self, speed: float = 1.0) -> tuple[Step, ...]:
        """Return the steps of the session's life, *speed* times as fast as a person takes them."""
        after, steps = 0.0, list[Step]()
        for act in self.acts:
            after += act.after / speed
            if act.status is not None or act.expires_in is not None or act.is_forgotten:
                steps.append(act.step(after, speed))
        return tuple(steps)

    def lifetime(self, speed: float = 1.0) -> timedelta:
        """Return how long the session can be paid; the default lifetime is the same at every *speed*."""
        return self.lasts if self.lasts == LIFETIME else self.lasts / speed


class Consumer(StrEnum):
    """Consumers with a name, each of whom has a script (tracking page)."""

    PAY = "pay"
    DECLINE_AND_RETRY = "decline-and-retry"
    BACK = "back"
    CANCEL = "cancel"
    ERROR = "error"
    VANISH = "vanish"
    NOBODY = "nobody"

    @property
    def script(self) -> Script:
        """What the consumer does, act by act."""
        return _SCRIPTS[self]

    @property
    def story(self) -> str:
        """What the consumer does, as a sentence without its subject."""
        return self.script.story


_SCRIPTS: Final = {
    Consumer.PAY: Script(opens, pays, story="opens the page and pays"),
    Consumer.DECLINE_AND_RETRY: Script(
        opens, declines, retries, pays(after=4), story="is declined, tries again and pays"
    ),
    Consumer.BACK: Script(opens, goes_back, returns, pays(after=4), story="goes back to the shop, returns and pays"),
    Consumer.CANCEL: Script(opens, cancels, story="opens the page and cancels"),
    Consumer.ERROR: Script(opens, errors, story="meets an error and does not try again"),
    Consumer.VANISH: Script(
        opens,
        vanishes,
        lifetime=_SHORT,
        story=f"opens the page and closes the tab; the session expires after {_SHORT.seconds} s",
    ),
    Consumer.NOBODY: Script(story="does not come; you can open the payment page yourself"),
}


Visitor = Script | Consumer
"""Who visits the payment page."""


CONSUMERS: Final[Mapping[str, Visitor]] = {str(consumer): consumer for consumer in Consumer}
"""The consumers with a name, by their names."""


LifeStory = Visitor | Iterable[Act] | Iterable[AnyStep]
"""What happens to a session: a script, a consumer, acts, or steps."""


def planned(story: LifeStory, speed: float) -> tuple[Iterable[AnyStep], timedelta]:
    """Return the steps of *story* and how long the session can be paid; only scripts and acts pass at *speed*."""
    if not isinstance(story, Script | Consumer):
        parts = list(story)
        if not parts or not isinstance(parts[0], Act):
            return cast("list[AnyStep]", parts), LIFETIME
        story = Script(*cast("list[Act]", parts))
    return script_of(story).steps(speed), script_of(story).lifetime(speed)


def script_of(visitor: Visitor | Iterable[Act]) -> Script:
    """Return *visitor* as a script."""
    if isinstance(visitor, Consumer):
        return visitor.script
    return visitor if isinstance(visitor, Script) else Script(*visitor)
