"""What a cart, a page and a link are made of: what is refused names the field and the fix, and shows no value."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from support.orders import SECRET, callbacks, line, order

import hpp_async
from hpp_async import (
    AcquiringChannel,
    Address,
    Attachment,
    BackgroundImage,
    ConfigurationError,
    Email,
    Intent,
    LineType,
    MerchantURLs,
    Options,
    OrderCustomer,
    OrderLine,
    OrderURLs,
    PaymentCategory,
    PlaceOrderMode,
    ProductIdentifiers,
    PurchaseOrder,
    Sms,
    Subscription,
    SubscriptionInterval,
    TokenAccess,
    TwoWaySms,
    WidgetOptions,
)
from hpp_async._core.orders.checks import Model

API: Final = Path(__file__).parents[2].parent / "shared" / "data"

NEEDED: Final[dict[type[Model], dict[str, Any]]] = {
    Address: {},
    Attachment: {"body": "{}"},
    BackgroundImage: {"url": "https://shop.example/b.png"},
    Email: {"email": "a@example.com"},
    MerchantURLs: {},
    Options: {},
    OrderCustomer: {},
    OrderLine: {"name": "Running shoe", "quantity": 2, "unit_price": 1999, "tax_rate": 2500},
    OrderURLs: {},
    ProductIdentifiers: {},
    PurchaseOrder: {"purchase_country": "SE", "purchase_currency": "SEK", "order_lines": [line()]},
    Sms: {"phone": "07000212345", "phone_country": "SE"},
    Subscription: {"name": "Coffee", "interval": SubscriptionInterval.MONTH, "interval_count": 1},
    TokenAccess: {"access_id": "278352"},
    TwoWaySms: {"phone": "07000212345", "phone_country": "SE"},
    WidgetOptions: {},
}
"""Each model, and the fields without which it is refused."""


def make(model: type[Model], **fields: Any) -> Model:
    return model(**(NEEDED[model] | fields))


REFUSED: Final[dict[str, tuple[type[Model], dict[str, Any], str]]] = {
    "no name": (OrderLine, {"name": ""}, "OrderLine.name: give text that is not empty, or leave it out"),
    "name is no text": (OrderLine, {"name": 7}, "OrderLine.name: give text; its type is int"),
    "long name": (OrderLine, {"name": "x" * 256}, "OrderLine.name: give at most 255 characters"),
    "half a letter": (OrderLine, {"name": "\ud83d"}, "lone surrogate"),
    "long reference": (OrderLine, {"reference": "x" * 256}, "OrderLine.reference: give at most 255 characters"),
    "long unit": (OrderLine, {"quantity_unit": "kilograms"}, "OrderLine.quantity_unit: give at most 8 characters"),
    "unknown type": (OrderLine, {"type": "phsyical"}, "OrderLine.type: give one of physical, discount, shipping_fee"),
    "identifiers": (OrderLine, {"product_identifiers": {}}, "give it as ProductIdentifiers(…); its type is dict"),
    "country": (PurchaseOrder, {"purchase_country": "Sweden"}, "PurchaseOrder.purchase_country: give two letters"),
    "currency": (PurchaseOrder, {"purchase_currency": "kr"}, "PurchaseOrder.purchase_currency: give three letters"),
    "locale": (PurchaseOrder, {"locale": "sv_SE"}, "PurchaseOrder.locale: give language and region, such as 'sv-SE'"),
    "no lines": (PurchaseOrder, {"order_lines": []}, "PurchaseOrder.order_lines: give 1 to 1000 OrderLines"),
    "many lines": (PurchaseOrder, {"order_lines": [line()] * 1001}, "give 1 to 1000 OrderLines"),
    "one line": (PurchaseOrder, {"order_lines": line()}, "give a list of OrderLines; its type is OrderLine"),
    "lines by name": (PurchaseOrder, {"order_lines": {"a": line()}}, "give a list of OrderLines; its type is dict"),
    "lines as text": (PurchaseOrder, {"order_lines": "ab"}, "give a list of OrderLines; its type is str"),
    "line as a mapping": (PurchaseOrder, {"order_lines": [{"name": "x"}]}, "give it as OrderLine(…); its type is dict"),
    "line among others": (
        PurchaseOrder,
        {"order_lines": [line(), None]},
        "give it as OrderLine(…); its type is NoneType",
    ),
    "ids": (PurchaseOrder, {"custom_payment_method_ids": "a"}, "give a list of ids; its type is str"),
    "address": (PurchaseOrder, {"billing_address": "Main Street 1"}, "give it as Address(…); its type is str"),
    "intent": (PurchaseOrder, {"intent": "BUY"}, "PurchaseOrder.intent: give one of buy, tokenize, buy_and_tokenize"),
    "colour": (WidgetOptions, {"color_text": "red"}, "WidgetOptions.color_text: give a colour such as '#FF9900'"),
    "postal code": (Address, {"postal_code": "123 45 678 90"}, "Address.postal_code: give at most 10 characters"),
    "address country": (Address, {"country": "SWE"}, "Address.country: give two letters"),
    "birthday": (OrderCustomer, {"date_of_birth": "31.12.1978"}, "OrderCustomer.date_of_birth: give a date as YYYY-MM"),
    "ssn": (OrderCustomer, {"last_four_ssn": "12"}, "OrderCustomer.last_four_ssn: give four digits, or all nine"),
    "interval": (Subscription, {"interval": "DECADE"}, "Subscription.interval: give one of DAY, WEEK, MONTH, YEAR"),
    "interval count": (
        Subscription,
        {"interval_count": 0},
        "Subscription.interval_count: give a whole number",
    ),
    "category and categories": (
        Options,
        {"payment_method_category": "PAY_NOW", "payment_method_categories": ["PAY_LATER"]},
        "Options.payment_method_category: it is given together with payment_method_categories",
    ),
    "small letters": (Options, {"payment_method_category": "pay_now"}, "give one of DIRECT_DEBIT"),
    "mode": (Options, {"place_order_mode": "PLACE"}, "give one of NONE, PLACE_ORDER, CAPTURE_ORDER"),
    "subtotal": (Options, {"show_subtotal_detail": "SHOW"}, "Options.show_subtotal_detail: give 'HIDE'"),
    "image": (
        Options,
        {"background_images": ["https://shop.example/b.png"]},
        "give it as BackgroundImage(…); its type",
    ),
    "back and cancel": (
        MerchantURLs,
        {"back": "https://shop.example/back", "cancel": "https://shop.example/cancel"},
        "MerchantURLs.cancel: it is given together with back, and the page has one button: leave one of the two out",
    ),
    "sms without a country": (Sms, {"phone_country": ""}, "Sms.phone_country: give the country of the number"),
    "two-way sms": (TwoWaySms, {"phone_country": "Sweden"}, "TwoWaySms.phone_country: give the country of the number"),
    "phone": (Sms, {"phone": "call me"}, "Sms.phone: give a phone number"),
    "mail": (Email, {"email": "test.example.com"}, "Email.email: give an address such as"),
    "extra twice": (PurchaseOrder, {"extra": {"order_amount": 1}}, "extra: it has order_amount, which is sent already"),
    "extra is a list": (OrderLine, {"extra": ["x"]}, "OrderLine.extra: give a mapping from names to what JSON has"),
    "extra has a date": (OrderLine, {"extra": {"x": object()}}, "give a mapping from names to what JSON has"),
    "extra has numbers as names": (OrderLine, {"extra": {1: "x"}}, "give a mapping from names to what JSON has"),
    "extra has no number": (OrderLine, {"extra": {"x": [float("nan")]}}, "give a mapping from names to what JSON has"),
    "extra has half a letter": (OrderLine, {"extra": {"x": {"\ud83d": 1}}}, "give a mapping from names to what JSON"),
    "extra has a huge number": (OrderLine, {"extra": {"x": 2**53}}, "give a mapping from names to what JSON has"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_field_and_the_fix(name: str) -> None:
    model, fields, said = REFUSED[name]
    with pytest.raises(ConfigurationError) as caught:
        make(model, **fields)

    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{model.__name__}.")


def test_an_sms_needs_the_country_that_was_left_out() -> None:
    with pytest.raises(ConfigurationError, match=r"Sms\.phone_country: give the country of the number.* such as 'SE'"):
        Sms(phone="07000212345")


@pytest.mark.parametrize("model", NEEDED)
def test_a_model_shows_no_field(model: type[Model]) -> None:
    made = make(model)
    values: tuple[object, ...] = attrs.astuple(made, recurse=False)  # type: ignore[arg-type]  # they are attrs'
    texts = [str(value) for value in values if value]

    assert repr(made) in (f"<{model.__name__}>", "<PurchaseOrder of 1 line>")
    assert [text for text in texts if text in repr(made)] == []
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == made
    assert repr(model.__new__(model)) in (f"<{model.__name__}>", "<PurchaseOrder of 0 lines>")


@pytest.mark.parametrize("model", NEEDED)
def test_a_model_is_frozen(model: type[Model]) -> None:
    made = make(model)
    field = attrs.fields(model)[0].name  # type: ignore[arg-type]  # they are attrs'
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(made, field, None)


def test_an_order_says_how_many_lines_it_has() -> None:
    assert repr(order(line(), line())) == "<PurchaseOrder of 2 lines>"


@pytest.mark.parametrize(
    "refused",
    [
        lambda: Address(given_name="Gudrun-marker", country="Gudrun-marker"),
        lambda: OrderLine(name="Gudrun-marker", quantity=1),  # type: ignore[call-arg]  # the price is missing
        lambda: order(merchant_reference1="Gudrun-marker", order_amount=1),
        lambda: Email(email="Gudrun-marker"),
    ],
)
def test_what_is_refused_is_in_no_frame(refused: Callable[[], object]) -> None:
    with pytest.raises((ConfigurationError, TypeError)) as caught:
        refused()

    seen = 0
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if "/hpp_async/" in frame.f_code.co_filename or "attrs generated" in frame.f_code.co_filename:
            seen += 1
            assert "Gudrun-marker" not in repr(frame.f_locals)
    assert seen
    assert "Gudrun-marker" not in f"{caught.value} {caught.value.__context__}"


def test_members_may_be_given_as_text() -> None:
    assert line(type="digital") == line(type=LineType.DIGITAL)
    assert order(acquiring_channel="IN_STORE", intent="buy") == order(
        acquiring_channel=AcquiringChannel.IN_STORE, intent=Intent.BUY
    )
    assert Options(place_order_mode="NONE") == Options(place_order_mode=PlaceOrderMode.NONE)  # type: ignore[arg-type]  # text
    assert Options(payment_method_categories=["KLARNA"]) == Options(  # type: ignore[list-item]  # text
        payment_method_categories=(PaymentCategory.KLARNA,)
    )


def test_extra_is_the_models_own() -> None:
    given: dict[str, Any] = {"new_field": {"a": [1, 2.5, None, True, "x"], "b": (1,)}}
    made = order(extra=given)
    given["new_field"]["a"].append(3)
    given["another"] = 1

    assert made.extra == {"new_field": {"a": [1, 2.5, None, True, "x"], "b": [1]}}


def test_extra_may_have_a_field_that_is_not_given() -> None:
    assert Options(extra={"purchase_type": "LEASE"}).extra == {"purchase_type": "LEASE"}
    assert Options(extra={"payment_method_categories": ["PAY_SOON"]}).extra
    with pytest.raises(ConfigurationError, match="which is sent already"):
        Options(purchase_type=hpp_async.PurchaseType.BUY, extra={"purchase_type": "LEASE"})


# -- every field of the provider's description ---------------------------------------------------------------------

DESCRIBED: Final = {
    ("klarna-payments-openapi.yml", "session_create"): PurchaseOrder,
    ("klarna-payments-openapi.yml", "create_order_request"): PurchaseOrder,
    ("klarna-payments-openapi.yml", "order_line"): OrderLine,
    ("klarna-payments-openapi.yml", "product_identifiers"): ProductIdentifiers,
    ("klarna-payments-openapi.yml", "subscription"): Subscription,
    ("klarna-payments-openapi.yml", "address"): Address,
    ("klarna-payments-openapi.yml", "customer"): OrderCustomer,
    ("klarna-payments-openapi.yml", "attachment"): Attachment,
    ("klarna-payments-openapi.yml", "options"): WidgetOptions,
    ("klarna-payments-openapi.yml", "merchant_urls"): OrderURLs,
    ("klarna-payments-openapi.yml", "merchant_session"): hpp_async.PaymentSession,
    ("klarna-payments-openapi.yml", "payment_method_category"): hpp_async.PaymentMethodCategory,
    ("klarna-payments-openapi.yml", "asset_urls"): hpp_async.AssetURLs,
    ("klarna-payments-openapi.yml", "order"): hpp_async.PlacedOrder,
    ("klarna-payments-openapi.yml", "authorized_payment_method"): hpp_async.AuthorizedPaymentMethod,
    ("klarna-hpp-openapi.yml", "MerchantUrlsV1"): MerchantURLs,
    ("klarna-hpp-openapi.yml", "OptionsV1"): Options,
    ("klarna-hpp-openapi.yml", "BackgroundImageV1"): BackgroundImage,
    ("klarna-hpp-openapi.yml", "SessionCreationResponseV1"): hpp_async.CreatedSession,
    ("klarna-hpp-openapi.yml", "DistributionModuleV1"): hpp_async.DistributionModule,
}
ELSEWHERE: Final = {"auto_capture"}
"""An argument of `HPPClient.place_order`."""


@pytest.mark.skipif(not API.is_dir(), reason="the provider's OpenAPI files are not here")
@pytest.mark.parametrize(("file", "schema"), DESCRIBED)
def test_every_field_that_the_provider_describes_is_there(file: str, schema: str) -> None:
    yaml = pytest.importorskip("yaml")
    described = yaml.safe_load((API / file).read_text("utf-8"))["components"]["schemas"][schema]["properties"]
    wanted = {name for name, about in described.items() if not about.get("readOnly")} - ELSEWHERE
    model: Any = DESCRIBED[file, schema]

    assert wanted - {field.alias for field in attrs.fields(model)} == set()


def test_a_session_for_callbacks_has_an_unguessable_part() -> None:
    assert callbacks().given == {"status_update": f"https://shop.example/klarna/{SECRET}"}
