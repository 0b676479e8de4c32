"""
A provider in memory: sessions with a life, and what the provider would answer about them now.

No I/O and no clock of its own, so the scripted transport, the simulator and the tests can all stand on it. What it
answers follows the provider's OpenAPI file and the pages named in the library's other modules.
"""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import cast

import attrs

from hpp_async._core.schedule import seconds
from hpp_async._provider.answers import Answer, error, headers_at, respond
from hpp_async._provider.bending import bent, instead
from hpp_async._provider.callbacks import Callbacks, StatusCallback
from hpp_async._provider.consumers import CONSUMERS, Act, Consumer, Script, Visitor, script_of
from hpp_async._provider.faults import Fault, Garbled, Trouble
from hpp_async._provider.life import LIFETIME, AnyStep, Life, Step, steps_of
from hpp_async._provider.quota import Quota, merchant_of, quota_headers
from hpp_async._provider.requests import BadValueError, Creation
from hpp_async._provider.resource import Operation, created, disabled_by_merchant, distributed, operation_of
from hpp_async._provider.troubles import UNTROUBLED, Met, Troubles

LifeStory = Visitor | Iterable[Act] | Iterable[AnyStep]
"""What becomes of a session: a script, a consumer, acts, or steps."""


@attrs.define(kw_only=True)
class Provider:
    """
    The sessions there are, and the answers about them.

    Args:
        now: returns the date and time, aware.
        auth: the only credentials it takes; ``None`` takes any, and a session is then its own merchant's only.
        quota: requests per second of each merchant; above it 429, until the second is over. ``None``: no limit.
        readable_for: how long after its expiry a session can still be read; then 404.
        base_url: where it is, for the URLs it hands out.
        consumer: who comes to the sessions that are created over HTTP, and ``speed`` times as fast as people are.
        consumers: those who can be asked for by name, over HTTP.
        troubles: what goes wrong.
        callbacks: what merchants are told.

    Attributes:
        listeners: called, with nothing, when there is a new session or another life for one; in whose thread it is.
    """

    now: Callable[[], datetime]
    auth: tuple[str, str] | None = None
    quota: int | None = 50
    readable_for: timedelta = timedelta(days=1)
    base_url: str = "https://api.playground.klarna.com"
    consumer: Visitor = Consumer.PAY
    speed: float = 1.0
    consumers: Mapping[str, Visitor] = attrs.field(factory=lambda: CONSUMERS)
    troubles: Troubles = attrs.field(factory=Troubles)
    callbacks: Callbacks = attrs.field(factory=Callbacks)
    listeners: list[Callable[[], None]] = attrs.field(init=False, factory=list[Callable[[], None]])
    _lives: dict[str, Life] = attrs.field(init=False, factory=dict[str, Life])
    _counted: Quota = attrs.field(init=False, factory=Quota)

    def create(
        self,
        life: LifeStory = (),
        *,
        session_id: str | None = None,
        lifetime: float | timedelta | None = None,
        place_order_mode: str = "NONE",
        merchant_urls: Mapping[str, str] | None = None,
    ) -> str:
        """
        Create a session that lives through *life* and return its id; it begins as WAITING unless that says otherwise.

        A step that reaches COMPLETED carries what *place_order_mode* makes the provider send. *lifetime* is in seconds
        (or a `timedelta`); ``None`` takes the script's, or the provider's 47 hours. Scripts pass at the provider's
        ``speed``; steps and *lifetime* are taken as they are.
        """
        steps, lasts = self._told(life)
        new = Life(
            session_id=str(uuid.uuid4()) if session_id is None else session_id,
            created_at=self.now(),
            lifetime=lasts if lifetime is None else timedelta(seconds=seconds(lifetime, "lifetime")),
            steps=steps_of(steps),
            place_order_mode=place_order_mode,
            merchant_urls=merchant_urls or {},
        )
        self._add(new)
        return new.session_id

    def change(self, session_id: str, status: str, **fields: object) -> None:
        """Put the session into *status* now, whatever its later steps were going to be."""
        self._lives[session_id].change([Step(0.0, status, fields)], self.now())

    def act(self, session_id: str, act: Act) -> None:
        """
        Let *act* happen to the session now, whoever was going to come to it.

        Raises:
            KeyError: there is no such session.
            SessionOverError: nothing can happen to it any more.
        """
        self.visit(session_id, Script(act(after=0)))

    def visit(self, session_id: str, visitor: Visitor) -> None:
        """
        Let *visitor* come to the session now, in place of whoever was going to.

        Raises:
            KeyError: there is no such session.
            SessionOverError: nothing can happen to it any more.
        """
        life, moment = self._lives[session_id], self.now()
        life.must_go_on(moment)
        script = script_of(visitor)
        life.change(script.steps(self.speed), moment)
        if script.lasts != LIFETIME:
            life.move_expiry(moment + script.lifetime(self.speed), moment)

    @property
    def sessions(self) -> list[str]:
        """The ids of all sessions there are, oldest first."""
        return list(self._lives)

    def life(self, session_id: str) -> Life:
        """
        Return everything about the session.

        Raises:
            KeyError: there is no such session.
        """
        return self._lives[session_id]

    def status(self, session_id: str) -> str:
        """Return the status the session is in now."""
        return self._lives[session_id].status(self.now())

    def move_expiry(self, session_id: str, expires_at: datetime) -> None:
        """Let the session expire at another time; at Kustom an interaction does that."""
        self._lives[session_id].move_expiry(expires_at, self.now())

    @property
    def next_callback_at(self) -> datetime | None:
        """When the next callback is due, as things are; ``None`` where none is to come."""
        return self.callbacks.next_at(list(self._lives.values()))

    def forget(self, session_id: str) -> None:
        """Answer 404 for the session from now on."""
        del self._lives[session_id]

    def due_callbacks(self) -> list[StatusCallback]:
        """
        Return the callbacks whose time has come since the last asking, as data; nothing is sent.

        What came of one is told to `Callbacks.failed`. Those that meet a trouble on `Operation.CALLBACK` never come:
        whatever the fault is, but for `Slow`.
        """
        at = self.next_callback_at
        if at is None or at > (moment := self.now()):  # who looks often and is owed nothing asks for no time
            return []
        return self.callbacks.due(list(self._lives.values()), moment, self.troubles)

    # -- faults ---------------------------------------------------------------------------------------------------

    def add_trouble(self, trouble: Trouble | Fault) -> str:
        """Let *trouble* begin now; return its key in `troubles`."""
        trouble = trouble if isinstance(trouble, Trouble) else Trouble(trouble)
        return self.troubles.add(trouble, self.now())

    def meet(self, method: str, path: str) -> Met:
        """Return what this request meets; asking counts, and draws: the driver asks once, before the answer."""
        operation, session_id, _ = operation_of(method, path)
        if operation is None or not self.troubles:
            return UNTROUBLED
        return self.troubles.meet(operation, session_id, self.now())

    # -- HTTP -----------------------------------------------------------------------------------------------------

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, met: Met = UNTROUBLED
    ) -> Answer:
        """
        Return what the provider answers to this request now; *headers* has lower-case names.

        Of what the request *met* everything is in the answer that can be: what befalls time and connection is the
        driver's to do.
        """
        moment = self.now()
        if met.error is not None:
            answer = instead(met.error, moment + timedelta(seconds=met.skew))
        else:
            answer = self._answer(method, path, headers.get("authorization", ""), body, moment, met.lag)
        for fault in sorted(met.faults, key=lambda fault: isinstance(fault, Garbled)):  # nothing reads what is garbled
            answer = bent(answer, fault, moment)
        return answer

    def error(self, status_code: int) -> Answer:
        """Return an error of the provider with *status_code*, as its gateway would send it."""
        return error(status_code, headers_at(self.now()))

    def _answer(self, method: str, path: str, authorization: str, body: bytes, moment: datetime, lag: float) -> Answer:
        merchant = merchant_of(authorization)
        count = self._counted.count(merchant, moment)
        headers = {**headers_at(moment), **quota_headers(self.quota, count, moment)}
        if self.quota is not None and count > self.quota:
            return error(429, headers, message="Too many requests")
        if not self._is_authorized(authorization):
            return error(401, headers)
        operation, session_id, methods = operation_of(method, path)
        if operation is None and methods:
            return error(405, {**headers, "Allow": ", ".join(methods)}, message="Method not allowed")
        if operation == Operation.CREATE:
            return self._created(merchant, body, headers, moment)
        life = self._lives.get(session_id or "")
        if life is None or life.merchant not in (None, merchant) or self._is_gone(life, moment):
            return error(404, headers, message="Invalid session id")
        if operation != Operation.READ and moment >= life.expiry(moment):
            return error(404, headers, message="HPP session has expired")
        match operation:
            case Operation.DISABLE:
                return disabled_by_merchant(life, headers, moment)
            case Operation.DISTRIBUTE:
                return distributed(life, body, headers, moment)
            case _:
                return respond(200, headers, life.reading(moment - timedelta(seconds=lag)))

    def _created(self, merchant: str, body: bytes, headers: Mapping[str, str], moment: datetime) -> Answer:
        try:
            creation = Creation.parse(body)
        except BadValueError as refusal:
            return error(400, headers, message=f"Bad value: {refusal}")
        script = script_of(self.consumer)
        life = Life(
            session_id=str(uuid.uuid4()),
            created_at=moment,
            lifetime=script.lifetime(self.speed),
            steps=steps_of(script.steps(self.speed)),
            place_order_mode=creation.place_order_mode,
            merchant=merchant if self.auth is None else None,
            merchant_urls=creation.merchant_urls,
            page_title=creation.page_title,
        )
        self._add(life)
        return created(life, self.base_url, headers, moment)

    def _add(self, life: Life) -> None:
        life.on_change = self._changed
        self._lives[life.session_id] = life
        self._changed()

    def _changed(self) -> None:
        for listener in list(self.listeners):
            listener()

    def _is_gone(self, life: Life, moment: datetime) -> bool:
        return life.is_forgotten(moment) or moment > life.expiry(moment) + self.readable_for

    def _is_authorized(self, header: str) -> bool:
        if self.auth is None:
            return header.startswith("Basic ")
        return header == "Basic " + b64encode(":".join(self.auth).encode()).decode()

    def _told(self, story: LifeStory) -> tuple[Iterable[AnyStep], timedelta]:
        if not isinstance(story, Script | Consumer):
            parts = list(story)
            if not parts or not isinstance(parts[0], Act):
                return cast("list[AnyStep]", parts), LIFETIME
            story = Script(*cast("list[Act]", parts))
        return script_of(story).steps(self.speed), script_of(story).lifetime(self.speed)
