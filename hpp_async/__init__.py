"""Wait for Klarna Hosted Payment Page sessions: read them, and follow them to their outcome, on asyncio and trio."""

from hpp_async._client import VERSION, HPPClient
from hpp_async._core.endpoint import Endpoint
from hpp_async._core.exceptions import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    HPPError,
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
    Event,
    Observer,
    ReadFailed,
    ReadFinished,
    Slept,
    TransitionSeen,
    WaitEnded,
)
from hpp_async._waits.wait import Heartbeat, OutcomeWait
from hpp_async._waits.watch import Watch, WatchEvent

__version__ = VERSION

__all__ = [
    "FINAL",
    "OUTCOME",
    "AnyOutcome",
    "AnyStatus",
    "AuthenticationError",
    "Authorization",
    "BudgetPaused",
    "Callback",
    "Cancelled",
    "ClientClosedError",
    "Clock",
    "Completed",
    "ConfigurationError",
    "Customer",
    "Delay",
    "Disabled",
    "Endpoint",
    "Errored",
    "Event",
    "Expired",
    "Failed",
    "HPPClient",
    "HPPError",
    "Heartbeat",
    "ManualIdentification",
    "Observer",
    "OutageError",
    "Outcome",
    "OutcomeWait",
    "PlacedOrder",
    "PollSchedule",
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
    "SessionStatus",
    "SessionVanishedError",
    "Slept",
    "Stopped",
    "Transition",
    "TransitionSeen",
    "TransportError",
    "UnexpectedPayloadError",
    "UnknownStatus",
    "WaitEnded",
    "WaitError",
    "WaitTimeoutError",
    "Watch",
    "WatchEvent",
    "__version__",
    "parse_callback",
]
