"""The HPP resource beyond reading: merchants and their quotas, distribution, disabling, and what is refused."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from support.carts import CART

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
    """A provider that accepts any credentials; nobody visits its sessions."""
    return Provider(now=lambda: START + timedelta(seconds=seconds[0]), consumer=Script())


def test_each_merchant_has_a_quota_for_all_its_credentials(provider: Provider) -> None:
    provider.quota = 2
    credentials = [basic("PK1_a"), basic("PK1_b"), basic("PK1_c"), basic("PK2_a"), "Basic klarna_test_api_x"]

    answers = [ask(provider, "GET", "/nobody", authorization=one) for one in credentials]

    assert [answer.status_code for answer in answers] == [404, 404, 429, 404, 404]
    assert [answer.headers["X-Ratelimit-Remaining"] for answer in answers] == ["1", "0", "0", "1", "1"]


def payment_session(provider: Provider) -> Answer:
    headers, body = {"authorization": basic("PK1_a")}, json.dumps(CART).encode()
    return provider.answer("POST", "/payments/v1/sessions", headers, body)


def test_what_is_created_has_quotas_of_its_own(provider: Provider, seconds: list[float]) -> None:
    sessions = [ask(provider, "POST", "", PAYMENT_SESSION) for _ in range(5)]
    payment_sessions = [payment_session(provider) for _ in range(5)]
    reads = [ask(provider, "GET", "/nobody") for _ in range(2)]

    assert [answer.status_code for answer in (*sessions, *payment_sessions, *reads)] == [
        *[201] * 5,
        *[200] * 5,
        404,
        404,
    ]
    assert [answer.headers["X-Ratelimit-Remaining"] for answer in sessions] == ["4", "3", "2", "1", "0"]
    assert {answer.headers["X-Ratelimit-Limit"] for answer in (*sessions, *payment_sessions)} == {"5, 5;w=1"}
    assert [answer.headers["X-Ratelimit-Remaining"] for answer in reads] == ["49", "48"]


def test_who_has_exceeded_one_quota_is_answered_429_until_the_second_is_over(
    provider: Provider, seconds: list[float]
) -> None:
    for _ in range(5):
        ask(provider, "POST", "", PAYMENT_SESSION)
    refused = [ask(provider, "POST", "", PAYMENT_SESSION), ask(provider, "GET", "/nobody"), payment_session(provider)]
    other = ask(provider, "GET", "/nobody", authorization=basic("PK2_a"))
    seconds[0] += 1
    again = ask(provider, "POST", "", PAYMENT_SESSION)

    assert [answer.status_code for answer in refused] == [429] * 3
    assert {answer.headers["X-Ratelimit-Remaining"] for answer in refused} == {"0"}
    assert {answer.headers["X-Ratelimit-Reset"] for answer in refused} == {"1"}
    assert [answer.headers["X-Ratelimit-Limit"] for answer in refused] == ["5, 5;w=1", "50, 50;w=1", "5, 5;w=1"]
    assert (other.status_code, again.status_code) == (404, 201)


def test_links_are_counted_with_the_reads(provider: Provider) -> None:
    session_id = provider.create()
    answers = [ask(provider, "POST", f"/{session_id}/distribution", EMAIL) for _ in range(6)]

    assert {answer.status_code for answer in answers} == {204}
    assert answers[-1].headers["X-Ratelimit-Remaining"] == "44"


def test_without_quotas_there_are_no_headers_and_no_limits(provider: Provider) -> None:
    provider.quota = provider.creation_quota = None
    answers = [ask(provider, "POST", "", PAYMENT_SESSION) for _ in range(60)]

    assert {answer.status_code for answer in answers} == {201}
    assert "X-Ratelimit-Limit" not in answers[0].headers


def test_only_its_own_merchant_can_read_a_session(provider: Provider) -> None:
    session_id = json.loads(ask(provider, "POST", "", PAYMENT_SESSION).body)["session_id"]
    credentials = [basic("PK1_b"), basic("PK2_a")]

    codes = [ask(provider, "GET", f"/{session_id}", authorization=one).status_code for one in credentials]

    assert codes == [200, 404]


@pytest.mark.parametrize(
    "request_body",
    [
        EMAIL,
        {"method": "sms", "contact_information": {"phone": "07000212345", "phone_country": "SE"}},
        {"method": "two_way_sms", "contact_information": {"phone": "07000212345", "phone_country": "SE"}},
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
def test_a_refusal_of_a_distribution_names_the_field(
    provider: Provider, request_body: dict[str, object], field: str
) -> None:
    answer = ask(provider, "POST", f"/{provider.create()}/distribution", request_body)

    assert answer.status_code == 400
    assert json.loads(answer.body)["error_messages"] == [f"Bad value: {field}"]


def test_the_link_of_a_disabled_session_is_not_distributed(provider: Provider) -> None:
    answer = ask(provider, "POST", f"/{provider.create([(0, 'DISABLED')])}/distribution", EMAIL)

    assert (answer.status_code, json.loads(answer.body)["error_code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(("before", "code", "after"), [("FAILED", 204, "DISABLED"), ("CANCELLED", 204, "CANCELLED")])
def test_disabling_does_not_change_a_final_status(provider: Provider, before: str, code: int, after: str) -> None:
    session_id = provider.create([(0, before)])

    assert ask(provider, "DELETE", f"/{session_id}").status_code == code
    assert provider.status(session_id) == after


def test_an_expired_session_can_only_be_read_and_only_for_a_while(provider: Provider, seconds: list[float]) -> None:
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
def test_a_405_names_the_allowed_methods(provider: Provider, method: str, path: str, allowed: str) -> None:
    answer = ask(provider, method, path)

    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"logo_url": 1}, "options.logo_url"),
        (
            {"payment_method_category": "KLARNA", "payment_method_categories": []},
            "options.payment_method_category",
        ),
        ({"background_images": {}}, "options.background_images"),
        ({"background_images": [1]}, "options.background_images[0]"),
        ({"background_images": [{"width": 1.5}]}, "options.background_images[0].width"),
        ({"background_images": [{"width": True}]}, "options.background_images[0].width"),
        ({"background_images": [{"width": 2**63}]}, "options.background_images[0].width"),
    ],
)
def test_nested_options_are_checked(provider: Provider, options: dict[str, object], field: str) -> None:
    answer = ask(provider, "POST", "", PAYMENT_SESSION | {"options": options})

    assert answer.status_code == 400
    assert json.loads(answer.body)["error_messages"] == [f"Bad value: {field}"]


def test_optional_fields_can_be_null(provider: Provider) -> None:
    options = {"background_images": [{"url": None, "width": 640.0}], "page_title": None}

    assert ask(provider, "POST", "", PAYMENT_SESSION | {"options": options, "profile_id": None}).status_code == 201


def test_numbers_that_are_not_json_are_refused(provider: Provider) -> None:
    body = b'{"payment_session_url": "https://x/", "something": NaN}'

    assert provider.answer("POST", SESSIONS, {"authorization": basic("PK1_a")}, body).status_code == 400
