"""
The provider in memory: sessions that change by a script or by hand, and the answers about them.

It has no I/O and no clock of its own, so the scripted transport, the simulator and the tests can all use it. The
answers follow the provider's OpenAPI file and the pages of its documentation that other modules name.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import attrs

from hpp_async._core.schedule import seconds
from hpp_async._provider import hosted_calls, payment_calls
from hpp_async._provider.answers import Answer, damaged, error, error_of, headers_at
from hpp_async._provider.callbacks import AnyCallback, Callbacks
from hpp_async._provider.faults import Fault, FaultKind, Garbled
from hpp_async._provider.injection import NO_FAULTS, Faults, RequestFaults
from hpp_async._provider.life import LIFETIME, Life, Step, duration, steps_of
from hpp_async._provider.payments import Payments
from hpp_async._provider.quotas import CREATIONS, RateLimit, is_authorized, merchant_of
from hpp_async._provider.received import GoneError, Received
from hpp_async._provider.requests import ABOUT_SESSIONS, BadValueError, operation_of
from hpp_async._provider.scripts import CONSUMERS, Act, Consumer, LifeStory, Script, Visitor, planned, script_of
from hpp_async._provider.words import Operation


@attrs.define(kw_only=True)
class Provider:
    """
    Sessions, and the answers about them.

    Args:
        now: returns the provider's date and time, aware.
        auth: the only credentials that are accepted; ``None`` accepts any, and then each merchant has its own sessions.
        quota: requests per second of each merchant; more are answered with 429 until the second is over. ``None``: no
            limit.
        creation_quota: payment sessions per second, and sessions, and customer tokens, which *quota* leaves out. After
            more of one kind, every request of the merchant is answered with 429 until the second is over.
        readable_for: how long after its expiry a session can still be read; then 404.
        base_url: where the provider is, for the URLs that it hands out.
        consumer: who visits the sessions that are created over HTTP, ``speed`` times as fast as a person.
        consumers: the consumers that can be named over HTTP.
        faults: what goes wrong.
        callbacks: the callbacks to merchants.
        payments: the payment sessions and the orders.
        beginning: called with the provider by `reset`, to make the sessions and faults with which it begins.

    Attributes:
        listeners: functions that are called without arguments when there is a new session or a session's plan changes,
            in the thread that made the change.
    """

    now: Callable[[], datetime]
    auth: tuple[str, str] | None = None
    quota: int | None = 50
    creation_quota: int | None = 5
    readable_for: timedelta = timedelta(days=1)
    base_url: str = "https://api.playground.klarna.com"
    consumer: Visitor = Consumer.PAY
    speed: float = 1.0
    consumers: Mapping[str, Visitor] = attrs.field(factory=lambda: CONSUMERS)
    faults: Faults = attrs.field(factory=Faults)
    callbacks: Callbacks = attrs.field(factory=Callbacks)
    payments: Payments = attrs.field(factory=Payments)
    beginning: Callable[[Provider], object] | None = None
    listeners: list[Callable[[], None]] = attrs.field(init=False, factory=list[Callable[[], None]])
    _lives: dict[str, Life] = attrs.field(init=False, repr=False, factory=dict[str, Life])
    _rate_limit: RateLimit = attrs.field(init=False, factory=RateLimit)

    # -- sessions -----------------------------------------------------------------------------------------------------

    def create(
        self,
        life: LifeStory = (),
        *,
        session_id: str | None = None,
        lifetime: float | timedelta | None = None,
        place_order_mode: str = "NONE",
        merchant_urls: Mapping[str, str] | None = None,
        age: float | timedelta = 0.0,
    ) -> str:
        """
        Create a session to which *life* happens, and return its id; it begins as WAITING unless *life* says otherwise.

        On COMPLETED the session carries what the provider sends in *place_order_mode*. *lifetime* is in seconds (or a
        `timedelta`); ``None`` takes the script's, or the provider's 47 hours. Scripts pass at the provider's ``speed``;
        steps and *lifetime* are taken as they are. The session was created *age* seconds (or `timedelta`) ago; no
        callbacks are made about what has happened to it since.

        Raises:
            ConfigurationError: *session_id* is one that no client accepts, or *lifetime* or *age* is not a number of
                seconds.
        """
        steps, lasts = planned(life, self.speed)
        new = Life(
            session_id=str(uuid.uuid4()) if session_id is None else session_id,
            created_at=self.now() - timedelta(seconds=duration(age, "age")),
            lifetime=lasts if lifetime is None else timedelta(seconds=seconds(lifetime, "lifetime")),
            steps=steps_of(steps),
            place_order_mode=place_order_mode,
            merchant_urls=merchant_urls or {},
        )
        if age:
            new.called_back = len(new.passed(self.now()))
        self.add_life(new)
        return new.session_id

    def change(self, session_id: str, status: str, **fields: object) -> None:
        """Put the session into *status* now; what was planned for it no longer happens."""
        self._lives[session_id].change([Step(0.0, status, fields)], self.now())

    def act(self, session_id: str, act: Act) -> None:
        """
        Let *act* happen to the session now; what was planned for it no longer happens.

        Raises:
            KeyError: there is no such session.
            SessionOverError: nothing can happen to the session any more.
        """
        self.visit(session_id, Script(act(after=0)))

    def visit(self, session_id: str, visitor: Visitor) -> None:
        """
        Let *visitor* come to the session now, in place of its consumer.

        Raises:
            KeyError: there is no such session.
            SessionOverError: nothing can happen to the session any more.
        """
        life, moment = self._lives[session_id], self.now()
        life.check_is_open(moment)
        script = script_of(visitor)
        life.change(script.steps(self.speed), moment)
        if script.lasts != LIFETIME:
            life.move_expiry(moment + script.lifetime(self.speed), moment)

    @property
    def sessions(self) -> list[str]:
        """The ids of all sessions, oldest first."""
        return list(self._lives)

    @property
    def lives(self) -> list[Life]:
        """Everything about all sessions, oldest first."""
        return list(self._lives.values())

    def life(self, session_id: str) -> Life:
        """
        Return everything about the session.

        Raises:
            KeyError: there is no such session.
        """
        return self._lives[session_id]

    def status(self, session_id: str) -> str:
        """Return the session's present status."""
        return self._lives[session_id].status(self.now())

    def move_expiry(self, session_id: str, expires_at: datetime) -> None:
        """Let the session expire at *expires_at*; at Kustom, an interaction of the consumer moves the expiry."""
        self._lives[session_id].move_expiry(expires_at, self.now())

    def forget(self, session_id: str) -> None:
        """Answer 404 for the session from now on."""
        del self._lives[session_id]

    def reset(self) -> None:
        """Forget all sessions, payment sessions, orders, faults and callbacks, and begin anew; time goes on."""
        self.forget_all()
        self.faults = Faults(self.faults.seed)
        self._rate_limit = RateLimit()
        if self.beginning is not None:
            self.beginning(self)
        self._changed()

    def forget_all(self) -> None:
        """Forget all sessions, payment sessions, orders and callbacks to come; faults stay."""
        self._lives.clear()
        self.payments.clear()
        self.callbacks = Callbacks(self.callbacks.repeats_are_empty)

    def add_life(self, life: Life) -> None:
        """Add a session as it is."""
        life.on_change = self._changed
        self._lives[life.session_id] = life
        self._changed()

    def _changed(self) -> None:
        for listener in list(self.listeners):
            listener()

    # -- callbacks ----------------------------------------------------------------------------------------------------

    @property
    def next_callback_at(self) -> datetime | None:
        """When the next callback is due by the present plans; ``None`` if none is planned."""
        return self.callbacks.next_at(self.lives)

    def due_callbacks(self) -> list[AnyCallback]:
        """
        Return the callbacks that have become due since the last call, as data; nothing is sent.

        Pass those that fail to `Callbacks.failed`. A fault on `Operation.CALLBACK` loses the callback, whatever its
        kind; only `Slow` delays it.
        """
        at = self.next_callback_at
        if at is None or at > (moment := self.now()):  # the usual case is cheap
            return []
        return self.callbacks.due(self.lives, moment, self.faults)

    # -- faults ---------------------------------------------------------------------------------------------------

    def add_fault(self, fault: Fault | FaultKind) -> str:
        """Let *fault* begin now; return its key in ``faults``."""
        return self.faults.add(fault if isinstance(fault, Fault) else Fault(fault), self.now())

    def draw_faults(self, method: str, path: str) -> RequestFaults:
        """Return the faults that affect this request. Call it once for each request, because it counts requests."""
        operation, session_id, _ = operation_of(method, path)
        if operation is None or not self.faults:
            return NO_FAULTS
        return self.faults.draw(operation, session_id, self.now())

    # -- HTTP -----------------------------------------------------------------------------------------------------

    def answer(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        faults: RequestFaults = NO_FAULTS,
        base_url: str | None = None,
    ) -> Answer:
        """
        Return the provider's answer to this request now; *headers* has lower-case names.

        *base_url* is where the merchant reached the provider, if that is not where the provider itself believes to be.
        The answer shows those *faults* that change answers. Delays and broken connections are up to the caller.
        """
        moment = self.now()
        if faults.error is not None:
            answer = error_of(faults.error, moment + timedelta(seconds=faults.skew))
        else:
            answer = self._answer(method, path, headers.get("authorization", ""), body, moment, faults.lag, base_url)
        for kind in sorted(faults.kinds, key=lambda kind: isinstance(kind, Garbled)):  # last: it leaves no fields
            answer = damaged(answer, kind, moment)
        return answer

    def error(self, status_code: int) -> Answer:
        """Return an error with *status_code* as the provider's gateway would send it."""
        return error(status_code, headers_at(self.now()))

    def _answer(
        self,
        method: str,
        path: str,
        authorization: str,
        body: bytes,
        moment: datetime,
        lag: float,
        base_url: str | None,
    ) -> Answer:
        merchant = merchant_of(authorization)
        operation, resource, methods = operation_of(method, path)
        quota = self.creation_quota if operation in CREATIONS else self.quota
        is_admitted, left = self._rate_limit.admits(merchant, operation, quota, moment)
        headers = {**headers_at(moment), **left}
        if not is_admitted:
            return error(429, headers, message="Too many requests")
        if not is_authorized(authorization, self.auth):
            return error(401, headers)
        if operation is None:
            if methods:
                return error(405, {**headers, "Allow": ", ".join(methods)}, message="Method not allowed")
            return error(404, headers, message="Invalid session id")
        received = Received(
            operation=operation,
            resource=resource or "",
            body=body,
            merchant=merchant,
            owner=merchant if self.auth is None else None,
            moment=moment,
            headers=headers,
            base_url=base_url or self.base_url,
        )
        try:
            if operation not in ABOUT_SESSIONS:
                planned = len(self.callbacks.planned)
                answer = payment_calls.answer(self.payments, received, self.lives, self.callbacks)
                if len(self.callbacks.planned) > planned:
                    self._changed()
                return answer
            if operation == Operation.CREATE:
                return self._created(received)
            life = self._lives.get(received.resource)
            return hosted_calls.answer(life, received, lag=lag, readable_for=self.readable_for)
        except BadValueError as refusal:
            return error(400, headers, message=f"Bad value: {refusal}")
        except GoneError as gone:
            return error(404, headers, code=gone.code, message=str(gone))

    def _created(self, received: Received) -> Answer:
        script = script_of(self.consumer)
        life = hosted_calls.created(
            received, self.payments, self.lives, steps=script.steps(self.speed), lifetime=script.lifetime(self.speed)
        )
        self.add_life(life)
        return hosted_calls.urls_of(life, received)
