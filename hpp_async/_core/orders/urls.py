"""The merchant's URLs: where the consumer comes back to, and where the provider calls."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import attrs

from hpp_async._core.endpoint import is_loopback
from hpp_async._core.orders.checks import Extra, Model, discreet, fits, optional, plain, refusal, text


class Placeholder(StrEnum):
    """
    What the provider replaces in a URL of `MerchantURLs` (create session page).

    It is text, so an f-string takes it: ``f"https://shop.example/paid?sid={Placeholder.SESSION_ID}"``.
    """

    SESSION_ID = "{{session_id}}"
    """The session's id, in every URL."""
    AUTHORIZATION_TOKEN = "{{authorization_token}}"
    """What the order is placed with: in ``success``, with the mode ``NONE``, for a payment session."""
    ORDER_ID = "{{order_id}}"
    """The order, where the provider places it: with ``PLACE_ORDER`` and ``CAPTURE_ORDER``, and for a checkout order."""


_PLACEHOLDER: Final = re.compile(r"\{\{\w+\}\}", re.ASCII)
_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)
_LONGEST: Final = 2000
_SHORTEST_SECRET: Final = 20
_SHORTEST_NUMBER: Final = 30
"""Characters of a secret that happens to be all digits; order numbers and dates are shorter."""


def is_plain_http(url: str) -> bool:
    """Tell whether *url* is one that goes over the network unencrypted."""
    return url[:5].lower() == "http:"


def _absolute(model: object, field: attrs.Attribute[Any], value: Any) -> None:
    """Check a URL; an app's own scheme will do, for consumers who come from an app."""
    text(at_least=1, at_most=_LONGEST)(model, field, value)
    if not _VISIBLE.fullmatch(value):
        raise refusal(model, field.name, "a URL has no blanks and no letters beyond ASCII: encode them (%20)")
    try:
        parts = urlsplit(_PLACEHOLDER.sub("x", value))
        is_absolute = bool(parts.scheme and parts.hostname)
    except ValueError:
        is_absolute = False
    if not is_absolute:
        raise refusal(model, field.name, "give an absolute URL, such as https://shop.example/paid")


def _redirect(model: object, field: attrs.Attribute[Any], value: Any) -> None:
    _absolute(model, field, value)
    found = set(_PLACEHOLDER.findall(value))
    unknown = found - {str(placeholder) for placeholder in Placeholder}
    if unknown or not {"{", "}"}.isdisjoint(_PLACEHOLDER.sub("", value)):
        raise refusal(
            model,
            field.name,
            f"it has braces that are no placeholder: the provider replaces {', '.join(Placeholder)} and nothing else",
        )
    if Placeholder.AUTHORIZATION_TOKEN in found and field.name != "success":
        raise refusal(
            model,
            field.name,
            f"{Placeholder.AUTHORIZATION_TOKEN} is replaced in success only: take it out, and read the session instead",
        )


def callback(model: object, field: attrs.Attribute[Any], value: Any) -> None:
    """Check where the provider is to call: over https, or on this machine."""
    _absolute(model, field, value)
    parts = urlsplit(_PLACEHOLDER.sub("x", value))
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise refusal(model, field.name, "callbacks need https: give an https URL (http is for loopback hosts only)")


def _status_update(model: object, field: attrs.Attribute[Any], value: Any) -> None:
    _redirect(model, field, value)
    callback(model, field, value)
    if not any(_is_unguessable(part) for part in _parts_of(value)):
        raise refusal(
            model,
            field.name,
            "callbacks are not signed, so the URL needs a part that nobody can guess: put callback_secret() into it, "
            "store it with the order, and check what comes with is_callback_secret()",
        )


def _parts_of(url: str) -> list[str]:
    """Return the segments of the path and the values of the query."""
    parts = urlsplit(url)
    values = [value for _, value in parse_qsl(parts.query)]
    return [*parts.path.split("/"), *values]


def _is_unguessable(part: str) -> bool:
    """
    Tell whether *part* may be random: long enough, and neither a number nor words.

    That it is random cannot be seen. A placeholder does not count: what replaces it is in the consumer's browser, too.
    """
    if len(part) < (_SHORTEST_NUMBER if part.isdigit() else _SHORTEST_SECRET) or _PLACEHOLDER.search(part):
        return False
    return sum(character.isdigit() or character.isupper() for character in part) >= 2


@discreet
@attrs.frozen(kw_only=True, repr=False)
class MerchantURLs(Model):
    """
    Where the consumer comes back to from the payment page, and where the provider reports a change of status.

    Each may have a `Placeholder` in it. Where one of the first five is missing, the provider shows a page of its own.
    None of them proves a payment: anybody can open ``success``. Wait for the outcome instead.

    Attributes:
        success: after the payment was authorized.
        back: for the back button, after which the page can still be opened; not together with *cancel*.
        cancel: for the cancel button, after which the session is CANCELLED; in the channel ``ECOMMERCE`` the provider
            takes it as *back*.
        failure: after the payment was refused; the consumer may try again.
        error: after an error; *failure*, where it is missing.
        status_update: for callbacks, over https. They are not signed, so it needs a part that nobody can guess: see
            `callback_secret`.
        extra: whatever else the provider takes, by its names there; it is not checked.

    Raises:
        ConfigurationError: a URL is refused; the message names it and says what to give.
    """

    success: str | None = attrs.field(default=None, validator=optional(_redirect))
    back: str | None = attrs.field(default=None, validator=optional(_redirect))
    cancel: str | None = attrs.field(default=None, validator=optional(_redirect))
    failure: str | None = attrs.field(default=None, validator=optional(_redirect))
    error: str | None = attrs.field(default=None, validator=optional(_redirect))
    status_update: str | None = attrs.field(default=None, validator=optional(_status_update))
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)

    def __attrs_post_init__(self) -> None:
        if self.back is not None and self.cancel is not None:
            raise refusal(
                self, "cancel", "it is given together with back, and the page has one button: leave one of the two out"
            )

    @property
    def given(self) -> dict[str, str]:
        """The URLs that there are, by their names."""
        urls = {name: getattr(self, name) for name in _NAMES}
        return {name: url for name, url in urls.items() if url is not None}


_NAMES: Final = tuple(name for name in attrs.fields_dict(MerchantURLs) if name != "extra")


@discreet
@attrs.frozen(kw_only=True, repr=False)
class OrderURLs(Model):
    """
    The URLs of a `PurchaseOrder`: other ones than those of the payment page, with placeholders of another form.

    The provider replaces ``{session.id}`` and ``{order.id}`` in them.

    Attributes:
        confirmation: the shop's page that confirms the order.
        notification: for callbacks about orders whose ``fraud_status`` is pending.
        push: for a callback when an order is complete.
        authorization: for a callback with the authorization token. Whoever can read it can place the order.
        extra: whatever else the provider takes, by its names there.

    Raises:
        ConfigurationError: a URL is refused; the message names it and says what to give.
    """

    confirmation: str | None = attrs.field(default=None, validator=optional(_absolute))
    notification: str | None = attrs.field(default=None, validator=optional(callback))
    push: str | None = attrs.field(default=None, validator=optional(callback))
    authorization: str | None = attrs.field(default=None, validator=optional(callback))
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)
