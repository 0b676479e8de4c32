"""How the provider sends the consumer the link to the payment page."""

from __future__ import annotations

from typing import ClassVar

import attrs

from hpp_async._core.orders.checks import Extra, Model, discreet, fits, matching, optional, plain, text

_phone = matching(r"\+?[0-9 ()./-]{4,24}", "give a phone number, such as '07000212345'")
_phone_country = matching(
    r"[A-Za-z]{2}", "give the country of the number, which the provider needs for every SMS: two letters, such as 'SE'"
)
_template = optional(text(at_least=1))


@discreet
@attrs.frozen(kw_only=True, repr=False)
class Email(Model):
    """
    A link by e-mail.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    method: ClassVar[str] = "email"

    email: str = attrs.field(validator=matching(r"[^@\s]+@[^@\s]+", "give an address such as 'test@example.com'"))
    template: str | None = attrs.field(default=None, validator=_template)
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)


@discreet
@attrs.frozen(kw_only=True, repr=False)
class Sms(Model):
    """
    A link by SMS.

    Attributes:
        phone_country: the country of the number, two letters. The provider needs it, so it has to be given.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    method: ClassVar[str] = "sms"

    phone: str = attrs.field(validator=_phone)
    phone_country: str = attrs.field(default="", validator=_phone_country)
    template: str | None = attrs.field(default=None, validator=_template)
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)


@discreet
@attrs.frozen(kw_only=True, repr=False)
class TwoWaySms(Model):
    """
    A link by SMS that the consumer can answer: the method ``two_way_sms``.

    Attributes:
        phone_country: the country of the number, two letters. The provider needs it, so it has to be given.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    method: ClassVar[str] = "two_way_sms"

    phone: str = attrs.field(validator=_phone)
    phone_country: str = attrs.field(default="", validator=_phone_country)
    template: str | None = attrs.field(default=None, validator=_template)
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)


@discreet
@attrs.frozen(kw_only=True, repr=False)
class TokenAccess(Model):
    """
    A link that a partner of the provider shows: the method ``token``.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    method: ClassVar[str] = "token"

    access_id: str = attrs.field(validator=text(at_least=1))
    template: str | None = attrs.field(default=None, validator=_template)
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)


Distribution = Email | Sms | TwoWaySms | TokenAccess
"""A way in which the provider sends the consumer the link to the payment page."""
