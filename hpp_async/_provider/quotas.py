"""Merchants, and how many requests each may make in a second (rate limit page)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from math import ceil
from typing import Final

import attrs

from hpp_async._provider.words import Operation

CREATIONS: Final = frozenset({Operation.CREATE, Operation.CREATE_PAYMENT_SESSION, Operation.CREATE_CUSTOMER_TOKEN})
"""Operations that are counted each for itself, with a smaller quota; all others are counted together."""


def merchant_of(authorization: str) -> str:
    """
    Return the merchant whose credentials are in an ``Authorization`` header.

    All usernames of a merchant begin with its number, as ``PK12345_abc`` does. Credentials of another form count as a
    merchant of their own.
    """
    try:
        username = b64decode(authorization.removeprefix("Basic "), validate=True).decode().partition(":")[0]
    except ValueError:
        return authorization
    return username.partition("_")[0]


def is_authorized(authorization: str, auth: tuple[str, str] | None) -> bool:
    """Tell whether an ``Authorization`` header has the credentials *auth*; ``None`` accepts any."""
    if auth is None:
        return authorization.startswith("Basic ")
    return authorization == "Basic " + b64encode(":".join(auth).encode()).decode()


@attrs.define
class _Second:
    """The requests of one merchant in one second, counted; once one was refused, all others are."""

    number: int
    counts: Counter[Operation | None] = attrs.field(factory=Counter[Operation | None])
    is_limited: bool = False


@attrs.define
class RateLimit:
    """Counts the requests of each merchant in the current second."""

    _seconds: dict[str, _Second] = attrs.field(init=False, factory=dict[str, _Second])

    def admits(
        self, merchant: str, operation: Operation | None, quota: int | None, moment: datetime
    ) -> tuple[bool, Mapping[str, str]]:
        """
        Count a request of *merchant*; tell whether it is answered, and return the headers that say what is left.

        *quota* is for the operations that are counted together with *operation*; ``None`` is no limit, and has no
        headers. A merchant that has exceeded one of its quotas gets no answer to anything until the second is over.
        """
        second = self._seconds.get(merchant)
        if second is None or second.number != int(moment.timestamp()):
            second = self._seconds[merchant] = _Second(int(moment.timestamp()))
        category = operation if operation in CREATIONS else None
        second.counts[category] += 1
        left = 0 if quota is None else quota - second.counts[category]
        second.is_limited = second.is_limited or left < 0
        return not second.is_limited, {} if quota is None else _headers(quota, 0 if second.is_limited else left, moment)


def _headers(quota: int, left: int, moment: datetime) -> Mapping[str, str]:
    return {
        "X-Ratelimit-Limit": f"{quota}, {quota};w=1",
        "X-Ratelimit-Remaining": str(left),
        "X-Ratelimit-Reset": str(ceil(1 - moment.microsecond / 1_000_000)),
    }
