"""A request that the provider has admitted, and the refusal of one that asks for what is not there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from hpp_async._provider.words import Operation


@attrs.frozen(kw_only=True)
class Received:
    """
    A request from a merchant whose credentials are right.

    Attributes:
        resource: the id of a session or payment session, or an authorization token; empty where something is created.
        owner: whom the sessions belong to that are created; ``None`` is every merchant.
        headers: of the answer.
        base_url: where the merchant reached the provider.
    """

    operation: Operation
    resource: str
    body: bytes
    merchant: str
    owner: str | None
    moment: datetime
    headers: Mapping[str, str]
    base_url: str


class GoneError(Exception):
    """What is asked for does not exist for this merchant: 404."""

    def __init__(self, message: str, code: str = "NOT_FOUND") -> None:
        super().__init__(message)
        self.code = code
