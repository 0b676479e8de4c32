"""What the provider answers to the calls around a wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum

import attrs

from hpp_async._core.endpoint import SessionHandle
from hpp_async._core.hidden import Hidden, hide
from hpp_async._core.session import iso

Raw = Mapping[str, object]


def _hidden_text(text: str | Hidden[str] | None) -> Hidden[str] | None:
    return None if text is None else hide(text)


def _hidden_raw(raw: Raw | Callable[[], Raw]) -> Callable[[], Raw]:
    return raw if callable(raw) else Hidden(raw)


class FraudStatus(StrEnum):
    """
    What the provider makes of an order that was placed; `PlacedOrder.fraud_status` may be another text.

    Only an ACCEPTED order may be captured. PENDING is settled later, by a callback to `OrderURLs.notification`.
    """

    ACCEPTED = "ACCEPTED"
    PENDING = "PENDING"
    REJECTED = "REJECTED"


@attrs.frozen(kw_only=True)
class AuthorizedPaymentMethod:
    """How the consumer pays for an order."""

    type: str | None = None
    number_of_days: int | None = None
    number_of_installments: int | None = None


@attrs.frozen(kw_only=True)
class AssetURLs:
    """Pictures of a way to pay."""

    descriptive: str | None = None
    standard: str | None = None


@attrs.frozen(kw_only=True)
class PaymentMethodCategory:
    """A way to pay that a payment session offers; *identifier* is a `PaymentCategory` in small letters."""

    identifier: str | None = None
    name: str | None = None
    asset_urls: AssetURLs | None = None


@attrs.frozen(kw_only=True)
class PaymentSession:
    """
    A payment session, which a session of the payment page is made for: `HPPClient.create_session`.

    Attributes:
        session_id: its id, which is not the id of a session of the payment page.
        session_url: where it is at the provider.
        client_token: for the provider's script in a browser; the payment page needs none. A secret.
        payment_method_categories: the ways to pay that it offers.
        status: ``complete`` once an order was placed, else ``incomplete``; ``None`` where it was just created.
        authorization_token: with which an order can be placed now, where it was read and has one. A secret.
        expires_at: when the provider forgets it, where it was read.
        correlation_id: the provider's id of the exchange; its support asks for it.
        raw: the mapping as it was received. It has the tokens in it, and the cart where it was read.
    """

    session_id: str
    session_url: str
    _client_token: Hidden[str] | None = attrs.field(
        alias="client_token", default=None, converter=_hidden_text, repr=False
    )
    payment_method_categories: tuple[PaymentMethodCategory, ...] = attrs.field(default=(), repr=False)
    status: str | None = None
    _authorization_token: Hidden[str] | None = attrs.field(
        alias="authorization_token", default=None, converter=_hidden_text, repr=False
    )
    expires_at: datetime | None = attrs.field(default=None, repr=False)
    correlation_id: str | None = None
    _raw: Callable[[], Raw] = attrs.field(
        alias="raw", default=dict[str, object], converter=_hidden_raw, repr=False, eq=False
    )

    @property
    def client_token(self) -> str | None:
        """For the provider's script in a browser. A secret."""
        return None if self._client_token is None else self._client_token()

    @property
    def authorization_token(self) -> str | None:
        """With which an order can be placed now. A secret."""
        return None if self._authorization_token is None else self._authorization_token()

    @property
    def is_complete(self) -> bool | None:
        """Whether an order was placed for it; ``None`` where ``status`` does not say so."""
        return {"complete": True, "incomplete": False}.get(self.status or "")

    @property
    def raw(self) -> Raw:
        """The mapping as it was received."""
        return self._raw()

    def to_dict(self, *, show_secrets: bool = False) -> dict[str, object]:
        """Return it as plain data, for a JSON answer, a queue or a log; *show_secrets* adds the tokens."""
        data: dict[str, object] = {
            "session_id": self.session_id,
            "session_url": self.session_url,
            "payment_method_categories": [attrs.asdict(category) for category in self.payment_method_categories],
            "status": self.status,
            "expires_at": iso(self.expires_at),
            "correlation_id": self.correlation_id,
        }
        secrets = {"client_token": self.client_token, "authorization_token": self.authorization_token}
        return data | secrets if show_secrets else data


@attrs.frozen(kw_only=True)
class DistributionModule:
    """
    The provider's page from which a shop assistant sends the link.

    Attributes:
        token: whoever has it can send links. A secret.
        standalone_url: the page.
        generation_url: where a new token is made.
    """

    _token: Hidden[str] | None = attrs.field(alias="token", default=None, converter=_hidden_text, repr=False)
    standalone_url: str | None = attrs.field(default=None, repr=False)
    generation_url: str | None = attrs.field(default=None, repr=False)

    @property
    def token(self) -> str | None:
        """What the page is opened with. A secret."""
        return None if self._token is None else self._token()


@attrs.frozen(kw_only=True)
class CreatedSession(SessionHandle):
    """
    A new session of the payment page. Every method of `HPPClient` that takes a session takes it.

    Store ``session_id`` with the order before the consumer is sent away. Whoever has ``redirect_url`` can open the
    page, so neither the ``repr`` nor any log shows that or the other URLs for the consumer.

    Attributes:
        session_url: where it is read.
        redirect_url: where to send the consumer.
        qr_code_url: a picture of that, as a QR code.
        distribution_url: where `HPPClient.distribute_session` goes.
        manual_identification_check_url: where a manual check of the consumer's identity is answered.
        expires_at: after which the consumer can no longer pay: 47 hours after the payment session was created.
        distribution_module: the provider's page from which a shop assistant sends the link.
        correlation_id: the provider's id of the exchange; its support asks for it.
        raw: the mapping as it was received.
    """

    session_id: str
    session_url: str
    redirect_url: str | None = attrs.field(default=None, repr=False)
    qr_code_url: str | None = attrs.field(default=None, repr=False)
    distribution_url: str | None = attrs.field(default=None, repr=False)
    manual_identification_check_url: str | None = attrs.field(default=None, repr=False)
    expires_at: datetime | None = None
    distribution_module: DistributionModule | None = attrs.field(default=None, repr=False)
    correlation_id: str | None = None
    _raw: Callable[[], Raw] = attrs.field(
        alias="raw", default=dict[str, object], converter=_hidden_raw, repr=False, eq=False
    )

    @property
    def raw(self) -> Raw:
        """The mapping as it was received."""
        return self._raw()

    def to_dict(self) -> dict[str, object]:
        """Return it as plain data, for a JSON answer: dates are ISO 8601 strings, and there is no token in it."""
        return {
            "session_id": self.session_id,
            "session_url": self.session_url,
            "redirect_url": self.redirect_url,
            "qr_code_url": self.qr_code_url,
            "distribution_url": self.distribution_url,
            "manual_identification_check_url": self.manual_identification_check_url,
            "expires_at": iso(self.expires_at),
            "correlation_id": self.correlation_id,
        }
