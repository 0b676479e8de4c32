"""The provider, with everything that can go wrong between it and the client, as an httpx transport in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from random import Random
from typing import Final

import anyio
import anyio.lowlevel
import attrs
import httpx

from hpp_async import Endpoint
from hpp_async.testing import Answer, Provider, Step, VirtualClock
from simulation.life import (
    Answered,
    Dateless,
    Dropped,
    Fault,
    Foreign,
    Garbled,
    Missing,
    Refused,
    Scarce,
    Skewed,
    Slow,
    Stale,
    Stalled,
    Undated,
)
from simulation.record import Kind, Record, Request, Served

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
AUTH: Final = ("PK00000_test", "not-a-secret")
ENDPOINT: Final = Endpoint.EU_PLAYGROUND
_KINDS: Final[dict[int, Kind]] = {200: "reading", 204: "done", 404: "missing", 401: "unauthorized", 403: "unauthorized"}


def session_id(number: int) -> str:
    """Return the id of the life's session *number*."""
    return f"5e551012-0000-4000-8000-{number:012d}"


def session_url(number: int) -> str:
    """Return the URL of the life's session *number*."""
    return f"{ENDPOINT}/hpp/v1/sessions/{session_id(number)}"


class World:
    """The provider's truth in *record*'s life, and the edge where requests arrive and answers are bent."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.life = record.life
        self.clock = VirtualClock(START)
        self.under_way = 0
        self.watchers: list[Callable[[int], None]] = []
        """Called with the number of the session at each answer about it."""
        self._shift = 0.0
        self._numbers = {session_id(number): number for number in range(len(self.life.sessions))}
        self._asked = [0 for _ in self.life.sessions]
        self._in_a_row: dict[tuple[int, int], int] = {}
        self._model = Provider(now=self._moment, auth=AUTH, quota=None, base_url=str(ENDPOINT))
        for number, timeline in enumerate(self.life.sessions):
            self._model.create(
                [Step(at, status) for at, status in timeline.steps],
                session_id=session_id(number),
                lifetime=timedelta(seconds=timeline.lifetime),
                place_order_mode="NONE" if number % 2 else "CAPTURE_ORDER",
            )

    def _moment(self) -> datetime:
        return START + timedelta(seconds=max(0.0, self.clock.now() - self._shift))

    def line(self, process: int) -> Line:
        """Return the transport of one process."""
        return Line(self, process)

    # -- one request ----------------------------------------------------------------------------------------------

    async def handle(self, http: httpx.Request, process: int) -> httpx.Response:
        """Answer *http*, or fail, as the life has it."""
        number = self._numbers[http.url.path.rpartition("/")[2]]
        self._asked[number] += 1
        chance = Random(self.life.seed * 1_000_003 + number * 10_007 + self._asked[number])
        asked_at = self.clock.now()
        request = Request(process=process, session=number, method=http.method, asked_at=asked_at)
        self.record.requests.append(request)
        self.record.note(asked_at, f"{process}: {http.method} {number}")
        self.under_way += 1
        try:
            return await self._handle(http, request, chance)
        except anyio.get_cancelled_exc_class():
            self.record.met["cut off"] += 1
            raise
        finally:
            self.under_way -= 1
            request.ended_at = self.clock.now()
            self.record.note(request.ended_at, f"{process}: {http.method} {number} {_said(request)}")

    async def _handle(self, http: httpx.Request, request: Request, chance: Random) -> httpx.Response:
        fault = self._fault(request, chance)
        if fault is not None:
            request.fault = type(fault).__name__
            self.record.met[request.fault] += 1
        await anyio.lowlevel.checkpoint()
        travel = chance.uniform(0.0, self.life.latency) + (fault.seconds if isinstance(fault, Slow) else 0.0)
        there = travel * chance.random()
        await self._pass(there)
        match fault:
            case Refused():
                raise self._failed(request, httpx.ConnectError("refused"))
            case Dropped():
                dropped = chance.choice((httpx.RemoteProtocolError("dropped"), httpx.ReadError("reset")))
                raise self._failed(request, dropped)
            case Stalled(seconds):
                await self._pass(seconds)
                raise self._failed(request, httpx.ReadTimeout("stalled"))
            case _:
                answer = self._answer(http, request, fault)
        served = _served(answer, self.clock.now(), fault)
        await self._pass(travel - there)
        request.served = served
        for watcher in list(self.watchers):
            watcher(request.session)
        return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.body)

    async def _pass(self, seconds: float) -> None:
        if seconds > 0:
            await self.clock.sleep(seconds)

    def _failed(self, request: Request, error: Exception) -> Exception:
        request.served = Served(kind="no answer", true_at=self.clock.now())
        for watcher in list(self.watchers):
            watcher(request.session)
        return error

    def _fault(self, request: Request, chance: Random) -> Fault | None:
        for number, trouble in enumerate(self.life.troubles):
            key = (number, request.session)
            is_hit = trouble.is_on(request.asked_at) and chance.random() < trouble.share
            if is_hit and trouble.in_a_row is not None and self._in_a_row.get(key, 0) >= trouble.in_a_row:
                is_hit = False
            self._in_a_row[key] = self._in_a_row.get(key, 0) + 1 if is_hit else 0
            if is_hit:
                return trouble.fault
        return None

    def _answer(self, http: httpx.Request, request: Request, fault: Fault | None) -> Answer:
        now = self.clock.now()
        match fault:
            case Answered(status_code, headers):
                error = self._model.error(status_code)
                return attrs.evolve(error, headers={**error.headers, **dict(headers)})
            case Missing(error_code):
                error = self._model.error(404)
                return attrs.evolve(error, body=json.dumps({"error_code": error_code}).encode())
            case _:
                true = self._truth(http, request, now, fault.lag if isinstance(fault, Stale) else 0.0)
                return _bent(true, fault, now)

    def _truth(self, http: httpx.Request, request: Request, now: float, lag: float) -> Answer:
        timeline = self.life.sessions[request.session]
        true_at = max(0.0, now - lag)
        if timeline.forgotten_at is not None and true_at >= timeline.forgotten_at:
            return self._model.error(404)
        expires_at = timeline.expires_at(true_at)
        if true_at > expires_at + timeline.readable_for:
            return self._model.error(404)
        self._model.move_expiry(session_id(request.session), START + timedelta(seconds=expires_at))
        headers = {name.lower(): value for name, value in http.headers.items()}
        self._shift = lag if http.method == "GET" else 0.0
        try:
            answer = self._model.answer(http.method, http.url.path, headers)
        finally:
            self._shift = 0.0
        if http.method == "DELETE" and answer.status_code == 204:
            self.record.disabled.append((now, request.session))
        return attrs.evolve(answer, headers={**answer.headers, "Date": _date(now)})


class Line(httpx.AsyncBaseTransport):
    """What one process has between itself and the world."""

    def __init__(self, world: World, process: int) -> None:
        self._world = world
        self._process = process

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer *request*, as httpx asks a transport to."""
        return await self._world.handle(request, self._process)


def _date(moment: float) -> str:
    return format_datetime((START + timedelta(seconds=moment)).astimezone(UTC), usegmt=True)


def _bent(answer: Answer, fault: Fault | None, now: float) -> Answer:
    headers, body = dict(answer.headers), answer.body
    match fault:
        case Garbled(other) if answer.status_code == 200:
            body = other
        case Foreign() if answer.status_code == 200:
            body = json.dumps({**json.loads(body), "session_id": "another-session"}).encode()
        case Undated() if answer.status_code == 200:
            body = json.dumps({**json.loads(body), "updated_at": None, "expires_at": ""}).encode()
        case Dateless():
            del headers["Date"]
        case Skewed(by):
            headers["Date"] = _date(now + by)
        case Scarce(limit, remaining, reset):
            headers |= {
                "X-Ratelimit-Limit": f"{limit}, {limit};w=1",
                "X-Ratelimit-Remaining": str(remaining),
                "X-Ratelimit-Reset": f"{reset:g}",
            }
        case _:
            pass
    return Answer(status_code=answer.status_code, headers=headers, body=body)


def _served(answer: Answer, now: float, fault: Fault | None) -> Served:
    """Read *answer* once more, with nothing of the library's."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    fields: Mapping[str, object] = body if isinstance(body, dict) else {}
    date = answer.headers.get("Date")
    kind = _KINDS.get(answer.status_code, "broken" if answer.status_code >= 500 else "refused")
    if answer.status_code == 429:
        kind = "limited"
    status = fields.get("status")
    if kind == "reading" and (not isinstance(status, str) or not status or isinstance(fault, Foreign)):
        kind = "unreadable"
    code = fields.get("error_code")
    return Served(
        kind=kind,
        true_at=now,
        lag=fault.lag if isinstance(fault, Stale) else 0.0,
        status=status if isinstance(status, str) and kind == "reading" else None,
        updated_at=_seconds(fields.get("updated_at")),
        expires_at=_seconds(fields.get("expires_at")),
        date=None if date is None else (parsedate_to_datetime(date) - START).total_seconds(),
        error_code=code if isinstance(code, str) else None,
        pause=_pause(answer, now) if kind in ("limited", "reading", "done") else None,
    )


def _seconds(value: object) -> float | None:
    return (datetime.fromisoformat(value) - START).total_seconds() if isinstance(value, str) and value else None


def _pause(answer: Answer, now: float) -> float | None:
    """Return what the headers ask for, where they are usable; the library never pauses for longer than a minute."""
    if answer.status_code != 429:
        remaining = answer.headers.get("X-Ratelimit-Remaining")
        limit = answer.headers.get("X-Ratelimit-Limit", "0").partition(",")[0]
        is_scarce = remaining is not None and int(remaining) < int(limit) / 4
        return float(answer.headers["X-Ratelimit-Reset"]) if is_scarce else None
    pauses = []
    for name in ("X-Ratelimit-Reset", "Retry-After"):
        value = answer.headers.get(name, "")
        if value.endswith("GMT"):
            pauses.append((parsedate_to_datetime(value) - START).total_seconds() - int(now))
        elif value.replace(".", "").isdecimal():
            pauses.append(float(value))
    usable = [pause for pause in pauses if pause >= 0]
    return max(usable, default=None)


def _said(request: Request) -> str:
    served = request.served
    words = [served.kind, served.status or "", served.error_code or "", request.fault]
    return " ".join(word for word in words if word)
