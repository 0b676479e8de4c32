"""Who buys, and where the goods and the bill go."""

from __future__ import annotations

from enum import StrEnum

import attrs

from hpp_async._core.orders.checks import Extra, Model, country, discreet, fits, matching, one_of, optional, plain, text


@discreet
@attrs.frozen(kw_only=True, repr=False)
class Address(Model):
    """
    Where the goods or the bill go. Personal data: none of it is in the ``repr`` or in a message.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    given_name: str | None = attrs.field(default=None, validator=optional(text(at_most=99)))
    family_name: str | None = attrs.field(default=None, validator=optional(text(at_most=99)))
    title: str | None = attrs.field(default=None, validator=optional(text(at_most=20)))
    street_address: str | None = attrs.field(default=None, validator=optional(text(at_most=99)))
    street_address2: str | None = attrs.field(default=None, validator=optional(text(at_most=99)))
    postal_code: str | None = attrs.field(default=None, validator=optional(text(at_most=10)))
    city: str | None = attrs.field(default=None, validator=optional(text(at_most=99)))
    region: str | None = attrs.field(default=None, validator=optional(text(at_most=99)))
    country: str | None = attrs.field(default=None, validator=optional(country))
    email: str | None = attrs.field(default=None, validator=optional(text(at_most=99)))
    phone: str | None = attrs.field(default=None, validator=optional(text(at_most=99)))
    organization_name: str | None = attrs.field(default=None, validator=optional(text(at_most=99)))
    attention: str | None = attrs.field(default=None, validator=optional(text(at_most=99)))
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)


class CustomerType(StrEnum):
    """Who buys; without it the provider takes a person."""

    PERSON = "person"
    ORGANIZATION = "organization"


class OrganizationType(StrEnum):
    """The legal form of an organization that buys."""

    LIMITED_COMPANY = "LIMITED_COMPANY"
    PUBLIC_LIMITED_COMPANY = "PUBLIC_LIMITED_COMPANY"
    ENTREPRENEURIAL_COMPANY = "ENTREPRENEURIAL_COMPANY"
    LIMITED_PARTNERSHIP_LIMITED_COMPANY = "LIMITED_PARTNERSHIP_LIMITED_COMPANY"
    LIMITED_PARTNERSHIP = "LIMITED_PARTNERSHIP"
    GENERAL_PARTNERSHIP = "GENERAL_PARTNERSHIP"
    REGISTERED_SOLE_TRADER = "REGISTERED_SOLE_TRADER"
    SOLE_TRADER = "SOLE_TRADER"
    CIVIL_LAW_PARTNERSHIP = "CIVIL_LAW_PARTNERSHIP"
    PUBLIC_INSTITUTION = "PUBLIC_INSTITUTION"
    OTHER = "OTHER"


@discreet
@attrs.frozen(kw_only=True, repr=False)
class OrderCustomer(Model):
    """
    Who buys, as far as the shop knows. Personal data: none of it is in the ``repr`` or in a message.

    Attributes:
        date_of_birth: as ``YYYY-MM-DD``.
        last_four_ssn: of the social security number, in the US: its last four digits, or all nine.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    date_of_birth: str | None = attrs.field(
        default=None,
        validator=optional(matching(r"\d{4}-\d\d-\d\d", "give a date as YYYY-MM-DD, such as '1978-12-31'")),
    )
    title: str | None = attrs.field(default=None, validator=optional(text()))
    gender: str | None = attrs.field(default=None, validator=optional(text()))
    last_four_ssn: str | None = attrs.field(
        default=None, validator=optional(matching(r"\d{4}|\d{9}", "give four digits, or all nine"))
    )
    national_identification_number: str | None = attrs.field(default=None, validator=optional(text()))
    type: CustomerType | None = attrs.field(default=None, validator=optional(one_of(CustomerType)))
    vat_id: str | None = attrs.field(default=None, validator=optional(text()))
    organization_registration_id: str | None = attrs.field(default=None, validator=optional(text()))
    organization_entity_type: OrganizationType | None = attrs.field(
        default=None, validator=optional(one_of(OrganizationType))
    )
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)
