"""A merchant of a provider in memory, and what the provider says to it."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from hpp_async.testing import Answer, Provider, Script, pays
from support.carts import CART

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
HPP: Final = "/hpp/v1/sessions"
PAYMENTS: Final = "/payments/v1/sessions"


def basic(username: str) -> str:
    return "Basic " + b64encode(f"{username}:secret".encode()).decode()


@attrs.define
class Shop:
    """A merchant of a provider whose time it can move."""

    provider: Provider
    moved: list[float]
    authorization: str = basic("PK1_a")

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.provider.answer(method, path, {"authorization": self.authorization}, content)

    def later(self, seconds: float) -> None:
        self.moved[0] += seconds

    def payment_session(self, **changes: object) -> str:
        answer = self.ask("POST", PAYMENTS, CART | changes)
        assert answer.status_code == 200, answer.body
        session_id: str = json.loads(answer.body)["session_id"]
        return session_id

    def host(self, payment_session: str, **options: object) -> Answer:
        url = f"{self.provider.base_url}{PAYMENTS}/{payment_session}"
        return self.ask("POST", HPP, {"payment_session_url": url, "options": options})

    def session(self, payment_session: str, **options: object) -> str:
        answer = self.host(payment_session, **options)
        assert answer.status_code == 201, answer.body
        session_id: str = json.loads(answer.body)["session_id"]
        return session_id

    def read(self, session: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("GET", f"{HPP}/{session}").body)
        return found

    def paid(self, payment_session: str, **options: object) -> str:
        """Let a consumer pay; return the authorization token."""
        session = self.session(payment_session, **options)
        self.provider.act(session, pays)
        token: str = self.read(session).get("authorization_token", "")
        return token

    def place(self, token: str, body: Any = None) -> Answer:
        return self.ask("POST", f"/payments/v1/authorizations/{token}/order", CART if body is None else body)

    def customer_token(self, token: str, body: Any) -> Answer:
        return self.ask("POST", f"/payments/v1/authorizations/{token}/customer-token", body)

    def release(self, token: str) -> Answer:
        return self.ask("DELETE", f"/payments/v1/authorizations/{token}")


def shop_of_nobody() -> Shop:
    """Return a shop whose payment pages nobody visits, at a provider without quotas."""
    moved = [0.0]
    provider = Provider(
        now=lambda: START + timedelta(seconds=moved[0]), consumer=Script(), quota=None, creation_quota=None
    )
    return Shop(provider, moved)


def said(answer: Answer) -> tuple[int, str, str]:
    """Return the status code of an error, its code and its only message."""
    body = json.loads(answer.body)
    [message] = body["error_messages"]
    return answer.status_code, body["error_code"], message


UNKNOWN_TOKEN: Final = (404, "NOT_FOUND", "Invalid authorization token")
CONSUMED: Final = (403, "INVALID_OPERATION", "Authorization token already consumed")
COMPLETED: Final = (404, "SESSION_COMPLETED", "Session has already been completed")
EXPIRED: Final = (404, "NOT_FOUND", "Payment session has expired")
UNKNOWN: Final = (404, "NOT_FOUND", "Invalid session id")
