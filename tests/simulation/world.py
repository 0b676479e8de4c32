"""The provider of `hpp_async.testing`, the way to it and back, and the record of every request and answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from random import Random
from typing import Final

import anyio
import httpx

from hpp_async import Endpoint
from hpp_async.testing import Faults, Provider, RequestFaults, ScriptedProvider, VirtualClock
from simulation.life import Life, session_id
from simulation.record import Kind, Record, Request, Served

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
AUTH: Final = ("PK00000_test", "not-a-secret")
ENDPOINT: Final = Endpoint.EU_PLAYGROUND
CALLBACKS: Final = "https://shop.example/callbacks"
_KINDS: Final[dict[int, Kind]] = {
    200: "reading",
    204: "done",
    401: "unauthorized",
    403: "unauthorized",
    404: "missing",
    429: "limited",
}
_arriving: ContextVar[Request] = ContextVar("_arriving")


def session_url(number: int) -> str:
    """Return the URL of the life's session *number*."""
    return f"{ENDPOINT}/hpp/v1/sessions/{session_id(number)}"


class _Provider(Provider):
    """A provider that notes for each request which faults affect it."""

    def draw_faults(self, method: str, path: str) -> RequestFaults:
        _arriving.get().met = met = super().draw_faults(method, path)
        return met


class _Clock(VirtualClock):
    """Time on a machine that is suspended now and then: what was to happen meanwhile happens at once afterwards."""

    def __init__(self, life: Life) -> None:
        super().__init__(START)
        self._life = life

    def _next(self) -> float | None:
        wake_up = super()._next()
        return None if wake_up is None else self._life.thawed(wake_up)


class LateClock:
    """The clock that the client is given: the same time, but its timers fire late, as on a busy event loop."""

    def __init__(self, clock: VirtualClock, late_by: float, seed: int) -> None:
        self.now, self.today = clock.now, clock.today
        self._clock = clock
        self._late_by = late_by
        self._chance = Random(seed)

    async def wait(self, event: anyio.Event, until: float) -> None:
        """Return when *event* is set, or some time after the clock has reached *until*."""
        late = self._chance.uniform(0.0, self._late_by) if until > self.now() else 0.0
        await self._clock.wait(event, until + late)


class World:
    """The provider's truth in *record*'s life, and the edge where requests arrive and answers leave."""

    def __init__(self, record: Record) -> None:
        life = record.life
        self.record = record
        self.clock = _Clock(life)
        self.client_clock = LateClock(self.clock, life.timers_late_by, life.seed) if life.timers_late_by else self.clock
        self.under_way = 0
        self.watchers: list[Callable[[int], None]] = []
        """Called with the number of the session at each answer about it."""
        self.model = _Provider(
            now=self.clock.provider_time,
            auth=AUTH,
            quota=None,
            base_url=str(ENDPOINT),
            readable_for=timedelta(seconds=life.readable_for),
            faults=Faults(life.seed),
        )
        self._provider = ScriptedProvider(self.clock, endpoint=ENDPOINT, auth=AUTH)
        self._provider.model = self.model
        self._asked = [0 for _ in life.sessions]
        self.numbers = {session_id(number): number for number in range(len(life.sessions))}
        for number, script in enumerate(life.sessions):
            self.model.create(
                script,
                session_id=session_id(number),
                place_order_mode="NONE" if number % 2 else "CAPTURE_ORDER",
                merchant_urls={"status_update": CALLBACKS} if life.is_called else None,
            )
        for fault in life.faults:
            self.model.add_fault(fault)

    def line(self, process: int) -> httpx.AsyncBaseTransport:
        """Return what one process has between itself and the world."""
        return httpx.MockTransport(partial(self._handle, process=process))

    async def _handle(self, http: httpx.Request, process: int) -> httpx.Response:
        number = self.numbers[http.url.path.rpartition("/")[2]]
        self._asked[number] += 1
        asked_at = self.clock.now()
        request = Request(process=process, session=number, method=http.method, asked_at=asked_at)
        self.record.requests.append(request)
        self.record.note(asked_at, f"{process}: {http.method} {number}")
        self.under_way += 1
        _arriving.set(request)
        try:
            return await self._answer(http, request)
        except anyio.get_cancelled_exc_class():
            self.record.met["cut off"] += 1
            raise
        finally:
            self.under_way -= 1
            request.ended_at = self.clock.now()
            faults = [type(kind).__name__ for kind in request.met.kinds]
            self.record.met.update(faults)
            said = request.served
            words = " ".join(word for word in (said.kind, said.status, said.error_code, *faults) if word)
            self.record.note(request.ended_at, f"{process}: {http.method} {number} {words}")

    async def _answer(self, http: httpx.Request, request: Request) -> httpx.Response:
        chance = Random(self.record.life.seed * 1_000_003 + request.session * 10_007 + self._asked[request.session])
        travel = chance.uniform(0.0, self.record.life.latency)
        there = travel * chance.random()
        await self._pass(there)
        try:
            answer = await self._provider.handle_async_request(http)
        except httpx.TransportError:
            self._serve(request, Served(kind="no answer", true_at=self.clock.now()))
            raise
        finally:
            if http.method == "DELETE" and self.model.status(session_id(request.session)) == "DISABLED":
                self.record.disabled.append((self.clock.now(), request.session))
        served = _served(answer, request, self.clock.now())
        await self._pass(travel - there)
        self._serve(request, served)
        return answer

    async def _pass(self, seconds: float) -> None:
        if seconds > 0:
            await self.clock.sleep(seconds)

    def _serve(self, request: Request, served: Served) -> None:
        request.served = served
        for watcher in list(self.watchers):
            watcher(request.session)


def _served(answer: httpx.Response, request: Request, now: float) -> Served:
    """Read *answer* once more, with nothing of the library's."""
    try:
        body = json.loads(answer.content)
    except ValueError:
        body = None
    fields: Mapping[str, object] = body if isinstance(body, dict) else {}
    kind = _KINDS.get(answer.status_code, "broken" if answer.status_code >= 500 else "refused")
    status = fields.get("status")
    if kind == "reading" and (not isinstance(status, str) or not status):
        kind = "unreadable"
    if kind == "reading" and fields.get("session_id") != session_id(request.session):
        kind = "unreadable"
    code = fields.get("error_code")
    date = _date(answer.headers.get("Date", ""))
    return Served(
        kind=kind,
        true_at=now,
        lag=request.met.lag,
        status=status if isinstance(status, str) and kind == "reading" else None,
        updated_at=_seconds(fields.get("updated_at")),
        expires_at=_seconds(fields.get("expires_at")),
        date=date,
        error_code=code if isinstance(code, str) else None,
        pause=_pause(answer.headers, date) if kind == "limited" else _scarcity(answer) if answer.is_success else None,
    )


def _date(header: str) -> float | None:
    return (parsedate_to_datetime(header) - START).total_seconds() if header.endswith("GMT") else None


def _seconds(value: object) -> float | None:
    return (datetime.fromisoformat(value) - START).total_seconds() if isinstance(value, str) and value else None


def _scarcity(answer: httpx.Response) -> float | None:
    """Return for how long a good answer asks others to go first, if it does."""
    remaining = answer.headers.get("X-Ratelimit-Remaining")
    limit = answer.headers.get("X-Ratelimit-Limit", "0").partition(",")[0]
    is_scarce = remaining is not None and int(remaining) < int(limit) / 4
    return float(answer.headers["X-Ratelimit-Reset"]) if is_scarce else None


def _pause(headers: httpx.Headers, said_at: float | None) -> float | None:
    """Return what a 429 asks for, where that is usable; the library never pauses for longer than a minute."""
    pauses: list[float] = []
    for name in ("X-Ratelimit-Reset", "Retry-After"):
        value = headers.get(name, "")
        until = _date(value)
        if until is not None and said_at is not None:
            pauses.append(until - said_at)
        elif value.replace(".", "").isdecimal():
            pauses.append(float(value))
    return max((pause for pause in pauses if pause >= 0), default=None)
