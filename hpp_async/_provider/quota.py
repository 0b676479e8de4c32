"""How many requests a merchant may make in a second, and what the provider says about it."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from math import ceil

import attrs


def merchant_of(authorization: str) -> str:
    """
    Return the merchant whose credentials are in an ``Authorization`` header.

    All credentials of a merchant begin with its number, as ``PK12345_abc`` does; of others, each is a merchant.
    """
    try:
        username = b64decode(authorization.removeprefix("Basic "), validate=True).decode().partition(":")[0]
    except ValueError:
        return authorization
    return username.partition("_")[0]


@attrs.define
class Quota:
    """The requests of each merchant in the current second: above *limit* they are refused until it is over."""

    _counts: dict[str, tuple[int, int]] = attrs.field(init=False, factory=dict[str, tuple[int, int]])

    def count(self, merchant: str, moment: datetime) -> int:
        """Count a request; return how many there were in this second, with it."""
        second = int(moment.timestamp())
        of, count = self._counts.get(merchant, (second, 0))
        self._counts[merchant] = (second, count + 1 if of == second else 1)
        return self._counts[merchant][1]


def quota_headers(limit: int | None, count: int, moment: datetime) -> Mapping[str, str]:
    """Return the rate limit page's headers; none where there is no limit."""
    if limit is None:
        return {}
    return {
        "X-Ratelimit-Limit": f"{limit}, {limit};w=1",
        "X-Ratelimit-Remaining": str(max(0, limit - count)),
        "X-Ratelimit-Reset": str(ceil(1 - moment.microsecond / 1_000_000)),
    }
