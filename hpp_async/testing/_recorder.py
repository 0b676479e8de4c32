"""Records waits as a scenario that can be replayed in virtual time, without anything secret or personal in it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any, Final, cast

import attrs
import httpx

from hpp_async import FINAL
from hpp_async._provider.faults import (
    Answered,
    Dropped,
    Fault,
    FaultKind,
    Garbled,
    Missing,
    Refused,
    Slow,
    Stale,
    Stalled,
    Throttled,
    Undated,
)
from hpp_async._provider.life import LIFETIME
from hpp_async._provider.plain import write_fault
from hpp_async._provider.readings import MAXIMUM_BODY, believed, date_in, unpacked
from hpp_async._provider.words import Hint, Operation

_PATH: Final = re.compile(r"/hpp/v1/sessions/([A-Za-z0-9_-]{1,128})")
_WORD: Final = re.compile(r"[A-Z_]{1,40}")
_CODES: Final = ("NOT_FOUND", "SESSION_COMPLETED")
_MOMENT: Final = 0.00001
"""Seconds; a fault begins that much before its request, as times in files are rounded."""
_FAR: Final = 400_000_000.0
"""Seconds, twelve years: a time of the provider's that is further away (year 1, year 9999) is taken as that far."""
_LATENCY: Final = 0.1
"""Seconds, to which latencies are rounded: each request of a real network has another one."""


@attrs.frozen(kw_only=True)
class _Reading:
    """A reading: when it was made, and the times in it, all in seconds from the beginning of the recording."""

    at: float
    status: str
    updated_at: float | None
    expires_at: float | None
    mode: str


@attrs.frozen(kw_only=True)
class _Request:
    """A read: when it was sent, after how many seconds it was over, and what came of it."""

    at: float
    seconds: float
    result: _Reading | FaultKind


@attrs.define
class _Seen:
    """What was seen of one session."""

    requests: list[_Request] = attrs.field(factory=list[_Request])
    notified: list[float] = attrs.field(factory=list[float])

    @property
    def readings(self) -> list[_Reading]:
        return [one.result for one in self.requests if isinstance(one.result, _Reading)]


class Recorder(httpx.AsyncBaseTransport):
    """
    A transport that records what the provider says about sessions, for `save`.

    ::

        recorder = Recorder(httpx.AsyncHTTPTransport())
        client = HPPClient(…, http_client=httpx.AsyncClient(transport=recorder))

    It keeps times, statuses and failures of reads, and nothing else: no ids, URLs, headers, tokens, orders or persons.
    The file is a `Scenario`. In it latencies are rounded to tenths of a second, and a request that broke and was
    repeated at once counts as one with its repeat.

    Args:
        transport: what sends the requests: a transport of httpx or httpx2, or a `ScriptedProvider`.
        now: returns the present date and time, aware; ``clock.provider_time`` of a `VirtualClock` in virtual time.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._transport = transport
        self._now = now
        self._began: datetime | None = None
        self._latest: datetime | None = None
        """What *now* returned last."""
        self._set_back = timedelta(0)
        """By how much this machine's calendar was set back since the beginning, all in all."""
        self._ahead: float | None = None
        """By how many seconds this machine's calendar is ahead of the provider's, by the first answer with a date."""
        self._sessions: dict[str, _Seen] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request*, and note what comes of it if it is a read of a session."""
        found = _PATH.fullmatch(request.url.path)
        if request.method != "GET" or found is None:
            return await self._transport.handle_async_request(request)
        session_id, at = found[1], self._seconds()
        self._sessions.setdefault(session_id, _Seen())
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException as error:
            self._broke(session_id, at, error)
            raise
        if response.is_stream_consumed:  # a transport that builds whole responses, as mock transports do
            content = response.content
            self._answered(session_id, at, response, content if len(content) <= MAXIMUM_BODY else None)
            return response

        def over(raw: bytes | None, error: BaseException | None) -> None:
            if error is not None:
                self._broke(session_id, at, error)
                return
            encoding = response.headers.get("Content-Encoding", "").encode("utf-8")
            self._answered(session_id, at, response, None if raw is None else unpacked(raw, encoding))

        response.stream = _tee(response.stream, over)
        return response

    def notified(self, session_id: str) -> None:
        """Note that a callback about the session came; call it beside `HPPClient.notify`."""
        self._sessions.setdefault(session_id, _Seen()).notified.append(self._seconds())

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()

    def save(self, path: str | PathLike[str]) -> None:
        """
        Write the scenario to *path*, a TOML file, which `Scenario.load` and ``hpp-async simulate`` read.

        Sessions are called ``session-1``, ``session-2`` and so on, in the order of their first requests.
        """
        Path(path).write_text(self.text, "utf-8")

    @property
    def text(self) -> str:
        """The scenario as TOML."""
        tables: list[str] = ["quota = 0\n"]
        for number, seen in enumerate((one for one in self._sessions.values() if one.readings), 1):
            session_id = f"session-{number}"
            tables.append("[[session]]\n" + _lines(_session(session_id, seen)))
            faults = (*_faults(seen, session_id), *_callbacks(seen, session_id))
            tables += ["[[fault]]\n" + _lines(write_fault(fault)) for fault in faults]
        return "\n".join(tables)

    def _seconds(self) -> float:
        """Return the seconds since the beginning; they go on from where they were when the calendar is set back."""
        now = self._now()
        if self._began is None or self._latest is None:
            self._began = self._latest = now
        self._set_back += max(timedelta(0), self._latest - now)
        self._latest = now
        return (now - self._began + self._set_back).total_seconds()

    def _broke(self, session_id: str, at: float, error: BaseException) -> None:
        seconds = self._seconds() - at
        request = _Request(at=at, seconds=_rounded(seconds), result=_breach(error, seconds))
        self._sessions[session_id].requests.append(request)

    def _answered(self, session_id: str, at: float, response: httpx.Response, body: bytes | None) -> None:
        """Note an answer; *body* is decompressed, and ``None`` where the client takes none."""
        now = self._seconds()
        result = self._reading(now, session_id, response, body)
        self._sessions[session_id].requests.append(_Request(at=at, seconds=_rounded(now - at), result=result))

    def _reading(
        self, now: float, session_id: str, response: httpx.Response, body: bytes | None
    ) -> _Reading | FaultKind:
        if not 200 <= response.status_code < 300:
            return _refusal(response.status_code, response.headers, body or b"")
        found = believed(body, response.headers, session_id)
        if found is None:
            return Garbled()
        shift = self._shift(now, response.headers)
        return _Reading(
            at=now,
            status=found.status if _WORD.fullmatch(found.status) else "UNKNOWN",
            updated_at=self._time(found.updated_at, shift),
            expires_at=self._time(found.expires_at, shift),
            mode="CAPTURE_ORDER" if found.has_order else "NONE",
        )

    def _time(self, moment: datetime | None, shift: float) -> float | None:
        if moment is None:
            return None
        assert self._began is not None, "a request was noted"
        return max(-_FAR, min(_FAR, (moment - self._began).total_seconds() + shift))

    def _shift(self, now: float, headers: Mapping[str, str]) -> float:
        """Return what makes a time of the provider's one of this machine's; 0 while it cannot be told."""
        date = date_in(headers)
        if self._ahead is None and date is not None:
            assert self._began is not None, "a request was noted"
            ahead = (self._began - date).total_seconds() + now
            self._ahead = 0.0 if -1.0 <= ahead <= 2.0 else ahead  # dates are whole seconds; an answer takes a moment
        return self._ahead or 0.0


# -- the body ----------------------------------------------------------------------------------------------------------

_Over = Callable[[bytes | None, BaseException | None], None]


class _Tee:
    """
    A body on its way to the client, who gets it as it comes.

    When it ends, breaks or is closed, *over* is called once with a copy, which is ``None`` if the body is too large,
    and with the error that it broke with.
    """

    def __init__(self, stream: Any, over: _Over) -> None:
        self._stream = stream
        self._chunks: AsyncIterator[bytes] = aiter(cast("AsyncIterable[bytes]", stream))
        self._copy = bytearray()
        self._size = 0
        self._over: _Over | None = over

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise
        self._size += len(chunk)
        if self._size <= MAXIMUM_BODY:
            self._copy += chunk
        return chunk

    async def aclose(self) -> None:
        self._end(None)
        await self._stream.aclose()

    def _end(self, error: BaseException | None) -> None:
        over, self._over = self._over, None
        if over is not None:
            over(bytes(self._copy) if self._size <= MAXIMUM_BODY else None, error)


def _tee(stream: object, over: _Over) -> Any:
    """Return a `_Tee` of the family of *stream*: a client of httpx2 takes no stream of httpx, nor the other way."""
    base = next(one for one in type(stream).__mro__ if one.__name__ == "AsyncByteStream")
    return _tee_of(base)(stream, over)


@cache
def _tee_of(base: type) -> Callable[[object, _Over], object]:
    return cast("Callable[[object, _Over], object]", type("Tee", (_Tee, base), {}))


# -- what came of a request --------------------------------------------------------------------------------------------


def _rounded(latency: float) -> float:
    return round(round(latency / _LATENCY) * _LATENCY, 6)


def _breach(error: BaseException, seconds: float) -> FaultKind:
    names = {one.__name__ for one in type(error).__mro__}
    if not isinstance(error, Exception):
        return Stalled(round(seconds) + 3600.0)  # the caller gave up, and does so again
    if "TimeoutException" in names:
        return Stalled(round(seconds, 6))
    if names & {"ReadError", "WriteError", "CloseError"}:
        return Dropped(is_reset=True)
    return Dropped() if "RemoteProtocolError" in names else Refused()


def _refusal(status_code: int, headers: Mapping[str, str], body: bytes) -> FaultKind:
    reset, retry_after = _number(headers.get("X-Ratelimit-Reset")), _number(headers.get("Retry-After"))
    if status_code == 404:
        return Missing(next((code for code in _CODES if f'"{code}"'.encode() in body), _CODES[0]))
    if status_code == 429:
        if reset is not None:
            return Throttled(reset)
        return Throttled(retry_after or 0.0, hint=Hint.NONE if retry_after is None else Hint.RETRY_AFTER)
    if not 300 <= status_code <= 599:
        return Garbled()
    more = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return Answered(status_code, headers=tuple(more.items()))


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"\d{1,5}(\.\d{1,3})?", text) else None


# -- what the file has -------------------------------------------------------------------------------------------------


def _changes(seen: _Seen) -> list[tuple[float, str]]:
    """Return when the session entered which status; an undated one when it was first seen."""
    changes: dict[tuple[float, str], None] = {}
    for reading in seen.readings:
        at, known = reading.updated_at, [status for _, status in changes]
        if at is not None:
            changes[at, reading.status] = None
        elif reading.status not in known[-1:]:
            changes[reading.at, reading.status] = None
    return sorted(changes, key=lambda change: change[0])


def _session(session_id: str, seen: _Seen) -> dict[str, object]:
    changes = _changes(seen)
    created = min(changes[0][0], 0.0)
    happened: list[tuple[float, dict[str, object]]] = [(at, {"becomes": status}) for at, status in changes]
    expiries = [(one.at, one.expires_at) for one in seen.readings if one.expires_at is not None]
    lifetime = LIFETIME.total_seconds() if not expiries else expiries[0][1] - created
    for (_, before), (at, after) in pairwise(expiries):
        if after != before:
            happened.append((at, {"extends": 0.0, "expires_in": round(max(0.0, after - at), 6)}))
    happened.sort(key=lambda one: one[0])
    acts, previous, is_over = list[dict[str, object]](), created, False
    for at, act in happened:
        if is_over and "becomes" in act:
            continue  # it was touched once more
        is_over = is_over or act.get("becomes") in FINAL
        acts.append(act | {"extends" if "extends" in act else "after": round(at - previous, 6)})
        previous = at
    table: dict[str, object] = {"id": session_id, "acts": acts}
    table |= {"lifetime": round(max(0.001, lifetime), 6), "age": round(-created, 6) + 0.0}  # no minus before a zero
    table["place_order_mode"] = seen.readings[-1].mode
    if seen.notified:
        table["merchant_urls"] = {"status_update": "http://127.0.0.1:8000/callback"}
    return table


def _fault(result: _Reading | FaultKind, changes: list[tuple[float, str]]) -> FaultKind | None:
    """Return what went wrong; a reading is stale that shows less than happened before it."""
    if not isinstance(result, _Reading):
        return result
    if result.updated_at is None:
        return Undated()
    hidden = next((at for at, _ in changes if result.updated_at < at <= result.at), None)
    return None if hidden is None else Stale(round(result.at - hidden + _MOMENT, 6))


def _faults(seen: _Seen, session_id: str) -> list[Fault]:
    """Return the faults of the requests; equal ones in a row are one. Of requests at one moment the last one counts."""
    faults, changes = list[Fault](), _changes(seen)
    requests = list({round(one.at, 5): one for one in sorted(seen.requests, key=lambda one: one.at)}.values())
    ends = [round(max(0.0, one.at - _MOMENT), 6) for one in requests[1:]]
    previous: dict[FaultKind, Fault] = {}
    for request, start, until in zip(requests, [0.0, *ends], [*ends, float("inf")], strict=True):
        current: dict[FaultKind, Fault] = {}
        fault = _fault(request.result, changes)
        is_stalled = isinstance(fault, Stalled)
        for kind in (fault, Slow(request.seconds) if request.seconds and not is_stalled else None):
            if kind is None or (is_stalled and until == float("inf")):
                continue
            begun = previous.get(kind)
            if begun is not None:
                faults.remove(begun)
            began = start if begun is None else begun.start
            current[kind] = Fault(kind, start=began, until=until, on=[Operation.READ], session=session_id)
            faults.append(current[kind])
        previous = current
    return faults


def _callbacks(seen: _Seen, session_id: str) -> list[Fault]:
    """Return the faults that delay or lose the callbacks about the changes."""
    if not seen.notified:
        return []
    faults: list[Fault] = []
    changes = [at for at, _ in _changes(seen) if at > 0]
    for at, following in zip(changes, [*changes[1:], float("inf")], strict=True):
        came = [one for one in seen.notified if at <= one < following]
        kind = Slow(round(came[0] - at, 6)) if came else Dropped()
        start, until = round(max(0.0, at - _MOMENT), 6), round(at + _MOMENT, 6)
        faults.append(Fault(kind, start=start, until=until, on=[Operation.CALLBACK], session=session_id))
    return faults


def _lines(table: Mapping[str, object]) -> str:
    return "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())


def _toml(value: object) -> str:
    match value:
        case dict():
            pairs = cast("dict[str, object]", value).items()
            return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in pairs) + " }"
        case list():
            return "[" + ", ".join(map(_toml, cast("list[object]", value))) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)
