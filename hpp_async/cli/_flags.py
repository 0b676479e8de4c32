"""The options of ``create``, in one table: each gives a field of the order, of its only line, or of the page."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer

from hpp_async import (
    ConfigurationError,
    MerchantURLs,
    Options,
    OrderLine,
    PaymentCategory,
    PlaceOrderMode,
    PurchaseOrder,
)
from hpp_async.cli._cart import Cart, load


@attrs.frozen
class Flag:
    """An option: the model and the field that it gives, the metavar and the help, and the type of its value."""

    name: str
    model: type[object]
    field: str
    metavar: str
    text: str
    kind: type[object] = str

    @property
    def parameter(self) -> inspect.Parameter:
        """The parameter of a command's function."""
        option = typer.Option(self.name, metavar=self.metavar, help=self.text, rich_help_panel=_PANELS[self.model])
        kind: Any = self.kind
        return inspect.Parameter(
            self.variable, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
        )

    @property
    def variable(self) -> str:
        """The name of the parameter."""
        return self.name.removeprefix("--").replace("-", "_")


_LINE: Final = "A cart with one line, without FILE"
_URLS: Final = "The shop's URLs, which may have placeholders such as {{session_id}}"
_PANELS: Final[Mapping[type[object], str]] = {
    OrderLine: _LINE,
    PurchaseOrder: _LINE,
    MerchantURLs: _URLS,
    Options: "The payment page",
}
FLAGS: Final = (
    Flag("--name", OrderLine, "name", "TEXT", "What is bought."),
    Flag("--price", OrderLine, "unit_price", "AMOUNT", "Of one, in minor units: 1999 is 19.99.", int),
    Flag("--quantity", OrderLine, "quantity", "NUMBER", "How many; 1, where it is not given.", int),
    Flag("--tax-rate", OrderLine, "tax_rate", "RATE", "In hundredths of a per cent: 2500 is 25 %.", int),
    Flag("--country", PurchaseOrder, "purchase_country", "CODE", "Such as SE."),
    Flag("--currency", PurchaseOrder, "purchase_currency", "CODE", "Such as SEK."),
    Flag("--locale", PurchaseOrder, "locale", "LOCALE", "Of the consumer, such as sv-SE."),
    Flag("--success", MerchantURLs, "success", "URL", "After the payment was authorized."),
    Flag("--failure", MerchantURLs, "failure", "URL", "After the payment was refused."),
    Flag("--error", MerchantURLs, "error", "URL", "After an error; that of --failure, where it is not given."),
    Flag("--back", MerchantURLs, "back", "URL", "For the back button; not together with --cancel."),
    Flag("--cancel", MerchantURLs, "cancel", "URL", "For the cancel button, which ends the session."),
    Flag("--status-update", MerchantURLs, "status_update", "URL", "For callbacks; with a part that nobody can guess."),
    Flag(
        "--place-order-mode", Options, "place_order_mode", "MODE", "NONE, PLACE_ORDER or CAPTURE_ORDER.", PlaceOrderMode
    ),
    Flag(
        "--category",
        Options,
        "payment_method_category",
        "NAME",
        "The only way to pay that is shown, such as PAY_LATER.",
        PaymentCategory,
    ),
    Flag("--title", Options, "page_title", "TEXT", "The title of the page."),
)
_NEEDED: Final = ("--name", "--price", "--country", "--currency")
_SUMS: Final = {
    "OrderLine.total_amount": "--price and --quantity",
    "PurchaseOrder.order_amount": "--price and --quantity",
}
_ADVICE: Final = {
    "put callback_secret() into it": "put a random one into it, such as $(openssl rand -hex 20)",
    "which the provider cannot call: give https": (
        "which the provider cannot call: give https, or leave it out and run hpp-async listen"
    ),
}
"""What messages advise Python code to do, and what to do on the command line."""


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Let *command*, which takes any keyword arguments, have the options of the table in their place."""
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        is_rest = parameter.kind is inspect.Parameter.VAR_KEYWORD
        parameters += [flag.parameter for flag in FLAGS] if is_rest else [parameter]
    vars(command)["__signature__"] = signature.replace(parameters=parameters)
    return command


def cart_of(file: Path | None, given: Mapping[str, object]) -> Cart:
    """
    Return the cart in *file* or in the options *given*, and the page that the two describe; an option goes first.

    Raises:
        ConfigurationError: an option or the file is refused, or both or neither have a cart.
    """
    lines, orders, urls, options = (_fields(given, model) for model in _PANELS)
    if file is not None and lines | orders:
        raise ConfigurationError("give a FILE or the options of one line, not both")
    if file is None and any(given[flag.variable] is None for flag in FLAGS if flag.name in _NEEDED):
        raise ConfigurationError("give a FILE, or all of --name, --price, --country and --currency")
    cart = _cart_with_one_line(lines, orders) if file is None else load(file)
    return attrs.evolve(
        cart,
        merchant_urls=attrs.evolve(cart.merchant_urls or MerchantURLs(), **urls) if urls else cart.merchant_urls,
        options=attrs.evolve(cart.options or Options(), **options) if options else cart.options,
    )


def _cart_with_one_line(line: Mapping[str, Any], order: Mapping[str, Any]) -> Cart:
    quantity = line.get("quantity", 1)
    return Cart(PurchaseOrder(order_lines=[OrderLine(**{**line, "quantity": quantity})], **order))


def _fields(given: Mapping[str, object], model: type[object]) -> dict[str, Any]:
    values = {flag.field: given[flag.variable] for flag in FLAGS if flag.model is model}
    return {field: value for field, value in values.items() if value is not None}


@contextmanager
def naming_flags(given: Mapping[str, object]) -> Generator[None]:
    """
    Let the message of a refusal name the option *given*, and not the field that it becomes.

    Raises:
        ConfigurationError: the one that is raised in the context, in other words.
    """
    try:
        yield
    except ConfigurationError as error:
        names = {f"{flag.model.__name__}.{flag.field}": flag.name for flag in FLAGS if given[flag.variable] is not None}
        field, _, fix = str(error).partition(": ")
        name = (names | _SUMS).get(field)
        if name is None:
            raise
        for advice, ours in _ADVICE.items():
            fix = fix.replace(advice, ours)
        raise ConfigurationError(f"{name}: {fix}") from None
