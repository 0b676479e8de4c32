"""What faults make of a good answer."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, assert_never

import attrs

from hpp_async._provider.answers import Answer, error, headers_at, hint_headers, http_date
from hpp_async._provider.faults import (
    Answered,
    Dateless,
    Fault,
    Foreign,
    Garbled,
    Missing,
    Scarce,
    Skewed,
    Throttled,
    Undated,
)


def instead(fault: Answered | Throttled | Missing, moment: datetime) -> Answer:
    """Return what is answered in the provider's place."""
    headers = headers_at(moment)
    match fault:
        case Answered(status_code, more, envelope, code):
            answer = error(status_code, headers, code=code, envelope=envelope)
            has_body = status_code not in (204, 304)  # by HTTP, these have none
            return attrs.evolve(answer, headers={**answer.headers, **dict(more)}, body=answer.body if has_body else b"")
        case Throttled(seconds, hint, envelope):
            answer = error(429, headers, message="Too many requests", envelope=envelope)
            return attrs.evolve(answer, headers={**answer.headers, **hint_headers(hint, seconds, moment)})
        case Missing(error_code):
            return error(404, headers, code=error_code, message="Invalid session id")
        case _:
            assert_never(fault)


def bent(answer: Answer, fault: Fault, moment: datetime) -> Answer:
    """Return *answer* as it arrives through *fault*; faults that leave answers alone leave it alone."""
    match fault:
        case Garbled(body) if answer.status_code == 200:
            return attrs.evolve(answer, body=body)
        case Foreign() if answer.status_code == 200:
            return _with(answer, session_id="another-session")
        case Undated() if answer.status_code == 200:
            return _with(answer, updated_at=None, expires_at=None)
        case Dateless():
            return attrs.evolve(answer, headers={name: said for name, said in answer.headers.items() if name != "Date"})
        case Skewed(by):
            return _headed(answer, {"Date": http_date(moment + timedelta(seconds=by))})
        case Scarce(limit, remaining, reset):
            return _headed(
                answer,
                {
                    "X-Ratelimit-Limit": f"{limit}, {limit};w=1",
                    "X-Ratelimit-Remaining": str(remaining),
                    "X-Ratelimit-Reset": f"{reset:g}",
                },
            )
        case _:
            return answer


def _headed(answer: Answer, headers: dict[str, str]) -> Answer:
    return attrs.evolve(answer, headers={**answer.headers, **headers})


def _with(answer: Answer, **fields: object) -> Answer:
    body: dict[str, Any] = json.loads(answer.body)
    body |= fields
    known = {name: value for name, value in body.items() if value is not None}
    return attrs.evolve(answer, body=json.dumps(known).encode())
