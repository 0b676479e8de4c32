"""Wait for Klarna Hosted Payment Page sessions: read them, and follow them to their outcome, on asyncio and trio."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from hpp_async._client import VERSION, HPPClient
from hpp_async._core.endpoint import Endpoint
from hpp_async._core.exceptions import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ExpiryUnknownError,
    HPPError,
    NotProcessedError,
    OrderRefusedError,
    OutageError,
    RateLimitedError,
    ReadError,
    ResponseError,
    ServerError,
    SessionNotFoundError,
    SessionVanishedError,
    TransportError,
    UnexpectedPayloadError,
    WaitError,
    WaitTimeoutError,
)
from hpp_async._core.history import Transition
from hpp_async._core.outcome import (
    AnyOutcome,
    Authorization,
    Cancelled,
    Completed,
    Disabled,
    Errored,
    Expired,
    Failed,
    Outcome,
    PlacedOrder,
    Stopped,
)
from hpp_async._core.position import is_newer, is_token, session_id_of
from hpp_async._core.schedule import Delay, PollSchedule, Schedule
from hpp_async._core.session import (
    FINAL,
    OUTCOME,
    AnyStatus,
    Customer,
    ManualIdentification,
    Session,
    SessionStatus,
    UnknownStatus,
)
from hpp_async._core.token_bucket import ReadBudget
from hpp_async._http.codec import Callback, parse_callback
from hpp_async._loop import Clock
from hpp_async._waits.events import (
    BudgetPaused,
    DealFailed,
    Event,
    Observer,
    ReadFailed,
    ReadFinished,
    SessionParked,
    ShardsOwned,
    ShardTakenOver,
    Slept,
    TransitionSeen,
    WaitDropped,
    WaitEnded,
    WaitStarted,
)
from hpp_async._waits.wait import Heartbeat, OutcomeWait, Parked, Updates
from hpp_async._waits.watch import Watch, WatchEvent

if TYPE_CHECKING:
    from hpp_async._core.orders.answers import (
        AssetURLs,
        AuthorizedPaymentMethod,
        CreatedSession,
        DistributionModule,
        FraudStatus,
        PaymentMethodCategory,
        PaymentSession,
    )
    from hpp_async._core.orders.distribution import (
        Distribution,
        Email,
        Sms,
        TokenAccess,
        TwoWaySms,
    )
    from hpp_async._core.orders.lines import (
        LineType,
        OrderLine,
        ProductIdentifiers,
        Subscription,
        SubscriptionInterval,
    )
    from hpp_async._core.orders.options import (
        BackgroundImage,
        Options,
        PaymentCategory,
        PlaceOrderMode,
        PurchaseType,
    )
    from hpp_async._core.orders.order import (
        AcquiringChannel,
        Attachment,
        Intent,
        PurchaseOrder,
        WidgetOptions,
    )
    from hpp_async._core.orders.people import (
        Address,
        CustomerType,
        OrderCustomer,
        OrganizationType,
    )
    from hpp_async._core.orders.urls import (
        MerchantURLs,
        OrderURLs,
        Placeholder,
    )
    from hpp_async._http.callback_secret import callback_secret, is_callback_secret

__version__ = VERSION

__all__ = [
    "FINAL",
    "OUTCOME",
    "AcquiringChannel",
    "Address",
    "AnyOutcome",
    "AnyStatus",
    "AssetURLs",
    "Attachment",
    "AuthenticationError",
    "Authorization",
    "AuthorizedPaymentMethod",
    "BackgroundImage",
    "BudgetPaused",
    "Callback",
    "Cancelled",
    "ClientClosedError",
    "Clock",
    "Completed",
    "ConfigurationError",
    "CreatedSession",
    "Customer",
    "CustomerType",
    "DealFailed",
    "Delay",
    "Disabled",
    "Distribution",
    "DistributionModule",
    "Email",
    "Endpoint",
    "Errored",
    "Event",
    "Expired",
    "ExpiryUnknownError",
    "Failed",
    "FraudStatus",
    "HPPClient",
    "HPPError",
    "Heartbeat",
    "Intent",
    "LineType",
    "ManualIdentification",
    "MerchantURLs",
    "NotProcessedError",
    "Observer",
    "Options",
    "OrderCustomer",
    "OrderLine",
    "OrderRefusedError",
    "OrderURLs",
    "OrganizationType",
    "OutageError",
    "Outcome",
    "OutcomeWait",
    "Parked",
    "PaymentCategory",
    "PaymentMethodCategory",
    "PaymentSession",
    "PlaceOrderMode",
    "PlacedOrder",
    "Placeholder",
    "PollSchedule",
    "ProductIdentifiers",
    "PurchaseOrder",
    "PurchaseType",
    "RateLimitedError",
    "ReadBudget",
    "ReadError",
    "ReadFailed",
    "ReadFinished",
    "ResponseError",
    "Schedule",
    "ServerError",
    "Session",
    "SessionNotFoundError",
    "SessionParked",
    "SessionStatus",
    "SessionVanishedError",
    "ShardTakenOver",
    "ShardsOwned",
    "Slept",
    "Sms",
    "Stopped",
    "Subscription",
    "SubscriptionInterval",
    "TokenAccess",
    "Transition",
    "TransitionSeen",
    "TransportError",
    "TwoWaySms",
    "UnexpectedPayloadError",
    "UnknownStatus",
    "Updates",
    "WaitDropped",
    "WaitEnded",
    "WaitError",
    "WaitStarted",
    "WaitTimeoutError",
    "Watch",
    "WatchEvent",
    "WidgetOptions",
    "__version__",
    "callback_secret",
    "is_callback_secret",
    "is_newer",
    "is_token",
    "parse_callback",
    "session_id_of",
]

_LATER: Final = {
    "_core.orders.answers": (
        "AssetURLs",
        "AuthorizedPaymentMethod",
        "CreatedSession",
        "DistributionModule",
        "FraudStatus",
        "PaymentMethodCategory",
        "PaymentSession",
    ),
    "_core.orders.distribution": (
        "Distribution",
        "Email",
        "Sms",
        "TokenAccess",
        "TwoWaySms",
    ),
    "_core.orders.lines": (
        "LineType",
        "OrderLine",
        "ProductIdentifiers",
        "Subscription",
        "SubscriptionInterval",
    ),
    "_core.orders.options": (
        "BackgroundImage",
        "Options",
        "PaymentCategory",
        "PlaceOrderMode",
        "PurchaseType",
    ),
    "_core.orders.order": (
        "AcquiringChannel",
        "Attachment",
        "Intent",
        "PurchaseOrder",
        "WidgetOptions",
    ),
    "_core.orders.people": (
        "Address",
        "CustomerType",
        "OrderCustomer",
        "OrganizationType",
    ),
    "_core.orders.urls": (
        "MerchantURLs",
        "OrderURLs",
        "Placeholder",
    ),
    "_http.callback_secret": ("callback_secret", "is_callback_secret"),
}
"""
The names of the calls around a wait, by the modules that they are in.

They are loaded when they are first used: together they would take a third of the import, and who only waits needs none.
"""


if not TYPE_CHECKING:  # pragma: no branch - for type checkers: to them a module with this function has every name

    def __getattr__(name: str) -> object:
        for module, names in _LATER.items():
            if name in names:
                value = getattr(import_module(f"hpp_async.{module}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module 'hpp_async' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
