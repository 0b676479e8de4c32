"""Events, which observers are called with. They hold ids, statuses and seconds; no bodies, tokens or personal data."""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.session import AnyStatus

_logger = logging.getLogger("hpp_async")


@attrs.frozen(kw_only=True)
class ReadFinished:
    """
    A read ended with a reading, ``seconds`` after its first attempt began.

    It took ``attempts`` attempts. ``status_code`` is the HTTP status of the answer, and ``host`` is the provider's.
    """

    session_id: str
    status: AnyStatus
    correlation_id: str | None
    seconds: float
    attempts: int
    status_code: int | None
    host: str


@attrs.frozen(kw_only=True)
class ReadFailed:
    """
    A read ended without a reading, ``seconds`` after its first attempt began.

    ``error`` is the name of the class of the last attempt's error, and ``message`` is its message, which says why it
    failed; it is empty for an error that a hook of your own httpx client raised. ``status_code`` is the HTTP status of
    the last attempt; ``None`` if no answer came. ``attempts`` and ``host`` are as for `ReadFinished`.

    Only reads are reported. The failure of `HPPClient.disable_session` is raised to its caller, and is no event.
    """

    session_id: str
    error: str
    message: str
    correlation_id: str | None
    seconds: float
    attempts: int
    status_code: int | None
    host: str


@attrs.frozen(kw_only=True)
class WaitStarted:
    """
    A wait began: its first step, or a session of a watch that was entered (``is_watched``).

    ``wait`` is a number that all events of this wait have, for an observer that puts them together: there can be
    several waits on one session. The sessions of one watch share a number. A `WaitEnded` or a `WaitDropped` follows.
    """

    session_id: str
    wait: int
    is_watched: bool


@attrs.frozen(kw_only=True)
class TransitionSeen:
    """
    A wait saw a new status of its session.

    ``previous`` is ``None`` if the session was never seen before. ``sequence`` is that of the `Transition`. ``age`` is
    the news' age in seconds, by the provider's clock: how long before the read the session had changed. It is ``None``
    if the provider did not say when.
    """

    session_id: str
    wait: int
    previous: AnyStatus | None
    status: AnyStatus
    sequence: int
    age: float | None


@attrs.frozen(kw_only=True)
class Slept:
    """
    A read of a wait started ``seconds`` after the read before it was over, and ``late_by`` seconds after it was due.

    Reads start late if the budget is short or the event loop is busy. The first read of a wait has no such event.
    """

    session_id: str
    seconds: float
    late_by: float


@attrs.frozen(kw_only=True)
class BudgetPaused:
    """
    All reads of the client pause for ``seconds``.

    Either the provider answered a request with a 429 (``is_refused``), or an answer says that little is left of the
    merchant's quota. The request was a read, or another one that counts against the same budget, such as the DELETE of
    `HPPClient.disable_session`.

    ``added`` is the part of ``seconds`` that comes after the end of an earlier pause: the sum of ``added`` over all
    events is the time for which reads were paused.
    """

    seconds: float
    added: float
    is_refused: bool


@attrs.frozen(kw_only=True)
class WaitEnded:
    """
    A wait ended, ``seconds`` after it began. It had used ``reads`` reads, failed ones included.

    ``ending`` is the name of the class of its outcome or error. ``status`` is that of the newest reading; ``None`` if
    there was no reading.
    """

    session_id: str
    wait: int
    ending: str
    status: AnyStatus | None
    reads: int
    seconds: float


@attrs.frozen(kw_only=True)
class WaitDropped:
    """
    A wait was given up without an ending.

    Nothing refers to it any more, its session is not watched any more, or it was one `HPPClient.step` of several.
    Observers are called with it soon afterwards, not at that moment.
    """

    session_id: str
    wait: int


@attrs.frozen(kw_only=True)
class ShardsOwned:
    """
    The number of shards that a worker of a fleet owns has changed: it owns ``owned`` of the fleet's ``shards`` now.

    A shard that it is handing over, or that it may have lost, does not count. ``worker`` is a number that tells the
    workers of this process apart. When `Fleet.work` begins, ``owned`` is 0; when it ends, ``shards`` is 0, too.
    """

    worker: int
    owned: int
    shards: int


@attrs.frozen(kw_only=True)
class ShardTakenOver:
    """
    A worker of a fleet has taken a shard that another one owned, or the same one before.

    If it was not handed over in order (``was_handed_over``), its owner was killed, frozen, or cut off from the
    database. A shard that nobody has owned before has no such event.
    """

    shard: int
    was_handed_over: bool


@attrs.frozen(kw_only=True)
class DealFailed:
    """
    ``deal_with`` or its transaction failed, and the session's news comes again in ``retry_in`` seconds.

    ``error`` is the name of the class of the error. ``failures`` is how many times in a row it has failed for this
    session. A database that was not reached is no failure of this kind.
    """

    session_id: str
    error: str
    failures: int
    retry_in: float


@attrs.frozen(kw_only=True)
class SessionParked:
    """
    ``deal_with`` or its transaction failed so often that the session waits for a person, until `Fleet.add` is called.

    ``error`` and ``failures`` are as for `DealFailed`, which is not reported for the last failure.
    """

    session_id: str
    error: str
    failures: int


Event = (
    ReadFinished
    | ReadFailed
    | WaitStarted
    | TransitionSeen
    | Slept
    | BudgetPaused
    | WaitEnded
    | WaitDropped
    | ShardsOwned
    | ShardTakenOver
    | DealFailed
    | SessionParked
)
Observer = Callable[[Event], object]


class Observers:
    """
    The functions that are called with each event, in the event loop, one after the other.

    If one of them raises, that is logged, and the wait goes on.

    An observer that is an object may have a method ``enter_task()``. It is called before the client starts a task that
    sends requests, in the context variables of that task, to set some of them. `hpp_async.instrumentation` uses it.

    *host* is the provider's, for the events.

    Raises:
        ConfigurationError: *observers* cannot be iterated, or one of them cannot be called, or is asynchronous.
    """

    __slots__ = ("_enter_task", "_late", "_observers", "host")

    def __init__(self, observers: Iterable[Observer], *, host: str = "") -> None:
        self.host: str = host
        if not isinstance(observers, Iterable):
            raise ConfigurationError(f"observers={observers!r}: give a list of functions")
        self._observers = tuple(observers)
        self._late: deque[Event] = deque()
        for observer in self._observers:
            if not callable(observer):
                raise ConfigurationError(f"observers contains {observer!r}, which cannot be called: give a function")
            if inspect.iscoroutinefunction(observer) or inspect.iscoroutinefunction(type(observer).__call__):
                raise ConfigurationError(
                    f"observer {observer!r} is asynchronous and would never be awaited: give a plain function; it can "
                    "put the event into a queue that a task of yours reads"
                )
        found = (getattr(observer, "enter_task", None) for observer in self._observers)
        self._enter_task: tuple[Callable[[], object], ...] = tuple(enter for enter in found if callable(enter))

    def __bool__(self) -> bool:
        return bool(self._observers)

    def tell(self, event: Event) -> None:
        """Call every observer with the events that are kept, and with *event*."""
        self.flush()
        self._tell(event)

    def keep(self, event: Event) -> None:
        """Keep *event* for the next `tell` or `flush`; from any thread, and in a finalizer, where locks may be held."""
        self._late.append(event)

    def flush(self) -> None:
        """Call every observer with the events that are kept."""
        while self._late:
            self._tell(self._late.popleft())

    def task_context(self) -> Context | None:
        """Return the context for a task that sends requests; ``None`` if no observer wants another than the usual."""
        if not self._enter_task:
            return None
        context = copy_context()
        for enter in self._enter_task:
            try:
                context.run(enter)
            except Exception as error:  # noqa: BLE001 - as in `_tell`
                _logger.error("observer method %r raised %s", enter, type(error).__name__)  # noqa: TRY400 - as in `_tell`
        return context

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except (KeyboardInterrupt, SystemExit):
                raise
            # Also a CancelledError, such as of a future that the observer asked for its result: nobody cancelled us.
            except BaseException as error:  # noqa: BLE001 - no failure of a user's observer may end a wait
                # Neither message nor traceback is logged: they are the user's, and may hold anything.
                _logger.error(  # noqa: TRY400
                    "observer %r raised %s on %s", observer, type(error).__name__, type(event).__name__
                )
