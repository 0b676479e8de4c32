# pyright: strict
"""
What people write who use the library, as its type hints see it.

mypy and pyright check this file, both strictly, and test_user_code.py runs it. A comment that expects an error is
itself an error where none is found: so the checkers prove what they refuse, too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final, assert_never, assert_type

import attrs
from aiohttp import web
from fastapi import FastAPI, Request

from hpp_async import (
    FINAL,
    Address,
    AnyOutcome,
    AnyStatus,
    AuthenticationError,
    Authorization,
    BudgetPaused,
    Cancelled,
    Completed,
    CreatedSession,
    DealFailed,
    Disabled,
    Distribution,
    Email,
    Endpoint,
    Errored,
    Event,
    Expired,
    Failed,
    Heartbeat,
    HPPClient,
    HPPError,
    LineType,
    MerchantURLs,
    Options,
    OrderLine,
    OrderRefusedError,
    OutageError,
    Outcome,
    OutcomeWait,
    PaymentCategory,
    PaymentSession,
    PlacedOrder,
    Placeholder,
    PlaceOrderMode,
    PurchaseOrder,
    ReadBudget,
    ReadFailed,
    ReadFinished,
    Session,
    SessionParked,
    SessionStatus,
    ShardsOwned,
    ShardTakenOver,
    Slept,
    Sms,
    Stopped,
    Transition,
    TransitionSeen,
    UnknownStatus,
    WaitDropped,
    WaitEnded,
    WaitStarted,
    WaitTimeoutError,
    WatchEvent,
    parse_callback,
)

# -- outcomes ----------------------------------------------------------------------------------------------------------


def booking(outcome: AnyOutcome) -> str:
    """Return what to do with the order."""
    match outcome:
        case Completed(payment=PlacedOrder(order_id=reference) | Authorization(token=reference)):
            assert_type(reference, str)
            return f"book {reference}"
        case Completed() | Expired(needs_attention=True):
            return "ask a person"
        case Failed() | Errored() | Stopped():
            return "keep open"
        case Cancelled() | Disabled() | Expired():
            return "release"
        case _ as never:
            assert_never(never)


def payment_of(outcome: Completed) -> str | None:
    match outcome.payment:
        case PlacedOrder(order_id=order_id, klarna_reference=reference):
            assert_type(reference, str | None)
            return order_id
        case Authorization(token=token):
            return token
        case None:
            return None
        case _ as never:
            assert_never(never)


def forgets_stopped(outcome: AnyOutcome) -> str:
    match outcome:
        case Completed() | Failed() | Cancelled() | Errored() | Disabled() | Expired():
            return "one of six"
        case _ as rest:
            assert_never(rest)  # type: ignore[arg-type]  # Stopped is missing


def is_an_outcome(news: Transition | AnyOutcome | HPPError) -> bool:
    if isinstance(news, Outcome):
        assert_type(news.status, AnyStatus)
        return True
    assert_type(news, Transition | HPPError)
    return False


# -- statuses ----------------------------------------------------------------------------------------------------------


def step_of(status: AnyStatus) -> int:
    """Return which step of a checkout's three lights up."""
    match status:
        case UnknownStatus():
            assert_type(status.is_final, bool)
            return 2
        case SessionStatus.WAITING:
            return 1
        case SessionStatus.IN_PROGRESS | SessionStatus.BACK | SessionStatus.MANUAL_ID_CHECK:
            return 2
        case SessionStatus.COMPLETED | SessionStatus.CANCELLED | SessionStatus.DISABLED:
            return 3
        case SessionStatus.FAILED | SessionStatus.ERROR:
            return 3
        case _ as never:
            assert_never(never)


LIGHTS: Final[Mapping[str, str]] = {SessionStatus.WAITING: "grey", SessionStatus.COMPLETED: "green", "NEW": "blue"}


def light_of(session: Session) -> str:
    return "blue" if session.status == "NEW" else LIGHTS.get(session.status, "white")


# -- a schedule of one's own, and an observer --------------------------------------------------------------------------


class EveryFewSeconds:
    """A schedule is whatever has this method."""

    def delay(self, session: Session, *, age: float, draw: float) -> float:
        return 3.0 if session.status.is_recognized else 3.0 + draw


@attrs.define
class Metrics:
    """An observer is whatever can be called with an event."""

    reads: int = 0
    late_by: float = 0.0
    endings: list[str] = attrs.field(factory=list[str])

    def __call__(self, event: Event) -> None:
        match event:
            case ReadFinished() | ReadFailed():
                self.reads += 1
            case Slept(late_by=late_by):
                self.late_by = max(self.late_by, late_by)
            case WaitEnded(ending=ending):
                self.endings.append(ending)
            case TransitionSeen() | BudgetPaused() | WaitStarted() | WaitDropped():
                pass
            case ShardsOwned() | ShardTakenOver() | DealFailed() | SessionParked():  # of a fleet
                pass
            case _ as never:
                assert_never(never)


def client_of(metrics: Metrics) -> HPPClient:
    return HPPClient(
        auth=("PK12345_abc", "secret"),
        endpoint=Endpoint.EU_PLAYGROUND,
        schedule=EveryFewSeconds(),
        observers=[metrics],
        budget=ReadBudget(25.0),
    )


# -- a worker ----------------------------------------------------------------------------------------------------------


def row_of(event: WatchEvent) -> tuple[str, str | None, str]:
    """Return what is stored of *event*: the session, its token, and where it is."""
    match event.news:
        case Transition(status=status):
            return event.session_id, event.token, status
        case Completed(payment=payment):
            return event.session_id, event.token, type(payment).__name__
        case Failed() | Cancelled() | Errored() | Disabled() | Expired() | Stopped() as outcome:
            return event.session_id, event.token, type(outcome).__name__
        case OutageError(token=token, latest=latest):
            assert_type(latest, Session | None)
            return event.session_id, token, "outage"
        case HPPError() as error:
            return event.session_id, event.token, type(error).__name__
        case _ as never:
            assert_never(never)


async def work(client: HPPClient, stored: Mapping[str, str | None]) -> list[tuple[str, str | None, str]]:
    async with client.watch(stored, stop_on=FINAL) as watch:
        return [row_of(event) async for event in watch]


# -- from cart to order ------------------------------------------------------------------------------------------------

CART: Final = PurchaseOrder(
    purchase_country="SE",
    purchase_currency="SEK",
    order_lines=[
        OrderLine(name="Running shoe", quantity=2, unit_price=1999, tax_rate=2500, type=LineType.PHYSICAL),
        OrderLine(name="Parcel", quantity=1, unit_price=490, tax_rate=2500, type=LineType.SHIPPING_FEE),
    ],
    locale="sv-SE",
    billing_address=Address(given_name="Åsa", country="SE"),
    extra={"new_field": {"a": 1}},
)


async def page_for(client: HPPClient, secret: str) -> CreatedSession:
    """Return the session of a payment page for the cart."""
    urls = MerchantURLs(
        success=f"https://shop.example/paid?sid={Placeholder.SESSION_ID}",
        status_update=f"https://shop.example/klarna/{secret}",
    )
    options = Options(
        place_order_mode=PlaceOrderMode.NONE,
        payment_method_categories=[PaymentCategory.PAY_NOW, PaymentCategory.PAY_LATER],
    )
    client.check_creation(merchant_urls=urls, options=options)
    payment_session = await client.create_payment_session(CART)
    assert_type(payment_session.client_token, str | None)
    session = await client.create_session(payment_session, merchant_urls=urls, options=options)
    assert_type(session.redirect_url, str | None)
    assert_type(CART.order_amount, int)
    return session


async def booked(client: HPPClient, session: CreatedSession | str) -> PlacedOrder | str:
    """Return the order, once it was paid and placed, or why there is none."""
    outcome = await client.wait_for_outcome(session)
    match outcome:
        case Completed(payment=PlacedOrder() as placed):
            return placed
        case Completed(payment=Authorization() as authorization):
            try:
                return await client.place_order(authorization, CART, auto_capture=False)
            except OrderRefusedError as error:
                return why_refused(error)
        case _:
            return "not paid"


async def is_placed(client: HPPClient, payment_session: PaymentSession | str) -> bool:
    """Tell whether an order was placed, where the answer was lost."""
    found = await client.read_payment_session(payment_session)
    assert_type(found.is_complete, bool | None)
    assert_type(found.authorization_token, str | None)
    return found.is_complete is not False


def why_refused(error: OrderRefusedError) -> str:
    match error.reason:
        case "expired" | "superseded" | "lapsed":
            return "ask again"
        case "used" | "mismatch":
            return "look for the order"
        case "rejected":
            return "another way to pay"
        case _ as never:
            assert_never(never)


async def send_link(client: HPPClient, session: CreatedSession, phone: str | None, address: str) -> None:
    way: Distribution = Email(email=address) if phone is None else Sms(phone=phone, phone_country="SE")
    await client.distribute_session(session, way)


async def watch_new(client: HPPClient, sessions: Sequence[CreatedSession]) -> list[str]:
    async with client.watch(sessions, stop_on=FINAL) as watch:
        return [event.session_id async for event in watch if isinstance(event.news, Completed)]


# -- handlers ----------------------------------------------------------------------------------------------------------


async def lines(wait: OutcomeWait) -> AsyncGenerator[str]:
    """Stream *wait*: one line of JSON an update, and the outcome."""
    async with contextlib.aclosing(wait.updates(heartbeat=15)) as updates:
        async for update in updates:
            match update:
                case Heartbeat():
                    yield "\n"
                case Transition():
                    yield json.dumps(update.to_dict()) + "\n"
                case _ as never:
                    assert_never(never)
    if wait.outcome is not None:
        yield json.dumps(wait.outcome.to_dict()) + "\n"


async def first_change(client: HPPClient, session: str) -> Transition:
    async with contextlib.aclosing(client.wait_for_outcome(session)) as wait:
        async for transition in wait:
            if transition.previous is not None:
                return transition
    raise LookupError(session)


def fastapi_shop(client: HPPClient) -> FastAPI:
    app = FastAPI()

    @app.get("/orders/{session_id}")
    async def show(session_id: str, wait: float = 0.0) -> dict[str, object]:
        try:
            outcome = await client.wait_for_outcome(session_id, timeout=wait)
        except WaitTimeoutError as error:
            return {"status": None if error.latest is None else error.latest.status, "token": error.token}
        return outcome.to_dict()

    @app.post("/klarna", status_code=204)
    async def called_back(request: Request) -> None:
        callback = parse_callback(await request.body())
        if callback.session_id is not None:
            client.notify(callback.session_id)

    @app.delete("/orders/{session_id}")
    async def give_up(session_id: str) -> dict[str, object]:
        outcome = await client.disable_session(session_id)
        assert_type(outcome, AnyOutcome | None)
        return {} if outcome is None else outcome.to_dict()

    _ = show, called_back, give_up  # FastAPI calls them
    return app


def aiohttp_shop(client: HPPClient) -> web.Application:
    async def show(request: web.Request) -> web.Response:
        try:
            session = await client.read_session(request.match_info["session_id"])
        except AuthenticationError as error:
            raise web.HTTPServiceUnavailable(text=error.error_code) from error
        return web.json_response(session.to_dict())

    app = web.Application()
    app.add_routes([web.get("/orders/{session_id}", show)])
    return app
