"""No secret, token, body or personal data in a message, a repr, a log, a metric or a span, whatever happens."""

from __future__ import annotations

import logging
import pickle
import re
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

from hpp_async import (
    Address,
    Authorization,
    Completed,
    Email,
    Event,
    HPPClient,
    HPPError,
    MerchantURLs,
    Observer,
    OrderCustomer,
    OrderLine,
    PaymentSession,
    PurchaseOrder,
    Session,
    SessionStatus,
)
from hpp_async.instrumentation import OpenTelemetryObserver, PrometheusObserver
from hpp_async.testing import ScriptedProvider

pytestmark = pytest.mark.anyio

PASSWORD = "pw-4d1f9c"
TOKEN = "token-77aa31"
PERSON = {
    "given_name": "Gudrun-marker",
    "family_name": "Lind-marker",
    "date_of_birth": "1971-02-03",
    "national_identification_number": "197102031234",
    "title": "Dame-marker",
}
BODY = "body-marker-5b"
MARKERS = (PASSWORD, TOKEN, BODY, "UEs", *PERSON.values())  # UEs: how the encoded credentials begin

PAID = {
    "authorization_token": TOKEN,
    "customer": PERSON,
    "manual_identification": {"challenge": BODY, "customer": PERSON, "customer_obfuscated": PERSON},
    "something_new": BODY,
}
PROBLEM = {"error_code": "BAD_VALUE", "error_messages": [f"Bad value: {PERSON['given_name']} {BODY}"]}

ANSWERS: dict[str, httpx.Response | Exception] = {
    "400": httpx.Response(400, json=PROBLEM),
    "401": httpx.Response(401, json=PROBLEM),
    "403": httpx.Response(403, text=f"<html>{BODY}</html>"),
    "404": httpx.Response(404, json=PROBLEM),
    "404 completed": httpx.Response(404, json=PROBLEM | {"error_code": "SESSION_COMPLETED"}),
    "429": httpx.Response(429, json=PROBLEM),
    "500": httpx.Response(500, json=PROBLEM),
    "503": httpx.Response(503, text=BODY),
    "hostile code": httpx.Response(500, json={"error_code": f"{BODY} x", "correlation_id": f"{BODY} y"}),
    "302": httpx.Response(302, headers={"Location": f"https://elsewhere.example/{BODY}"}),
    "html": httpx.Response(200, text=BODY),
    "no status": httpx.Response(200, json={"customer": PERSON}),
    "odd status": httpx.Response(200, json={"status": f"{BODY}\n"}),
    "another session": httpx.Response(200, json=PAID | {"status": "COMPLETED", "session_id": BODY}),
    "broken": httpx.Response(200, content=f'{{"status": "COMPLETED", "x": "{BODY}'.encode()),
    "connect": httpx.ConnectError("refused"),
    "timeout": httpx.ReadTimeout("slow"),
}


class Collector:
    """Collects all that the library shows: log records, events, metrics, spans, and what the test passes to it."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "hpp_async")
        self._caplog = caplog
        self.events: list[Event] = []
        self._registry = CollectorRegistry()
        self._spans = InMemorySpanExporter()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.observers: list[Observer] = [
            self.events.append,
            PrometheusObserver(self._registry),
            OpenTelemetryObserver(tracer_provider=tracers),
        ]
        self._collected: list[str] = []

    def collect(self, *things: object) -> None:
        self._collected += [f"{thing!r} {thing}" for thing in things]

    def collect_error(self, error: HPPError) -> None:
        self.collect(error, pickle.loads(pickle.dumps(error)))
        self._collected += traceback.TracebackException.from_exception(error, capture_locals=True).format()
        self._collected.append(repr({key: value for key, value in vars(error).items() if key != "error_messages"}))

    def assert_discreet(self) -> None:
        logs = [f"{record.getMessage()} {record.args}" for record in self._caplog.records]
        measured = [
            generate_latest(self._registry).decode(),
            *(span.to_json() for span in self._spans.get_finished_spans()),
        ]
        said = "\n".join(logs + self._collected + measured + [repr(event) for event in self.events])
        assert logs
        assert [marker for marker in MARKERS if marker in said] == []


@pytest.fixture
def collector(caplog: pytest.LogCaptureFixture) -> Collector:
    return Collector(caplog)


@pytest.fixture
def client(provider: ScriptedProvider, collector: Collector) -> HPPClient:
    provider.model.auth = None
    return HPPClient(
        auth=("PK12345_abc", PASSWORD),
        endpoint=provider.endpoint,
        http_client=provider.http_client,
        clock=provider.clock,
        observers=collector.observers,
        attempts=2,
        outage_tolerance=60,
    )


async def test_a_payment_is_discreet(provider: ScriptedProvider, client: HPPClient, collector: Collector) -> None:
    session = provider.add([(5, "MANUAL_ID_CHECK", PAID), (60, "COMPLETED", PAID)])
    wait = client.wait_for_outcome(session)
    async for transition in wait:
        collector.collect(transition, transition.token)
    outcome = await wait

    assert outcome.session.authorization_token == TOKEN
    collector.collect(
        client, wait, outcome, outcome.session, outcome.session.customer, outcome.session.manual_identification
    )
    collector.assert_discreet()


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_failure_is_discreet(
    provider: ScriptedProvider, client: HPPClient, collector: Collector, answer: str
) -> None:
    session = provider.add([(0, "IN_PROGRESS", PAID)])
    wait = client.wait_for_outcome(session, timeout=300)
    await anext(wait)
    provider.answer_next(*[ANSWERS[answer]] * 200)

    with pytest.raises(HPPError) as read:
        await client.read_session(session)
    with pytest.raises(HPPError) as waited:
        await wait
    collector.collect_error(read.value)
    collector.collect_error(waited.value)
    collector.assert_discreet()


# -- around the wait ------------------------------------------------------------------------------------------------

CART = PurchaseOrder(
    purchase_country="SE",
    purchase_currency="SEK",
    order_lines=[OrderLine(name=BODY, quantity=7, unit_price=133_700, tax_rate=2500)],
    merchant_reference1=BODY,
    billing_address=Address(given_name=PERSON["given_name"], family_name=PERSON["family_name"], email=BODY),
    customer=OrderCustomer(national_identification_number=PERSON["national_identification_number"]),
    extra={"new": BODY},
)
AMOUNTS = ("133700", "935900")
MADE = {
    "session_id": "s-1",
    "client_token": TOKEN,
    "authorization_token": TOKEN,
    "status": "incomplete",
    "redirect_url": f"https://pay.example/{BODY}",
    "distribution_module": {"token": TOKEN},
    "order_id": "o-1",
    "something_new": BODY,
}
AROUND: dict[str, Callable[[HPPClient], Awaitable[object]]] = {
    "payment session": lambda client: client.create_payment_session(CART),
    "payment session again": lambda client: client.read_payment_session("kp-1"),
    "session": lambda client: client.create_session(
        "kp-1", extra={"new": BODY}, merchant_urls=MerchantURLs(status_update=f"https://shop.example/{BODY}-77aa31bb4c")
    ),
    "link": lambda client: client.distribute_session("s-1", Email(email=f"{BODY}@example.com")),
    "order": lambda client: client.place_order(TOKEN, CART),
    "order of an outcome": lambda client: client.place_order(
        Completed(session=Session(session_id="s-1", status=SessionStatus.COMPLETED, authorization_token=TOKEN)), CART
    ),
}


@pytest.mark.parametrize("answer", [*(name for name in ANSWERS if name != "another session"), "409", "204"])
@pytest.mark.parametrize("name", AROUND)
async def test_calls_around_a_wait_are_discreet(
    provider: ScriptedProvider,
    client: HPPClient,
    collector: Collector,
    caplog: pytest.LogCaptureFixture,
    name: str,
    answer: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("hpp_async").info("so that there is a record")
    found = {"409": httpx.Response(409, json=PROBLEM), "204": httpx.Response(204)}
    provider.answer_next(*[(ANSWERS | found)[answer]] * 3)
    try:
        collector.collect(await AROUND[name](client))
    except HPPError as error:
        collector.collect_error(error)
        assert_frames_are_discreet(error, *MARKERS, *AMOUNTS)
    collector.collect(CART, *CART.order_lines, CART.billing_address, CART.customer, client)
    collector.assert_discreet()
    assert [amount for amount in AMOUNTS if amount in caplog.text] == []


async def test_what_was_made_is_discreet(provider: ScriptedProvider, client: HPPClient, collector: Collector) -> None:
    logging.getLogger("hpp_async").info("so that there is a record")
    for name, call in AROUND.items():
        provider.answer_next(httpx.Response(200, json=MADE, headers={"Klarna-Correlation-Id": "c"}))
        made = await call(client)
        collector.collect(made)
        if isinstance(made, PaymentSession):
            collector.collect(made.to_dict(), attrs.asdict(made))
            assert made.client_token == made.authorization_token == TOKEN, name

    collector.assert_discreet()


@pytest.mark.parametrize("payment_session", ["https://api.klarna.com/payments/v1/sessions/kp-1", "kp-1"])
async def test_what_is_refused_with_extra_fields_is_in_no_frame(client: HPPClient, payment_session: str) -> None:
    with pytest.raises(HPPError) as caught:
        await client.create_session(payment_session, extra={"place_order_mode": BODY})

    assert_frames_are_discreet(caught.value, BODY)


async def test_what_is_refused_before_the_first_request_is_in_no_frame(client: HPPClient) -> None:
    with pytest.raises(HPPError) as caught:
        client.check_creation(extra={"place_order_mode": BODY})

    assert_frames_are_discreet(caught.value, BODY)


@pytest.mark.parametrize("payment", [f"{TOKEN}\n", f"{TOKEN}/..", Authorization(token=f"{TOKEN} ")])
async def test_a_token_that_is_refused_is_in_no_frame(client: HPPClient, payment: str | Authorization) -> None:
    with pytest.raises(HPPError) as caught:
        await client.place_order(payment, CART)

    assert_frames_are_discreet(caught.value, TOKEN)


# -- refused constructions -----------------------------------------------------------------------------------------

IN_ENVIRONMENT = {"HPP_USERNAME": "PK1_a", "HPP_PASSWORD": PASSWORD, "HPP_ENDPOINT": "EU_PLAYGROUND"}

REFUSED_AUTHS: dict[str, Any] = {
    "blank": PASSWORD + " ",
    "line break": ("PK1_a", PASSWORD + "\n"),
    "colon": ("a:b", PASSWORD),
    "not to be sent": ("a", f"{PASSWORD}\0"),
    "another environment": "klarna_live_" + PASSWORD,
    "another brand": ("K1_a", PASSWORD),
    "empty": ("", PASSWORD),
    "a list": ["PK1_a", PASSWORD],
    "three": ("PK1_a", PASSWORD, "x"),
    "no text": (7, PASSWORD),
}
REFUSED_OPTIONS: dict[str, Any] = {
    "endpoint": f"https://user:{PASSWORD}@api.klarna.com",
    "schedule": None,
    "attempts": 0,
    "http_client": "none",
    "timeout": 0,
    "outage_tolerance": -1,
    "budget": 50,
    "user_agent": "line\r\nbreak",
    "observers": None,
}
REFUSED_VARIABLES: dict[str, dict[str, str]] = {
    "no endpoint": {"HPP_ENDPOINT": ""},
    "another endpoint": {"HPP_ENDPOINT": "NOWHERE"},
    "line break": {"HPP_PASSWORD": f"{PASSWORD}\n"},
    "too much": {"HPP_API_KEY": PASSWORD},
    "no username": {"HPP_USERNAME": ""},
    "live": {"HPP_USERNAME": "K1_a"},
}
REFUSED_ENVIRONMENTS = {
    "HTTPS_PROXY": f"socks4://user:{PASSWORD}@proxy.example",
    "ALL_PROXY": f"http://user:{PASSWORD}@",
    "NO_PROXY": "[::1]",
    "SSL_CERT_FILE": "/nowhere",
}


def assert_frames_are_discreet(error: BaseException, *secrets: str) -> None:
    """No secret is in the error or in the locals of any frame of ours that it came through, as reporters print them."""
    secrets = (*secrets, PASSWORD, "UEs")
    assert [secret for secret in secrets if secret in f"{error!r} {error}"] == []
    seen = 0
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "hpp_async" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
            seen += 1
            # Without addresses: one in some thousands has the digits of an amount.
            shown = {name: re.sub(r" at 0x[0-9a-f]+", "", f"{value!r}") for name, value in frame.f_locals.items()}
            assert {name: text for name, text in shown.items() if any(secret in text for secret in secrets)} == {}
    assert seen
    traceback.TracebackException.from_exception(error, capture_locals=True)  # 3.11 stops at a repr that raises


@pytest.mark.parametrize("auth", REFUSED_AUTHS.values(), ids=REFUSED_AUTHS)
def test_refused_credentials_are_in_no_frame(auth: Any) -> None:
    with pytest.raises(HPPError) as caught:
        HPPClient(auth=auth, endpoint="EU_PLAYGROUND")

    assert_frames_are_discreet(caught.value)


@pytest.mark.parametrize("name", REFUSED_OPTIONS)
def test_credentials_are_in_no_frame_of_a_refused_option(name: str) -> None:
    options: dict[str, Any] = {"endpoint": "EU_PLAYGROUND", name: REFUSED_OPTIONS[name]}
    with pytest.raises((HPPError, TypeError)) as caught:
        HPPClient(auth=("PK1_a", PASSWORD), **options)

    if name != "endpoint":  # it is the argument itself that is refused, and its frame cannot be without it
        assert_frames_are_discreet(caught.value)


@pytest.mark.parametrize("variables", REFUSED_VARIABLES.values(), ids=REFUSED_VARIABLES)
def test_credentials_of_the_environment_are_in_no_frame(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    environ = IN_ENVIRONMENT | variables
    with pytest.raises(HPPError) as caught:
        HPPClient.from_env(environ)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(HPPError) as caught_as_well:
        HPPClient.from_env()

    assert_frames_are_discreet(caught.value)
    assert_frames_are_discreet(caught_as_well.value)


@pytest.mark.parametrize("name", REFUSED_ENVIRONMENTS)
def test_a_password_of_a_proxy_is_in_no_frame(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for proxy in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{PASSWORD}@proxy.example")
    monkeypatch.setenv(name, REFUSED_ENVIRONMENTS[name])
    with pytest.raises(HPPError) as caught:
        HPPClient(auth=("PK1_a", PASSWORD), endpoint="EU_PLAYGROUND")

    assert_frames_are_discreet(caught.value)


def test_a_client_that_was_refused_can_be_shown() -> None:
    assert repr(HPPClient.__new__(HPPClient)) == "<HPPClient, refused>"
