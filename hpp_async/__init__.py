"""Wait for Klarna Hosted Payment Page sessions: read them, and follow them to their outcome, on asyncio and trio."""

from hpp_async._budget import ReadBudget
from hpp_async._client import VERSION, HPPClient
from hpp_async._clock import Clock
from hpp_async._codec import Callback, parse_callback
from hpp_async._endpoint import Endpoint
from hpp_async._events import BudgetPaused, Event, Observer, ReadFailed, ReadFinished, Slept, TransitionSeen, WaitEnded
from hpp_async._exceptions import (
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
from hpp_async._outcome import Cancelled, Completed, Disabled, Errored, Expired, Failed, Outcome
from hpp_async._schedule import Delay, PollSchedule, Schedule
from hpp_async._session import FINAL, OUTCOME, Customer, ManualIdentification, Session, SessionStatus
from hpp_async._transitions import Transition
from hpp_async._wait import Heartbeat, OutcomeWait
from hpp_async._watch import Watch, WatchEvent

__version__ = VERSION

__all__ = [
    "FINAL",
    "OUTCOME",
    "AuthenticationError",
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
    "Transition",
    "TransitionSeen",
    "TransportError",
    "UnexpectedPayloadError",
    "WaitEnded",
    "WaitError",
    "WaitTimeoutError",
    "Watch",
    "WatchEvent",
    "__version__",
    "parse_callback",
]
