"""
A provider in memory: sessions with a life, and what the provider would answer about them now.

No I/O and no clock of its own, so the scripted transport, the simulator and the tests can all stand on it. What it
answers follows the provider's OpenAPI file and the pages named in the library's other modules.
"""

from __future__ import annotations

import json
import re
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import ceil
from typing import Final, cast

import attrs

from hpp_async._session import SessionStatus
from hpp_async.testing._consumers import LIFETIME, Consumer, Step
from hpp_async.testing._creation import BadValueError, Creation

_SESSIONS: Final = "/hpp/v1/sessions"
_SESSION_PATH: Final = re.compile(rf"{_SESSIONS}/([^/]+)")


@attrs.frozen(kw_only=True)
class Answer:
    """What goes back over HTTP."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes = b""


@attrs.define(kw_only=True)
class _Life:
    session_id: str
    created_at: datetime
    expires_at: datetime
    steps: list[Step]
    place_order_mode: str

    def at(self, moment: datetime) -> tuple[Step, datetime]:
        age = (moment - self.created_at).total_seconds()
        step = next(step for step in reversed(self.steps) if step.after <= age or step is self.steps[0])
        return step, self.created_at + timedelta(seconds=step.after)


@attrs.define(kw_only=True)
class Provider:
    """
    The sessions there are, and the answers about them.

    Args:
        now: returns the date and time, aware.
        auth: the only credentials it takes; ``None`` takes any.
        quota: requests per second for everything together; above it 429, until the second is over. ``None``: no limit.
        readable_for: how long after its expiry a session can still be read; then 404.
        base_url: where it is, for the URLs it hands out.
        consumer: who comes to the sessions that are created over HTTP, and ``speed`` times as fast as people are.
    """

    now: Callable[[], datetime]
    auth: tuple[str, str] | None = None
    quota: int | None = 50
    readable_for: timedelta = timedelta(days=1)
    base_url: str = "https://api.playground.klarna.com"
    consumer: Consumer = Consumer.PAY
    speed: float = 1.0
    _lives: dict[str, _Life] = attrs.field(init=False, factory=dict[str, _Life])
    _second: tuple[int, int] = attrs.field(init=False, default=(0, 0))

    def create(
        self,
        steps: Iterable[Step | tuple[float, str] | tuple[float, str, Mapping[str, object]]] = (),
        *,
        session_id: str | None = None,
        lifetime: timedelta = LIFETIME,
        place_order_mode: str = "NONE",
    ) -> str:
        """
        Create a session that lives through *steps* and return its id; it begins as WAITING unless they say otherwise.

        A step that reaches COMPLETED carries what *place_order_mode* makes the provider send.
        """
        # The cast is for pyright, which unpacks the two tuples as one with everything everywhere.
        life = [step if isinstance(step, Step) else Step(*cast("tuple[float, str]", step)) for step in steps]
        if not life or life[0].after > 0:
            life.insert(0, Step(0.0, SessionStatus.WAITING))
        session_id = str(uuid.uuid4()) if session_id is None else session_id
        created_at = self.now()
        self._lives[session_id] = _Life(
            session_id=session_id,
            created_at=created_at,
            expires_at=created_at + lifetime,
            steps=sorted(life, key=lambda step: step.after),
            place_order_mode=place_order_mode,
        )
        return session_id

    def change(self, session_id: str, status: str, **fields: object) -> None:
        """Put the session into *status* now, whatever its later steps were going to be."""
        life = self._lives[session_id]
        after = (self.now() - life.created_at).total_seconds()
        life.steps = [step for step in life.steps if step.after <= after]
        life.steps.append(Step(after, status, fields))

    @property
    def sessions(self) -> list[str]:
        """The ids of all sessions there are, oldest first."""
        return list(self._lives)

    def status(self, session_id: str) -> str:
        """Return the status the session is in now."""
        return self._lives[session_id].at(self.now())[0].status

    def move_expiry(self, session_id: str, expires_at: datetime) -> None:
        """Let the session expire at another time; at Kustom an interaction does that."""
        self._lives[session_id].expires_at = expires_at

    def forget(self, session_id: str) -> None:
        """Answer 404 for the session from now on."""
        del self._lives[session_id]

    # -- HTTP -----------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Return what the provider answers to this request now; *headers* has lower-case names."""
        moment = self.now()
        counted = self._count(moment)
        if not counted:
            return self._error(429, "TOO_MANY_REQUESTS", "Too many requests", moment)
        if not self._is_authorized(headers.get("authorization", "")):
            return self._error(401, "UNAUTHORIZED", None, moment)
        if method == "POST" and path == _SESSIONS:
            return self._created(body, moment)
        found = _SESSION_PATH.fullmatch(path)
        life = None if found is None else self._lives.get(found[1])
        if life is None or moment > life.expires_at + self.readable_for:
            return self._error(404, "NOT_FOUND", "Invalid session id", moment)
        if method == "GET":
            return self._respond(200, moment, self._body(life, moment))
        if method == "DELETE":
            return self._disable(life, moment)
        return self._error(405, "METHOD_NOT_ALLOWED", "Method not allowed", moment)

    def _created(self, body: bytes, moment: datetime) -> Answer:
        try:
            creation = Creation.parse(body)
        except BadValueError as error:
            return self._error(400, "BAD_VALUE", f"Bad value: {error}", moment)
        session_id = self.create(
            self.consumer.steps(self.speed),
            lifetime=self.consumer.lifetime(self.speed),
            place_order_mode=creation.place_order_mode,
        )
        return self._respond(
            201,
            moment,
            {
                "session_id": session_id,
                "session_url": f"{self.base_url}{_SESSIONS}/{session_id}",
                "redirect_url": f"{self.base_url}/hpp/payments/{session_id[:7]}",
                "expires_at": _date(self._lives[session_id].expires_at),
            },
        )

    def _disable(self, life: _Life, moment: datetime) -> Answer:
        if life.at(moment)[0].status == SessionStatus.COMPLETED:
            # Disable page: 400 means that it was completed meanwhile.
            return self._error(400, "BAD_REQUEST", "HPP session has already been successfully completed.", moment)
        self.change(life.session_id, SessionStatus.DISABLED)
        return self._respond(204, moment)

    def _body(self, life: _Life, moment: datetime) -> dict[str, object]:
        step, since = life.at(moment)
        body: dict[str, object] = {
            "session_id": life.session_id,
            "status": str(step.status),
            "updated_at": _date(since),
            "expires_at": _date(life.expires_at),
        }
        if step.status == SessionStatus.COMPLETED:
            name = f"{life.session_id}/{life.place_order_mode}"
            paid = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
            if life.place_order_mode == "NONE":
                body["authorization_token"] = paid
            else:
                body |= {"order_id": paid, "klarna_reference": paid[:8].upper()}
        return body | dict(step.fields)

    def _is_authorized(self, header: str) -> bool:
        if self.auth is None:
            return header.startswith("Basic ")
        return header == "Basic " + b64encode(":".join(self.auth).encode()).decode()

    def _count(self, moment: datetime) -> bool:
        second = int(moment.timestamp())
        count = self._second[1] + 1 if self._second[0] == second else 1
        self._second = (second, count)
        return self.quota is None or count <= self.quota

    def _respond(self, status_code: int, moment: datetime, body: Mapping[str, object] | None = None) -> Answer:
        headers = {
            "Date": format_datetime(moment.astimezone(UTC), usegmt=True),
            "Klarna-Correlation-Id": str(uuid.uuid4()),
            "Cache-Control": "no-cache, no-store, max-age=0, must-revalidate",
        }
        if self.quota is not None:
            headers |= {
                "X-Ratelimit-Limit": f"{self.quota}, {self.quota};w=1",
                "X-Ratelimit-Remaining": str(max(0, self.quota - self._second[1])),
                "X-Ratelimit-Reset": str(ceil(1 - moment.microsecond / 1_000_000)),
            }
        if body is None:
            return Answer(status_code=status_code, headers=headers)
        if "correlation_id" in body:
            body = {**body, "correlation_id": headers["Klarna-Correlation-Id"]}
        headers["Content-Type"] = "application/json;charset=utf-8"
        return Answer(status_code=status_code, headers=headers, body=json.dumps(body).encode())

    def _error(self, status_code: int, code: str, message: str | None, moment: datetime) -> Answer:
        messages = [] if message is None else [message]
        return self._respond(
            status_code, moment, {"error_code": code, "error_messages": messages, "correlation_id": None}
        )

    def error(self, status_code: int) -> Answer:
        """Return an error of the provider with *status_code*, as its gateway would send it."""
        code = _CODES.get(status_code, "TEMPORARILY_UNAVAILABLE" if status_code >= 500 else "BAD_VALUE")
        return self._error(status_code, code, None, self.now())


_CODES: Final = {
    401: "UNAUTHORIZED",
    403: "INVALID_OPERATION",
    404: "NOT_FOUND",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_SERVER_ERROR",
}


def _date(moment: datetime) -> str:
    """Dates page: ISO 8601 with milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
