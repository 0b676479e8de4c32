"""From cart to order: what goes out, what comes of each answer, and what is never lost."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio
import httpx
import pytest
from support.histories import reading
from support.orders import CREATED, HOST, SECRET, callbacks, created, order, payment_session, placed, problem

from hpp_async import (
    AuthenticationError,
    Authorization,
    ClientClosedError,
    Completed,
    ConfigurationError,
    CreatedSession,
    Email,
    Endpoint,
    HPPClient,
    HPPError,
    MerchantURLs,
    NotProcessedError,
    Options,
    OrderRefusedError,
    PaymentSession,
    PlacedOrder,
    Placeholder,
    PlaceOrderMode,
    RateLimitedError,
    ReadBudget,
    ResponseError,
    ServerError,
    Session,
    SessionNotFoundError,
    Sms,
    TransportError,
    UnexpectedPayloadError,
)
from hpp_async.testing import Script, ScriptedProvider, VirtualClock, pays

pytestmark = pytest.mark.anyio

KEY: Final = "klarna-idempotency-key"
ORDER: Final = order()
Call = Callable[[HPPClient], Coroutine[Any, Any, object]]

CALLS: Final[dict[str, tuple[Call, str, Callable[[], httpx.Response]]]] = {
    "payment session": (
        lambda client: client.create_payment_session(ORDER),
        "/payments/v1/sessions",
        payment_session,
    ),
    "session": (lambda client: client.create_session("kp-1"), "/hpp/v1/sessions", created),
    "link": (
        lambda client: client.distribute_session("hpp-1", Email(email="a@example.com")),
        "/hpp/v1/sessions/hpp-1/distribution",
        lambda: httpx.Response(204),
    ),
    "order": (
        lambda client: client.place_order("tok-1", ORDER),
        "/payments/v1/authorizations/tok-1/order",
        placed,
    ),
}
"""Each call, the path that it goes to, and an answer."""

RETRIED: Final = ("payment session", "session", "order")


def sent(provider: ScriptedProvider) -> list[tuple[str, str]]:
    return [(request.method, request.url.path) for request in provider.requests]


def bodies(provider: ScriptedProvider) -> list[Any]:
    return [json.loads(request.content) for request in provider.requests]


# -- one order, from end to end ------------------------------------------------------------------------------------


async def test_from_cart_to_order(provider: ScriptedProvider) -> None:
    client = provider.client()
    provider.answer_next(payment_session(), created(), httpx.Response(204))
    paying = await client.create_payment_session(ORDER)
    session = await client.create_session(
        paying,
        merchant_urls=callbacks(success=f"https://shop.example/paid?sid={Placeholder.SESSION_ID}"),
        options=Options(place_order_mode=PlaceOrderMode.NONE),
        profile_id="profile",
        extra={"new": 1},
    )
    await client.distribute_session(session, Sms(phone="07000212345", phone_country="SE"))
    provider.add([(60, "COMPLETED", {"authorization_token": "tok-1"})], session_id="hpp-1")
    outcome = await client.wait_for_outcome(session)
    assert isinstance(outcome, Completed)
    provider.answer_next(placed())
    booked = await client.place_order(outcome, ORDER, auto_capture=True)

    assert isinstance(paying, PaymentSession)
    assert (paying.session_id, paying.correlation_id) == ("kp-1", "corr-1")
    assert isinstance(session, CreatedSession)
    assert (session.redirect_url, session.correlation_id) == (CREATED["redirect_url"], "corr-2")
    assert (booked.order_id, booked.fraud_status, booked.correlation_id) == ("ord-1", "ACCEPTED", "corr-3")
    posts = [request for request in provider.requests if request.method == "POST"]
    assert [request.url.path for request in posts] == [
        "/payments/v1/sessions",
        "/hpp/v1/sessions",
        "/hpp/v1/sessions/hpp-1/distribution",
        "/payments/v1/authorizations/tok-1/order",
    ]
    cart, page, link, again = (json.loads(request.content) for request in posts)
    assert again == cart | {"auto_capture": True}
    assert page["payment_session_url"] == f"{HOST}/payments/v1/sessions/kp-1"
    assert (page["options"], page["profile_id"], page["new"]) == ({"place_order_mode": "NONE"}, "profile", 1)
    assert link["contact_information"] == {"phone": "07000212345", "phone_country": "SE"}


@pytest.mark.parametrize("name", CALLS)
async def test_a_request_has_what_the_provider_wants(provider: ScriptedProvider, name: str) -> None:
    call, path, answer = CALLS[name]
    provider.answer_next(answer())
    await call(provider.client(user_agent="shop/1.0"))
    [request] = provider.requests

    assert (request.method, request.url.path) == ("POST", path)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(request.content))
    assert request.headers["authorization"].startswith("Basic ")
    assert request.headers["user-agent"].startswith("shop/1.0 hpp-async/")
    assert uuid.UUID(request.headers[KEY]).version == 4


# -- what is refused before anything is sent -----------------------------------------------------------------------

REFUSED: Final[dict[str, tuple[Call, str]]] = {
    "no order": (lambda client: client.create_payment_session({}), "order is a dict: give a PurchaseOrder"),  # type: ignore[arg-type]  # it is refused
    "another region": (
        lambda client: client.create_session("https://api.klarna.com/payments/v1/sessions/kp-1"),
        "the payment session is of EU_LIVE, and the endpoint of this client is EU_PLAYGROUND",
    ),
    "another client's": (
        lambda client: client.create_session(
            PaymentSession(session_id="kp-1", session_url="https://api-oc.klarna.com/payments/v1/sessions/kp-1")
        ),
        "the payment session is of OC_LIVE",
    ),
    "a placeholder": (
        lambda client: client.create_session(
            "kp-1", merchant_urls=MerchantURLs(success=f"https://shop.example/?o={Placeholder.ORDER_ID}")
        ),
        "it is never replaced",
    ),
    "the mode at top level": (
        lambda client: client.create_session("kp-1", extra={"place_order_mode": "PLACE_ORDER"}),
        "it belongs into options",
    ),
    "a link": (
        lambda client: client.distribute_session("hpp-1", "a@example.com"),  # type: ignore[arg-type]  # it is refused
        "distribution is a str: give an Email, Sms, TwoWaySms or TokenAccess",
    ),
    "a link elsewhere": (
        lambda client: client.distribute_session("https://x.example/hpp/v1/sessions/s", Email(email="a@example.com")),
        "is not on this client's endpoint",
    ),
    "no payment": (
        lambda client: client.place_order(Completed(session=reading("COMPLETED", order_id="o-1")), ORDER),
        "payment: the provider has placed the order already",
    ),
    "no order to place": (lambda client: client.place_order("tok-1", None), "order is a NoneType"),  # type: ignore[arg-type]  # it is refused
    "capture": (
        lambda client: client.place_order("tok-1", ORDER, auto_capture="yes"),  # type: ignore[arg-type]  # it is refused
        "auto_capture: give True or False",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_work_is_not_sent(provider: ScriptedProvider, name: str) -> None:
    call, said = REFUSED[name]
    with pytest.raises(ConfigurationError) as caught:
        await call(provider.client())

    assert said in str(caught.value)
    assert sent(provider) == []


CREATIONS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "a placeholder": (
        {"merchant_urls": MerchantURLs(success="https://s.example/{{order_id}}")},
        "it is never replaced",
    ),
    "a callback to this machine": (
        {"merchant_urls": callbacks(f"http://localhost/{SECRET}")},
        "MerchantURLs.status_update: it is an http URL of this machine, which the provider cannot call: give https",
    ),
    "no URLs": ({"merchant_urls": "https://shop.example"}, "merchant_urls is a str: give MerchantURLs(…)"),
    "no options": ({"options": {"place_order_mode": "NONE"}}, "options is a dict: give Options(…)"),
    "no profile": ({"profile_id": 1}, "profile_id is a int: give text"),
    "the mode at top level": ({"extra": {"place_order_mode": "PLACE_ORDER"}}, "it belongs into options"),
}


@pytest.mark.parametrize("name", CREATIONS)
async def test_what_create_session_refuses_can_be_refused_before_there_is_a_payment_session(
    provider: ScriptedProvider, name: str
) -> None:
    client, (given, said) = provider.client(), CREATIONS[name]
    with pytest.raises(ConfigurationError) as before:
        client.check_creation(**given)
    with pytest.raises(ConfigurationError) as after:
        await client.create_session("kp-1", **given)

    assert said in str(before.value)
    assert str(before.value) == str(after.value)
    assert sent(provider) == []


@pytest.mark.parametrize(
    ("endpoint", "options", "placeholder"),
    [
        (Endpoint.EU_PLAYGROUND, None, Placeholder.AUTHORIZATION_TOKEN),
        (Endpoint.EU_PLAYGROUND, Options(place_order_mode=PlaceOrderMode.PLACE_ORDER), Placeholder.ORDER_ID),
        (Endpoint.KUSTOM_PLAYGROUND, None, Placeholder.ORDER_ID),
    ],
)
async def test_what_create_session_takes_is_not_refused_before(
    clock: VirtualClock, endpoint: Endpoint, options: Options | None, placeholder: Placeholder
) -> None:
    provider = ScriptedProvider(clock, endpoint=endpoint)
    urls = callbacks(success=f"https://shop.example/{placeholder}")

    provider.client().check_creation(merchant_urls=urls, options=options, profile_id=None, extra={"new": 1})

    assert sent(provider) == []


@pytest.mark.parametrize("name", ["payment session", "session", "order"])
async def test_kustom_has_no_payment_sessions_and_no_orders_to_place(clock: VirtualClock, name: str) -> None:
    provider = ScriptedProvider(clock, endpoint=Endpoint.KUSTOM_PLAYGROUND)
    with pytest.raises(ConfigurationError, match="Kustom does not have a payment session"):
        await CALLS[name][0](provider.client())

    assert sent(provider) == []


async def test_kustom_has_sessions_for_checkout_orders(clock: VirtualClock) -> None:
    provider = ScriptedProvider(clock, endpoint=Endpoint.KUSTOM_PLAYGROUND)
    provider.answer_next(created(), httpx.Response(204))
    client = provider.client()
    url = "https://api.playground.kustom.co/checkout/v3/orders/o-1"
    session = await client.create_session(url)
    await client.distribute_session(session, Email(email="a@example.com"))

    assert bodies(provider)[0] == {"payment_session_url": url}
    assert provider.requests[1].url.host == "api.playground.kustom.co", "the URL of the answer is of another host"


# -- answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status_code", "kind"),
    [
        (400, ResponseError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, SessionNotFoundError),
        (409, ResponseError),
        (418, ResponseError),
    ],
)
@pytest.mark.parametrize("name", ["payment session", "session", "link"])
async def test_a_refusal_is_raised_at_once(
    provider: ScriptedProvider, name: str, status_code: int, kind: type[ResponseError]
) -> None:
    provider.answer_next(problem(status_code, "BAD_VALUE", "Bad value: order_lines[0].name"))
    with pytest.raises(kind) as caught:
        await CALLS[name][0](provider.client())

    error = caught.value
    assert (error.status_code, error.error_code, error.correlation_id) == (status_code, "BAD_VALUE", "corr-4")
    assert error.error_messages == ("Bad value: order_lines[0].name",)
    assert error.session_id == ("hpp-1" if name == "link" else None)
    assert "order_lines" not in str(error)
    assert len(provider.requests) == 1


async def test_advice_fits_the_call(provider: ScriptedProvider) -> None:
    provider.answer_next(*(problem(404, "NOT_FOUND") for _ in range(2)), problem(400, "BAD_VALUE"))
    client = provider.client()
    said: list[str] = []
    for name in ("session", "link", "payment session"):
        with pytest.raises(ResponseError) as caught:
            await CALLS[name][0](client)
        said.append(str(caught.value))

    assert said == [
        "new session: 404 NOT_FOUND: the payment session has expired, or is unknown to this region, environment and "
        "merchant: create another one, and the session with it (correlation id corr-4)",
        "link to session hpp-1: 404 NOT_FOUND: expired, or unknown to this region, environment and merchant "
        "(correlation id corr-4)",
        "payment session: 400 BAD_VALUE: the provider refuses a field; error_messages names it (correlation id corr-4)",
    ]


async def test_a_payment_session_that_has_an_order_is_not_to_be_paid_again(provider: ScriptedProvider) -> None:
    provider.answer_next(problem(404, "SESSION_COMPLETED"))
    with pytest.raises(ResponseError) as caught:
        await CALLS["session"][0](provider.client())

    assert "the payment session has an order already: look for that order" in str(caught.value)
    assert "create another one" not in str(caught.value)


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, text="<html>"), httpx.Response(200, json={}), httpx.Response(204)]
)
@pytest.mark.parametrize("name", RETRIED)
async def test_an_answer_that_names_nothing_is_asked_for_again(
    provider: ScriptedProvider, name: str, answer: httpx.Response
) -> None:
    call, _, good = CALLS[name]
    provider.answer_next(answer, good())
    await call(provider.client())
    provider.answer_next(*[answer] * 3)
    with pytest.raises(UnexpectedPayloadError) as caught:
        await call(provider.client())

    assert caught.value.session_id is None
    assert len(provider.requests) == 5


async def test_a_huge_answer_is_unexpected(provider: ScriptedProvider) -> None:
    provider.answer_next(httpx.Response(200, content=b"{" + b" " * 1024 * 1024))
    with pytest.raises(UnexpectedPayloadError, match="more than 1048576 bytes"):
        await provider.client(attempts=1).create_payment_session(ORDER)


# -- what is asked again -------------------------------------------------------------------------------------------

TRANSIENT: Final[dict[str, int | Exception]] = {
    "408": 408,
    "425": 425,
    "429": 429,
    "500": 500,
    "503": 503,
    "refused": httpx.ConnectError("refused"),
    "silence": httpx.ReadTimeout("silence"),
    "dropped": httpx.RemoteProtocolError("Server disconnected"),
}
RAISED: Final = (NotProcessedError, RateLimitedError, ServerError, TransportError)


@pytest.mark.parametrize("failure", TRANSIENT)
@pytest.mark.parametrize("name", RETRIED)
async def test_what_may_pass_is_asked_again_with_the_same_body(
    provider: ScriptedProvider, name: str, failure: str
) -> None:
    call, path, answer = CALLS[name]
    provider.answer_next(TRANSIENT[failure], TRANSIENT[failure], answer())
    await call(provider.client())

    assert sent(provider) == [("POST", path)] * 3
    assert len({request.content for request in provider.requests}) == 1
    # A provider that heeds keys repeats its answer to a key, even an error; without an answer, it may have been done.
    is_answered = isinstance(TRANSIENT[failure], int)
    assert len({request.headers[KEY] for request in provider.requests}) == (3 if is_answered else 1)


@pytest.mark.parametrize("first", [500, httpx.Response(200, text="<html>"), httpx.ReadTimeout("silence")])
@pytest.mark.parametrize("name", RETRIED)
async def test_a_provider_that_repeats_its_answer_to_a_key_does_not_repeat_an_error_for_ever(
    provider: ScriptedProvider, name: str, first: int | httpx.Response | Exception
) -> None:
    answers: dict[str, int | httpx.Response | Exception] = {}
    call, _, good = CALLS[name]
    follow = iter([first])

    class Replaying(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            key = request.headers[KEY]
            if key not in answers:
                answer = next(follow, None)
                # After silence, the provider has done what it was asked to do, and repeats that.
                answers[key] = good() if answer is None or isinstance(answer, Exception) else answer
                provider.answer_next(answers[key] if answer is None else answer)
            else:
                provider.answer_next(answers[key])
            return await provider.handle_async_request(request)

    client = provider.client(http_client=httpx.AsyncClient(transport=Replaying()), attempts=2)
    await call(client)

    assert len(provider.requests) == 2


@pytest.mark.parametrize("failure", TRANSIENT)
async def test_a_link_is_sent_once_whatever_happens(provider: ScriptedProvider, failure: str) -> None:
    provider.answer_next(TRANSIENT[failure])
    with pytest.raises(RAISED):
        await CALLS["link"][0](provider.client())

    assert len(provider.requests) == 1


@pytest.mark.parametrize("name", RETRIED)
async def test_after_the_last_attempt_it_is_raised(provider: ScriptedProvider, name: str) -> None:
    provider.answer_next(503, 503)
    with pytest.raises(ServerError):
        await CALLS[name][0](provider.client(attempts=2))

    assert len(provider.requests) == 2


async def test_every_call_has_a_key_of_its_own(provider: ScriptedProvider) -> None:
    client = provider.client()
    for _ in range(2):
        for call, _, answer in CALLS.values():
            provider.answer_next(answer())
            await call(client)
    keys = [request.headers[KEY] for request in provider.requests]

    assert len(set(keys)) == len(keys), "even for the same order: the provider knows it by its token"


# -- placing -------------------------------------------------------------------------------------------------------


def authorized(clock: VirtualClock, age: timedelta) -> Completed:
    """Return an outcome whose token was handed out so long ago."""
    updated_at = clock.provider_time() - age
    return Completed(
        session=Session(session_id="s", status="COMPLETED", authorization_token="tok-1", updated_at=updated_at)
    )


@pytest.mark.parametrize(
    ("age", "answer", "reason", "said"),
    [
        (timedelta(minutes=61), problem(404, "NOT_FOUND"), "expired", "has expired, as it lives 60 minutes"),
        (timedelta(minutes=5), problem(404, "NOT_FOUND"), "superseded", "a newer one replaced it"),
        (timedelta(minutes=5), problem(403, "INVALID_OPERATION"), "used", "an order was placed already, with"),
        (timedelta(minutes=5), problem(404, "SESSION_COMPLETED"), "used", "an order was placed already, with"),
        (timedelta(minutes=5), problem(403, "REJECTED"), "rejected", "ask the consumer for another way to pay"),
        (timedelta(minutes=5), problem(409, "BAD_VALUE"), "mismatch", "place that very order"),
    ],
)
async def test_a_token_that_is_not_taken_says_why(
    provider: ScriptedProvider, clock: VirtualClock, age: timedelta, answer: httpx.Response, reason: str, said: str
) -> None:
    outcome = authorized(clock, age)
    provider.answer_next(answer)
    with pytest.raises(OrderRefusedError) as caught:
        await provider.client().place_order(outcome, ORDER)

    assert (caught.value.reason, caught.value.session_id) == (reason, outcome.session.session_id)
    assert said in str(caught.value)
    assert len(provider.requests) == 1


async def test_the_provider_tells_the_time(provider: ScriptedProvider, clock: VirtualClock) -> None:
    payment = Authorization(token="tok-1", expires_at=clock.provider_time() + timedelta(hours=1))
    late = {"Date": "Thu, 15 Jan 2026 14:00:00 GMT"}
    provider.answer_next(httpx.Response(404, headers=late))
    with pytest.raises(OrderRefusedError) as caught:
        await provider.client().place_order(payment, ORDER)

    assert caught.value.reason == "expired"
    assert caught.value.read_at == datetime(2026, 1, 15, 14, tzinfo=UTC)


async def test_of_a_bare_token_it_is_not_known_which(provider: ScriptedProvider) -> None:
    provider.answer_next(problem(404, "NOT_FOUND"))
    with pytest.raises(OrderRefusedError) as caught:
        await provider.client().place_order("tok-1", ORDER)

    assert (caught.value.reason, caught.value.session_id) == ("lapsed", None)


@pytest.mark.parametrize(
    "answer", [problem(401, "UNAUTHORIZED"), problem(403, "MERCHANT_INACTIVE"), httpx.Response(403, text="<html>")]
)
async def test_who_may_not_place_orders_is_another_matter(provider: ScriptedProvider, answer: httpx.Response) -> None:
    provider.answer_next(answer)
    with pytest.raises(AuthenticationError, match="check credentials, region and environment"):
        await provider.client().place_order("tok-1", ORDER)


async def test_a_token_that_seems_old_is_sent_all_the_same(provider: ScriptedProvider, clock: VirtualClock) -> None:
    provider.answer_next(placed())
    booked = await provider.client().place_order(authorized(clock, timedelta(hours=5)), ORDER)

    assert booked.order_id == "ord-1"  # it was placed in time, and the answer was lost


async def test_the_provider_may_have_placed_the_order(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "COMPLETED")], place_order_mode="PLACE_ORDER")
    outcome = await provider.client().wait_for_outcome(session)
    assert isinstance(outcome, Completed)

    assert isinstance(outcome.payment, PlacedOrder)
    assert outcome.payment.is_accepted is None


# -- whether an order was placed -----------------------------------------------------------------------------------


async def test_a_payment_session_says_whether_an_order_was_placed(provider: ScriptedProvider) -> None:
    client = provider.client()
    paying = await client.create_payment_session(ORDER)
    provider.model.consumer = Script(pays(after=0))
    outcome = await client.wait_for_outcome(await client.create_session(paying))
    assert isinstance(outcome, Completed)
    before = await client.read_payment_session(paying)
    await client.place_order(outcome, ORDER)
    after = await client.read_payment_session(paying.session_id)

    assert (before.is_complete, before.authorization_token) == (False, outcome.session.authorization_token)
    assert (after.is_complete, after.authorization_token) == (True, None)
    assert (after.session_id, after.session_url) == (paying.session_id, paying.session_url)
    assert before.expires_at == after.expires_at is not None


@pytest.mark.parametrize("failure", [*TRANSIENT, "no status"])
async def test_a_read_of_a_payment_session_is_tried_again(provider: ScriptedProvider, failure: str) -> None:
    answer = (TRANSIENT | {"no status": httpx.Response(200, json={})})[failure]
    provider.answer_next(answer, answer, httpx.Response(200, json={"status": "complete"}))
    session = await provider.client().read_payment_session("kp-1")

    assert session.is_complete
    assert sent(provider) == [("GET", "/payments/v1/sessions/kp-1")] * 3


async def test_a_payment_session_that_is_gone_says_nothing(provider: ScriptedProvider) -> None:
    provider.answer_next(problem(404, "NOT_FOUND"))
    with pytest.raises(
        SessionNotFoundError, match="payment session kp-1: 404 NOT_FOUND: expired, or unknown"
    ) as caught:
        await provider.client().read_payment_session("kp-1")

    assert caught.value.session_id is None  # that is the id of a session of the payment page


# -- cancellation, closing, event loops ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("payment session", "payment session kp-1 was created after the caller was cancelled"),
        ("session", "session hpp-1 was created after the caller was cancelled"),
        ("link", "the link to session hpp-1 was sent after the caller was cancelled"),
        ("order", "order ord-1 was placed after the caller was cancelled"),
    ],
)
async def test_what_was_made_for_a_cancelled_caller_is_logged_with_its_id(
    provider: ScriptedProvider, clock: VirtualClock, caplog: pytest.LogCaptureFixture, name: str, said: str
) -> None:
    caplog.set_level(logging.INFO, "hpp_async")
    call, _, answer = CALLS[name]
    provider.latency = 2.0
    provider.answer_next(answer())
    client = provider.client()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, client)
            await clock.sleep(1.0)
            assert repr(client).endswith(", 1 in flight>")
            scope.cancel()
    await clock.sleep(2.0)

    assert caplog.messages == [said]
    assert len(provider.requests) == 1


@pytest.mark.parametrize("name", CALLS)
async def test_a_closed_client_sends_nothing(provider: ScriptedProvider, name: str) -> None:
    client = provider.client()
    await client.aclose()
    with pytest.raises(ClientClosedError):
        await CALLS[name][0](client)

    assert sent(provider) == []


@pytest.mark.parametrize("name", CALLS)
async def test_closing_ends_it(provider: ScriptedProvider, clock: VirtualClock, name: str) -> None:
    client = provider.client()
    provider.latency = 5.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_is_closed, CALLS[name][0](client))
        await clock.sleep(1.0)
        await client.aclose()

    assert clock.now() == pytest.approx(1.0)


async def _is_closed(call: Awaitable[object]) -> None:
    with pytest.raises(ClientClosedError, match="it may be done"):
        await call


@pytest.mark.parametrize("name", CALLS)
def test_a_client_that_outlives_its_loop_goes_on_in_the_next(name: str) -> None:
    call, _, answer = CALLS[name]
    provider = ScriptedProvider(VirtualClock())
    client = provider.client(budget=ReadBudget(100.0, max_in_flight=1))
    provider.latency = 2.0

    async def leave() -> None:
        with anyio.move_on_after(0.0):
            await call(client)

    async def again() -> object:
        provider.latency = 0.0
        provider.answer_next(answer())
        return await call(client)

    for _ in range(3):
        anyio.run(leave)
        anyio.run(again)


# -- budgets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("endpoint", "seconds"), [(Endpoint.EU_LIVE, 1.5), (Endpoint.EU_PLAYGROUND, 12.0)])
@pytest.mark.parametrize("name", ["payment session", "session"])
async def test_creates_have_a_budget_of_their_own(
    clock: VirtualClock, endpoint: Endpoint, seconds: float, name: str
) -> None:
    provider = ScriptedProvider(clock, endpoint=endpoint, auth=("K1_a" if endpoint.is_live else "PK1_a", "x"))
    client = provider.client(budget=ReadBudget(0.001))
    provider.answer_next(*(CALLS[name][2]() for _ in range(60)))
    async with anyio.create_task_group() as tasks:
        for _ in range(60):
            tasks.start_soon(CALLS[name][0], client)

    assert len(provider.requests) == 60
    assert clock.now() == pytest.approx(seconds, abs=0.5)


async def test_the_two_kinds_of_sessions_are_counted_apart(provider: ScriptedProvider, clock: VirtualClock) -> None:
    client = provider.client()
    provider.answer_next(*(payment_session() for _ in range(5)))
    for _ in range(5):
        await client.create_payment_session(ORDER)
    at = clock.now()
    provider.answer_next(created())
    await client.create_session("kp-1")

    assert clock.now() == at


async def test_a_429_on_a_create_does_not_pause_the_reads(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add()
    client = provider.client(attempts=1)
    provider.answer_next(httpx.Response(429, headers={"Retry-After": "30"}))
    with pytest.raises(RateLimitedError):
        await client.create_payment_session(ORDER)
    await client.read_session(session)
    assert clock.now() == pytest.approx(0.0)
    provider.answer_next(payment_session())
    await client.create_payment_session(ORDER)

    assert clock.now() == pytest.approx(30.0, abs=1.0)


@pytest.mark.parametrize("name", ["link", "order"])
async def test_links_and_orders_are_counted_with_the_reads(
    provider: ScriptedProvider, clock: VirtualClock, name: str
) -> None:
    client = provider.client(budget=ReadBudget(0.1))
    await client.read_session(provider.add())
    provider.answer_next(CALLS[name][2]())
    await CALLS[name][0](client)

    assert clock.now() == pytest.approx(10.0)


# -- what create_session returned is a session ---------------------------------------------------------------------


async def test_a_created_session_is_taken_wherever_a_session_is(provider: ScriptedProvider) -> None:
    provider.add(session_id="hpp-1")
    session = CreatedSession(session_id="hpp-1", session_url="https://elsewhere.example/hpp/v1/sessions/hpp-1")
    async with provider.client() as client:
        assert (await client.read_session(session)).session_id == "hpp-1"
        async with contextlib.aclosing(client.wait_for_outcome(session)) as wait:
            assert wait.session_id == "hpp-1"
        assert not client.notify(session)
        async with client.watch([session], forever=True) as watch:
            assert (await anext(watch)).session_id == "hpp-1"
            assert client.notify(session)
            watch.add(session)
            assert len(watch) == 1
            watch.discard(session)
            assert len(watch) == 0
        assert await client.disable_session(session) is None


async def test_a_session_whose_id_could_be_anything_is_refused(provider: ScriptedProvider) -> None:
    session = CreatedSession(session_id="../x", session_url="x")
    with pytest.raises(ConfigurationError):
        await provider.client().read_session(session)


@pytest.mark.parametrize(("first", "is_loaded"), [("hpp_async.PurchaseOrder", True), ("0", False)])
def test_what_calls_need_is_loaded_with_the_client_if_the_models_are(first: str, is_loaded: bool) -> None:
    make = "hpp_async.HPPClient(auth=('PK1_a', 'x'), endpoint='EU_PLAYGROUND')"
    code = f"import sys, hpp_async; {first}; {make}; print('hpp_async._http.payloads' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == f"{is_loaded}\n"


def test_all_errors_are_ours() -> None:
    assert issubclass(OrderRefusedError, HPPError)
