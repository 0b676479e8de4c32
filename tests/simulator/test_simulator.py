"""The simulated provider over real HTTP, compared with the provider's OpenAPI file where that exists."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from collections.abc import Generator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import attrs
import httpx
import pytest
import yaml

from hpp_async import Completed, ConfigurationError, HPPClient
from hpp_async._provider.requests import Category, MerchantURLs, Options
from hpp_async.simulator import serve
from hpp_async.testing import Answer, Consumer, Provider

AUTH: Final = ("PK00000_test", "not-a-secret")
START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
SESSIONS: Final = "/hpp/v1/sessions"
PAYMENT_SESSION: Final = {"payment_session_url": "https://api.klarna.com/payments/v1/sessions/92d97f60"}


class Calendar:
    """A date that tests change."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def at(self, seconds: float) -> None:
        self.now = START + timedelta(seconds=seconds)


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def provider(calendar: Calendar) -> Provider:
    return Provider(now=calendar, auth=AUTH)


@pytest.fixture
def shop(provider: Provider) -> Generator[httpx.Client]:
    """A merchant's HTTP client."""
    with serve(provider) as url, httpx.Client(base_url=url, auth=AUTH, trust_env=False) as client:
        yield client


def ask(provider: Provider, body: bytes | Mapping[str, object]) -> Answer:
    """Send a request for a new session, without HTTP."""
    credentials = b64encode(":".join(AUTH).encode()).decode()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return provider.answer("POST", SESSIONS, {"authorization": f"Basic {credentials}"}, content)


# -- creating and reading ---------------------------------------------------------------------------------------------


def test_a_created_session_is_handed_out_with_its_urls(shop: httpx.Client) -> None:
    answer = shop.post(SESSIONS, json=PAYMENT_SESSION)

    created = answer.json()
    assert answer.status_code == 201
    assert created["session_url"] == str(shop.base_url.join(f"{SESSIONS}/{created['session_id']}"))
    assert created["expires_at"] == "2026-01-17T11:00:00.000Z"


@pytest.mark.parametrize(
    ("consumer", "seen"),
    [
        (Consumer.PAY, ["WAITING", "IN_PROGRESS", "COMPLETED"]),
        (Consumer.DECLINE_AND_RETRY, ["WAITING", "IN_PROGRESS", "FAILED", "IN_PROGRESS", "COMPLETED"]),
        (Consumer.BACK, ["WAITING", "IN_PROGRESS", "BACK", "IN_PROGRESS", "COMPLETED"]),
        (Consumer.CANCEL, ["WAITING", "IN_PROGRESS", "CANCELLED"]),
        (Consumer.ERROR, ["WAITING", "IN_PROGRESS", "ERROR"]),
        (Consumer.VANISH, ["WAITING", "IN_PROGRESS"]),
        (Consumer.NOBODY, ["WAITING"]),
    ],
)
def test_every_consumer_does_what_the_story_says(
    provider: Provider, calendar: Calendar, consumer: Consumer, seen: list[str]
) -> None:
    provider.consumer, provider.speed = consumer, 2.0
    session_id = json.loads(ask(provider, PAYMENT_SESSION).body)["session_id"]

    statuses: list[str] = []
    for tenth in range(61):
        calendar.at(tenth / 10)
        status = provider.status(session_id)
        statuses += [status] if statuses[-1:] != [status] else []

    assert statuses == seen


def test_the_session_of_a_consumer_who_vanishes_expires_soon() -> None:
    assert Consumer.VANISH.script.lifetime(2.0) == timedelta(seconds=15)
    assert Consumer.PAY.script.lifetime(2.0) == timedelta(hours=47)


@pytest.mark.parametrize(
    ("request_body", "paid_with"),
    [
        (PAYMENT_SESSION, {"authorization_token"}),
        (PAYMENT_SESSION | {"options": {"place_order_mode": "NONE"}}, {"authorization_token"}),
        (PAYMENT_SESSION | {"options": {"place_order_mode": "CAPTURE_ORDER"}}, {"order_id", "klarna_reference"}),
        (
            {"payment_session_url": "https://api.klarna.com/checkout/v3/orders/92d97f60"},
            {"order_id", "klarna_reference"},
        ),
    ],
)
def test_the_order_mode_decides_what_a_completed_session_has(
    calendar: Calendar, shop: httpx.Client, request_body: dict[str, object], paid_with: set[str]
) -> None:
    session_url = shop.post(SESSIONS, json=request_body).json()["session_url"]
    calendar.at(60)

    reading = shop.get(session_url).json()

    assert reading.keys() == {"session_id", "status", "updated_at", "expires_at"} | paid_with


@pytest.mark.anyio
async def test_a_client_waits_for_a_session_that_was_created_over_http(anyio_backend_name: str) -> None:
    provider = Provider(now=lambda: datetime.now(UTC), auth=AUTH, speed=1e6)
    with serve(provider) as url:
        async with httpx.AsyncClient(auth=AUTH, trust_env=False) as http:
            created = await http.post(url + SESSIONS, json=PAYMENT_SESSION)
            async with HPPClient(auth=AUTH, endpoint=url, http_client=http) as client:
                outcome = await client.wait_for_outcome(created.json()["session_url"])

    assert isinstance(outcome, Completed)


def test_a_session_can_be_disabled_until_it_is_paid(calendar: Calendar, shop: httpx.Client) -> None:
    open_url, paid_url = (shop.post(SESSIONS, json=PAYMENT_SESSION).json()["session_url"] for _ in range(2))

    disabled = shop.delete(open_url)
    calendar.at(60)
    refused = shop.delete(paid_url)

    assert disabled.status_code == 204
    assert disabled.content == b""
    assert shop.get(open_url).json()["status"] == "DISABLED"
    assert refused.status_code == 400
    assert shop.get(paid_url).json()["status"] == "COMPLETED"


# -- headers and errors -----------------------------------------------------------------------------------------------


def test_every_answer_has_each_of_the_providers_headers_once(calendar: Calendar, shop: httpx.Client) -> None:
    calendar.at(3600)
    answers = [
        shop.post(SESSIONS, json=PAYMENT_SESSION),
        shop.get(f"{SESSIONS}/nobody"),
        shop.get("/elsewhere"),
        shop.get(SESSIONS, auth=("PK00000_test", "wrong")),
    ]

    assert [answer.status_code for answer in answers] == [201, 404, 404, 401]
    for (limit, remaining), answer in zip([(5, 4), (50, 49), (50, 48), (50, 47)], answers, strict=True):
        names = [name.lower().decode() for name, _ in answer.headers.raw]
        assert len(names) == len(set(names))
        assert "server" not in names
        assert answer.headers["Date"] == format_datetime(START + timedelta(hours=1), usegmt=True)
        assert answer.headers["Klarna-Correlation-Id"]
        assert answer.headers["X-Ratelimit-Limit"] == f"{limit}, {limit};w=1"
        assert answer.headers["X-Ratelimit-Remaining"] == str(remaining)
        assert answer.headers["X-Ratelimit-Reset"] == "1"


def test_other_methods_and_paths_are_refused(shop: httpx.Client) -> None:
    session_url = shop.post(SESSIONS, json=PAYMENT_SESSION).json()["session_url"]

    refused = shop.put(session_url)

    assert refused.status_code == 405
    assert refused.json()["error_code"] == "METHOD_NOT_ALLOWED"
    assert shop.head(session_url).status_code == 405


def test_above_the_quota_every_request_is_refused_until_the_second_is_over(
    provider: Provider, calendar: Calendar, shop: httpx.Client
) -> None:
    provider.creation_quota = 2

    codes = [shop.post(SESSIONS, json=PAYMENT_SESSION).status_code for _ in range(3)]
    calendar.at(1)
    codes.append(shop.post(SESSIONS, json=PAYMENT_SESSION).status_code)

    assert codes == [201, 201, 429, 201]


@pytest.mark.parametrize(
    ("request_body", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"\xff", "body"),
        (b"[" * 100_000, "body"),
        (b"{}", "payment_session_url"),
        (b'{"payment_session_url": 1}', "payment_session_url"),
        (b'{"payment_session_url": "92d97f60"}', "payment_session_url"),
        (b'{"payment_session_url": "https://x/", "profile_id": 1}', "profile_id"),
        (b'{"payment_session_url": "https://x/", "merchant_urls": []}', "merchant_urls"),
        (b'{"payment_session_url": "https://x/", "merchant_urls": {"back": 1}}', "merchant_urls.back"),
        (b'{"payment_session_url": "https://x/", "options": "NONE"}', "options"),
        (b'{"payment_session_url": "https://x/", "options": {"place_order_mode": "X"}}', "options.place_order_mode"),
        (
            b'{"payment_session_url": "https://x/", "options": {"payment_method_categories": ["X"]}}',
            "options.payment_method_categories[0]",
        ),
        (
            b'{"payment_session_url": "https://x/", "options": {"payment_method_categories": 1}}',
            "options.payment_method_categories",
        ),
    ],
)
def test_a_refusal_names_the_field(provider: Provider, request_body: bytes, field: str) -> None:
    answer = ask(provider, request_body)

    assert answer.status_code == 400
    assert json.loads(answer.body) == {
        "error_code": "BAD_VALUE",
        "error_messages": [f"Bad value: {field}"],
        "correlation_id": answer.headers["Klarna-Correlation-Id"],
    }


def choices() -> dict[str, tuple[str, ...]]:
    """Return the options that take one of a few words, with these words."""
    types = {field.name: get_args(field.type)[0] for field in attrs.fields(attrs.resolve_types(Options))}
    return {name: get_args(kind) for name, kind in types.items() if get_origin(kind) is Literal}


def test_a_full_request_is_accepted(provider: Provider) -> None:
    request = {
        "payment_session_url": "https://api.klarna.com/payments/v1/sessions/92d97f60",
        "profile_id": "87ab3565",
        "merchant_urls": dict.fromkeys(attrs.fields_dict(MerchantURLs), "https://example.com/"),
        "options": {name: choices[0] for name, choices in choices().items() if name != "payment_method_category"}
        | {"payment_method_categories": ["PAY_NOW", "KLARNA"], "page_title": "Pay"},
        "something_new": 1,
    }

    assert ask(provider, request).status_code == 201


# -- where it listens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "port", "complaint"),
    [
        ("203.0.113.7", 0, "other machines could reach it"),
        ("127.0.0.1", 65536, "port=65536: give a port from 1 to 65535, or 0"),
        ("a..b", 0, "host='a..b': the name is not known"),
        (".", 0, "host='.': the name is not known"),
        ("x" * 300, 0, "xxx': the name is not known"),
        ("not a host", 0, "host='not a host': the name is not known; give 127.0.0.1 or localhost"),
    ],
)
def test_an_unsuitable_address_is_refused(provider: Provider, host: str, port: int, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        serve(provider, host=host, port=port).__enter__()

    assert complaint in str(refusal.value)


def test_a_port_in_use_is_refused(provider: Provider) -> None:
    with serve(provider) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=f"port={port} .Address already in use."):
            serve(provider, port=port).__enter__()


def test_it_listens_on_other_loopback_addresses(provider: Provider) -> None:
    with serve(provider, host="localhost") as url:
        assert httpx.get(url, trust_env=False).status_code == 401


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_it_listens_on_ipv6(provider: Provider) -> None:
    try:
        with serve(provider, host="::1") as url:
            answer = httpx.get(url, trust_env=False)
    except ConfigurationError:
        pytest.skip("no IPv6 loopback here")

    assert url.startswith("http://[::1]:")
    assert answer.status_code == 401


# -- the provider's OpenAPI file --------------------------------------------------------------------------------------

OPENAPI: Final = Path(__file__).parents[3] / "shared" / "data" / "klarna-hpp-openapi.yml"
published = pytest.mark.skipif(not OPENAPI.is_file(), reason="the provider's OpenAPI file is not in the repository")


def schema(name: str) -> dict[str, Any]:
    properties: dict[str, Any] = yaml.safe_load(OPENAPI.read_text("utf-8"))["components"]["schemas"][name]["properties"]
    return properties


def statuses(method: str, path: str) -> set[int]:
    operation = yaml.safe_load(OPENAPI.read_text("utf-8"))["paths"][path][method]
    return {int(code) for code in operation["responses"]}


@published
def test_requests_are_checked_as_published() -> None:
    options = schema("OptionsV1")

    assert {name: tuple(option["enum"]) for name, option in options.items() if "enum" in option} == choices()
    assert tuple(options["payment_method_categories"]["items"]["enum"]) == get_args(Category)
    assert set(schema("MerchantUrlsV1")) == set(attrs.fields_dict(MerchantURLs))


@published
def test_answers_have_the_published_fields(calendar: Calendar, shop: httpx.Client) -> None:
    modes = ("NONE", "CAPTURE_ORDER")
    requests = [PAYMENT_SESSION | {"options": {"place_order_mode": mode}} for mode in modes]
    created = [shop.post(SESSIONS, json=request).json() for request in requests]
    calendar.at(60)
    readings = [shop.get(session["session_url"]).json() for session in created]

    assert all(session.keys() <= schema("SessionCreationResponseV1").keys() for session in created)
    assert all(reading.keys() <= schema("SessionResponseV1").keys() for reading in readings)


@published
def test_answers_have_the_published_status_codes(shop: httpx.Client) -> None:
    session_url = shop.post(SESSIONS, json=PAYMENT_SESSION).json()["session_url"]
    wrong = ("PK00000_test", "wrong")
    one = SESSIONS + "/{session_id}"

    assert {shop.post(SESSIONS).status_code, shop.post(SESSIONS, auth=wrong).status_code} <= statuses("post", SESSIONS)
    assert {shop.get(url).status_code for url in (session_url, f"{SESSIONS}/nobody")} <= statuses("get", one)
    assert {shop.delete(url).status_code for url in (session_url, f"{SESSIONS}/nobody")} <= statuses("delete", one)


@published
def test_consumers_use_published_statuses() -> None:
    words = set(schema("SessionResponseV1")["status"]["enum"])

    assert {step.status for consumer in Consumer for step in consumer.script.steps()} <= words
