"""The HPP resource beyond reading: merchants and their quotas, distribution, disabling, and what is refused."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from hpp_async.testing import Answer, Provider, Script

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
SESSIONS: Final = "/hpp/v1/sessions"
PAYMENT_SESSION: Final = {"payment_session_url": "https://api.klarna.com/payments/v1/sessions/1"}
EMAIL: Final = {"method": "email", "contact_information": {"email": "test@example.com"}}


def basic(username: str) -> str:
    return "Basic " + b64encode(f"{username}:secret".encode()).decode()


def ask(provider: Provider, method: str, path: str, body: Any = None, *, authorization: str = basic("PK1_a")) -> Answer:
    content = b"" if body is None else json.dumps(body).encode()
    return provider.answer(method, SESSIONS + path, {"authorization": authorization}, content)


@pytest.fixture
def seconds() -> list[float]:
    return [0.0]


@pytest.fixture
def provider(seconds: list[float]) -> Provider:
    """A provider that takes any credentials; nobody comes to its sessions."""
    return Provider(now=lambda: START + timedelta(seconds=seconds[0]), consumer=Script())


def test_credentials_of_one_merchant_share_a_quota_and_others_have_their_own(provider: Provider) -> None:
    provider.quota = 2
    credentials = [basic("PK1_a"), basic("PK1_b"), basic("PK1_c"), basic("PK2_a"), "Basic klarna_test_api_x"]

    answers = [ask(provider, "GET", "/nobody", authorization=one) for one in credentials]

    assert [answer.status_code for answer in answers] == [404, 404, 429, 404, 404]
    assert [answer.headers["X-Ratelimit-Remaining"] for answer in answers] == ["1", "0", "0", "1", "1"]


def test_a_session_is_its_merchants_own(provider: Provider) -> None:
    session_id = json.loads(ask(provider, "POST", "", PAYMENT_SESSION).body)["session_id"]
    credentials = [basic("PK1_b"), basic("PK2_a")]

    codes = [ask(provider, "GET", f"/{session_id}", authorization=one).status_code for one in credentials]

    assert codes == [200, 404]


@pytest.mark.parametrize(
    "request_body",
    [
        EMAIL,
        {"method": "sms", "contact_information": {"phone": "07000212345", "phone_country": "SE"}},
        {"method": "token", "contact_information": {"access_id": "278352"}, "template": "INSTORE_PURCHASE"},
    ],
)
def test_a_link_is_distributed(provider: Provider, request_body: dict[str, object]) -> None:
    session_id = provider.create()

    answer = ask(provider, "POST", f"/{session_id}/distribution", request_body)

    assert (answer.status_code, answer.body) == (204, b"")
    assert provider.life(session_id).distributions == [request_body["method"]]


@pytest.mark.parametrize(
    ("request_body", "field"),
    [
        ({}, "contact_information"),
        ({"contact_information": {}}, "method"),
        ({"contact_information": {}, "method": "post"}, "method"),
        ({"contact_information": {}, "method": "email"}, "contact_information.email"),
        ({"contact_information": {"email": 1}, "method": "email"}, "contact_information.email"),
        ({"contact_information": {"phone": "1"}, "method": "sms"}, "contact_information.phone_country"),
        ({"contact_information": {"access_id": "1"}, "method": "token"}, "contact_information.access_id"),
        ({**EMAIL, "template": "X"}, "template"),
    ],
)
def test_a_distribution_that_cannot_be_is_refused_by_field(
    provider: Provider, request_body: dict[str, object], field: str
) -> None:
    answer = ask(provider, "POST", f"/{provider.create()}/distribution", request_body)

    assert answer.status_code == 400
    assert json.loads(answer.body)["error_messages"] == [f"Bad value: {field}"]


def test_the_link_of_a_disabled_session_is_not_distributed(provider: Provider) -> None:
    answer = ask(provider, "POST", f"/{provider.create([(0, 'DISABLED')])}/distribution", EMAIL)

    assert (answer.status_code, json.loads(answer.body)["error_code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(("before", "code", "after"), [("FAILED", 204, "DISABLED"), ("CANCELLED", 204, "CANCELLED")])
def test_what_is_final_stays_as_it_is_when_disabled(provider: Provider, before: str, code: int, after: str) -> None:
    session_id = provider.create([(0, before)])

    assert ask(provider, "DELETE", f"/{session_id}").status_code == code
    assert provider.status(session_id) == after


def test_an_expired_session_can_be_read_for_a_while_and_nothing_else(provider: Provider, seconds: list[float]) -> None:
    session_id = provider.create(lifetime=60)
    provider.readable_for = timedelta(seconds=30)
    codes: list[list[int]] = []

    for seconds[0] in (59, 61, 91):
        asked = [ask(provider, "GET", f"/{session_id}"), ask(provider, "POST", f"/{session_id}/distribution", EMAIL)]
        codes.append([answer.status_code for answer in asked])

    assert codes == [[200, 204], [200, 404], [404, 404]]
    assert ask(provider, "DELETE", f"/{session_id}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "", "POST"), ("PUT", "/one", "GET, DELETE"), ("GET", "/one/distribution", "POST")],
)
def test_what_may_be_asked_instead_is_said(provider: Provider, method: str, path: str, allowed: str) -> None:
    answer = ask(provider, method, path)

    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"logo_url": 1}, "options.logo_url"),
        ({"background_images": {}}, "options.background_images"),
        ({"background_images": [1]}, "options.background_images"),
        ({"background_images": [{"width": 1.5}]}, "options.background_images.width"),
        ({"background_images": [{"width": True}]}, "options.background_images.width"),
        ({"background_images": [{"width": 2**63}]}, "options.background_images.width"),
    ],
)
def test_options_are_checked_to_the_last_field(provider: Provider, options: dict[str, object], field: str) -> None:
    answer = ask(provider, "POST", "", PAYMENT_SESSION | {"options": options})

    assert answer.status_code == 400
    assert json.loads(answer.body)["error_messages"] == [f"Bad value: {field}"]


def test_what_is_optional_may_be_null(provider: Provider) -> None:
    options = {"background_images": [{"url": None, "width": 640.0}], "page_title": None}

    assert ask(provider, "POST", "", PAYMENT_SESSION | {"options": options, "profile_id": None}).status_code == 201


def test_numbers_that_json_has_not_are_refused(provider: Provider) -> None:
    body = b'{"payment_session_url": "https://x/", "something": NaN}'

    assert provider.answer("POST", SESSIONS, {"authorization": basic("PK1_a")}, body).status_code == 400
