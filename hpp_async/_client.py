"""The client: the entry point of the library. It checks its arguments, and makes and connects the parts."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypedDict, Unpack, cast

from hpp_async._core.budget import Budget
from hpp_async._core.credentials import Auth, Credentials, Variables, of_variables
from hpp_async._core.endpoint import Endpoint, Target
from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.hidden import Hidden, hide
from hpp_async._core.history import Transition
from hpp_async._core.outcome import AnyOutcome
from hpp_async._core.poller import Poller
from hpp_async._core.position import Position
from hpp_async._core.provider_clock import ProviderClock
from hpp_async._core.schedule import PollSchedule, Schedule, seconds
from hpp_async._core.session import OUTCOME, Session, SessionStatus
from hpp_async._core.settings import Settings, statuses
from hpp_async._core.token_bucket import ReadBudget, checked_budget
from hpp_async._http import codec, connections, retry
from hpp_async._http.calls import Calls
from hpp_async._http.commands import Commands
from hpp_async._http.exchange import Exchange
from hpp_async._http.family import HTTPClient
from hpp_async._http.headers import headers_of, user_agent_of
from hpp_async._http.reader import Reader
from hpp_async._http.retry import longest_read
from hpp_async._http.transports import TransportName, connections_for
from hpp_async._loop import Clock, LoopClock, to_the_end
from hpp_async._ordering import Ordering, load_ahead
from hpp_async._waits.awaitable import mark_coroutine_function
from hpp_async._waits.creations import Creations
from hpp_async._waits.detached import Detached
from hpp_async._waits.events import Event, Observer, Observers
from hpp_async._waits.reads import Reads
from hpp_async._waits.turns import Turns
from hpp_async._waits.wait import OutcomeWait, Parked
from hpp_async._waits.watch import Watch

if TYPE_CHECKING:
    from hpp_async._core.orders.answers import CreatedSession

VERSION: Final = "0.1.0"

_SHARE: Final = 0.25
"""The default budget's share of the merchant's quota, which captures and refunds use as well (rate limit page)."""

Seconds = float | timedelta


class ClientOptions(TypedDict, total=False):
    """The keyword arguments that `HPPClient.from_env` passes on; see `HPPClient`."""

    http_client: HTTPClient | None
    transport: TransportName
    schedule: Schedule
    budget: ReadBudget | None
    timeout: Seconds
    attempts: int
    outage_tolerance: Seconds
    user_agent: str | None
    observers: Iterable[Observer]
    clock: Clock | None


class HPPClient(Ordering):
    """
    Reads Hosted Payment Page sessions and waits for their outcome, on asyncio, uvloop and trio.

    Use it as ``async with``, or call `aclose` at the end. It can be made anywhere, also where no event loop runs, and
    is used in one event loop at a time. When that loop is gone (a second ``asyncio.run``, a test with a loop of its
    own, a fork), the client can be used in the next one, and repeats the reads that were in flight. If it is used in
    two running loops at once, the second use raises `RuntimeError`.

    Args:
        auth: ``(username, password)``, or an API key.
        endpoint: an `Endpoint`, its name, or a base URL; plain http for loopback hosts only.
        http_client: an ``AsyncClient`` of httpx or httpx2 to borrow. The client never closes it, and uses only its
            transport, event hooks, connection pool and proxies; its other settings have no effect. For a loopback
            endpoint, make it with ``trust_env=False``: otherwise it uses the proxies of the environment for loopback
            addresses, too. Without this argument the client makes connections of its own, with the proxies and
            certificates that the environment names when the client is made (``HTTPS_PROXY``, ``ALL_PROXY``,
            ``NO_PROXY``, ``SSL_CERT_FILE``, ``SSL_CERT_DIR``). They never go through a proxy to a loopback endpoint.
        transport: what the client's own connections are made of: ``"httpx"``; ``"httpx2"`` (extra ``httpx2``); or
            ``"aiohttp"`` (extra ``aiohttp``), which takes less CPU time. On trio, and through a proxy, ``"aiohttp"``
            does as ``"httpx"``.
        schedule: how long to wait between reads; see `PollSchedule`.
        budget: how much of the merchant's quota all reads of this client may use. By default a quarter of the
            endpoint's quota, because captures and refunds share it; of the playground's quota for a URL of your own.
        timeout: seconds for one attempt of a read, from connecting to the last byte.
        attempts: how many times one read is tried at most, the first time included, while it fails transiently.
        outage_tolerance: seconds without a readable answer after which a wait ends with `OutageError`. Idle time, in
            which no task takes a step of the wait, does not count.
        user_agent: the name of your product, for the provider. In the header the library's own name follows it.
        observers: plain functions that are called with each event, in the event loop; see the event classes.
        clock: another source of time, for tests.

    Raises:
        ConfigurationError: an argument was refused, or a variable of the environment, which the message names. Nothing
            was sent.
    """

    # _draw returns numbers that are uniform in [0, 1), for the jitter of delays. It is not public: simulations pass
    # their own, so that one seed always gives the same run.
    def __init__(
        self,
        *,
        auth: Auth,
        endpoint: Endpoint | str,
        http_client: HTTPClient | None = None,
        transport: TransportName = "httpx",
        schedule: Schedule = PollSchedule(),
        budget: ReadBudget | None = None,
        timeout: Seconds = 10.0,
        attempts: int = 3,
        outage_tolerance: Seconds = 600.0,
        user_agent: str | None = None,
        observers: Iterable[Observer] = (),
        clock: Clock | None = None,
        _draw: Callable[[], float] = random.random,
    ) -> None:
        # Error reporters print the locals of a frame that raises, so no secret may be among them from here on.
        hidden: Hidden[Auth] = hide(auth)
        del auth
        mark_coroutine_function(HPPClient.wait_for_outcome)
        self._target = Target.of(endpoint)
        credentials = Credentials.of(hidden, self._target)
        self._schedule = _checked_schedule(schedule)
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise ConfigurationError(f"attempts={attempts!r}: give a whole number of at least 1")
        self._outage_tolerance = seconds(outage_tolerance, "outage_tolerance")
        clock = LoopClock() if clock is None else clock
        checked_observers = Observers(observers, host=self._target.host)
        if budget is None:
            budget = ReadBudget((self._target.member or Endpoint.EU_PLAYGROUND).quota * _SHARE)
        self._attempts = attempts
        self._timeout = seconds(timeout, "timeout", at_least=0.001)
        agent = user_agent_of(user_agent, own=f"hpp-async/{VERSION}")

        # Done now, so that the first read does not block the event loop for it.
        connections.load_ahead()
        codec.load_ahead()
        load_ahead()
        retry.load_ahead()
        self._connections = connections_for(self._target, http_client, transport, now=clock.now, draw=_draw)
        exchange = Exchange(
            self._connections, headers=headers_of(self._target, credentials, agent), timeout=self._timeout
        )
        self._exchange = exchange
        provider_clock = ProviderClock()
        self._calls = Calls(exchange, target=self._target, clock=clock, provider_clock=provider_clock)
        self._commands = Commands(self._calls, attempts=attempts)
        turns = Turns(Budget(checked_budget(budget)), clock=clock, draw=_draw, observers=checked_observers)
        self._reads = Reads(
            Reader(self._calls, attempts=attempts).read,
            turns=turns,
            provider_clock=provider_clock,
            observers=checked_observers,
            moved=self._moved,
            abandon=self._abandon,
        )
        self._detached = Detached(enter=self._reads.enter, task_context=checked_observers.task_context)
        self._creations = Creations(self._target, clock=clock, draw=_draw)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Unpack[ClientOptions]) -> Self:
        """
        Return a client that is configured by *environ*, by default the environment of the process.

        The variables are ``HPP_USERNAME`` and ``HPP_PASSWORD``, or ``HPP_API_KEY``; and ``HPP_ENDPOINT``: the name of
        an `Endpoint`, such as ``EU_PLAYGROUND``, or a URL. *options* are those of `HPPClient`.

        Raises:
            ConfigurationError: a variable is missing, or refused; the message names it.
        """
        found = Variables.found_in(os.environ if environ is None else environ)
        # As in __init__: a frame that raises must have no secrets among its locals.
        del environ
        if found.refusal is not None:
            raise ConfigurationError(found.refusal)
        try:
            return cls(auth=cast("Auth", found.auth), endpoint=found.endpoint, **options)
        except ConfigurationError as error:
            raise ConfigurationError(of_variables(str(error))) from None

    def _moved(self) -> None:
        """Drop what belonged to an event loop that is gone."""
        self._exchange.drop()
        self._detached.forget()
        self._creations.forget()

    def _abandon(self) -> None:
        """End all requests, and let none begin: the client is closed."""
        self._creations.close()
        self._exchange.abandon()

    async def read_session(self, session: CreatedSession | str) -> Session:
        """
        Read the session once and return what the provider says now.

        *session* is an id, a ``session_url`` of this client's endpoint, or what `create_session` returned. A read that
        fails transiently is tried again, up to ``attempts`` times in all. Cancelling this call does not cancel a
        request in flight: its answer is abandoned.

        Raises:
            ConfigurationError: *session* is refused, before anything is sent.
            TransportError, UnexpectedPayloadError, RateLimitedError, NotProcessedError, ServerError: after the last
                attempt, or as soon as an answer asks for more than 5 seconds.
            AuthenticationError, SessionNotFoundError, ResponseError: immediately.
            ClientClosedError: the client was closed, before or meanwhile, or the ``http_client`` that it borrows.
            RuntimeError: the client is in use in another event loop, which is running.
        """
        return await self._reads.read(self._target.session_id(session))

    def wait_for_outcome(
        self,
        session: CreatedSession | str,
        *,
        stop_on: Collection[SessionStatus | str] = OUTCOME,
        timeout: Seconds | None = None,
        schedule: Schedule | None = None,
        since: Session | str | None = None,
    ) -> OutcomeWait:
        """
        Return a wait for the session's outcome: ``await`` it for the outcome, or iterate it for the transitions.

        Nothing is sent before the first step. `OutcomeWait` says what the wait raises.

        Args:
            session: an id, a ``session_url`` of this client's endpoint, or what `create_session` returned.
            stop_on: the statuses to stop at. The default, `OUTCOME`, stops at FAILED and ERROR, which the consumer may
                still turn into COMPLETED (tracking page); `FINAL` waits through them. A final status always stops it.
                A status that this version does not know is given as an `UnknownStatus`.
            timeout: seconds from the first step. Then the session is read a last time, for no longer than the client's
                *timeout*; if that shows no outcome, the wait ends with `WaitTimeoutError`, which says nothing about
                payment. To give up for good, ``await client.disable_session(session)``: it returns ``None``, or the
                outcome that the session had already.
            schedule: how long to wait between reads; by default the client's.
            since: a reading or a resume token. Transitions up to it are not yielded again, and the session counts as
                seen.

        Raises:
            ConfigurationError: an argument is refused.
        """
        poller_of = self._pollers(
            stop_on=stop_on, schedule=schedule, timeout=None if timeout is None else seconds(timeout, "timeout")
        )
        return OutcomeWait(poller_of(self._target.session_id(session), since), reads=self._reads)

    async def step(
        self,
        session: CreatedSession | str,
        *,
        since: Session | str | None = None,
        hold: Seconds = 30.0,
        stop_on: Collection[SessionStatus | str] = OUTCOME,
        schedule: Schedule | None = None,
    ) -> Transition | AnyOutcome | Parked:
        """
        Wait for the next transition or the outcome, but hand the wait back if the next read is far away.

        For durable engines (Restate, Temporal, DBOS, Celery), whose timers outlive this process. Store the token of
        what is returned, and call this again with it as *since*: at once after a `Transition`, and ``resume_in``
        seconds later after a `Parked`. Such a chain of calls makes the same reads as one wait, and one more after the
        last transition, for the outcome. It ends in the same way. One chain at a time may follow a session: two that
        start from one token give every event twice.

        Cancelling this call loses nothing: call it again with the same arguments.

        Args:
            session: see `wait_for_outcome`.
            since: what to go on from; ``None`` in the first call.
            hold: seconds; the longest delay to a read that is waited for here.
            stop_on: see `wait_for_outcome`.
            schedule: how long to wait between reads; by default the client's.

        Raises:
            ConfigurationError: an argument is refused.
            HPPError: what ended the wait; see `OutcomeWait`.
        """
        hold = seconds(hold, "hold")
        wait = self.wait_for_outcome(session, stop_on=stop_on, schedule=schedule, since=since)
        return await wait.step(hold)

    def watch(
        self,
        sessions: Iterable[CreatedSession | str] | Mapping[str, Session | str | None] = (),
        *,
        stop_on: Collection[SessionStatus | str] = OUTCOME,
        schedule: Schedule | None = None,
        forever: bool = False,
    ) -> Watch:
        """
        Return a watch on many sessions: enter it with ``async with``, and iterate its events.

        For workers with thousands of sessions: each session is read as by a wait on it and ends in the same way, in a
        fraction of the memory. To be called in the event loop.

        Args:
            sessions: ids, ``session_url``s, or what `create_session` returned; or a mapping from them to what
                `wait_for_outcome` takes as ``since``: a reading, a resume token, or ``None``. `Watch.add` adds more at
                any time. If a token is refused, the `ConfigurationError` becomes the only event of its session, and the
                other sessions are watched.
            stop_on: see `wait_for_outcome`.
            schedule: how long to wait between reads; by default the client's.
            forever: whether the iteration waits for another `Watch.add`, rather than ends, when no session is left.

        Raises:
            ConfigurationError: an argument is refused; nothing was sent.
            RuntimeError: the client is in use in another event loop, which is running.
        """
        if isinstance(sessions, str):
            raise ConfigurationError("sessions is one string: give a list of ids or URLs, or a mapping to tokens")
        watch = Watch(
            reads=self._reads,
            id_of=self._target.session_id,
            poller_of=self._pollers(stop_on=stop_on, schedule=schedule, forgets=True),
            forever=forever,
        )
        # The cast is for pyright: an iterable of strings may be a mapping from them to anything.
        is_mapping = isinstance(sessions, Mapping)
        tokens = cast(
            "Mapping[CreatedSession | str, Session | str | None]", sessions if is_mapping else dict.fromkeys(sessions)
        )
        for session, since in tokens.items():
            watch.add(session, since=since)
        return watch

    def _pollers(
        self,
        *,
        stop_on: Collection[SessionStatus | str],
        schedule: Schedule | None,
        timeout: float | None = None,
        forgets: bool = False,
    ) -> Callable[[str, Session | str | None], Poller]:
        settings = Settings(
            schedule=self._schedule if schedule is None else _checked_schedule(schedule),
            stop_on=statuses(stop_on),
            timeout=timeout,
            patience=self._timeout,
            longest_read=longest_read(self._attempts, self._timeout),
            outage_tolerance=self._outage_tolerance,
            forgets=forgets,
        )

        def poller_of(session_id: str, since: Session | str | None) -> Poller:
            position = None if since is None else Position.of(since, session_id=session_id)
            return Poller(session_id, settings, since=position)

        return poller_of

    def notify(self, session: CreatedSession | str) -> bool:
        """
        Make a read of the session due now in every wait and watch on it; return whether there is one.

        Call it for every status callback, from any thread. Callbacks are not signed, so a callback is only a hint, and
        the read that follows is what counts. If that read shows no new status, another one follows two seconds later,
        because a replica of the provider may be behind. Notifications make a session due at most once a second.

        Raises:
            ConfigurationError: *session* is refused.
        """
        return self._reads.notify(self._target.session_id(session))

    def session_id(self, session: CreatedSession | str) -> str:
        """
        Return the id of *session*, which is an id, a ``session_url`` of this client's endpoint, or a created session.

        Raises:
            ConfigurationError: *session* is refused.
        """
        return self._target.session_id(session)

    @property
    def budget(self) -> ReadBudget:
        """How much of the merchant's quota the reads of this client may use; see `set_budget`."""
        return self._reads.turns.limits

    def set_budget(self, budget: ReadBudget) -> None:
        """
        Give the client another budget, from now on. To be called in the event loop.

        Raises:
            ConfigurationError: *budget* is not a `ReadBudget`.
        """
        self._reads.turns.set_limits(checked_budget(budget))

    def report(self, event: Event) -> None:
        """Call the observers with *event*, as a `Fleet` does for its own. To be called in the event loop."""
        self._reads.observers.tell(event)

    def stop_streams(self) -> None:
        """
        End every iteration of `OutcomeWait.updates`, later ones included; reads, waits and watches go on.

        Call it when a server shuts down, because the server waits for its open streams first: see docs/streams.md. It
        can be called from any thread, from a signal handler, and more than once.
        """
        self._reads.streams.stop()

    async def aclose(self) -> None:
        """
        Close the client: every wait and watch ends with `ClientClosedError`, and connections of its own are closed.

        A borrowed ``http_client`` stays open. Cancelling this call does not stop it from closing the client, which then
        takes a few seconds at most. Calling it again is harmless.

        Raises:
            RuntimeError: the client is in use in another event loop, which is running.
        """
        await to_the_end(self._close)

    async def _close(self) -> None:
        await self._reads.aclose()
        await self._detached.aclose()
        await self._connections.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if "_reads" not in vars(self):
            return "<HPPClient, refused>"
        count = self._reads.in_flight + self._detached.in_flight
        in_flight = f", {count} in flight" if count else ""
        return f"<HPPClient {self._target.base_url}{in_flight}{', closed' if self._reads.is_closed else ''}>"


def _checked_schedule(schedule: Schedule) -> Schedule:
    if not callable(getattr(schedule, "delay", None)):
        raise ConfigurationError(
            f"schedule={schedule!r} has no delay(session, *, age, draw): give a PollSchedule, such as "
            "PollSchedule.every(5.0), or an object with that method"
        )
    return schedule
