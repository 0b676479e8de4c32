"""The client: checks its arguments, makes the parts of the library and connects them. Everything starts here."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Final, Self, TypedDict, TypeVar, Unpack, cast

import httpx

from hpp_async._core.budget import Budget
from hpp_async._core.credentials import Auth, Credentials, Hidden, Variables
from hpp_async._core.endpoint import Endpoint, Target
from hpp_async._core.exceptions import ConfigurationError, ResponseError
from hpp_async._core.outcome import AnyOutcome, outcome_of
from hpp_async._core.poller import Poller, Settings
from hpp_async._core.position import Position
from hpp_async._core.schedule import PollSchedule, Schedule, seconds
from hpp_async._core.session import OUTCOME, AnyStatus, Session, SessionStatus, status_of
from hpp_async._core.token_bucket import ReadBudget
from hpp_async._http import codec, connections, retry
from hpp_async._http.calls import Calls
from hpp_async._http.commands import Commands
from hpp_async._http.connections import Connections, Lent, Owned
from hpp_async._http.environment import Environment
from hpp_async._http.exchange import Exchange
from hpp_async._http.reader import Reader
from hpp_async._http.retry import longest_read
from hpp_async._loop import Clock, LoopClock
from hpp_async._waits.awaitable import mark_coroutine_function
from hpp_async._waits.events import Observer, Observers
from hpp_async._waits.reads import Reads
from hpp_async._waits.turns import Turns
from hpp_async._waits.wait import OutcomeWait
from hpp_async._waits.watch import Watch

VERSION: Final = "0.1.0"

_USER_AGENT: Final = re.compile(r"[!-~]+(?: [!-~]+)*", re.ASCII)

_SHARE: Final = 0.25
"""Of the merchant's quota: captures and refunds share it (rate limit page)."""

_COMPLETED_MEANWHILE: Final = 400
"""The answer to a DELETE of a session that was completed (disable page)."""

Seconds = float | timedelta
T = TypeVar("T")


class Options(TypedDict, total=False):
    """What `HPPClient.from_env` passes on; see `HPPClient`."""

    http_client: httpx.AsyncClient | None
    schedule: Schedule
    budget: ReadBudget | None
    timeout: Seconds
    attempts: int
    outage_tolerance: Seconds
    user_agent: str | None
    observers: Iterable[Observer]
    clock: Clock | None


class HPPClient:
    """
    Reads Hosted Payment Page sessions and waits for their outcome, on asyncio, uvloop and trio.

    Use it as ``async with``, or call `aclose` at the end. It can be made anywhere, and is used in one event loop at a
    time. When that loop is gone (a second ``asyncio.run``, a test with a loop of its own, a fork), the client goes on
    in the next one: reads that were in flight are asked for again. In two running loops at once it raises
    `RuntimeError`.

    Args:
        auth: ``(username, password)``, or an API key.
        endpoint: an `Endpoint`, its name, or a base URL; plain http for loopback hosts only.
        http_client: an `httpx.AsyncClient` to borrow: it is never closed, and of its configuration only the transport,
            the event hooks, the pool and the proxies apply. This is the way to another transport, such as
            httpx-aiohttp's (asyncio only; see benchmarks/README.md). Make one for a loopback endpoint with
            ``trust_env=False``: httpx takes a proxy from the environment for loopback addresses, too. Without it the
            client makes connections of its own, with the proxies and certificates that the environment names
            (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE``, ``SSL_CERT_DIR``) when the client is made;
            to a loopback endpoint they never go through a proxy.
        schedule: how long to wait between reads; see `PollSchedule`.
        budget: what the reads may use of the merchant's quota, over all waits of this client. Without it a quarter of
            what the endpoint grants, as captures and refunds share it (of the playground's, for a URL of your own).
        timeout: seconds for one attempt of a read, as a whole.
        attempts: how often one read is tried, in all, while it fails transiently.
        outage_tolerance: seconds without a readable answer after which a wait ends with `OutageError`. Idle time, in
            which no task takes a step in the wait, does not count.
        user_agent: the name of your product, for the provider; it goes before the library's own in the header.
        observers: plain functions that are called with each event, in the event loop; see the event classes.
        clock: another clock, for tests.

    Raises:
        ConfigurationError: an argument was refused, or a variable of the environment, which the message names; nothing
            was sent.
    """

    # _draw gives numbers that are uniform in [0, 1), for the jitter of delays: simulations hand in their own, so that
    # one seed gives one course of events. It is not public.
    def __init__(
        self,
        *,
        auth: Auth,
        endpoint: Endpoint | str,
        http_client: httpx.AsyncClient | None = None,
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
        # Whatever is refused from here on: an error reporter that prints the locals finds no secret among them.
        hidden = auth if isinstance(auth, Hidden) else Hidden(auth)
        del auth
        mark_coroutine_function(HPPClient.wait_for_outcome)
        self._target = Target.of(endpoint)
        credentials = Credentials.of(hidden, self._target)
        self._schedule = _checked_schedule(schedule)
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise ConfigurationError(f"attempts={attempts!r}: give a whole number of at least 1")
        if http_client is not None and not isinstance(http_client, httpx.AsyncClient):
            raise ConfigurationError(f"http_client is a {type(http_client).__name__}: give an httpx.AsyncClient")
        self._outage_tolerance = seconds(outage_tolerance, "outage_tolerance")
        clock = LoopClock() if clock is None else clock
        told = Observers(observers)
        if budget is None:
            member = self._target.member or Endpoint.EU_PLAYGROUND
            budget = ReadBudget(member.quota * _SHARE)
        elif not isinstance(budget, ReadBudget):
            raise ConfigurationError(f"budget={budget!r}: give a ReadBudget, such as ReadBudget(50)")
        self._attempts = attempts
        self._timeout = seconds(timeout, "timeout", at_least=0.001)
        agent = _user_agent(user_agent)

        # The first read is not to hold the event loop for what can be done now.
        connections.load_ahead()
        codec.load_ahead()
        retry.load_ahead()
        self._connections: Connections = (
            Owned(Environment.of(self._target), now=clock.now, draw=_draw) if http_client is None else Lent(http_client)
        )
        exchange = Exchange(
            self._connections, headers=_headers(self._target, credentials, agent), timeout=self._timeout
        )
        calls = Calls(exchange, target=self._target, clock=clock)
        self._commands = Commands(calls, attempts=attempts)
        turns = Turns(Budget(budget), clock=clock, draw=_draw, observers=told)
        self._reads = Reads(
            Reader(calls, attempts=attempts).read,
            turns=turns,
            observers=told,
            moved=exchange.drop,
            abandon=exchange.abandon,
        )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Unpack[Options]) -> Self:
        """
        Return a client configured by the environment.

        It reads ``HPP_USERNAME`` and ``HPP_PASSWORD``, or ``HPP_API_KEY``, and ``HPP_ENDPOINT`` (a member's name, such
        as ``EU_PLAYGROUND``, or a URL). *options* are those of `HPPClient`.

        Raises:
            ConfigurationError: a variable is missing, or refused; the message names it.
        """
        found = Variables.found_in(os.environ if environ is None else environ)
        # As in __init__: what raises must not have secrets among its locals.
        del environ
        if found.refusal is not None:
            raise ConfigurationError(found.refusal)
        return cls(auth=cast("Auth", found.auth), endpoint=found.endpoint, **options)

    async def read_session(self, session: str) -> Session:
        """
        Read the session once and return what the provider says now.

        *session* is an id or a ``session_url`` of this client's endpoint. Transient failures are tried again, up to
        ``attempts`` in all. Cancelling it abandons the answer, not the request.

        Raises:
            ConfigurationError: *session* is refused, before anything is sent.
            TransportError, UnexpectedPayloadError, RateLimitedError, ServerError: after the last attempt.
            AuthenticationError, SessionNotFoundError, ResponseError: at once.
            ClientClosedError: the client was closed, before or meanwhile.
        """
        return await self._reads.read(self._target.session_id(session))

    def wait_for_outcome(
        self,
        session: str,
        *,
        stop_on: Collection[SessionStatus | str] = OUTCOME,
        timeout: Seconds | None = None,
        schedule: Schedule | None = None,
        since: Session | str | None = None,
    ) -> OutcomeWait:
        """
        Wait until the session has an outcome: ``await`` it, or iterate its transitions.

        Nothing is sent before the first step. What the wait raises is said at `OutcomeWait`.

        Args:
            session: an id, or a ``session_url`` of this client's endpoint.
            stop_on: the statuses to stop at. The default, `OUTCOME`, stops at FAILED and ERROR, which the consumer may
                still turn into COMPLETED (tracking page); `FINAL` waits through them. Final statuses always stop it.
            timeout: seconds from the first step; one last read, waited for no longer than the client's *timeout*,
                then `WaitTimeoutError`. It says nothing about payment. To give up for good, disable the session:
                ``await client.disable_session(session)`` returns ``None``, or the outcome that came first after all.
            schedule: instead of the client's.
            since: a reading, or a resume token: transitions up to it are not yielded again, and the session counts as
                seen.

        Raises:
            ConfigurationError: an argument is refused.
        """
        poller_of = self._pollers(
            stop_on=stop_on, schedule=schedule, timeout=None if timeout is None else seconds(timeout, "timeout")
        )
        return OutcomeWait(poller_of(self._target.session_id(session), since), reads=self._reads)

    def watch(
        self,
        sessions: Iterable[str] | Mapping[str, Session | str | None] = (),
        *,
        stop_on: Collection[SessionStatus | str] = OUTCOME,
        schedule: Schedule | None = None,
        forever: bool = False,
    ) -> Watch:
        """
        Follow many sessions at once: ``async with`` it, and iterate its events. To be called in the event loop.

        For workers with thousands of sessions: the same reads and endings as a wait on each, at a fraction of the size.

        Args:
            sessions: ids or ``session_url``s; or a mapping from them to what `wait_for_outcome` takes as ``since``:
                a reading, a resume token, or ``None``. `Watch.add` takes more at any time. A token that is refused is
                the one event of its session, and the others are watched.
            stop_on: see `wait_for_outcome`.
            schedule: instead of the client's.
            forever: whether the iteration goes on when nothing is left to watch, and waits for another `Watch.add`.

        Raises:
            ConfigurationError: an argument is refused; nothing was sent.
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
        tokens = cast("Mapping[str, Session | str | None]", sessions if is_mapping else dict.fromkeys(sessions))
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
            stop_on=_statuses(stop_on),
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

    async def disable_session(self, session: str) -> AnyOutcome | None:
        """
        Disable the session, so that nobody can pay it any more; return ``None``, or the outcome it had already.

        This is the documented way to give up on a session (disable page); otherwise it stays payable for up to 47
        hours. Where the session was completed meanwhile, the provider refuses: then the session is read, and the
        outcome is returned. A read becomes due in every wait on the session. Cancelling this call abandons the answer,
        not the request.

        Raises:
            ConfigurationError: *session* is refused, before anything is sent.
            ResponseError: the provider refuses, and the session has no outcome; `SessionNotFoundError` for a 404.
            TransportError, RateLimitedError, ServerError: after the last attempt. It may be disabled all the same.
            ClientClosedError: the client was closed, before or meanwhile.
        """
        session_id = self._target.session_id(session)
        try:
            await self._reads.command(session_id, self._commands.disable)
        except ResponseError as error:
            if error.status_code != _COMPLETED_MEANWHILE:
                raise
            reading = await self._reads.read(session_id, is_urgent=True)
            if not reading.status.is_final:
                # A replica that is behind, or a 400 for another reason: not disabled, and not the outcome.
                raise
            return outcome_of(reading, ())
        return None

    def notify(self, session: str) -> bool:
        """
        Make a read of the session due now in every wait and watch of it; return whether there is one.

        Call it for every status callback, from any thread. Callbacks are not signed, so one is only a hint: what counts
        is the read that follows. If that shows nothing new, another read follows two seconds later, for a replica that
        is behind.

        Raises:
            ConfigurationError: *session* is refused.
        """
        return self._reads.notify(self._target.session_id(session))

    def stop_streams(self) -> None:
        """
        End every iteration of `OutcomeWait.updates`, and each that begins later; reads, waits and watches go on.

        For servers, which wait for their open streams before they shut down: see docs/streams.md. It can be called from
        any thread, from a signal handler, and more than once.
        """
        self._reads.streams.stop()

    async def aclose(self) -> None:
        """
        Close the client: every wait ends with `ClientClosedError`, and an owned httpx client is closed.

        Calling it again is harmless, and finishes a call that was cancelled.
        """
        await self._reads.aclose()
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
        in_flight = f", {self._reads.in_flight} in flight" if self._reads.in_flight else ""
        return f"<HPPClient {self._target.base_url}{in_flight}{', closed' if self._reads.is_closed else ''}>"


def _checked_schedule(schedule: Schedule) -> Schedule:
    if not callable(getattr(schedule, "delay", None)):
        raise ConfigurationError(
            f"schedule={schedule!r} has no delay(session, *, age, draw): give a PollSchedule, such as "
            "PollSchedule.every(5.0), or an object with that method"
        )
    return schedule


def _statuses(stop_on: Collection[SessionStatus | str]) -> frozenset[AnyStatus]:
    if isinstance(stop_on, str) or not all(isinstance(status, str) for status in stop_on):
        raise ConfigurationError(f"stop_on={stop_on!r}: give a set of statuses, such as {{SessionStatus.COMPLETED}}")
    statuses = frozenset(status_of(status) for status in stop_on)
    return OUTCOME if statuses == OUTCOME else statuses  # thousands of waits share one set


def _headers(target: Target, credentials: Credentials, user_agent: str) -> dict[str, str]:
    """Return the headers of the read page's example, and the agent's name, which the provider wants to know."""
    return {
        # No Accept-Encoding: a session is small.
        "Host": target.authority,
        "Authorization": credentials.authorization,
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Cache-Control": "no-cache",
        "User-Agent": user_agent,
    }


def _user_agent(integrator: str | None) -> str:
    own = f"hpp-async/{VERSION}"
    if integrator is None:
        return own
    if not isinstance(integrator, str) or not _USER_AGENT.fullmatch(integrator):
        raise ConfigurationError("user_agent: give your product's name and version in plain ASCII, such as 'shop/1.0'")
    return f"{integrator} {own}"
